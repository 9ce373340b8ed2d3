package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// unknown reports a key that a struct does not take, and what may be meant.
func (d *decoder) unknown(e *ast.MappingValueNode, t reflect.Type, path, key string) {
	full := join(path, key)
	switch e.Key.(type) {
	case *ast.StringNode, *ast.IntegerNode, *ast.BoolNode, *ast.NullNode, *ast.FloatNode:
	default:
		d.report(at(e.Key), false, "%s: only plain keys are used here; write the key out", or(path, "the file"))
		return
	}
	if best := nearest(key, keysOf(t)); best != "" {
		d.broken[join(path, best)], d.broken[join(path, strings.TrimSuffix(best, "_file"))] = true, true // not missing: misspelt
		d.report(at(e.Key), false, "%s is unknown; did you mean %s?", full, best)
		return
	}
	if elsewhere := placesOf(key); len(elsewhere) > 0 {
		d.report(at(e.Key), false, "%s is unknown; did you mean %s?", full, strings.Join(elsewhere, " or "))
		return
	}
	d.report(at(e.Key), false, "%s is unknown; known here: %s", full, strings.Join(keysOf(t), ", "))
}

// keysOf are the keys a struct takes.
func keysOf(t reflect.Type) (keys []string) {
	for f := range fieldsOf(t) {
		keys = append(keys, f.Tag.Get("yaml"))
		if f.Type == secretType {
			keys = append(keys, f.Tag.Get("yaml")+"_file")
		}
	}
	return keys
}

// fieldsOf are the fields that have a key.
func fieldsOf(t reflect.Type) func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			if f := t.Field(i); f.Tag.Get("yaml") != "" && f.Tag.Get("yaml") != "-" && !yield(f) {
				return
			}
		}
	}
}

// allKeys are all keys that are accepted, as paths without list positions.
var allKeys = keysBelow(reflect.TypeFor[Config](), "")

func keysBelow(t reflect.Type, path string) (all []string) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t == prefixType {
		return nil
	}
	for f := range fieldsOf(t) {
		full := join(path, f.Tag.Get("yaml"))
		all = append(all, full)
		if f.Type == secretType {
			all = append(all, full+"_file")
		}
		all = append(all, keysBelow(f.Type, full)...)
	}
	return all
}

// placesOf finds where a key would be at home, unless there are too many such
// places to be of help.
func placesOf(key string) (found []string) {
	for _, path := range allKeys {
		if path[strings.LastIndexByte(path, '.')+1:] == key {
			found = append(found, path)
		}
	}
	if len(found) > 3 {
		return nil
	}
	return found
}

// nearest is the name that was meant, if one is like enough; that of the fewest
// changes.
func nearest(meant string, names []string) (best string) {
	plain := strings.NewReplacer("-", "", "_", "", " ", "")
	fold := func(s string) string { return strings.ToLower(plain.Replace(s)) }
	least := min(2, len(meant)/2) + 1
	for _, k := range names {
		if n := distance(fold(meant), fold(k)); n < least {
			best, least = k, n
		}
	}
	return best
}

// distance is how many letters must be changed, added or left out.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		last := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := last
			if a[i-1] != b[j-1] {
				cost++
			}
			last = row[j]
			row[j] = min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}

// withoutPositions is a path without its list positions.
func withoutPositions(path string) string {
	parts := strings.Split(path, "[")
	for i, p := range parts[1:] {
		_, parts[i+1], _ = strings.Cut(p, "]")
	}
	return strings.Join(parts, "")
}

// list writes names as a sentence has them: a, b or c.
func list(names []string) string {
	if n := len(names); n > 1 {
		return fmt.Sprintf("%s or %s", strings.Join(names[:n-1], ", "), names[n-1])
	}
	return strings.Join(slices.Clone(names), "")
}
