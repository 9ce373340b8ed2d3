package store

import (
	"hash/maphash"
	"slices"
	"sort"
	"strings"

	"vssgate/internal/login"
)

// A table holds records in memory by key and by index. It knows neither locks
// nor time. It is made for hundreds of thousands of records: one allocation
// holds a record's key, index names and value, and an index is known by a hash
// of its name, which is looked up in the record itself before it counts.
type table struct {
	seed    maphash.Seed
	records [shards]map[string]*entry
	single  map[uint64]*entry // hash of an index name -> the only record there
	several map[uint64]*list  // the same, where there are more
}

// shards is into how many parts keys are divided, so that a sweep can look at
// one part at a time.
const shards = 256

// An entry is one record, or, where its value is elsewhere, the listing of one. Its fields change only with the table's lock held;
// packed never changes, so strings cut from it may be handed out.
type entry struct {
	packed  string // key, index names, value: see pack.go
	version uint64
	expires int64
	durable bool // it is on disk as well
}

// newEntry packs r, which checkRecord has seen.
func newEntry(r login.Record, version uint64) *entry {
	var b strings.Builder
	b.Grow(1 + len(r.Key) + sizeNames(r.Indexes) + len(r.Value))
	writeName(&b, r.Key)
	b.WriteByte(byte(len(r.Indexes)))
	for _, name := range r.Indexes {
		writeName(&b, name)
	}
	b.Write(r.Value)
	return &entry{packed: b.String(), version: version, expires: nanos(r.Expires), durable: r.Durable}
}

func writeName(b *strings.Builder, name string) {
	b.WriteByte(byte(len(name)))
	b.WriteString(name)
}

func (e *entry) key() string { return e.packed[1 : 1+e.packed[0]] }

// names are the indexes that list e.
func (e *entry) names() []string {
	names, _, _ := cutNames(e.packed[1+e.packed[0]:])
	return names
}

// lists tells whether e is listed under name, without an allocation.
func (e *entry) lists(name string) bool {
	s := e.packed[1+e.packed[0]:]
	n := int(s[0])
	s = s[1:]
	for range n {
		if s[1:1+s[0]] == name {
			return true
		}
		s = s[1+s[0]:]
	}
	return false
}

// listing is e without its value.
func (e *entry) listing() *entry {
	_, value, _ := cutNames(e.packed[1+e.packed[0]:])
	l := *e
	l.packed = strings.Clone(e.packed[:len(e.packed)-len(value)])
	return &l
}

// record is e as callers see it, with a value of their own.
func (e *entry) record(now int64) login.Record {
	names, value, _ := cutNames(e.packed[1+e.packed[0]:])
	return login.Record{
		Key: e.key(), Value: []byte(value), Version: e.version, Indexes: names,
		Expires: instant(e.expires), Durable: e.durable, Read: instant(now),
	}
}

func newTable() *table {
	t := &table{seed: maphash.MakeSeed(), single: map[uint64]*entry{}, several: map[uint64]*list{}}
	for i := range t.records {
		t.records[i] = map[string]*entry{}
	}
	return t
}

func (t *table) hash(s string) uint64 { return maphash.String(t.seed, s) }

func (t *table) shard(key string) map[string]*entry { return t.records[t.hash(key)%shards] }

// get returns the entry under key, expired or not, or nil.
func (t *table) get(key string) *entry { return t.shard(key)[key] }

// put makes e the record under its key.
func (t *table) put(e *entry) {
	shard := t.shard(e.key())
	if old := shard[e.key()]; old != nil {
		t.replace(old, e)
		return
	}
	shard[e.key()] = e
	for _, h := range t.hashes(e) {
		t.list(h, e)
	}
}

// replace lets the old entry become the new one in place; only the lists that
// differ are touched.
func (t *table) replace(old, e *entry) {
	before, after := t.hashes(old), t.hashes(e)
	for _, h := range before {
		if !slices.Contains(after, h) {
			t.unlist(h, old)
		}
	}
	shard := t.shard(old.key())
	delete(shard, old.key()) // the map must not keep the old packed alive by its key
	*old = *e
	shard[old.key()] = old
	for _, h := range after {
		if !slices.Contains(before, h) {
			t.list(h, old)
		}
	}
}

// remove forgets the record under key.
func (t *table) remove(key string) {
	shard := t.shard(key)
	e := shard[key]
	if e == nil {
		return
	}
	for _, h := range t.hashes(e) {
		t.unlist(h, e)
	}
	delete(shard, key)
}

// hashes of e's index names, each once: different names may share one.
func (t *table) hashes(e *entry) []uint64 {
	names := e.names()
	hashes := make([]uint64, 0, len(names))
	for _, name := range names {
		if h := t.hash(name); !slices.Contains(hashes, h) {
			hashes = append(hashes, h)
		}
	}
	return hashes
}

func (t *table) list(h uint64, e *entry) {
	if l := t.several[h]; l != nil {
		l.insert(e)
		return
	}
	one := t.single[h]
	if one == nil {
		t.single[h] = e
		return
	}
	l := &list{}
	l.insert(one)
	l.insert(e)
	delete(t.single, h)
	t.several[h] = l
}

func (t *table) unlist(h uint64, e *entry) {
	l := t.several[h]
	if l == nil {
		delete(t.single, h)
		return
	}
	l.remove(e)
	if l.size == 1 {
		t.single[h] = l.parts[0][0]
		delete(t.several, h)
	}
}

// walk calls visit for the entries under name, in ascending order of key, from
// the first key after `after` on, until visit returns false.
func (t *table) walk(name, after string, visit func(*entry) bool) {
	h := t.hash(name)
	if e := t.single[h]; e != nil && e.key() > after && e.lists(name) {
		visit(e)
	}
	if l := t.several[h]; l != nil {
		l.walk(after, func(e *entry) bool { return !e.lists(name) || visit(e) })
	}
}

// A list holds entries in ascending order of key, in parts that are short
// enough to insert into.
type list struct {
	parts [][]*entry
	size  int
}

const maxPart = 256

// place finds the part and the position where key is or would be.
func (l *list) place(key string) (part, pos int) {
	part = sort.Search(len(l.parts), func(i int) bool {
		p := l.parts[i]
		return p[len(p)-1].key() >= key
	})
	if part == len(l.parts) {
		return part, 0
	}
	p := l.parts[part]
	return part, sort.Search(len(p), func(i int) bool { return p[i].key() >= key })
}

func (l *list) insert(e *entry) {
	l.size++
	if len(l.parts) == 0 {
		l.parts = [][]*entry{{e}}
		return
	}
	part, pos := l.place(e.key())
	if part == len(l.parts) {
		part--
		pos = len(l.parts[part])
	}
	p := slices.Insert(l.parts[part], pos, e)
	if len(p) < maxPart {
		l.parts[part] = p
		return
	}
	half := len(p) / 2
	l.parts[part] = slices.Clone(p[:half])
	l.parts = slices.Insert(l.parts, part+1, slices.Clone(p[half:]))
}

func (l *list) remove(e *entry) {
	part, pos := l.place(e.key())
	if part == len(l.parts) || l.parts[part][pos] != e {
		return
	}
	l.size--
	l.parts[part] = slices.Delete(l.parts[part], pos, pos+1)
	if len(l.parts[part]) == 0 {
		l.parts = slices.Delete(l.parts, part, part+1)
	}
}

func (l *list) walk(after string, visit func(*entry) bool) {
	part, pos := l.place(after)
	for ; part < len(l.parts); part, pos = part+1, 0 {
		for _, e := range l.parts[part][pos:] {
			if e.key() > after && !visit(e) {
				return
			}
		}
	}
}
