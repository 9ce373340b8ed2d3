package storetest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
)

// Run checks the promises of one node. open makes a store for a test and
// closes it when the test ends.
func Run(t *testing.T, open func(t *testing.T) login.Store) {
	for name, test := range map[string]func(*bench){
		"a record never saved is not found":                         neverSaved,
		"a saved record is loaded as it was":                        loadedAsSaved,
		"an empty value is a value":                                 emptyValue,
		"what the caller does to a value later changes no record":   valuesAreCopied,
		"each save adds one to the version":                         versionsGrow,
		"a save of another version changes nothing":                 conflicts,
		"a nil value deletes, and the key can be made anew":         deletes,
		"a record is forgotten when its expiry is reached":          expires,
		"a save may move the expiry":                                movesExpiry,
		"an expired record is no longer listed, nor takes a place":  expiredUnlisted,
		"a save at or after its deadline is late":                   late,
		"an index takes at most as many records as the save allows": full,
		"a record that left an index makes room there":              leavingMakesRoom,
		"a full index takes who knows all that are there":           fullButForThoseKnown,
		"a save that was refused leaves nothing behind":             refusedLeavesNothing,
		"records are found in order, page by page":                  paging,
		"a save replaces the indexes":                               replacesIndexes,
		"a durable record may become volatile and the other way":    durability,
		"keys, names and values that are too long are refused":      tooLong,
		"a cancelled context is an error":                           cancelled,
		"the clock never steps back and Since is not after it":      clocks,
		"at most limit events are counted in a window":              counts,
		"an event taken back makes room":                            uncounts,
		"an event counts under all its keys or under none":          countsAllOrNone,
		"the first of several keys that has a record is loaded":     loadsTheFirst,
		"what was counted, and when, is told":                       tellsWhatCounts,
		"in no window are there more events than the limit":         countsUnderLoad,
		"a mark is given out once until its expiry":                 usesOnce,
		"a mark that has expired already is refused":                expiredMark,
		"a change is told with the indexes before and after":        tellsChanges,
		"one of many who create a record at once wins":              func(b *bench) { createRace(b, []login.Store{b.Store}) },
		"of many who use a key at once one is first":                func(b *bench) { useRace(b, []login.Store{b.Store}) },
		"no increment is lost":                                      func(b *bench) { increments(b, []login.Store{b.Store}) },
		"a full index stays full under a race":                      func(b *bench) { fullRace(b, []login.Store{b.Store}) },
	} {
		t.Run(name, func(t *testing.T) { test(newBench(t, open(t))) })
	}
}

// A bench is a store under test with names of its own.
type bench struct {
	*testing.T
	login.Store
	ctx    context.Context
	prefix string
}

func newBench(t *testing.T, s login.Store) *bench {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return &bench{T: t, Store: s, ctx: ctx, prefix: rand.Text()[:10] + ":"}
}

// key and index name things that no other test uses.
func (b *bench) key(n any) string     { return b.prefix + fmt.Sprint(n) }
func (b *bench) index(n any) string   { return b.prefix + "index:" + fmt.Sprint(n) }
func (b *bench) now() time.Time       { b.Helper(); return must(b, b.Now)(b.ctx) }
func (b *bench) load(k string) record { b.Helper(); return b.record(b.Load(b.ctx, k)) }
func (b *bench) absent(k string)      { b.Helper(); b.refused(login.ErrNotFound)(b.Load(b.ctx, k)) }
func (b *bench) durables() [2]bool    { return [2]bool{false, true} }
func (b *bench) found(i string) (keys []string) {
	b.Helper()
	recs, err := b.Find(b.ctx, i, "", 0)
	require.NoError(b, err)
	for _, r := range recs {
		keys = append(keys, r.Key)
	}
	return keys
}

type record = login.Record

func must[T any](b *bench, f func(context.Context) (T, error)) func(context.Context) T {
	b.Helper()
	return func(ctx context.Context) T {
		b.Helper()
		v, err := f(ctx)
		require.NoError(b, err)
		return v
	}
}

