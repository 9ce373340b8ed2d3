package login_test

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
	"vssgate/internal/store"
	"vssgate/internal/testenv"
	"vssgate/otp"
)

// A did is what somebody did to a login, and what was said to it.
type did struct {
	what  string // "right code", "wrong code", "password", "approve", "deny"
	asker int    // who sends a code: the same one sends the same request
}

// A stands is all that there is to know of a login for whom it is one thing that
// changes one step at a time.
type stands struct {
	verdict  string // how it ended; "" it is open
	letIn    did    // by which request
	approved bool
	noes     int // wrong codes
}

// told is what a request hears when the login has ended: who was let in hears
// it again.
func (s stands) told(d did) string {
	switch {
	case s.verdict == "accepted" && s.letIn == d:
		return "accept"
	case s.verdict == "accepted":
		return "reject code_used"
	}
	return "reject " + s.verdict
}

// step does one thing to it, and says what is answered.
func (s stands) step(d did) (string, stands) {
	accepted := stands{verdict: "accepted", letIn: d}
	phone := d.what == "approve" || d.what == "deny"
	switch {
	case phone && s.verdict != "":
		return "ended " + s.verdict, s
	case phone && s.approved:
		return "ended accepted", s
	case d.what == "approve":
		s.approved = true
		return "taken", s
	case d.what == "deny":
		return "taken", stands{verdict: "denied"}
	case s.verdict != "":
		return s.told(d), s
	case d.what == "right code":
		return "accept", accepted
	case d.what == "password" && s.approved:
		return "accept", accepted
	case d.what == "password":
		return "reject append_needed", s
	}
	if s.noes++; s.noes == linearPolicy.WrongCodes {
		return "reject bad_code", stands{verdict: "bad_code"}
	}
	return "reject wrong_code", s
}

// linear is a login that is one thing. A password alone that a newer one has
// overtaken hears nothing.
var linear = porcupine.Model{
	Init: func() any { return stands{} },
	Step: func(state, input, output any) (bool, any) {
		s, d, said := state.(stands), input.(did), output.(string)
		switch said {
		case "silence":
			return d.what == "password", s
		case "another login": // begun when this one had ended
			return s.verdict != "", s
		}
		want, next := s.step(d)
		return want == said, next
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %v", input, output) },
}

// linearPolicy counts no code out while others are being compared: that would be
// a second thing.
var linearPolicy = func() login.Policy {
	p := testPolicy
	p.WrongCodes, p.Lockout.After, p.Lockout.StopAfter, p.PushLimit.Count = 30, 10000, 20000, 10000
	return p
}()

// A bench is one login at three nodes, and everything that was done to it.
type linearBench struct {
	*world
	nodes []*login.Engine
	at    string // its NAS
	login login.OpenLogin

	mu      sync.Mutex
	history []porcupine.Operation
	unsure  bool // a node could not say
}

// Whatever is done to one login at once, by NASes and phones at all nodes: it is as
// if one thing had been done after the other, in the order in which they were
// answered.
//
// VSSGATE_LINEAR_SEED repeats what is drawn; how it falls out is the machine's.
func TestALoginIsOneThingAtAllNodes(t *testing.T) {
	keys, err := otp.ParseKeys([]byte(otp.NewKeyLine()))
	require.NoError(t, err)
	for name, nodes := range map[string]func(w *world) []*login.Engine{
		"embedded": func(w *world) []*login.Engine {
			s, err := store.OpenEmbedded(filepath.Join(t.TempDir(), "vssgate.db"), slog.New(slog.DiscardHandler))
			require.NoError(t, err)
			w.Cleanup(func() { require.NoError(t, s.Close()) })
			return []*login.Engine{w.nodeAt(s, keys, linearPolicy), w.nodeAt(s, keys, linearPolicy), w.nodeAt(s, keys, linearPolicy)}
		},
		"redis": func(w *world) (all []*login.Engine) {
			redis := testenv.Redis(t)
			for range 3 {
				s, err := store.OpenRedis(t.Context(), store.RedisOptions{Addresses: []string{redis}, Log: slog.New(slog.DiscardHandler)})
				require.NoError(t, err)
				w.Cleanup(func() { require.NoError(t, s.Close()) })
				all = append(all, w.nodeAt(s, keys, linearPolicy))
			}
			return all
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{T: t}
			seed := rand.Uint64()
			if again := os.Getenv("VSSGATE_LINEAR_SEED"); again != "" {
				_, err := fmt.Sscan(again, &seed)
				require.NoError(t, err)
			}
			draw := rand.New(rand.NewPCG(seed, 0))
			at, sure, verdicts := nodes(w), 0, map[string]int{}
			for round := range 40 {
				b := &linearBench{world: w, nodes: at, at: "hq" + strconv.Itoa(round)}
				b.open()
				b.doAtOnce(draw)
				b.do(0, 6, did{what: "password"}) // collects what was approved, or is told the end
				b.do(0, 6, did{what: "deny"})
				require.NoError(t, at[0].Withdraw(t.Context(), person, func(_, _ string) bool { return true }))
				if b.unsure {
					continue // the store was too slow to say: what became of it is not known
				}
				sure++
				b.judge(seed)
				verdicts[b.verdict()]++
			}
			require.Greater(t, sure, 20, "too slow to tell anything")
			t.Log(verdicts)
			require.NotZero(t, verdicts["accepted"]) // how many were denied first is chance
		})
	}
}

