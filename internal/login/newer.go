package login

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
)

// EncodeOver is v, a struct, as JSON, to be written over old: with those fields of
// old that a newer version has added and v's type does not know, as they came. Old
// is what v was read from, nil where v is new. An element of a list keeps its own
// fields if nothing that is known of it has changed, or it alone stands where it was.
func EncodeOver(old []byte, v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil || len(old) == 0 {
		return b, err
	}
	known := reflect.New(reflect.Indirect(reflect.ValueOf(v)).Type()).Interface()
	if err := json.Unmarshal(old, known); err != nil {
		return nil, err
	}
	asKnown, err := json.Marshal(known)
	if err != nil || bytes.Equal(old, asKnown) { // all of it is known, as nearly always
		return b, err
	}
	var trees [3]any
	for i, b := range [][]byte{old, asKnown, b} {
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber()
		if err := d.Decode(&trees[i]); err != nil {
			return nil, err
		}
	}
	addUnknown(trees[0], trees[1], trees[2])
	return json.Marshal(trees[2])
}

// addUnknown adds to now what is in old and not in known, which is old as this
// version understands it.
func addUnknown(old, known, now any) {
	switch old := old.(type) {
	case map[string]any:
		known, _ := known.(map[string]any)
		now, _ := now.(map[string]any)
		for k, v := range old {
			_, knows := known[k]
			_, has := now[k]
			switch {
			case knows && has:
				addUnknown(v, known[k], now[k])
			case !knows && !has && now != nil:
				now[k] = v
			}
		}
	case []any:
		known, _ := known.([]any)
		now, _ := now.([]any)
		for i := range min(len(old), len(known)) {
			if at := sameElement(now, known, i); at >= 0 {
				addUnknown(old[i], known[i], now[at])
			}
		}
	}
}

// sameElement is where element i of known is in now; -1: nowhere.
func sameElement(now, known []any, i int) int {
	for at := range now {
		if reflect.DeepEqual(now[at], known[i]) {
			return at
		}
	}
	if len(now) != len(known) || slices.ContainsFunc(known, func(other any) bool { return reflect.DeepEqual(other, now[i]) }) {
		return -1
	}
	return i
}
