package store

import (
	"bytes"
	"hash/maphash"
	"slices"
)

// A table holds records in memory by key and by index. It knows neither locks
// nor time. It is made for hundreds of thousands of records, which the garbage
// collector goes through again and again: there are no pointers to them or in
// them. A record is a row, known by number, and a block of bytes (arena.go). A
// key or an index is known by a hash of its name, which is looked up in the
// record itself before it counts.
type table struct {
	seed    maphash.Seed
	mask    uint64                    // what counts of a hash: all of it, but for tests
	records [shards]map[uint64]uint32 // hash of a key -> a row that has one with that hash
	rows    slab[row]
	packed  *arena
	indexes map[uint64]uint32 // hash of an index name -> what it lists: see index.go
	nodes   slab[node]
}

// shards is into how many parts keys are divided, so that a sweep can look at
// one part at a time.
const shards = 256

// A row is an entry whose bytes are in the arena.
type row struct {
	version uint64
	expires int64
	packed  blockAt
	next    uint32 // the next row whose key has the same hash, or 0
	durable bool
}

func newTable() *table {
	t := &table{seed: maphash.MakeSeed(), mask: ^uint64(0), indexes: map[uint64]uint32{}}
	t.packed = newArena(func(id uint32, at blockAt) { t.rows.at(id).packed = at })
	for i := range t.records {
		t.records[i] = map[uint64]uint32{}
	}
	return t
}

func (t *table) hash(name string) uint64      { return maphash.String(t.seed, name) & t.mask }
func (t *table) hashBytes(name []byte) uint64 { return maphash.Bytes(t.seed, name) & t.mask }

// shardOf is the part of all keys that key is in.
func (t *table) shardOf(key string) int { return int(t.hash(key) % shards) }

func (t *table) entry(id uint32) entry {
	r := t.rows.at(id)
	return entry{packed: t.packed.at(r.packed), version: r.version, expires: r.expires, durable: r.durable}
}

// find returns the row whose key has that hash and is the one, or 0.
func (t *table) find(hash uint64, isIt func(key []byte) bool) uint32 {
	id := t.records[hash%shards][hash]
	for id != 0 && !isIt(t.entry(id).key()) {
		id = t.rows.at(id).next
	}
	return id
}

func (t *table) findBytes(key []byte) (id uint32, hash uint64) {
	hash = t.hashBytes(key)
	return t.find(hash, func(k []byte) bool { return bytes.Equal(k, key) }), hash
}

// get returns the entry under key, expired or not, or none.
func (t *table) get(key string) entry {
	id := t.find(t.hash(key), func(k []byte) bool { return string(k) == key })
	if id == 0 {
		return entry{}
	}
	return t.entry(id)
}

// put makes a copy of e the record under its key; only the indexes that change
// are touched.
func (t *table) put(e entry) {
	id, hash := t.findBytes(e.key())
	var old blockAt
	var room [2][8]uint64
	before, after := room[0][:0], t.listings(room[1][:0], e)
	if id != 0 {
		old, before = t.rows.at(id).packed, t.listings(before, t.entry(id))
	} else {
		id = t.rows.take()
		shard := t.records[hash%shards]
		*t.rows.at(id) = row{next: shard[hash]}
		shard[hash] = id
	}
	for _, h := range before {
		if !slices.Contains(after, h) {
			t.unlist(h, e.key())
		}
	}
	r := t.rows.at(id)
	r.version, r.expires, r.durable, r.packed = e.version, e.expires, e.durable, t.packed.add(id, e.packed)
	for _, h := range after {
		if !slices.Contains(before, h) {
			t.list(h, id)
		}
	}
	if old != (blockAt{}) {
		t.packed.free(old)
	}
}

// remove forgets the record under key.
func (t *table) remove(key []byte) {
	id, hash := t.findBytes(key)
	if id == 0 {
		return
	}
	for _, h := range t.listings(nil, t.entry(id)) {
		t.unlist(h, key)
	}
	t.unchain(id, hash)
	at := t.rows.at(id).packed
	t.rows.give(id)
	t.packed.free(at)
}

// unchain takes a row away from those whose keys have that hash.
func (t *table) unchain(id uint32, hash uint64) {
	shard, next := t.records[hash%shards], t.rows.at(id).next
	first := shard[hash]
	switch {
	case first != id:
		before := first
		for t.rows.at(before).next != id {
			before = t.rows.at(before).next
		}
		t.rows.at(before).next = next
	case next != 0:
		shard[hash] = next
	default:
		delete(shard, hash)
	}
}

// each calls visit for the entries of one shard, in no order, which may remove
// the one that it looks at.
func (t *table) each(shard int, visit func(entry)) {
	for _, id := range t.records[shard] {
		for id != 0 {
			next := t.rows.at(id).next
			visit(t.entry(id))
			id = next
		}
	}
}