var appends = named("appends", client(login.Append, login.ApprovalSimple))

func (b *linearBench) open() {
	require.Equal(b, "reject append_needed", b.request(0, did{what: "password"}))
	list, err := b.nodes[1].Logins(b.Context(), person)
	require.NoError(b, err)
	b.login = list.Open[0]
}

// doAtOnce has six people do three things each.
func (b *linearBench) doAtOnce(draw *rand.Rand) {
	var people sync.WaitGroup
	for p := range 6 {
		var plan []did
		for n := range 3 {
			d := did{what: []string{"wrong code", "wrong code", "password", "password", "right code", "approve", "deny"}[draw.IntN(7)]}
			if strings.HasSuffix(d.what, "code") {
				d.asker = 1 + p*3 + draw.IntN(n+1)
			}
			plan = append(plan, d)
		}
		first := draw.IntN(3)
		people.Go(func() {
			for n, d := range plan {
				b.do((first+n)%3, p, d)
			}
		})
	}
	people.Wait()
}

var linearBegan = time.Now()

func (b *linearBench) do(node, person int, d did) {
	called := time.Since(linearBegan)
	var said string
	if d.what == "approve" || d.what == "deny" {
		said = b.answers(node, d)
	} else {
		said = b.request(node, d)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.unsure = b.unsure || said == "no answer"
	b.history = append(b.history, porcupine.Operation{ClientId: person, Input: d, Call: int64(called), Output: said, Return: int64(time.Since(linearBegan))})
}

// request asks at a node: a code comes from a NAS of its own, so that each asker
// is another one.
func (b *linearBench) request(node int, d did) string {
	typed, nas := password, b.at
	if d.asker > 0 {
		code := b.login.Code
		if d.what == "wrong code" {
			code = wrong(code)
		}
		typed, nas = typed+","+code, b.at+"-"+strconv.Itoa(d.asker)+d.what
	}
	reply := make(chan login.Reply, 1)
	b.nodes[node].Handle(&login.Request{
		FrontEnd: login.RADIUS, Client: appends, NAS: nas, Station: "203.0.113.7", Username: "an", Password: []byte(typed), First: b.world,
		Packet: []byte(strconv.FormatInt(packets.Add(1), 10)), Reply: func(r login.Reply) { reply <- r },
	})
	switch r := <-reply; {
	case r.Kind == login.NoAnswer || r.Kind == login.BadAnswer:
		return "no answer"
	case b.login.ID != login.ID{} && r.Attempt != b.login.ID:
		return "another login"
	case r.Kind == login.Silence:
		return "silence"
	case r.Kind == login.Accept:
		return "accept"
	default:
		return "reject " + string(r.Reason)
	}
}

// answers is a phone that nobody else has answered with.
func (b *linearBench) answers(node int, d did) string {
	kind := map[string]login.AnswerKind{"approve": login.Approve, "deny": login.Deny}[d.what]
	_, err := b.nodes[node].Answer(b.Context(), b.login.ID, login.Answering{
		Kind: kind, Person: person, Device: "phone-" + strconv.FormatInt(packets.Add(1), 10), Presence: "device_key", Signed: "jws",
	})
	var ended *login.EndedError
	switch {
	case err == nil:
		return "taken"
	case errors.As(err, &ended):
		return "ended " + string(ended.Verdict)
	}
	return "no answer"
}

func (b *linearBench) judge(seed uint64) {
	result, _ := porcupine.CheckOperationsVerbose(linear, b.history, 10*time.Second)
	if result == porcupine.Ok {
		return
	}
	var all strings.Builder
	for _, o := range b.history {
		fmt.Fprintf(&all, "%v..%v person %d: %+v -> %v\n", time.Duration(o.Call), time.Duration(o.Return), o.ClientId, o.Input, o.Output)
	}
	b.Fatalf("%s: no order of these explains what was answered (VSSGATE_LINEAR_SEED=%d):\n%s", result, seed, all.String())
}

// verdict is how the login ended, by its one audit record.
func (b *linearBench) verdict() (reason string) {
	b.world.mu.Lock()
	defer b.world.mu.Unlock()
	for _, r := range b.audit {
		if r.Attempt == b.login.ID {
			require.Empty(b, reason, "two records")
			reason = string(r.Reason)
		}
	}
	return reason
}
