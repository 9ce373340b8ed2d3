package bench

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	layeh "layeh.com/radius"

	"vssgate/internal/app"
	"vssgate/internal/audit"
	"vssgate/internal/enrol"
	"vssgate/internal/login"
	"vssgate/internal/phoneapi"
	"vssgate/internal/store"
	"vssgate/otp"
	"vssgate/radius"
)

// A bare is the program's parts that a RADIUS login passes, in this process:
// the front end, the engine, the embedded store and the audit file on a real
// disk, the enrolled people. Its first factor takes no time.
type bare struct {
	keys   *otp.Keys
	store  login.Store
	people *enrol.People
	engine *login.Engine
	addr   string
	watch  *stopwatch
}

func newBare(b *testing.B, enrolled int) *bare {
	app.CollectSooner()
	dir, log, ctx := b.TempDir(), slog.New(slog.DiscardHandler), context.Background()
	s := &bare{keys: writeKeys(b, dir)}
	db, err := store.OpenEmbedded(filepath.Join(dir, "vssgate.db"), log)
	require.NoError(b, err)
	s.store = db
	books, err := audit.Open(filepath.Join(dir, "audit.jsonl"), s.keys, log)
	require.NoError(b, err)
	s.people = enrolAll(b, db, s.keys, enrolled)
	s.engine = login.New(login.Options{
		Policy: login.Policy{
			ValidFor: 10 * time.Minute, Grace: time.Minute, CodeDigits: 6, NumberDigits: 2, WrongCodes: 5, MaxOpen: 3,
			Lockout:   login.Lockout{After: 10, For: 15 * time.Minute, StopAfter: 20},
			Throttle:  login.Throttle{PerAccount: 5, PerSource: 50, Within: 10 * time.Minute},
			PushLimit: login.Limit{Count: 10, Within: 10 * time.Minute},
		},
		Store: db, Keys: s.keys, People: s.people, Witness: phoneapi.Evidence{People: s.people}, Prompter: nobodyPrompts{}, Auditor: books, Meter: nothing{}, Log: log,
		Patience: 20 * time.Second, MaxBusy: 8192,
	})
	s.watch = &stopwatch{to: s.engine}
	front, err := radius.New(radius.Options{
		Clients: []radius.Client{{
			Login:    &login.Client{Name: "vpn", Mode: login.Challenge, Hold: 5 * time.Second, Then: login.ThenChallenge, Separator: ",", Approval: login.ApprovalNumber, Language: "vi"},
			Prefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Secret: sharedSecret, First: instant{},
		}},
		Handler: s.watch, Text: func(*login.Client, login.Reply) string { return "Nhập mã VssID [K7QF2D]" }, Log: log,
	})
	require.NoError(b, err)
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(b, err)
	s.addr = conn.LocalAddr().String()

	ctx, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	all.Go(func() { s.engine.Run(ctx) })
	all.Go(func() { books.Run(ctx) })
	all.Go(func() { front.Serve(ctx, conn) })
	b.Cleanup(func() { stop(); all.Wait(); db.Close(); books.Close() })
	return s
}

// instant knows everybody at once.
type instant struct{}

func (instant) Resolve(_ context.Context, username string) (login.Identity, error) {
	var i int
	for _, c := range username[1:] {
		i = 10*i + int(c-'0')
	}
	return identity(i), nil
}

func (instant) Check(context.Context, login.Identity, []byte) (login.Checked, error) {
	return login.Checked{First: login.FirstRight}, nil
}

type nobodyPrompts struct{}

func (nobodyPrompts) Ready() bool         { return true }
func (nobodyPrompts) Prompt(login.Prompt) {}
func (nobodyPrompts) Closed(login.Prompt) {}
func (nobodyPrompts) Notice(login.Notice) {}

type nothing struct{}

func (nothing) Verdict(login.FrontEnd, string, bool, login.Reason, time.Duration) {}
func (nothing) Open(int)                                                          {}
func (nothing) Joined()                                                           {}
func (nothing) LateApproval()                                                     {}
func (nothing) Upstream(time.Duration)                                            {}

// A stopwatch notes how long the engine had the request that came last.
type stopwatch struct {
	to   radius.Handler
	on   bool
	mu   sync.Mutex
	took time.Duration
}

func (w *stopwatch) Handle(r *login.Request) func() {
	if !w.on {
		return w.to.Handle(r)
	}
	begun, reply := time.Now(), r.Reply
	r.Reply = func(a login.Reply) {
		w.mu.Lock()
		w.took = time.Since(begun)
		w.mu.Unlock()
		reply(a)
	}
	return w.to.Handle(r)
}

func (w *stopwatch) last() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.took
}

// BenchmarkLogin takes the time of logins by challenge and typed code, one
// after the other: what the engine has each leg for, and what the NAS waits,
// over loopback. The directory takes no time, so all of it is ours and the
// machine's.
func BenchmarkLogin(b *testing.B) {
	const logins = 1000
	b.Run("alone", func(b *testing.B) { logIn(b, logins, 0) })
	b.Run("beside_10000_held", func(b *testing.B) { logIn(b, logins, 10_000) })
}

