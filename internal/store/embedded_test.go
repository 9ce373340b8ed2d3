package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
	"vssgate/internal/store/storetest"
)

func TestEmbeddedKeepsThePromisesOfAStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) login.Store { return open(t, tempPath(t)) })
}

func TestEmbeddedKeepsThePromisesWhenManyPartsShareIt(t *testing.T) {
	storetest.RunNodes(t, func(t *testing.T, n int) []login.Store {
		e := open(t, tempPath(t))
		nodes := make([]login.Store, n)
		for i := range nodes {
			nodes[i] = e
		}
		return nodes
	})
}

func tempPath(t testing.TB) string { return filepath.Join(t.TempDir(), "store.db") }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func open(t testing.TB, path string) *Embedded {
	t.Helper()
	e, err := OpenEmbedded(path, quiet())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	return e
}

// A wound clock is set by tests.
type wound struct{ wall, mono atomic.Int64 }

func (w *wound) clock() *clock {
	return newClock(func() (int64, int64) { return w.wall.Load(), w.mono.Load() })
}

// pass lets time go by, as it does for both.
func (w *wound) pass(d time.Duration) {
	w.wall.Add(int64(d))
	w.mono.Add(int64(d))
}

func woundClock() *wound {
	w := &wound{}
	w.wall.Store(time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC).UnixNano())
	return w
}

