package login_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/enrol"
	"vssgate/internal/login"
	"vssgate/otp"
)

// Three nodes at one store that fails over, forgets, answers late or not at all,
// whose nodes are killed between any two calls: whatever happens, the guarantees
// hold. What happens follows from a seed.
//
// VSSGATE_SIM_SEEDS says how many seeds (make simulate), VSSGATE_SIM_SEED which
// single one, with all that happened.
func TestSimulatedNodesKeepTheGuarantees(t *testing.T) {
	if one := os.Getenv("VSSGATE_SIM_SEED"); one != "" {
		seed, err := strconv.ParseUint(one, 10, 64)
		require.NoError(t, err)
		s := simulate(t, seed)
		t.Logf("%s\n%v", strings.Join(s.trace, "\n"), s.violations)
		require.Empty(t, s.violations)
		return
	}
	seeds := uint64(200)
	if n := os.Getenv("VSSGATE_SIM_SEEDS"); n != "" {
		var err error
		seeds, err = strconv.ParseUint(n, 10, 64)
		require.NoError(t, err)
	}
	happened := map[string]int{}
	failed := 0
	for seed := range seeds {
		s := simulate(t, seed+1)
		for what, n := range s.happened {
			happened[what] += n
		}
		if len(s.violations) > 0 {
			failed++
			t.Errorf("seed %d: %s\nthe end of what happened:\n%s\nagain: VSSGATE_SIM_SEED=%d go test -run '^%s$' ./internal/login",
				seed+1, strings.Join(s.violations, "; "), strings.Join(s.trace[max(0, len(s.trace)-60):], "\n"), seed+1, t.Name())
		}
		if failed == 5 {
			break
		}
	}
	t.Logf("in %d seeds: %v", seeds, happened)
	if seeds < 200 {
		return
	}
	for _, what := range []string{"accept approval", "accept code", "accept recovery", "accept totp", "accept remembered", "killed", "failed over", "emptied", "revoked", "reply Ask ", "retry collected"} {
		require.NotZero(t, happened[what], "%s: nothing of that was tried", what)
	}
}

// The same seed is the same run: otherwise a failure could not be repeated.
func TestASimulationCanBeRepeated(t *testing.T) {
	for seed := range uint64(10) {
		one, two := simulate(t, seed+1).trace, simulate(t, seed+1).trace
		for i := range one {
			require.Equal(t, one[i], two[min(i, len(two)-1)], "seed %d, line %d", seed+1, i)
		}
	}
}

// A revoked phone that is heard, or lets in, is a violation, unless the node speaks
// to a primary that is none any more: what was revoked at the other it cannot know.
func TestASimulationJudgesWhatRevokedPhonesDo(t *testing.T) {
	user := &simUser{who: login.Identity{Username: "an"}}
	id := login.NewID()
	judged := func(alone bool, revoked, begun int) int {
		s := &simulation{T: t, witnessed: newWitnessed(), happened: map[string]int{}}
		s.shown[id] = login.OpenLogin{ID: id, Username: "an"}
		g := &simAnswer{phone: &simPhone{user: user, revoked: revoked}, login: s.shown[id], kind: login.Approve, begun: begun, done: never, alone: alone}
		s.answers = []*simAnswer{g}
		s.judgeAnswer(g)
		s.judgeApproval(&simAsk{asked: &asked{request: login.Request{Client: clients[1]}}, user: user}, id, &simAttempt{ended: 9, alone: alone})
		return len(s.violations)
	}
	require.Equal(t, []int{2, 0, 0, 0}, []int{judged(false, 3, 5), judged(true, 3, 5), judged(false, 7, 5), judged(false, 0, 5)})
}

// A simulation is three nodes (real engines and enrolments), the store that they
// share, and everything that is seen of them from the outside.
type simulation struct {
	*testing.T
	rand    *rand.Rand
	keys    *otp.Keys
	began   time.Time
	weather weather
	nodes   [3]*simNode

	mu       sync.Mutex // guards what follows: nodes call from their own goroutines, one at a time
	gate     []*passage
	stirred  chan struct{} // something came to the gate
	server   *simServer    // the primary
	events   []simEvent    // on their way to nodes
	trace    []string
	happened map[string]int

	people   *enrol.People // the world's own view
	observer *login.Engine
	witnessed
	users  []*simUser
	phones []*simPhone
	asks   []*simAsk
}

// weather is how the calls of nodes fare.
type weather struct {
	name                        string
	late, lost, unheard, missed float64 // shares of calls, and of events
}

var (
	calm     = weather{name: "calm"}
	away     = weather{name: "away", lost: 1, missed: 1}
	weathers = []weather{calm, calm, calm, {"slow", 0.3, 0, 0, 0.1}, {"lossy", 0.1, 0.02, 0.03, 0.2}, {"stormy", 0.2, 0.08, 0.08, 0.3}, {"deaf", 0.1, 0, 0.01, 1}, away}
)

