package nas

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
	"vssgate/internal/store"
)

func open(t *testing.T, path string) *store.Embedded {
	t.Helper()
	s, err := store.OpenEmbedded(path, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

// A front is a front end that is told of ratchets.
type front struct {
	mu   sync.Mutex
	told map[string][]Signer
}

func (f *front) remember(client string, signers []Signer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.told == nil {
		f.told = map[string][]Signer{}
	}
	f.told[client] = signers
}

func (f *front) of(client string) []Signer {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.told[client]
}

// flaky fails while down.
type flaky struct {
	login.Store
	mu   sync.Mutex
	down bool
}

func (s *flaky) Save(ctx context.Context, r login.Record, c login.Condition) (login.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return r, errors.New("the store is down")
	}
	return s.Store.Save(ctx, r, c)
}

// run starts a node's ratchets until the test, or stop, ends them.
func run(t *testing.T, s login.Store) (r *Ratchets, f *front, stop func()) {
	t.Helper()
	f = &front{}
	r = NewRatchets(s, f.remember, slog.New(slog.DiscardHandler))
	require.NoError(t, r.Load(t.Context()))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	stop = sync.OnceFunc(func() { cancel(); require.NoError(t, <-ended) })
	t.Cleanup(stop)
	return r, f, stop
}

var (
	one = Signer{netip.MustParseAddr("192.0.2.1"), "vpn1"}
	two = Signer{netip.MustParseAddr("2001:db8::1"), "no \xff text"}
)

func TestRatchetsAreLearntByOthersAndKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	s := open(t, path)
	a, atA, stopA := run(t, s)
	b, atB, stopB := run(t, s)
	for _, turned := range []struct {
		at     *Ratchets
		client string
		signer Signer
	}{{a, "hq", one}, {b, "hq", two}, {a, "branch", one}} {
		kept := make(chan []written, 1)
		turned.at.Turned(turned.client, turned.signer, func(safe bool) {
			stored, err := s.Load(t.Context(), ratchetKey(turned.client))
			record, _ := unpack(stored)
			if safe && err == nil && stored.Durable {
				kept <- record.Signers
			}
			close(kept)
		})
		require.Contains(t, <-kept, written{turned.signer.Source, []byte(turned.signer.Identifier)}, "who waits hears of it when it is on disk")
	}
	for _, f := range []*front{atA, atB} {
		require.Eventually(t, func() bool { return len(f.of("hq")) == 2 && len(f.of("branch")) == 1 }, 10*time.Second, time.Millisecond)
		require.ElementsMatch(t, []Signer{one, two}, f.of("hq"))
	}
	n, err := b.Forget(t.Context(), "branch")
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Eventually(t, func() bool { return len(atA.of("branch")) == 0 }, 10*time.Second, time.Millisecond)
	stopA()
	stopB()
	require.NoError(t, s.Close())

	_, again, _ := run(t, open(t, path))
	require.ElementsMatch(t, []Signer{one, two}, again.of("hq"))
	require.Empty(t, again.of("branch"))
}

func TestWhatTheStoreDoesNotTakeIsSavedLater(t *testing.T) {
	s := &flaky{Store: open(t, filepath.Join(t.TempDir(), "db")), down: true}
	r, f, stop := run(t, s)
	kept := make(chan bool, 9)
	r.Turned("hq", one, func(safe bool) { kept <- safe })
	require.False(t, <-kept)
	require.Empty(t, f.of("hq"))
	s.mu.Lock()
	s.down = false
	s.mu.Unlock()
	r.Turned("hq", two, nil)
	stop() // what turned just before the end is saved too
	require.Empty(t, kept, "told once")
	_, again, _ := run(t, s)
	require.ElementsMatch(t, []Signer{one, two}, again.of("hq"))
}

func TestWhatIsForgottenBeforeItWasSavedStaysForgotten(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "db"))
	r := NewRatchets(s, (&front{}).remember, slog.New(slog.DiscardHandler))
	kept := make(chan bool, 1)
	r.Turned("hq", one, func(safe bool) { kept <- safe })
	_, err := r.Forget(t.Context(), "hq")
	require.NoError(t, err)
	require.False(t, <-kept, "who waited is not left waiting")
	_, f, _ := run(t, s)
	require.Empty(t, f.of("hq"))
}

