package config

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"reflect"
	"strings"
	"time"
	"unicode"

	"github.com/goccy/go-yaml/ast"

	"vssgate/internal/secret"
	"vssgate/radius/dictionary"
)

// A place is where a value stands in the file.
type place struct{ line, column int }

// A decoder turns YAML into a Config and remembers where everything stood.
//
// It walks the syntax tree itself: the library's decoder ends at the first
// mistake and does not know the place of every value.
type decoder struct {
	file       string
	dir        string            // relative paths are relative to it
	places     map[string]place  // of the values that are written, by path
	from       map[string]string // files that secrets were read from, by the secret's path
	broken     map[string]bool   // paths already told of: nothing more is said below them
	problems   Problems
	secretless bool // do not read files of secrets
}

// report keeps a message to one line and to what a terminal only shows.
func (d *decoder) report(p place, warning bool, format string, args ...any) {
	message := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '\ufffd'
	}, fmt.Sprintf(format, args...))
	d.problems = append(d.problems, Problem{d.file, max(p.line, 1), max(p.column, 1), message, warning})
}

// mistake reports that the value of path, at n, cannot be what is wanted.
func (d *decoder) mistake(n ast.Node, path, format string, args ...any) {
	d.broken[path] = true
	d.report(at(n), false, about(or(path, "the file"), format), args...)
}

