package storetest

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
)

func (b *bench) count(key string, limit int, window time.Duration) bool {
	b.Helper()
	counted, err := b.Count(b.ctx, login.Quota{Key: key, Limit: login.Limit{Count: limit, Within: window}})
	require.NoError(b, err)
	return counted
}

func counts(b *bench) {
	const window = 150 * time.Millisecond
	began := b.now()
	for range 3 {
		require.True(b, b.count(b.key(1), 3, window))
	}
	b.until(func() bool { return b.count(b.key(1), 3, window) })
	require.GreaterOrEqual(b, b.now().Sub(began), window)
	require.True(b, b.count(b.key("another"), 1, window))
	require.False(b, b.count(b.key("none at all"), 0, window))
}

func uncounts(b *bench) {
	require.NoError(b, b.Uncount(b.ctx, b.key(1))) // nothing to take back
	require.True(b, b.count(b.key(1), 2, time.Hour))
	require.True(b, b.count(b.key(1), 2, time.Hour))
	require.False(b, b.count(b.key(1), 2, time.Hour))
	require.NoError(b, b.Uncount(b.ctx, b.key(1)))
	require.True(b, b.count(b.key(1), 2, time.Hour))
	require.False(b, b.count(b.key(1), 2, time.Hour))
}

func countsAllOrNone(b *bench) {
	of := func(n, limit int) login.Quota {
		return login.Quota{Key: b.key(n), Limit: login.Limit{Count: limit, Within: time.Hour}}
	}
	count := func(quotas ...login.Quota) bool {
		b.Helper()
		counted, err := b.Count(b.ctx, quotas...)
		require.NoError(b, err)
		return counted
	}
	require.True(b, count(of(1, 2), of(2, 1)))
	require.False(b, count(of(1, 2), of(2, 1)), "the second is full")
	require.True(b, count(of(1, 2)), "so the first has noted nothing")
	require.False(b, count(of(1, 2), of(2, 9)), "the first is full")
	require.NoError(b, b.Uncount(b.ctx, b.key(1), b.key(1), b.key(2)))
	require.True(b, count(of(1, 1), of(2, 1)))
}

func loadsTheFirst(b *bench) {
	_, err := b.Load(b.ctx, b.key(1), b.key(2))
	require.ErrorIs(b, err, login.ErrNotFound)
	for _, n := range []int{2, 1} {
		b.save(record{Key: b.key(n), Value: []byte{byte(n)}})
		r, err := b.Load(b.ctx, b.key(1), b.key(2))
		require.NoError(b, err)
		require.Equal(b, b.key(n), r.Key)
		require.Equal(b, []byte{byte(n)}, r.Value)
	}
}

// tellsWhatCounts: what was counted, and when, is told as long as it counts.
func tellsWhatCounts(b *bench) {
	store, ok := b.Store.(login.Counting)
	require.True(b, ok)
	counted := func(key string, window time.Duration) []time.Time {
		at, err := store.Counted(b.ctx, key, window)
		require.NoError(b, err)
		return at
	}
	require.Empty(b, counted(b.key(1), time.Hour))
	began := b.now()
	for range 3 {
		require.True(b, b.count(b.key(1), 3, time.Hour))
	}
	require.False(b, b.count(b.key(1), 3, time.Hour))
	require.NoError(b, b.Uncount(b.ctx, b.key(1)))
	at := counted(b.key(1), time.Hour)
	require.Len(b, at, 2)
	require.False(b, at[0].Before(began) || at[1].Before(at[0]) || b.now().Before(at[1]), "%v since %v", at, began)
	b.until(func() bool { return len(counted(b.key(1), time.Millisecond)) == 0 })
	require.Len(b, counted(b.key(1), time.Hour), 2, "to ask changes nothing")
	require.Empty(b, counted(b.key("another"), time.Hour))
}

func countsUnderLoad(b *bench) { countRace(b, []login.Store{b.Store}) }

