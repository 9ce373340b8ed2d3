package store

import (
	"slices"

	"vssgate/internal/login"
)

// An entry is one record, or, where its value is elsewhere, the listing of one.
// One that a table answers is part of the table and good as long as the table
// is locked and unchanged; what callers of the store get is copied from it.
type entry struct {
	packed  []byte // key, index names, value: see pack.go
	version uint64
	expires int64
	durable bool // it is on disk as well
}

// newEntry packs r, which checkRecord has seen, into room if there is enough.
func newEntry(room []byte, r login.Record, version uint64) entry {
	packed := slices.Grow(room[:0], 1+len(r.Key)+sizeNames(r.Indexes)+len(r.Value))
	packed = append(append(packed, byte(len(r.Key))), r.Key...)
	packed = append(appendNames(packed, r.Indexes), r.Value...)
	return entry{packed: packed, version: version, expires: nanos(r.Expires), durable: r.Durable}
}

// none: there is no record.
func (e entry) none() bool { return e.packed == nil }

func (e entry) key() []byte { return e.packed[1:][:e.packed[0]] }

// head is key and index names.
func (e entry) head() []byte { return e.packed[:sizeHead(e.packed)] }

// names are the indexes that list e.
func (e entry) names() []string {
	if e.none() {
		return nil
	}
	names, _, _ := cutNames(string(e.head()[1+int(e.packed[0]):]))
	return names
}

// lists tells whether e is listed under name, without an allocation.
func (e entry) lists(name string) bool {
	for s := range e.eachName {
		if string(s) == name {
			return true
		}
	}
	return false
}

// eachName yields the index names one after the other, without an allocation.
func (e entry) eachName(yield func([]byte) bool) {
	if e.none() {
		return
	}
	s := e.packed[1+int(e.packed[0]):]
	n := int(s[0])
	s = s[1:]
	for range n {
		name := s[1:][:s[0]]
		if !yield(name) {
			return
		}
		s = s[1+len(name):]
	}
}

// listing is e without its value.
func (e entry) listing() entry {
	e.packed = e.head()
	return e
}

// record is e as callers see it, with a value of their own.
func (e entry) record(now int64) login.Record {
	head := string(e.head())
	key, rest, _ := cutName(head)
	names, _, _ := cutNames(rest)
	return login.Record{
		Key: key, Value: append([]byte{}, e.packed[len(head):]...), Version: e.version, Indexes: names,
		Expires: instant(e.expires), Durable: e.durable, Read: instant(now),
	}
}