func logIn(b *testing.B, logins, held int) {
	var first, code legs
	for b.Loop() {
		s := newBare(b, logins+held)
		s.hold(b, logins, logins+held)
		nas, err := radius.Dial(s.addr, sharedSecret)
		require.NoError(b, err)
		s.watch.on = true
		for i := range logins {
			q := radius.Question{Username: username(i), Password: []byte(password), NAS: "vpn-hanoi-1", Station: string(netipOf(i))}
			a := first.ask(b, s, nas, q, radius.Challenge)
			q.State, q.Password = a.State, s.code(b, i)
			code.ask(b, s, nas, q, radius.Accept)
		}
		require.NoError(b, nas.Close())
	}
	first.report(b, "password")
	code.report(b, "code")
}

// hold has users from to to-1 wait in the engine, as a NAS in mode hold would.
func (s *bare) hold(b *testing.B, from, to int) {
	client := &login.Client{Name: "wifi", Mode: login.Hold, Hold: 10 * time.Minute, Then: login.ThenReject, Separator: ",", Approval: login.ApprovalSimple, Language: "vi"}
	for i := from; i < to; i++ {
		leave := s.engine.Handle(&login.Request{
			FrontEnd: login.RADIUS, Client: client, NAS: "wifi-1", Station: string(netipOf(i)), Username: username(i), Password: []byte(password),
			First: instant{}, Reply: func(login.Reply) {},
		})
		b.Cleanup(leave)
		if (i-from)%500 == 499 || i == to-1 { // far from as many as would be shed
			s.opened(b, i)
		}
	}
}

// code is what user i's phone shows.
func (s *bare) code(b *testing.B, i int) []byte { return []byte(s.opened(b, i).Code) }

// opened is user i's open login, as the phone sees it.
func (s *bare) opened(b *testing.B, i int) login.OpenLogin {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	a, err := s.people.Lookup(ctx, identity(i).ID)
	require.NoError(b, err)
	var list login.Logins
	for len(list.Open) == 0 && ctx.Err() == nil {
		poll, done := context.WithTimeout(ctx, 100*time.Millisecond) // what changed before the engine watched is not told
		list, err = s.engine.Wait(poll, a.Person, "")
		done()
		require.NoError(b, err)
	}
	require.Len(b, list.Open, 1)
	return list.Open[0]
}

// legs are the times of one leg of all logins.
type legs struct{ engine, nas []time.Duration }

func (l *legs) ask(b *testing.B, s *bare, nas *radius.Asker, q radius.Question, want radius.Code) radius.Answer {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	a, err := nas.Ask(ctx, q)
	require.NoError(b, err)
	require.Equal(b, want, a.Code, a.Text)
	l.engine, l.nas = append(l.engine, s.watch.last()), append(l.nas, a.Took)
	return a
}

func (l *legs) report(b *testing.B, leg string) {
	for side, all := range map[string][]time.Duration{"engine": l.engine, "nas": l.nas} {
		slices.Sort(all)
		for name, at := range map[string]int{"p50": len(all) / 2, "p99": len(all) * 99 / 100} {
			b.ReportMetric(float64(all[at].Nanoseconds())/1000, "µs-"+leg+"-"+side+"-"+name)
		}
	}
}

// BenchmarkWrongState answers packets with a State that nobody made: the whole
// way from the socket through the engine and back. What the library's codec
// allocates for the answer is told apart; the rest is ours.
func BenchmarkWrongState(b *testing.B) {
	const target = 10
	s := newBare(b, 0)
	conn, err := net.Dial("udp", s.addr)
	require.NoError(b, err)
	defer conn.Close()
	packets, answer, i, n := make([][]byte, 4096), make([]byte, 4096), 0, 0
	for i := range packets {
		packets[i] = accessRequest(byte(i), i, attribute(nil, 24, make([]byte, 24))...)
	}
	exchange := func() {
		i++
		if _, err := conn.Write(packets[i%len(packets)]); err != nil {
			b.Fatal(err)
		}
		if n, err = conn.Read(answer); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		exchange()
	}
	all := testing.AllocsPerRun(2000, exchange)
	require.EqualValues(b, radius.Reject, answer[0])
	library := testing.AllocsPerRun(100, func() { encode(b, answer[:n]) })
	b.ReportMetric(all-library, "allocs-ours")
	b.ReportMetric(library, "allocs-library")
	if all-library > 2*target {
		b.Errorf("a packet that asks nobody makes %.0f allocations", all-library)
	}
}

// encode is what the library does for an answer.
func encode(b *testing.B, answer []byte) {
	out := layeh.Packet{Code: layeh.CodeAccessReject}
	for at := 20; at < len(answer); at += int(answer[at+1]) {
		out.Add(layeh.Type(answer[at]), layeh.Attribute(answer[at+2:at+int(answer[at+1])]))
	}
	_, err := out.MarshalBinary() // to be signed
	require.NoError(b, err)
}