// countRace lets many count at once for a few windows. The k-th event took
// place between the k-th smallest instant before a call and the k-th smallest
// after one, which bounds how close events can have been.
func countRace(b *bench, nodes []login.Store) {
	const limit, window = 5, 100 * time.Millisecond
	var mu sync.Mutex
	var before, after []time.Time
	end := b.now().Add(5 * window)
	b.race(8, func(n int) {
		node := nodes[n%len(nodes)]
		for {
			from, err := node.Now(b.ctx)
			require.NoError(b, err)
			if from.After(end) {
				return
			}
			counted, err := node.Count(b.ctx, login.Quota{Key: b.key(1), Limit: login.Limit{Count: limit, Within: window}})
			require.NoError(b, err)
			to, err := node.Now(b.ctx)
			require.NoError(b, err)
			if counted {
				mu.Lock()
				before, after = append(before, from), append(after, to)
				mu.Unlock()
			}
		}
	})
	slices.SortFunc(before, time.Time.Compare)
	slices.SortFunc(after, time.Time.Compare)
	require.Greater(b, len(after), 2*limit)
	for i := range len(after) - limit {
		require.GreaterOrEqual(b, after[i+limit].Sub(before[i]), window, "%d events within a window", limit+1)
	}
}

func usesOnce(b *bench) {
	for _, durable := range b.durables() {
		key, expiry := b.key(durable), b.soon(150*time.Millisecond)
		use := func() bool {
			first, err := b.UseOnce(b.ctx, key, expiry, durable)
			if b.now().Before(expiry) {
				require.NoError(b, err)
			}
			return first
		}
		require.True(b, use())
		b.until(func() bool {
			first := use()
			require.False(b, first)
			return !b.now().Before(expiry)
		})
		first, err := b.UseOnce(b.ctx, key, b.soon(time.Hour), durable)
		require.NoError(b, err)
		require.True(b, first, "the mark had expired")
		for _, other := range b.durables() {
			first, err = b.UseOnce(b.ctx, key, b.soon(time.Hour), other)
			require.NoError(b, err)
			require.False(b, first)
		}
	}
}

func expiredMark(b *bench) {
	for _, durable := range b.durables() {
		first, err := b.UseOnce(b.ctx, b.key(durable), b.now().Add(-time.Second), durable)
		require.ErrorIs(b, err, login.ErrLate)
		require.False(b, first)
	}
}

func tellsChanges(b *bench) { changesTold(b, b.Store, b.Store) }

// changesTold saves at one node and listens at the other.
func changesTold(b *bench, saver, listener login.Store) {
	l := b.listen(listener)
	l.begin(saver)
	one, two := b.index(1), b.index(2)
	r := record{Key: b.key(1), Value: []byte("x"), Indexes: []string{one}}
	r = b.record(saver.Save(b.ctx, r, login.Condition{}))
	l.next(r.Key, one)
	r.Indexes, r.Durable = []string{two}, true
	r = b.record(saver.Save(b.ctx, r, login.Condition{}))
	l.next(r.Key, one, two)
	r.Value = nil
	b.record(saver.Save(b.ctx, r, login.Condition{}))
	l.next(r.Key, two)
	l.end()
}

// A listener collects changes.
type listener struct {
	b      *bench
	heard  chan login.Change
	cancel context.CancelFunc
	ended  chan error
}

func (b *bench) listen(s login.Store) *listener {
	ctx, cancel := context.WithCancel(b.ctx)
	b.Cleanup(cancel)
	l := &listener{b: b, heard: make(chan login.Change, 1<<16), cancel: cancel, ended: make(chan error, 1)}
	go func() { l.ended <- s.Changes(ctx, func(c login.Change) { l.heard <- c }) }()
	return l
}

// begin returns once changes are heard.
func (l *listener) begin(saver login.Store) {
	l.b.Helper()
	probe := record{Key: l.b.key("probe"), Value: []byte("x")}
	l.b.until(func() bool {
		probe = l.b.record(saver.Save(l.b.ctx, probe, login.Condition{}))
		select {
		case <-l.heard:
			return true
		default:
			return false
		}
	})
}

// next waits for a change of key with just these indexes. Others are passed
// over: what was heard before may come again.
func (l *listener) next(key string, indexes ...string) {
	l.b.Helper()
	slices.Sort(indexes)
	for {
		select {
		case c := <-l.heard:
			slices.Sort(c.Indexes)
			if c.Key == key && slices.Equal(c.Indexes, indexes) {
				return
			}
		case <-l.b.ctx.Done():
			l.b.Fatalf("a change of %s in %q was not told", key, indexes)
		}
	}
}

func (l *listener) end() {
	l.b.Helper()
	l.cancel()
	select {
	case err := <-l.ended:
		require.ErrorIs(l.b, err, context.Canceled)
	case <-time.After(10 * time.Second):
		l.b.Fatal("Changes did not end with its context")
	}
}
