package store

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"vssgate/internal/login"
)

// A plain is what a table is to be like: a map that is searched whole.
type plain map[string]entry

// page are the keys under name after `after`, at most limit.
func (p plain) page(name, after string, limit int) (keys []string) {
	for _, key := range slices.Sorted(maps.Keys(p)) {
		if e := p[key]; key > after && e.lists(name) && len(keys) < limit {
			keys = append(keys, key)
		}
	}
	return keys
}

func (t *table) page(name, after string, limit int) (keys []string) {
	t.walk(name, after, func(e entry) bool {
		keys = append(keys, string(e.key()))
		return len(keys) < limit
	})
	return keys
}

// same holds all of a table against p, and what it takes.
func (p plain) same(t require.TestingT, tab *table) {
	bytes, listed := 0, map[uint64]int{}
	for key, want := range p {
		require.Equal(t, want, tab.get(key))
		for _, h := range tab.listings(nil, want) {
			listed[h]++
		}
		bytes += blockHead + len(want.packed)
	}
	seen := 0
	for shard := range shards {
		tab.each(shard, func(e entry) {
			seen++
			require.Equal(t, p[string(e.key())], e)
		})
	}
	require.Len(t, p, seen, "seen by a sweep")
	require.Equal(t, len(p), tab.rows.taken(), "rows")
	require.Len(t, tab.indexes, len(listed), "indexes")
	nodes := 0
	for h, n := range listed {
		if tab.indexes[h]&lone == 0 {
			nodes += n
		}
	}
	require.Equal(t, nodes, tab.nodes.taken(), "nodes")
	open := tab.packed.chunks[tab.packed.open].bytes
	require.Equal(t, bytes, tab.packed.size-tab.packed.holes-(cap(open)-len(open)), "bytes that are no hole")
	require.False(t, tab.packed.tooMany(), "of holes")
}

func (s *slab[T]) taken() int { return int(s.used) - len(s.free) }

var (
	somebody = rapid.OneOf(rapid.StringMatching(`[a-d]{1,2}`), rapid.Just(strings.Repeat("k", maxKey)), rapid.StringN(1, 40, maxKey))
	anIndex  = rapid.StringMatching(`[x-z]{1,2}`)
	aValue   = rapid.SliceOfN(rapid.Byte(), 0, 40)
	// most share a chunk with some, and some have one of their own
	times = rapid.SampledFrom([]int{1, 1, 1, 10, 1000})
)

func TestATableIsLikeAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tab, like, version := newTable(), plain{}, uint64(0)
		tab.packed.chunk = 4096
		if rapid.Bool().Draw(t, "collide") {
			tab.mask = 3 // different names share a hash
		}
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				version++
				r := login.Record{
					Key: somebody.Draw(t, "key"), Indexes: unique(rapid.SliceOfN(anIndex, 0, 4).Draw(t, "indexes")),
					Value:   slices.Repeat(aValue.Draw(t, "value"), times.Draw(t, "times")),
					Expires: instant(rapid.Int64Range(0, 100).Draw(t, "expires")), Durable: rapid.Bool().Draw(t, "durable"),
				}
				e := newEntry(nil, r, version)
				tab.put(e)
				like[r.Key] = e
			},
			"remove": func(t *rapid.T) {
				key := somebody.Draw(t, "key")
				tab.remove([]byte(key))
				delete(like, key)
			},
			"expire": func(t *rapid.T) {
				now := rapid.Int64Range(0, 100).Draw(t, "now")
				for shard := range shards {
					tab.each(shard, func(e entry) {
						if past(e.expires, now) {
							tab.remove(e.key())
						}
					})
				}
				maps.DeleteFunc(like, func(_ string, e entry) bool { return past(e.expires, now) })
			},
			"walk": func(t *rapid.T) {
				name, limit := anIndex.Draw(t, "name"), rapid.IntRange(1, 10).Draw(t, "limit")
				after := rapid.OneOf(rapid.Just(""), somebody).Draw(t, "after")
				require.Equal(t, like.page(name, after, limit), tab.page(name, after, limit))
			},
			"": func(t *rapid.T) { like.same(t, tab) },
		})
	})
}

// A rush: thousands come, change and go, by chance of this seed, and what is
// left over is given back.
func TestATableGrowsAndShrinks(t *testing.T) {
	by := rand.New(rand.NewPCG(6, 1))
	tab, like := newTable(), plain{}
	const most = 20_000
	for n := range 3 * most {
		key := fmt.Sprint("key ", by.IntN(most))
		if n > 2*most {
			tab.remove([]byte(key))
			delete(like, key)
			continue
		}
		r := login.Record{Key: key, Indexes: []string{"all", fmt.Sprint("one of ", by.IntN(most))}, Value: make([]byte, by.IntN(600))}
		e := newEntry(nil, r, uint64(n))
		tab.put(e)
		like[key] = e
	}
	like.same(t, tab)
	require.Equal(t, slices.Sorted(maps.Keys(like)), tab.page("all", "", most))
	for key := range like {
		tab.remove([]byte(key))
	}
	plain{}.same(t, tab)
	require.Empty(t, tab.indexes)
	require.LessOrEqual(t, tab.packed.size, 2*chunkSize, "the arena of nothing")
}

func TestTwoIndexNamesWithOneHashAreKeptApart(t *testing.T) {
	tab := newTable()
	tab.mask = 0
	tab.put(newEntry(nil, login.Record{Key: "a", Indexes: []string{"one"}}, 1))
	tab.put(newEntry(nil, login.Record{Key: "b", Indexes: []string{"two"}}, 1))
	require.Equal(t, []string{"a"}, tab.page("one", "", 9))
	require.Equal(t, []string{"b"}, tab.page("two", "", 9))
}

// depth of the tree at root.
func (t *table) depth(root uint32) int {
	if root == 0 {
		return 0
	}
	n := t.nodes.at(root)
	return 1 + max(t.depth(n.left), t.depth(n.right))
}

// The collector goes through every object that has been allocated: a table is few.
func TestATableIsFewObjectsAndItsTreesAreLow(t *testing.T) {
	objects := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapObjects
	}
	const records = 50_000
	before, tab := objects(), newTable()
	for n := range records {
		key := fmt.Sprintf("key %06d", n)
		tab.put(newEntry(nil, login.Record{Key: key, Indexes: []string{"all", "of " + key, "of the other " + key}, Value: make([]byte, 100)}, 1))
	}
	require.Less(t, int64(objects()-before), int64(records/20))
	require.Less(t, tab.depth(tab.indexes[tab.hash("all")]), 80, "of %d in ascending order", records)
}

func TestANameMayBeAsLongAsItsLengthCanSay(t *testing.T) {
	tab := newTable()
	long := strings.Repeat("x", 255)
	tab.put(newEntry(nil, login.Record{Key: strings.Repeat("k", 255), Indexes: []string{long, "short"}, Value: []byte{1}}, 1))
	require.Len(t, tab.page(long, "", 9), 1)
	require.Len(t, tab.page("short", "", 9), 1)
}