func openAt(t *testing.T, path string, w *wound) *Embedded {
	t.Helper()
	e, err := openEmbedded(path, quiet(), w.clock())
	require.NoError(t, err)
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// crash ends a store as the death of its process does: nothing is saved that
// was not committed.
func crash(t *testing.T, e *Embedded) {
	t.Helper()
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	close(e.stop)
	e.working.Wait()
	require.NoError(t, e.db.Close())
}

func TestClockNeverStepsBackAndFollowsForward(t *testing.T) {
	w := woundClock()
	c := w.clock()
	start := c.now()
	w.pass(time.Second)
	require.EqualValues(t, time.Second, c.now()-start)
	w.wall.Add(-int64(time.Hour)) // set back
	w.pass(time.Second)
	require.EqualValues(t, 2*time.Second, c.now()-start, "it goes on as if nothing was")
	w.wall.Add(int64(2 * time.Hour)) // set forward, or slept
	require.EqualValues(t, time.Hour+2*time.Second, c.now()-start)
	w.wall.Add(-int64(time.Minute))
	require.EqualValues(t, time.Hour+2*time.Second, c.now()-start)
}

// fill saves a record and a mark of each kind and some events.
func fill(t *testing.T, e *Embedded) {
	t.Helper()
	ctx := context.Background()
	for _, durable := range []bool{false, true} {
		name := fmt.Sprint("durable ", durable)
		_, err := e.Save(ctx, login.Record{Key: name, Value: []byte(name), Indexes: []string{"all", name}, Expires: instant(e.clock.now()).Add(time.Hour), Durable: durable}, login.Condition{})
		require.NoError(t, err)
		first, err := e.UseOnce(ctx, name, instant(e.clock.now()).Add(time.Hour), durable)
		require.NoError(t, err)
		require.True(t, first)
	}
	counted, err := e.Count(ctx, login.Quota{Key: "events", Limit: login.Limit{Count: 1, Within: time.Hour}})
	require.NoError(t, err)
	require.True(t, counted)
}

// remembered tells which of fill's things are still known.
func remembered(t *testing.T, e *Embedded) (known []string) {
	t.Helper()
	ctx := context.Background()
	recs, err := e.Find(ctx, "all", "", 0)
	require.NoError(t, err)
	for _, r := range recs {
		require.EqualValues(t, 1, r.Version)
		require.Equal(t, r.Key, string(r.Value))
		require.Equal(t, []string{"all", r.Key}, r.Indexes)
		require.Equal(t, r.Key == "durable true", r.Durable)
		known = append(known, "record "+r.Key)
	}
	for _, durable := range []bool{false, true} {
		first, err := e.UseOnce(ctx, fmt.Sprint("durable ", durable), instant(e.clock.now()).Add(time.Minute), durable)
		require.NoError(t, err)
		if !first {
			known = append(known, fmt.Sprint("mark durable ", durable))
		}
	}
	counted, err := e.Count(ctx, login.Quota{Key: "events", Limit: login.Limit{Count: 1, Within: time.Hour}})
	require.NoError(t, err)
	if !counted {
		known = append(known, "events")
	}
	return known
}

var (
	onlyDurable = []string{"record durable true", "mark durable true"}
	everything  = []string{"record durable false", "record durable true", "mark durable false", "mark durable true", "events"}
)

func TestWhatSurvivesAStop(t *testing.T) {
	tests := map[string]struct {
		between func(t *testing.T, path string, w *wound) // after the first process
		unclean bool
		want    []string
		since   time.Duration // after the first start
	}{
		"a clean stop keeps everything, and Since": {want: everything},
		"an unclean stop keeps what is durable":    {unclean: true, want: onlyDurable, since: 3 * time.Minute},
		"a clock that went back voids the rest": {
			between: func(_ *testing.T, _ string, w *wound) { w.wall.Add(-int64(4 * time.Minute)) },
			want:    onlyDurable, since: -time.Minute,
		},
		"a clean stop counts once": {
			between: func(t *testing.T, path string, w *wound) { crash(t, openAt(t, path, w)) },
			want:    onlyDurable, since: 3 * time.Minute,
		},
		"two clean stops keep everything": {
			between: func(t *testing.T, path string, w *wound) { require.NoError(t, openAt(t, path, w).Close()) },
			want:    everything,
		},
		"a damaged snapshot is void": {
			between: func(t *testing.T, path string, _ *wound) { flip(t, path+".volatile") },
			want:    onlyDurable, since: 3 * time.Minute,
		},
		"a cut snapshot is void": {
			between: func(t *testing.T, path string, _ *wound) { require.NoError(t, os.Truncate(path+".volatile", 100)) },
			want:    onlyDurable, since: 3 * time.Minute,
		},
		"a missing snapshot is void": {
			between: func(t *testing.T, path string, _ *wound) { require.NoError(t, os.Remove(path+".volatile")) },
			want:    onlyDurable, since: 3 * time.Minute,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			path, w := tempPath(t), woundClock()
			start := instant(w.wall.Load())
			e := openAt(t, path, w)
			fill(t, e)
			w.pass(2 * time.Minute)
			if test.unclean {
				crash(t, e)
			} else {
				require.NoError(t, e.Close())
			}
			w.pass(time.Minute)
			if test.between != nil {
				test.between(t, path, w)
			}
			said := &bytes.Buffer{}
			e, err := openEmbedded(path, slog.New(slog.NewTextHandler(said, nil)), w.clock())
			require.NoError(t, err)
			t.Cleanup(func() { e.Close() })
			since, err := e.Since(context.Background())
			require.NoError(t, err)
			if test.since == 0 { // nothing was ever forgotten
				require.True(t, since.IsZero())
				require.Empty(t, said.String())
			} else {
				require.Equal(t, test.since, since.Sub(start))
				require.Contains(t, said.String(), "alert=unclean_stop")
				require.Contains(t, said.String(), "refused=\"what phones signed before "+since.UTC().Format(time.RFC3339))
			}
			require.NoFileExists(t, path+".volatile")
			require.Equal(t, test.want, remembered(t, e))
		})
	}
}

func TestASnapshotOfAnotherStopIsVoid(t *testing.T) {
	path, w := tempPath(t), woundClock()
	e := openAt(t, path, w)
	fill(t, e)
	require.NoError(t, e.Close())
	old, err := os.ReadFile(path + ".volatile")
	require.NoError(t, err)
	require.NoError(t, openAt(t, path, w).Close())
	require.NoError(t, os.WriteFile(path+".volatile", old, 0o600))
	require.Equal(t, onlyDurable, remembered(t, openAt(t, path, w)))
}

func flip(t *testing.T, path string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	raw[len(raw)/2] ^= 1
	require.NoError(t, os.WriteFile(path, raw, 0o600))
}

func TestASecondProcessIsToldThatTheFileIsInUse(t *testing.T) {
	path := tempPath(t)
	open(t, path)
	_, err := OpenEmbedded(path, quiet())
	require.ErrorContains(t, err, "another vssgate is running on this data_dir")
}