// A node of the next version has added fields; one of this one adds a NAS.
func TestWhatANewerVersionHasAddedStaysInARatchet(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "db"))
	_, err := s.Save(t.Context(), login.Record{Key: ratchetKey("hq"), Indexes: []string{ratchetIndex}, Durable: true,
		Value: []byte(`{"client":"hq","newer":1,"signers":[{"source":"192.0.2.1","identifier":"dnBuMQ==","newer":2}]}`)}, login.Condition{})
	require.NoError(t, err)
	r, _, stop := run(t, s)
	r.Turned("hq", two, nil)
	stop()
	stored, err := s.Load(t.Context(), ratchetKey("hq"))
	require.NoError(t, err)
	record, err := unpack(stored)
	require.NoError(t, err)
	require.Len(t, record.Signers, 2)
	require.Contains(t, string(stored.Value), `"newer":1`)
	require.Contains(t, string(stored.Value), `"newer":2`)
}

var slow = Timers{Client: "hq", Method: "pap", Gap: 5 * time.Second, Tries: 3, Wait: 15 * time.Second, AtLeast: 10 * time.Second, GiveUps: 3, Seen: time.Unix(1e9, 0).UTC()}

func TestAdviceOnHold(t *testing.T) {
	for name, c := range map[string]struct {
		timers Timers
		hold   time.Duration
		want   string
	}{
		"hold is longer": {slow, 55 * time.Second,
			"hold: 55s is longer than this NAS waits (15s: 3 tries, the first two 5s apart): write hold: 13s, or raise the NAS's time-out above 55s; vssgate nas show KIND --client hq has the lines"},
		"hold is as long":  {slow, 15 * time.Second, ""},
		"too few give-ups": {Timers{Client: "hq", Wait: time.Second, GiveUps: 2}, time.Minute, ""},
		"nothing known":    {Timers{Client: "hq", AtLeast: time.Second, GiveUps: 9}, time.Minute, ""},
		"one try, two minutes": {Timers{Client: "hq", Wait: 2500 * time.Millisecond, Tries: 1, GiveUps: 3}, 2 * time.Minute,
			"hold: 2m is longer than this NAS waits (2.5s, one try): write hold: 1s, or raise the NAS's time-out above 2m; vssgate nas show KIND --client hq has the lines"},
	} {
		require.Equal(t, c.want, c.timers.Advice(c.hold), name)
	}
}

func TestTimersAreKeptAndWarnedOfSeldom(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "db"))
	var log bytes.Buffer
	known := []Timers{slow}
	k := &Timekeeper{Store: s, Read: func() []Timers { return known }, Hold: func(string) time.Duration { return 55 * time.Second },
		Log: slog.New(slog.NewTextHandler(&log, nil))}
	before, err := k.Load(t.Context())
	require.NoError(t, err)
	require.Empty(t, before)
	now := time.Now()
	for minute := range 59 {
		k.Keep(t.Context(), now.Add(time.Duration(minute)*time.Minute))
	}
	require.Equal(t, 1, bytes.Count(log.Bytes(), []byte("gives up before hold ends")))
	require.Contains(t, log.String(), "write hold: 13s")
	stored, err := s.Load(t.Context(), timersKey(slow))
	require.NoError(t, err)
	require.EqualValues(t, 1, stored.Version, "saved when it changes")
	k.Keep(t.Context(), now.Add(time.Hour))
	require.Equal(t, 2, bytes.Count(log.Bytes(), []byte("gives up before hold ends")))
	known[0].Tries = 4
	k.Keep(t.Context(), now)
	_, err = s.Save(t.Context(), login.Record{Key: "nas/timers/torn", Value: []byte("{"), Indexes: []string{timersIndex}}, login.Condition{})
	require.NoError(t, err)
	before, err = (&Timekeeper{Store: s, Log: k.Log}).Load(t.Context())
	require.NoError(t, err)
	require.Equal(t, known, before, "what cannot be read is measured again")
}