func (b *bench) record(r record, err error) record {
	b.Helper()
	require.NoError(b, err)
	return r
}

func (b *bench) save(r record) record {
	b.Helper()
	return b.record(b.Save(b.ctx, r, login.Condition{}))
}

func (b *bench) refused(want error) func(record, error) {
	return func(_ record, err error) {
		b.Helper()
		require.ErrorIs(b, err, want)
	}
}

// until asks again until it is so.
func (b *bench) until(so func() bool) {
	b.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-b.ctx.Done():
			b.Fatal("it never came to pass")
		}
	}
}

// soon is an instant that tests can wait for, in the precision every store has.
func (b *bench) soon(d time.Duration) time.Time { return b.now().Add(d).Truncate(time.Microsecond) }

func neverSaved(b *bench) { b.absent(b.key("nothing")) }

func loadedAsSaved(b *bench) {
	for _, durable := range b.durables() {
		r := record{
			Key: b.key(durable), Value: []byte("a\x00b\xff\n"), Indexes: []string{b.index(1), b.index(2)},
			Expires: b.soon(time.Hour), Durable: durable,
		}
		before := b.now()
		saved := b.save(r)
		require.EqualValues(b, 1, saved.Version)
		require.False(b, saved.Read.Before(before))
		loaded := b.load(r.Key)
		require.False(b, loaded.Read.Before(saved.Read))
		require.True(b, r.Expires.Equal(loaded.Expires))
		r.Version, r.Read, r.Expires, loaded.Expires = 1, loaded.Read, time.Time{}, time.Time{}
		require.Equal(b, r, loaded)
	}
	r := b.save(record{Key: b.key("for ever"), Value: []byte("x")})
	loaded := b.load(r.Key)
	require.True(b, loaded.Expires.IsZero())
	require.Empty(b, loaded.Indexes)
}

func emptyValue(b *bench) {
	b.save(record{Key: b.key(1), Value: []byte{}})
	loaded := b.load(b.key(1))
	require.NotNil(b, loaded.Value)
	require.Empty(b, loaded.Value)
}

func valuesAreCopied(b *bench) {
	value := []byte("value")
	b.save(record{Key: b.key(1), Value: value})
	value[0] = 'X'
	loaded := b.load(b.key(1))
	require.Equal(b, "value", string(loaded.Value))
	loaded.Value[0] = 'X'
	require.Equal(b, "value", string(b.load(b.key(1)).Value))
}

func versionsGrow(b *bench) {
	r := record{Key: b.key(1)}
	for n := range 5 {
		r.Value = []byte{byte(n)}
		r = b.save(r)
		require.EqualValues(b, n+1, r.Version)
	}
	require.Equal(b, []byte{4}, b.load(r.Key).Value)
}

func conflicts(b *bench) {
	for _, durable := range b.durables() {
		r := b.save(record{Key: b.key(durable), Value: []byte("first"), Durable: durable})
		for _, version := range []uint64{0, 2, 7} {
			b.refused(login.ErrConflict)(b.Save(b.ctx, record{Key: r.Key, Value: []byte("no"), Version: version, Durable: durable}, login.Condition{}))
			b.refused(login.ErrConflict)(b.Save(b.ctx, record{Key: r.Key, Version: version}, login.Condition{}))
		}
		require.Equal(b, "first", string(b.load(r.Key).Value))
		b.refused(login.ErrConflict)(b.Save(b.ctx, record{Key: b.key("none"), Value: []byte("no"), Version: 1}, login.Condition{}))
	}
}

func deletes(b *bench) {
	for _, durable := range b.durables() {
		index := b.index(durable)
		r := b.save(record{Key: b.key(durable), Value: []byte("1"), Indexes: []string{index}, Durable: durable})
		r.Value = nil
		b.save(r)
		b.absent(r.Key)
		require.Empty(b, b.found(index))
		b.refused(login.ErrConflict)(b.Save(b.ctx, record{Key: r.Key, Value: []byte("2"), Version: 1}, login.Condition{}))
		r = b.save(record{Key: r.Key, Value: []byte("3"), Indexes: []string{index}, Durable: durable})
		require.EqualValues(b, 1, r.Version)
		require.Equal(b, []string{r.Key}, b.found(index))
	}
}

