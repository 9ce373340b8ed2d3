package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"vssgate/internal/login"
)

// Limits of what one record may be. Lengths are packed into one byte each.
const (
	maxKey     = 200
	maxName    = 255
	maxIndexes = 255
	maxValue   = 1 << 20 // far more than anything that is kept; bounds what a damaged file can ask for
)

// errPacked is what a decoder says of bytes that no encoder of ours made.
var errPacked = errors.New("damaged record")

// checkKey refuses keys that the interface does not allow.
func checkKey(key string) error {
	if key == "" || len(key) > maxKey {
		return fmt.Errorf("a key has 1 to %d bytes, not %d", maxKey, len(key))
	}
	return nil
}

// checkRecord refuses records that cannot be packed, and drops index names
// that are given twice.
func checkRecord(r *login.Record) error {
	if err := checkKey(r.Key); err != nil {
		return err
	}
	if len(r.Value) > maxValue {
		return fmt.Errorf("the value of record %s has %d bytes, more than %d", r.Key, len(r.Value), maxValue)
	}
	r.Indexes = unique(r.Indexes)
	if len(r.Indexes) > maxIndexes {
		return fmt.Errorf("record %s is listed in %d indexes, more than %d", r.Key, len(r.Indexes), maxIndexes)
	}
	for _, name := range r.Indexes {
		if name == "" || len(name) > maxName {
			return fmt.Errorf("an index name of record %s has %d bytes, not 1 to %d", r.Key, len(name), maxName)
		}
	}
	return nil
}

// unique leaves names as it is unless one comes twice.
func unique(names []string) []string {
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			return union(nil, names)
		}
	}
	return names
}

// union is a fresh slice of the names of both, each once.
func union(a, b []string) []string {
	all := make([]string, 0, len(a)+len(b))
	for _, names := range [2][]string{a, b} {
		for _, name := range names {
			if !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
	}
	return all
}

// appendNames packs names: how many, then each with its length before it.
func appendNames(b []byte, names []string) []byte {
	b = append(b, byte(len(names)))
	for _, name := range names {
		b = append(b, byte(len(name)))
		b = append(b, name...)
	}
	return b
}

// packKeys is any number of keys, each behind its length.
func packKeys(keys []string) string {
	var b []byte
	for _, key := range keys {
		b = append(b, byte(len(key)))
		b = append(b, key...)
	}
	return string(b)
}

// sizeNames is how many bytes appendNames adds.
func sizeNames(names []string) int {
	n := 1
	for _, name := range names {
		n += 1 + len(name)
	}
	return n
}

// cutNames reads what appendNames wrote and returns what follows it. The names
// share s's memory.
func cutNames(s string) (names []string, rest string, err error) {
	if s == "" {
		return nil, "", errPacked
	}
	n := int(s[0])
	s = s[1:]
	if n > 0 {
		names = make([]string, 0, n)
	}
	for range n {
		var name string
		if name, s, err = cutName(s); err != nil {
			return nil, "", err
		}
		names = append(names, name)
	}
	return names, s, nil
}

func cutName(s string) (name, rest string, err error) {
	if s == "" || len(s) < 1+int(s[0]) {
		return "", "", errPacked
	}
	return s[1 : 1+int(s[0])], s[1+int(s[0]):], nil
}

// appendEntry writes e as it lies on disk: version, expiry in nanoseconds, and
// the packed key, names and value.
func appendEntry(b []byte, e entry) []byte {
	b = binary.BigEndian.AppendUint64(b, e.version)
	b = binary.BigEndian.AppendUint64(b, uint64(e.expires))
	return append(b, e.packed...)
}

// parseEntry reads what appendEntry wrote. The entry is part of raw.
func parseEntry(raw []byte) (entry, error) {
	r, err := parseRecord(raw)
	if err != nil {
		return entry{}, err
	}
	return entry{version: r.Version, expires: int64(binary.BigEndian.Uint64(raw[8:])), packed: raw[16:]}, nil
}

// parseRecord reads the same as callers see it. The value is part of raw.
func parseRecord(raw []byte) (r login.Record, err error) {
	if len(raw) < 16 {
		return r, errPacked
	}
	packed := raw[16:]
	head := string(packed[:sizeHead(packed)])
	key, rest, err := cutName(head)
	if err != nil {
		return r, err
	}
	names, rest, err := cutNames(rest)
	if err != nil {
		return r, err
	}
	if rest != "" || len(packed)-len(head) > maxValue {
		return r, errPacked
	}
	r = login.Record{
		Key: key, Value: packed[len(head):], Version: binary.BigEndian.Uint64(raw), Indexes: names,
		Expires: instant(int64(binary.BigEndian.Uint64(raw[8:]))),
	}
	return r, checkRecord(&r)
}

// sizeHead is how many bytes key and index names take in front of a value, or
// all of them where they should take more.
func sizeHead(packed []byte) int {
	at := 0
	skip := func(n int) { at = min(at+n, len(packed)) }
	length := func() (n int) {
		if at < len(packed) {
			n = int(packed[at])
		}
		skip(1)
		return n
	}
	skip(length())
	for range length() {
		skip(length())
	}
	return at
}