func TestAClosedStoreAnswersNothing(t *testing.T) {
	e := open(t, tempPath(t))
	ctx := context.Background()
	require.NoError(t, e.Ping(ctx))
	require.NoError(t, e.Close())
	require.NoError(t, e.Close())
	require.Error(t, e.Ping(ctx))
	_, err := e.Load(ctx, "k")
	require.ErrorIs(t, err, errClosed)
	_, err = e.Save(ctx, login.Record{Key: "k", Value: []byte("x")}, login.Condition{})
	require.ErrorIs(t, err, errClosed)
	_, err = e.UseOnce(ctx, "k", time.Now().Add(time.Hour), false)
	require.ErrorIs(t, err, errClosed)
}

func TestNothingIsTakenForSavedThatTheDiskRefused(t *testing.T) {
	e := open(t, tempPath(t))
	ctx := context.Background()
	require.NoError(t, e.db.Close()) // as a full disk would
	defer func() { e.db, _, _ = openFile(e.path) }()
	_, err := e.Save(ctx, login.Record{Key: "k", Value: []byte("x"), Indexes: []string{"i"}, Durable: true}, login.Condition{})
	require.Error(t, err)
	_, err = e.Load(ctx, "k")
	require.ErrorIs(t, err, login.ErrNotFound)
	found, err := e.Find(ctx, "i", "", 0)
	require.NoError(t, err)
	require.Empty(t, found)
	first, err := e.UseOnce(ctx, "k", time.Now().Add(time.Hour), true)
	require.Error(t, err)
	require.False(t, first)
	require.Error(t, e.Ping(ctx))
}

func TestADurableRecordIsSeenByNobodyBeforeItIsOnDisk(t *testing.T) {
	e := open(t, tempPath(t))
	ctx := context.Background()
	tx, err := e.db.Begin(true) // holds the committer up
	require.NoError(t, err)
	defer tx.Rollback() // also when the test fails: Close waits for the committer
	saved := make(chan error, 1)
	go func() {
		_, err := e.Save(ctx, login.Record{Key: "k", Value: []byte("x"), Indexes: []string{"i"}, Durable: true}, login.Condition{Full: "i", AtMost: 1})
		saved <- err
	}()
	other := login.Record{Key: "other", Value: []byte("x"), Indexes: []string{"i"}}
	require.Eventually(t, func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.saving["k"] != nil
	}, 20*time.Second, time.Millisecond)
	_, err = e.Load(ctx, "k")
	require.ErrorIs(t, err, login.ErrNotFound)
	_, err = e.Save(ctx, other, login.Condition{Full: "i", AtMost: 1})
	require.ErrorIs(t, err, login.ErrFull, "its place is taken already")
	select {
	case <-saved:
		t.Fatal("Save returned before the commit")
	default:
	}
	require.NoError(t, tx.Rollback())
	require.NoError(t, <-saved)
	_, err = e.Load(ctx, "k")
	require.NoError(t, err)
}

func TestWhatExpiredIsSweptFromMemoryAndDisk(t *testing.T) {
	path, w := tempPath(t), woundClock()
	e := openAt(t, path, w)
	fill(t, e)
	w.pass(2 * time.Hour)
	for range shards {
		e.sweepShard()
	}
	e.mu.Lock()
	left := len(e.table.indexes)
	for i := range shards {
		left += len(e.table.records[i]) + len(e.marks[i]) + len(e.windows[i])
	}
	e.mu.Unlock()
	require.Zero(t, left)
	require.NoError(t, e.Close())
	db, _, err := openFile(path)
	require.NoError(t, err)
	defer db.Close()
	tx, err := db.Begin(false)
	require.NoError(t, err)
	defer tx.Rollback()
	require.Zero(t, tx.Bucket(bucketRecords).Stats().KeyN)
	require.Zero(t, tx.Bucket(bucketMarks).Stats().KeyN)
}