func expires(b *bench) {
	for _, durable := range b.durables() {
		r := b.save(record{Key: b.key(durable), Value: []byte("x"), Expires: b.soon(150 * time.Millisecond), Durable: durable})
		b.until(func() bool {
			loaded, err := b.Load(b.ctx, r.Key)
			if err == nil {
				require.True(b, loaded.Read.Before(r.Expires), "loaded after its expiry")
				return false
			}
			require.ErrorIs(b, err, login.ErrNotFound)
			return true
		})
		require.False(b, b.now().Before(r.Expires), "forgotten before its expiry")
		r = b.save(record{Key: r.Key, Value: []byte("anew"), Durable: durable})
		require.EqualValues(b, 1, r.Version)
	}
}

func movesExpiry(b *bench) {
	index := b.index(1)
	r := b.save(record{Key: b.key(1), Value: []byte("x"), Indexes: []string{index}, Expires: b.soon(150 * time.Millisecond)})
	was := r.Expires
	r.Expires = b.soon(time.Hour)
	b.save(r)
	b.until(func() bool { return b.now().After(was) })
	b.load(r.Key)
	require.Equal(b, []string{r.Key}, b.found(index))
}

func expiredUnlisted(b *bench) {
	for _, durable := range b.durables() {
		index := b.index(durable)
		cond := login.Condition{Full: index, AtMost: 1}
		soon := b.soon(150 * time.Millisecond)
		b.record(b.Save(b.ctx, record{Key: b.key(1), Value: []byte("x"), Indexes: []string{index}, Expires: soon, Durable: durable}, cond))
		second := record{Key: b.key(2), Value: []byte("x"), Indexes: []string{index}, Durable: durable}
		b.until(func() bool {
			_, err := b.Save(b.ctx, second, cond)
			if err != nil {
				require.ErrorIs(b, err, login.ErrFull)
			}
			return err == nil
		})
		require.False(b, b.now().Before(soon))
		require.Equal(b, []string{second.Key}, b.found(index))
		second.Version = 1
		second.Value = nil
		b.save(second)
	}
}

func late(b *bench) {
	for _, durable := range b.durables() {
		r := record{Key: b.key(durable), Value: []byte("x"), Durable: durable}
		b.refused(login.ErrLate)(b.Save(b.ctx, r, login.Condition{Before: b.now().Add(-time.Hour)}))
		b.absent(r.Key)
		deadline := b.soon(100 * time.Millisecond)
		b.until(func() bool {
			saved, err := b.Save(b.ctx, r, login.Condition{Before: deadline})
			if err == nil {
				r = saved
				require.True(b, saved.Read.Before(deadline), "saved after the deadline")
				return false
			}
			require.ErrorIs(b, err, login.ErrLate)
			return true
		})
		require.False(b, b.now().Before(deadline), "late before the deadline")
	}
}

func full(b *bench) {
	for _, durable := range b.durables() {
		index, other := b.index(durable), b.index("other")
		cond := login.Condition{Full: index, AtMost: 3}
		save := func(n int, names ...string) (record, error) {
			return b.Save(b.ctx, record{Key: b.key(fmt.Sprint(durable, n)), Value: []byte("x"), Indexes: names, Durable: durable}, cond)
		}
		for n := range 3 {
			b.record(save(n, other, index))
		}
		b.refused(login.ErrFull)(save(3, other, index))
		b.absent(b.key(fmt.Sprint(durable, 3)))
		b.record(save(4, other)) // not listed there at all

		listed := b.load(b.key(fmt.Sprint(durable, 0)))
		b.record(b.Save(b.ctx, listed, cond)) // it has its place already
		unlisted := b.load(b.key(fmt.Sprint(durable, 4)))
		unlisted.Indexes = append(unlisted.Indexes, index)
		b.refused(login.ErrFull)(b.Save(b.ctx, unlisted, cond))
		require.Len(b, b.found(index), 3)
	}
}