// at is where n begins.
func at(n ast.Node) place {
	switch m := n.(type) {
	case *ast.MappingNode: // its own token is its first colon
		if len(m.Values) > 0 && !m.IsFlowStyle {
			return at(m.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return at(m.Key)
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return place{t.Position.Line, t.Position.Column}
	}
	return place{1, 1}
}

// hasDefaults is what stands in lists, or is there only when it is written.
type hasDefaults interface{ setDefaults() }

var (
	durationType = reflect.TypeFor[time.Duration]()
	secretType   = reflect.TypeFor[secret.Secret]()
	prefixType   = reflect.TypeFor[netip.Prefix]()
	avpsType     = reflect.TypeFor[[]dictionary.AVP]()
	wordsType    = reflect.TypeFor[Words]()
)

// value decodes n into v and notes its place under path.
func (d *decoder) value(n ast.Node, v reflect.Value, path string) {
	d.places[path] = at(n)
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		d.mistake(n, path, "anchors, aliases and tags are not used here; write the value out, in quotes if it begins with &, * or !")
		return
	case *ast.NullNode:
		d.nothing(n, v, path)
		return
	}
	switch {
	case v.Type() == durationType:
		d.duration(n, v, path)
	case v.Type() == prefixType:
		d.prefix(n, v, path)
	case v.Type() == avpsType:
		d.attributes(n, v, path)
	case v.Kind() == reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		if def, ok := p.Interface().(hasDefaults); ok {
			def.setDefaults()
		}
		v.Set(p)
		d.value(n, p.Elem(), path)
	case v.Kind() == reflect.Struct:
		d.mapping(n, v, path)
	case v.Type() == wordsType && n.Type() != ast.SequenceType:
		word := reflect.MakeSlice(wordsType, 1, 1)
		d.value(n, word.Index(0), path)
		v.Set(word)
	case v.Kind() == reflect.Slice:
		d.sequence(n, v, path)
	case v.Kind() == reflect.Map:
		d.words(n, v, path)
	default:
		d.scalar(n, v, path)
	}
}

// nothing is a key without a value: a section or list whose lines are all
// commented out is as if it were left out. What is switched on by being there
// must not be left out by mistake.
func (d *decoder) nothing(n ast.Node, v reflect.Value, path string) {
	switch {
	case path == "":
	case v.Kind() == reflect.Pointer:
		d.mistake(n, path, "has no value; write {} for its defaults, or leave it out")
	case v.Kind() != reflect.Struct && v.Kind() != reflect.Slice && v.Kind() != reflect.Map, v.Type() == prefixType:
		d.mistake(n, path, "has no value; leave it out to get its default")
	}
}

func pairs(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch m := n.(type) {
	case *ast.MappingNode:
		return m.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{m}, true
	}
	return nil, false
}

func keyOf(e *ast.MappingValueNode) string {
	t := e.Key.GetToken()
	if t == nil || t.Value == "" {
		return `""`
	}
	return t.Value
}

func (d *decoder) mapping(n ast.Node, v reflect.Value, path string) {
	entries, ok := pairs(n)
	if !ok {
		d.mistake(n, path, "want keys and values, like {%s: ...}", keysOf(v.Type())[0])
		return
	}
	for _, e := range d.once(entries, path) {
		d.entry(e, v, path)
	}
}

// once are the entries, without those whose key stood there before.
func (d *decoder) once(entries []*ast.MappingValueNode, path string) (kept []*ast.MappingValueNode) {
	seen := map[string]int{}
	for _, e := range entries {
		key := keyOf(e)
		if line, twice := seen[key]; twice {
			d.report(at(e.Key), false, "%s stands here a second time, the first is in line %d; keep one", join(path, key), line)
			continue
		}
		seen[key] = at(e.Key).line
		kept = append(kept, e)
	}
	return kept
}

// entry decodes one key of a struct.
func (d *decoder) entry(e *ast.MappingValueNode, v reflect.Value, path string) {
	key := keyOf(e)
	for f := range fieldsOf(v.Type()) {
		name, field := f.Tag.Get("yaml"), v.FieldByIndex(f.Index)
		switch {
		case f.Type == secretType && (name == key || name+"_file" == key):
			d.secret(e, field, join(path, name), join(path, key))
			return
		case name == key:
			d.value(e.Value, field, join(path, key))
			return
		}
	}
	d.unknown(e, v.Type(), path, key)
}

// secret decodes a secret that is written, or in a file of its own.
func (d *decoder) secret(e *ast.MappingValueNode, v reflect.Value, path, full string) {
	var given string
	d.value(e.Value, reflect.ValueOf(&given).Elem(), full)
	d.broken[path] = d.broken[path] || d.broken[full]
	switch {
	case given == "" || d.secretless:
		return
	case v.String() != "" || d.broken[path]:
		if !d.broken[path] {
			d.report(at(e.Key), false, "%s and %s_file are both given; take one out", path, path)
		}
		return
	case full == path:
		v.SetString(given)
		return
	}
	content, err := readFile(d.abs(given))
	if err != nil {
		d.mistake(e.Value, full, "%v; want the path of a file that holds the secret", withoutPath(err))
	} else if content = []byte(strings.TrimRight(string(content), "\r\n")); len(content) == 0 {
		d.mistake(e.Value, full, "the file is empty; write the secret into it")
	} else {
		d.places[path], d.from[path] = at(e.Value), d.abs(given)
		v.SetString(string(content))
		d.private(full, d.abs(given), 0o007)
		if strings.TrimSpace(string(content)) != string(content) {
			d.warn(full, "the file begins or ends with a space, which belongs to the secret")
		}
	}
	d.broken[path] = d.broken[full]
}

// abs makes a path relative to the configuration's folder absolute.
func (d *decoder) abs(file string) string {
	if file == "" || filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(d.dir, file)
}

func (d *decoder) sequence(n ast.Node, v reflect.Value, path string) {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		d.mistake(n, path, "want a list, like [a, b]")
		return
	}
	list := reflect.MakeSlice(v.Type(), len(s.Values), len(s.Values))
	for i, item := range s.Values {
		if def, ok := list.Index(i).Addr().Interface().(hasDefaults); ok {
			def.setDefaults()
		}
		d.value(item, list.Index(i), fmt.Sprintf("%s[%d]", path, i))
	}
	v.Set(list)
}

// words decodes a map of texts.
func (d *decoder) words(n ast.Node, v reflect.Value, path string) {
	entries, ok := pairs(n)
	if !ok {
		d.mistake(n, path, "want names and what they stand for, like {VSS: vss.vn}")
		return
	}
	m := map[string]string{}
	for _, e := range d.once(entries, path) {
		var s string
		d.value(e.Value, reflect.ValueOf(&s).Elem(), join(path, keyOf(e)))
		m[keyOf(e)] = s
	}
	v.Set(reflect.ValueOf(m))
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