func TestALaggingSubscriberIsToldOfEachRecordOnce(t *testing.T) {
	f := &fanout{log: quiet(), subs: map[*subscriber]struct{}{}}
	s := &subscriber{waiting: map[string]int{}, wake: make(chan struct{}, 1)}
	f.subs[s] = struct{}{}
	f.tell("a", []string{"1"}, []string{"2"})
	f.tell("b", nil, []string{"1"})
	f.tell("a", []string{"2"}, []string{"3"})
	queue, missed := f.take(s)
	require.False(t, missed)
	require.Equal(t, []login.Change{{Key: "a", Indexes: []string{"1", "2", "3"}}, {Key: "b", Indexes: []string{"1"}}}, queue)
	for n := range maxLag + 1 {
		f.tell(fmt.Sprint(n), nil, nil)
	}
	queue, missed = f.take(s)
	require.True(t, missed, "a queue that was given up says so")
	require.Empty(t, queue)
	f.tell("c", nil, nil)
	queue, missed = f.take(s)
	require.False(t, missed)
	require.Len(t, queue, 1)
}

func TestEveryRecordIsToldAfterAQueueWasGivenUp(t *testing.T) {
	e := open(t, tempPath(t))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stuck, seen, ended := make(chan struct{}), map[string]bool{}, make(chan struct{})
	begun := make(chan struct{}, 1)
	go func() {
		defer close(ended)
		_ = e.Changes(ctx, func(c login.Change) {
			select {
			case begun <- struct{}{}:
			default:
			}
			<-stuck
			seen[c.Key] = true
			if len(seen) == maxLag+11 {
				cancel()
			}
		})
	}()
	save := func(key string) {
		_, err := e.Save(ctx, login.Record{Key: key, Value: []byte("x")}, login.Condition{})
		require.NoError(t, err)
	}
	save("first")
	for n := 0; len(begun) == 0; n++ { // until the subscriber is stuck with one
		_, err := e.Save(ctx, login.Record{Key: "first", Value: []byte("x"), Version: uint64(n + 1)}, login.Condition{})
		require.NoError(t, err)
	}
	for n := range maxLag + 10 {
		save(fmt.Sprint(n))
	}
	close(stuck)
	<-ended
	require.Len(t, seen, maxLag+11)
}

// TestKilledProcess runs this test's own program, kills it with SIGKILL while
// it saves, after some of its promises, and looks at what it had been promised.
// STORE_KILL_SEED draws again after how many.
func TestKilledProcess(t *testing.T) {
	if path := os.Getenv("STORE_TO_FILL"); path != "" {
		saveUntilKilled(path)
	}
	path := tempPath(t)
	acknowledged := map[string]bool{}
	seed := rand.Uint64()
	if again := os.Getenv("STORE_KILL_SEED"); again != "" {
		_, err := fmt.Sscan(again, &seed)
		require.NoError(t, err)
	}
	t.Logf("STORE_KILL_SEED=%d", seed)
	draw := rand.New(rand.NewPCG(seed, 0))
	for round := range 4 {
		for _, key := range killWhileSaving(t, path, round, 1+draw.IntN(120)) {
			acknowledged[key] = true
		}
		e := open(t, path)
		for key := range acknowledged {
			r, err := e.Load(context.Background(), key)
			require.NoError(t, err, key)
			require.Equal(t, key, string(r.Value))
			first, err := e.UseOnce(context.Background(), key, time.Now().Add(time.Hour), true)
			require.NoError(t, err)
			require.False(t, first, "a used mark came back")
		}
		_, err := e.Load(context.Background(), "volatile")
		require.ErrorIs(t, err, login.ErrNotFound)
		require.NoError(t, e.Close())
	}
	require.NotEmpty(t, acknowledged)
}

func killWhileSaving(t *testing.T, path string, round, after int) []string {
	t.Helper()
	out := lines{after: after, enough: make(chan struct{})}
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledProcess$")
	cmd.Env = append(os.Environ(), "STORE_TO_FILL="+path, fmt.Sprint("ROUND=", round))
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	require.NoError(t, cmd.Start())
	select {
	case <-out.enough:
	case <-time.After(30 * time.Second):
		t.Error("the process saves nothing")
	}
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	whole := out.text.String()
	whole = whole[:strings.LastIndexByte(whole, '\n')+1]
	return strings.Fields(whole)
}

