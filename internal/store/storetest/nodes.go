package storetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
)

// RunNodes checks the promises that hold among the nodes of one installation.
// open makes n stores on the same data.
func RunNodes(t *testing.T, open func(t *testing.T, n int) []login.Store) {
	for name, test := range map[string]func(*bench, []login.Store){
		"two nodes race for one save: exactly one wins":              twoNodes,
		"64 create one record on 3 nodes at once: one wins":          createRace,
		"64 use one key on 3 nodes at once: one is first":            useRace,
		"64 increments on 3 nodes: none is lost":                     increments,
		"an index is never fuller than allowed, by whichever node":   fullRace,
		"an index whose records come and go is never too full":       churn,
		"in no window are there more events than the limit":          countRace,
		"what one node saved the others load and find":               seenByOthers,
		"what one node saved the others are told":                    toldToOthers,
		"Since is the same everywhere":                               sameSince,
		"what one node dated is not in another's future":             dated,
		"a record that moves between indexes is never lost to Find":  neverLost,
		"of two nodes that delete and make anew none sees the other": deleteRace,
	} {
		t.Run(name, func(t *testing.T) {
			nodes := open(t, 3)
			test(newBench(t, nodes[0]), nodes)
		})
	}
}

// race runs do n times at once and waits.
func (b *bench) race(n int, do func(n int)) {
	b.Helper()
	start := make(chan struct{})
	var running sync.WaitGroup
	for i := range n {
		running.Go(func() {
			<-start
			do(i)
		})
	}
	close(start)
	running.Wait()
	if b.Failed() {
		b.FailNow()
	}
}

// won counts those who get no error; any other than those allowed fails.
func (b *bench) won(n int, do func(n int) error, allowed ...error) int {
	b.Helper()
	var wins atomic.Int32
	b.race(n, func(n int) {
		err := do(n)
		if err == nil {
			wins.Add(1)
			return
		}
		for _, a := range allowed {
			if errors.Is(err, a) {
				return
			}
		}
		b.Errorf("racer %d: %v", n, err)
	})
	return int(wins.Load())
}

func twoNodes(b *bench, nodes []login.Store) {
	for round := range 50 {
		r := b.save(record{Key: b.key(round), Value: []byte("open"), Indexes: []string{b.index(1)}})
		r.Indexes = nil
		wins := b.won(2, func(n int) error {
			mine := r
			mine.Value = []byte{byte(n)}
			_, err := nodes[n].Save(b.ctx, mine, login.Condition{})
			return err
		}, login.ErrConflict)
		require.Equal(b, 1, wins)
		require.EqualValues(b, 2, b.load(r.Key).Version)
	}
}

func createRace(b *bench, nodes []login.Store) {
	for _, durable := range b.durables() {
		wins := b.won(64, func(n int) error {
			r := record{Key: b.key(durable), Value: fmt.Append(nil, n), Indexes: []string{b.index("all"), b.index(n)}, Durable: durable}
			_, err := nodes[n%len(nodes)].Save(b.ctx, r, login.Condition{})
			return err
		}, login.ErrConflict)
		require.Equal(b, 1, wins)
		r := b.load(b.key(durable))
		require.EqualValues(b, 1, r.Version)
		require.Equal(b, []string{b.index("all"), b.index(string(r.Value))}, r.Indexes)
		require.Contains(b, b.found(b.index("all")), r.Key)
	}
}

func useRace(b *bench, nodes []login.Store) {
	errUsed := errors.New("used before")
	for _, durable := range b.durables() {
		expiry := b.soon(time.Minute)
		wins := b.won(64, func(n int) error {
			first, err := nodes[n%len(nodes)].UseOnce(b.ctx, b.key(durable), expiry, durable)
			if err == nil && !first {
				return errUsed
			}
			return err
		}, errUsed)
		require.Equal(b, 1, wins)
	}
}

func increments(b *bench, nodes []login.Store) {
	for _, durable := range b.durables() {
		b.race(64, func(n int) {
			node := nodes[n%len(nodes)]
			for {
				r, err := node.Load(b.ctx, b.key(durable))
				if errors.Is(err, login.ErrNotFound) {
					r, err = record{Key: b.key(durable), Value: []byte{0}}, nil
				}
				require.NoError(b, err)
				r.Value[0]++
				r.Durable = durable
				if _, err = node.Save(b.ctx, r, login.Condition{}); err == nil {
					return
				}
				require.ErrorIs(b, err, login.ErrConflict)
			}
		})
		r := b.load(b.key(durable))
		require.EqualValues(b, 64, r.Value[0])
		require.EqualValues(b, 64, r.Version)
	}
}

func fullRace(b *bench, nodes []login.Store) {
	const atMost = 3
	for _, durable := range b.durables() {
		index := b.index(durable)
		wins := b.won(64, func(n int) error {
			r := record{Key: b.key(fmt.Sprint(durable, n)), Value: []byte("x"), Indexes: []string{index}, Durable: durable}
			_, err := nodes[n%len(nodes)].Save(b.ctx, r, login.Condition{Full: index, AtMost: atMost})
			return err
		}, login.ErrFull)
		require.Equal(b, atMost, wins)
		require.Len(b, b.found(index), atMost)
	}
}