// A passage is a call of a node that waits to be let through.
type passage struct {
	node   *simNode
	what   string
	by     int       // which goroutine waits
	due    time.Time // zero: its fate is not decided yet
	fate   fate
	opened chan fate
}

type fate uint8

const (
	served  fate = iota
	lost         // it never arrived
	unheard      // done, but its answer is lost
	killed       // its node is dead
)

type simEvent struct {
	due    time.Time
	node   *simNode
	change login.Change
}

var (
	errKilled = errors.New("this node is dead")
	errNoWord = errors.New("the store did not answer")
)

// A simNode is one life of a node. Whatever it does when it is dead, nobody sees.
type simNode struct {
	s       *simulation
	name    string
	engine  *login.Engine
	people  *enrol.People
	dead    atomic.Bool
	stop    context.CancelFunc
	server  *simServer // the primary that it speaks to
	fuse    int        // so many calls until it dies; -1: it does not
	cut     bool       // it reaches no store
	changed func(login.Change)
}

// simulate runs one seed.
func simulate(t *testing.T, seed uint64) (s *simulation) {
	t.Helper()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // one thing after the other, as a seed has it
	cryptotest.SetGlobalRandom(t, seed)
	synctest.Test(t, func(t *testing.T) {
		s = &simulation{
			T: t, rand: rand.New(rand.NewPCG(seed, 0)), began: time.Now(), stirred: make(chan struct{}, 1),
			happened: map[string]int{}, witnessed: newWitnessed(),
		}
		s.server = newSimServer(s)
		keys, err := otp.ParseKeys([]byte(otp.NewKeyLine()))
		require.NoError(t, err)
		s.keys = keys
		s.people = s.enrolment(simStore{s, nil})
		s.observer = login.New(s.options(simStore{s, nil}, nil))
		s.settle()
		for i := range s.nodes {
			s.start(i)
		}
		s.play(40 + s.rand.IntN(60))
		s.rest()
		for i := range s.nodes {
			s.nodes[i].die()
		}
		s.run(func() bool { return false }, time.Minute)
	})
	return s
}

func (s *simulation) enrolment(store login.Store) *enrol.People {
	p, err := enrol.New(store, s.keys, enrol.Options{MinVersion: "1.6.8", Platforms: enrol.Platforms, MaxDevices: 5, PublicURL: "https://otp.example.vn"})
	require.NoError(s, err)
	return p
}

func (s *simulation) options(store login.Store, n *simNode) login.Options {
	policy := testPolicy
	policy.Factors = allOfThem
	policy.PushLimit.Count = 100
	o := login.Options{
		Policy: policy, Store: store, Keys: s.keys, Meter: noMeter{}, Log: slog.New(slog.DiscardHandler), Patience: 10 * time.Second, MaxBusy: 1000,
	}
	if n != nil {
		o.People, o.Fallbacks, o.Witness, o.Prompter, o.Auditor = n.people, n.people, n, n, n
	}
	return o
}

// start gives node i a new life.
func (s *simulation) start(i int) {
	life := 1
	if old := s.nodes[i]; old != nil {
		_, n, _ := strings.Cut(old.name, ".")
		life, _ = strconv.Atoi(n)
		life++
	}
	n := &simNode{s: s, name: fmt.Sprintf("%c.%d", 'A'+i, life), server: s.server, fuse: -1}
	n.people = s.enrolment(simStore{s, n})
	n.engine = login.New(s.options(simStore{s, n}, n))
	s.nodes[i] = n
	ctx, stop := context.WithCancel(context.Background())
	n.stop = stop
	go n.engine.Run(ctx)
	s.tracef("%s starts", n.name)
}

// die ends a node here and now: what waits at the gate is never done.
func (n *simNode) die() {
	if n.dead.Swap(true) {
		return
	}
	n.s.tracef("%s dies", n.name)
	n.stop()
}

// pass does one call to the outside when it is let through.
func (n *simNode) pass(ctx context.Context, what string, do func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if n.dead.Load() {
		return n.gone(what)
	}
	got := n.queue(&passage{node: n, what: what})
	if got == lost {
		return errNoWord
	}
	if got == killed {
		return n.gone(what)
	}
	n.s.mu.Lock()
	err := do()
	n.s.mu.Unlock()
	switch {
	case n.dead.Load():
		return n.gone(what)
	case got == unheard:
		n.queue(&passage{node: n, what: what + ": given up", due: time.Now().Add(800 * time.Millisecond)})
		return errNoWord
	}
	return err
}

// queue waits at the gate.
func (n *simNode) queue(p *passage) fate {
	p.by, p.opened = goroutine(), make(chan fate)
	n.s.mu.Lock()
	n.s.gate = append(n.s.gate, p)
	n.s.mu.Unlock()
	select {
	case n.s.stirred <- struct{}{}:
	default:
	}
	return <-p.opened
}