// lines keeps what a program prints and tells when that is enough.
type lines struct {
	text   bytes.Buffer
	n      int
	after  int // so many are enough
	enough chan struct{}
}

func (l *lines) Write(p []byte) (int, error) {
	before := l.n
	l.n += bytes.Count(p, []byte("\n"))
	if before < l.after && l.n >= l.after {
		close(l.enough)
	}
	return l.text.Write(p)
}

func saveUntilKilled(path string) {
	e, err := OpenEmbedded(path, quiet())
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	_, err = e.Save(ctx, login.Record{Key: "volatile", Value: []byte("x")}, login.Condition{})
	for worker := range 4 {
		go func() {
			for n := 0; ; n++ {
				key := fmt.Sprintf("%s-%d-%d", os.Getenv("ROUND"), worker, n)
				_, err1 := e.Save(ctx, login.Record{Key: key, Value: []byte(key), Durable: true}, login.Condition{})
				first, err2 := e.UseOnce(ctx, key, time.Now().Add(time.Hour), true)
				if err := errors.Join(err, err1, err2); err != nil || !first {
					panic(fmt.Sprint(first, err))
				}
				fmt.Fprintln(os.Stdout, key)
			}
		}()
	}
	select {}
}

func FuzzParseEntry(f *testing.F) {
	f.Add(appendEntry(nil, newEntry(nil, login.Record{Key: "k", Indexes: []string{"a", "b"}, Value: []byte("v"), Expires: time.Unix(1, 2)}, 3)))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := parseEntry(raw)
		if err != nil {
			return
		}
		require.Equal(t, raw, appendEntry(nil, e))
		r := e.record(0)
		whole, err := parseRecord(raw)
		require.NoError(t, err)
		whole.Read = r.Read
		if len(whole.Indexes) == len(r.Indexes) { // where no name comes twice
			require.Equal(t, r, whole)
		}
		again := newEntry(nil, r, r.Version)
		require.Equal(t, r.Key, string(again.key()))
		require.Equal(t, r, again.record(0))
	})
}

func FuzzParseSnapshot(f *testing.F) {
	nonce := bytes.Repeat([]byte{7}, nonceSize)
	head := append([]byte(snapshotMagic), nonce...)
	head = binary.BigEndian.AppendUint64(head, 1)
	head = binary.BigEndian.AppendUint64(head, 2)
	f.Add(byte(frameRecord), recordFrame(newEntry(nil, login.Record{Key: "k", Indexes: []string{"a"}, Value: []byte("v")}, 3))[1:])
	f.Add(byte(frameMark), markFrame("k", 5)[1:])
	f.Add(byte(frameWindow), windowFrame("k", &window{times: []int64{1, 2}, span: 3})[1:])
	f.Fuzz(func(t *testing.T, kind byte, body []byte) {
		s := &snapshot{marks: map[string]int64{}, windows: map[string]*window{}}
		if s.addFrame(kind, body) != nil {
			return
		}
		want := append([]byte{kind}, body...)
		for _, rec := range s.records {
			require.Equal(t, want, recordFrame(rec))
		}
		for key, expires := range s.marks {
			require.Equal(t, want, markFrame(key, expires))
		}
		for key, w := range s.windows {
			require.Equal(t, want, windowFrame(key, w))
		}
		file := append(bytes.Clone(head), body...) // no frames, no sum
		_, err := parseSnapshot(bytes.NewReader(file), nonce)
		require.Error(t, err)
	})
}

// Every right password counts one event and takes it back: nothing may be left
// of those, or the store would grow with each login.
func TestATakenBackEventLeavesNothingBehind(t *testing.T) {
	e := open(t, tempPath(t))
	for range 2 {
		_, err := e.Count(context.Background(), login.Quota{Key: "tries", Limit: login.Limit{Count: 3, Within: time.Hour}})
		require.NoError(t, err)
	}
	require.NoError(t, e.Uncount(context.Background(), "tries"))
	require.Len(t, e.windowsOf("tries"), 1)
	require.NoError(t, e.Uncount(context.Background(), "tries"))
	require.Empty(t, e.windowsOf("tries"))
}