// churn: records enter a narrow index and leave it again, over and over, while
// somebody counts.
func churn(b *bench, nodes []login.Store) {
	const atMost = 2
	index := b.index(1)
	var entered, inside atomic.Int32
	b.race(12, func(n int) {
		node := nodes[n%len(nodes)]
		for range 15 {
			r := record{Key: b.key(n), Value: []byte("x"), Indexes: []string{index}}
			r, err := node.Save(b.ctx, r, login.Condition{Full: index, AtMost: atMost})
			if errors.Is(err, login.ErrFull) {
				continue
			}
			require.NoError(b, err)
			entered.Add(1)
			if now := inside.Add(1); now > atMost {
				b.Errorf("%d records where %d may be", now, atMost)
			}
			recs, err := nodes[(n+1)%len(nodes)].Find(b.ctx, index, "", 0)
			require.NoError(b, err)
			listed := false
			for _, other := range recs {
				listed = listed || other.Key == r.Key
			}
			if !listed {
				b.Errorf("%s was saved and is not listed", r.Key)
			}
			inside.Add(-1)
			r.Value = nil
			_, err = node.Save(b.ctx, r, login.Condition{})
			require.NoError(b, err)
		}
	})
	require.Empty(b, b.found(index))
	require.GreaterOrEqual(b, int(entered.Load()), 15)
}

func seenByOthers(b *bench, nodes []login.Store) {
	r := record{Key: b.key(1), Indexes: []string{b.index(1)}}
	for n := range 30 {
		r.Value = []byte{byte(n)}
		r = b.record(nodes[n%3].Save(b.ctx, r, login.Condition{}))
		loaded := b.record(nodes[(n+1)%3].Load(b.ctx, r.Key))
		require.Equal(b, r.Value, loaded.Value)
		recs, err := nodes[(n+2)%3].Find(b.ctx, b.index(1), "", 0)
		require.NoError(b, err)
		require.Len(b, recs, 1)
		require.Equal(b, r.Value, recs[0].Value)
	}
}

func toldToOthers(b *bench, nodes []login.Store) { changesTold(b, nodes[0], nodes[1]) }

func sameSince(b *bench, nodes []login.Store) {
	since := must(b, nodes[0].Since)(b.ctx)
	for _, node := range nodes {
		require.Equal(b, since, must(b, node.Since)(b.ctx))
	}
}

// neverLost: one node moves a record from index to index and back while the
// others, whose Find cleans up behind it, look for what was there before they
// began and is there still.
func neverLost(b *bench, nodes []login.Store) {
	one, two, always := b.index(1), b.index(2), b.index("always")
	r := b.save(record{Key: b.key(1), Value: []byte("x"), Indexes: []string{one, always}})
	done := make(chan struct{})
	b.race(3, func(n int) {
		if n > 0 {
			b.look(nodes[n], always, one, two, done)
			return
		}
		defer close(done)
		for i := range 150 {
			r.Indexes = []string{[]string{two, one}[i%2], always}
			var err error
			r, err = nodes[0].Save(b.ctx, r, login.Condition{})
			require.NoError(b, err)
			recs, err := nodes[0].Find(b.ctx, r.Indexes[0], "", 0)
			require.NoError(b, err)
			if len(recs) != 1 {
				b.Errorf("save %d: not found where it was just saved", i)
				return
			}
		}
	})
}

func (b *bench) look(node login.Store, always, one, two string, done chan struct{}) {
	for {
		select {
		case <-done:
			return
		default:
		}
		for _, index := range []string{one, two, always} {
			recs, err := node.Find(b.ctx, index, "", 0)
			require.NoError(b, err)
			if index == always && len(recs) != 1 {
				b.Errorf("a record that never left is not found")
				return
			}
		}
	}
}

// deleteRace: whoever deletes a version deletes that one only.
func deleteRace(b *bench, nodes []login.Store) {
	var made, gone atomic.Int32
	b.race(9, func(n int) {
		node := nodes[n%3]
		for range 20 {
			r, err := node.Save(b.ctx, record{Key: b.key(1), Value: []byte("x"), Indexes: []string{b.index(1)}}, login.Condition{})
			if errors.Is(err, login.ErrConflict) {
				continue
			}
			require.NoError(b, err)
			made.Add(1)
			r.Value = nil
			_, err = node.Save(b.ctx, r, login.Condition{})
			require.NoError(b, err, "only its maker deletes it")
			gone.Add(1)
		}
	})
	require.Equal(b, made.Load(), gone.Load())
	b.absent(b.key(1))
	require.Empty(b, b.found(b.index(1)))
}

// dated has a record go round the nodes, each of which writes its time into it.
func dated(b *bench, nodes []login.Store) {
	r, last := record{Key: b.key(1)}, time.Time{}
	for n := range 300 {
		node := nodes[n%len(nodes)]
		if n > 0 {
			var err error
			r, err = node.Load(b.ctx, r.Key)
			require.NoError(b, err)
			require.NoError(b, last.UnmarshalBinary(r.Value))
		}
		now, err := node.Now(b.ctx)
		require.NoError(b, err)
		require.False(b, now.Before(last) || now.Before(r.Read), "%v after %v, which was read at %v", now, last, r.Read)
		r.Value, err = now.MarshalBinary()
		require.NoError(b, err)
		_, err = node.Save(b.ctx, r, login.Condition{})
		require.NoError(b, err)
	}
}