// goroutine is the number of the one that asks: whichever was begun first goes
// first, so that a seed is repeated exactly.
func goroutine() (n int) {
	var stack [32]byte
	_, _ = fmt.Sscanf(string(stack[:runtime.Stack(stack[:], false)]), "goroutine %d", &n)
	return n
}

// gone ends what a dead node still does soon: what it looks for is not there.
func (n *simNode) gone(what string) error {
	if strings.HasPrefix(what, "load ") {
		return login.ErrNotFound
	}
	return errKilled
}

// run lets calls through, one at a time, until `until` says so or for so long.
func (s *simulation) run(until func() bool, atMost time.Duration) {
	end := time.Now().Add(atMost)
	for {
		s.fence()
		synctest.Wait()
		s.fence()
		s.decideFates()
		switch p := s.ready(); {
		case len(s.violations) > 0 && atMost > time.Minute:
			return
		case until():
			return
		case p != nil:
			s.open(p)
		case s.deliver():
		case !time.Now().Before(end):
			return
		default:
			s.sleep(end)
		}
	}
}

// fence shows the race detector what is so: nodes do nothing while things happen.
func (s *simulation) fence() {
	s.mu.Lock()
	defer s.mu.Unlock() //nolint:staticcheck // on purpose
}

// sleep until something is due, or comes to the gate.
func (s *simulation) sleep(next time.Time) {
	for _, p := range s.gate {
		next = earlier(next, p.due)
	}
	for _, e := range s.events {
		next = earlier(next, e.due)
	}
	wait := time.NewTimer(time.Until(next))
	defer wait.Stop()
	s.fence()
	select {
	case <-s.stirred:
	case <-wait.C:
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// decideFates of what has come to the gate.
func (s *simulation) decideFates() {
	slices.SortFunc(s.gate, func(a, b *passage) int {
		return cmp.Or(cmp.Compare(a.node.name, b.node.name), cmp.Compare(a.what, b.what), cmp.Compare(a.by, b.by))
	})
	for _, p := range s.gate {
		if p.due.IsZero() {
			p.due = time.Now()
			s.decideFate(p)
		}
	}
}

func (s *simulation) decideFate(p *passage) {
	w := s.weather
	if p.node.cut {
		w = away
	}
	inside := !strings.HasPrefix(p.what, "directory") && p.what != "audit"
	switch x := s.rand.Float64(); {
	case !inside && x < w.lost/4:
		p.fate = lost
	case !inside:
	case x < w.lost:
		p.fate, p.due = lost, p.due.Add(time.Second)
	case x < w.lost+w.unheard:
		p.fate = unheard
	case x < w.lost+w.unheard+w.late:
		p.due = p.due.Add(time.Duration(1 + s.rand.IntN(900e6)))
	}
}

// ready is one of the calls that may go now.
func (s *simulation) ready() *passage {
	var due []*passage
	for _, p := range s.gate {
		if p.node.dead.Load() || !p.due.After(time.Now()) {
			due = append(due, p)
		}
	}
	if len(due) == 0 {
		return nil
	}
	return due[s.rand.IntN(len(due))]
}

// open lets p through. Its node may die of it, before or after it is done.
func (s *simulation) open(p *passage) {
	s.gate = slices.DeleteFunc(s.gate, func(o *passage) bool { return o == p })
	n, fate := p.node, p.fate
	if n.dead.Load() {
		fate = killed
	} else if n.fuse >= 0 {
		if n.fuse--; n.fuse < 0 {
			n.die()
			s.happened["killed"]++
			if s.rand.IntN(2) == 0 {
				fate = killed
			}
		}
	}
	s.tracef("%s %s%s", n.name, p.what, []string{"", ": lost", ": done, unheard", ": dead"}[fate])
	p.opened <- fate
}

// tell has nodes hear of a change, soon, late or never.
func (s *simulation) tell(m *simServer, c login.Change) {
	for _, n := range s.nodes {
		if n == nil || n.server != m || n.cut || s.rand.Float64() < s.weather.missed {
			continue
		}
		due := time.Now()
		if s.rand.Float64() < s.weather.late {
			due = due.Add(time.Duration(s.rand.IntN(3e9)))
		}
		s.events = append(s.events, simEvent{due, n, c})
	}
}

// deliver hands one event out that is due.
func (s *simulation) deliver() bool {
	for i, e := range s.events {
		if !e.due.After(time.Now()) {
			s.events = slices.Delete(s.events, i, i+1)
			if !e.node.dead.Load() && e.node.changed != nil {
				e.node.changed(e.change)
			}
			return true
		}
	}
	return false
}

func (s *simulation) tracef(format string, args ...any) {
	s.trace = append(s.trace, fmt.Sprintf("%9.3f ", time.Since(s.began).Seconds())+fmt.Sprintf(format, args...))
}