func fullButForThoseKnown(b *bench) {
	for _, durable := range b.durables() {
		index := b.index(durable)
		key := func(n int) string { return b.key(fmt.Sprint(durable, n)) }
		save := func(n int, known ...int) (record, error) {
			cond := login.Condition{Full: index, AtMost: 1}
			for _, other := range known {
				cond.But = append(cond.But, key(other))
			}
			return b.Save(b.ctx, record{Key: key(n), Value: []byte("x"), Indexes: []string{index}, Durable: durable}, cond)
		}
		b.record(save(1))
		b.refused(login.ErrFull)(save(2))
		b.record(save(2, 1, 7)) // one that is not there is no harm
		b.refused(login.ErrFull)(save(3, 1))
		b.refused(login.ErrFull)(save(3, 2))
		b.absent(key(3))
		b.record(save(3, 1, 2))
		require.Len(b, b.found(index), 3)
	}
}

func leavingMakesRoom(b *bench) {
	for _, durable := range b.durables() {
		index := b.index(durable)
		cond := login.Condition{Full: index, AtMost: 1}
		enter := func(n int) (record, error) {
			return b.Save(b.ctx, record{Key: b.key(fmt.Sprint(durable, n)), Value: []byte("x"), Indexes: []string{index}, Durable: durable}, cond)
		}
		first := b.record(enter(1))
		b.refused(login.ErrFull)(enter(2))
		first.Indexes = nil
		b.save(first)
		second := b.record(enter(2))
		b.refused(login.ErrFull)(enter(3))
		second.Value = nil
		b.save(second)
		b.record(enter(3))
		require.Equal(b, []string{b.key(fmt.Sprint(durable, 3))}, b.found(index))
	}
}

func refusedLeavesNothing(b *bench) {
	index := b.index(1)
	r := record{Key: b.key(1), Value: []byte("x"), Indexes: []string{index}}
	b.refused(login.ErrLate)(b.Save(b.ctx, r, login.Condition{Before: b.now().Add(-time.Second), Full: index, AtMost: 1}))
	r.Version = 3
	b.refused(login.ErrConflict)(b.Save(b.ctx, r, login.Condition{Full: index, AtMost: 1}))
	require.Empty(b, b.found(index))
	b.record(b.Save(b.ctx, record{Key: b.key(2), Value: []byte("x"), Indexes: []string{index}}, login.Condition{Full: index, AtMost: 1}))
}

func paging(b *bench) {
	const all = 700
	index := b.index("long")
	var want []string
	for n := range all {
		n = (n * 389) % all // in no order
		b.save(record{Key: b.key(fmt.Sprintf("%04d", n)), Value: []byte{byte(n)}, Indexes: []string{index}})
	}
	for n := range all {
		want = append(want, b.key(fmt.Sprintf("%04d", n)))
	}
	require.Equal(b, want, b.found(index))
	for _, size := range []int{1, 7, 256, 300, all, 2 * all} {
		var got []string
		for after := ""; ; {
			recs, err := b.Find(b.ctx, index, after, size)
			require.NoError(b, err)
			require.LessOrEqual(b, len(recs), size)
			if len(recs) == 0 || size == 1 && len(got) == 20 {
				break
			}
			for _, r := range recs {
				got = append(got, r.Key)
				require.EqualValues(b, 1, r.Version)
				require.False(b, r.Read.IsZero())
			}
			after = got[len(got)-1]
		}
		require.Equal(b, want[:len(got)], got)
		require.True(b, len(got) == all || size == 1)
	}
	recs, err := b.Find(b.ctx, index, b.key("0349x"), 2) // a key that is not there
	require.NoError(b, err)
	require.Len(b, recs, 2)
	require.Equal(b, want[350], recs[0].Key)
}

func replacesIndexes(b *bench) {
	for _, durable := range b.durables() {
		one, two, three := b.index(1), b.index(2), b.index(3)
		r := b.save(record{Key: b.key(durable), Value: []byte("x"), Indexes: []string{one, two, two}, Durable: durable})
		require.Equal(b, []string{r.Key}, b.found(one))
		require.Equal(b, []string{r.Key}, b.found(two))
		r.Indexes = []string{three, two}
		r = b.save(r)
		require.Empty(b, b.found(one))
		require.Equal(b, []string{r.Key}, b.found(two))
		require.Equal(b, []string{r.Key}, b.found(three))
		r.Indexes = []string{one} // and back
		r = b.save(r)
		require.Equal(b, []string{r.Key}, b.found(one))
		require.Equal(b, []string{one}, b.load(r.Key).Indexes)
		r.Indexes = nil
		b.save(r)
		for _, index := range []string{one, two, three} {
			require.Empty(b, b.found(index))
		}
	}
}

func durability(b *bench) {
	r := b.save(record{Key: b.key(1), Value: []byte("1"), Indexes: []string{b.index(1)}})
	for _, durable := range []bool{true, false, true} {
		r.Durable = durable
		r = b.save(r)
		require.Equal(b, durable, b.load(r.Key).Durable)
	}
	require.EqualValues(b, 4, r.Version)
	require.Equal(b, []string{r.Key}, b.found(b.index(1)))
}

func tooLong(b *bench) {
	long := strings.Repeat("k", 201)
	for _, r := range []record{
		{Key: "", Value: []byte("x")},
		{Key: long, Value: []byte("x")},
		{Key: b.key(1), Value: make([]byte, 1<<20+1)},
		{Key: b.key(1), Value: []byte("x"), Indexes: []string{""}},
		{Key: b.key(1), Value: []byte("x"), Indexes: []string{strings.Repeat("n", 256)}},
	} {
		_, err := b.Save(b.ctx, r, login.Condition{})
		require.Error(b, err)
	}
	_, err := b.Count(b.ctx, login.Quota{Key: long, Limit: login.Limit{Count: 1, Within: time.Minute}})
	require.Error(b, err)
	_, err = b.UseOnce(b.ctx, long, b.soon(time.Minute), false)
	require.Error(b, err)
	r := record{Key: b.prefix + long[:200-len(b.prefix)], Value: []byte("x"), Indexes: []string{b.prefix + strings.Repeat("n", 200)}}
	b.save(r)
	require.Equal(b, []string{r.Key}, b.found(r.Indexes[0]))
}

func cancelled(b *bench) {
	ctx, cancel := context.WithCancel(b.ctx)
	cancel()
	_, err := b.Save(ctx, record{Key: b.key(1), Value: []byte("x")}, login.Condition{})
	require.ErrorIs(b, err, context.Canceled)
	b.absent(b.key(1))
	_, err = b.Load(ctx, b.key(1))
	require.ErrorIs(b, err, context.Canceled)
	require.False(b, errors.Is(err, login.ErrNotFound))
	_, err = b.Find(ctx, b.index(1), "", 0)
	require.ErrorIs(b, err, context.Canceled)
	_, err = b.UseOnce(ctx, b.key(1), b.soon(time.Minute), false)
	require.ErrorIs(b, err, context.Canceled)
	_, err = b.Count(ctx, login.Quota{Key: b.key(1), Limit: login.Limit{Count: 1, Within: time.Minute}})
	require.ErrorIs(b, err, context.Canceled)
	require.ErrorIs(b, b.Uncount(ctx, b.key(1)), context.Canceled)
	_, err = b.Now(ctx)
	require.ErrorIs(b, err, context.Canceled)
	_, err = b.Since(ctx)
	require.ErrorIs(b, err, context.Canceled)
	require.ErrorIs(b, b.Changes(ctx, func(login.Change) {}), context.Canceled)
}

func clocks(b *bench) {
	last := b.now()
	since := must(b, b.Since)(b.ctx)
	require.False(b, since.After(last))
	for range 100 {
		now := b.now()
		require.False(b, now.Before(last))
		last = now
	}
	require.Equal(b, since, must(b, b.Since)(b.ctx))
}
