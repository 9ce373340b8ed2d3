package config

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"vssgate/internal/secret"
)

// A place is where a value stands in the file.
type place struct{ line, column int }

// A decoder turns YAML into a Config and remembers where everything stood.
//
// It walks the syntax tree itself: the library's decoder ends at the first
// mistake and does not know the place of every value.
type decoder struct {
	file       string
	dir        string           // relative paths are relative to it
	places     map[string]place // of the values that are written, by path
	broken     map[string]bool  // paths already told of: nothing more is said below them
	problems   Problems
	secretless bool // do not read files of secrets
}

// largest bounds what is given to the parser.
const largest = 1 << 20

// parse reads src into c. It tells whether there was a syntax tree at all:
// without one there is nothing more to be checked.
func (d *decoder) parse(src []byte, c *Config) (ok bool) {
	if len(src) > largest {
		d.report(place{1, 1}, false, "the file has more than %d bytes; is it a configuration?", largest)
		return false
	}
	src = []byte(strings.TrimPrefix(string(src), "\ufeff")) // some editors begin a file so
	if !d.printable(src) {
		return false
	}
	body, ok := d.tree(src)
	if ok && body != nil {
		d.value(body, reflect.ValueOf(c).Elem(), "")
	}
	return ok
}

// printable refuses what YAML 1.2 section 5.1 keeps out of a file. The parser
// would replace some of it in silence, also inside a secret.
func (d *decoder) printable(src []byte) bool {
	where := place{1, 1}
	for len(src) > 0 {
		r, size := utf8.DecodeRune(src)
		switch {
		case r == utf8.RuneError && size == 1:
			d.report(where, false, "the file is not UTF-8 here; save it as UTF-8")
			return false
		case r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0x7f:
			d.report(where, false, "a control character (%#02x) stands here; take it out", r)
			return false
		case r == '\n':
			where = place{where.line + 1, 0}
		}
		where.column++
		src = src[size:]
	}
	return true
}

// tree is the only document of src; nil when it is empty.
func (d *decoder) tree(src []byte) (body ast.Node, ok bool) {
	defer func() { // the parser is not ours; a file must never end the program
		if recover() != nil {
			d.report(place{1, 1}, false, "this is no YAML that can be read")
			body, ok = nil, false
		}
	}()
	if !d.shallow(src) {
		return nil, false
	}
	file, err := parser.ParseBytes(src, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		d.syntax(err)
		return nil, false
	}
	for _, doc := range file.Docs {
		if _, directive := doc.Body.(*ast.DirectiveNode); directive || doc.Body == nil {
			continue
		}
		if body != nil {
			d.report(at(doc.Body), false, "a second document begins here; a configuration is one document")
			return nil, false
		}
		body = doc.Body
	}
	return body, true
}

// deepest is far more than the deepest key needs; brackets in texts count too.
const deepest = 200

// shallow refuses brackets without end, on which the parser takes its time.
func (d *decoder) shallow(src []byte) bool {
	depth, line := 0, 1
	for _, c := range src {
		switch c {
		case '[', '{':
			depth++
		case ']', '}':
			depth = max(depth-1, 0)
		case '\n':
			line++
		}
		if depth > deepest {
			d.report(place{line, 1}, false, "more than %d brackets are open here; close them", deepest)
			return false
		}
	}
	return true
}

// hints are ways out of what the parser says.
var hints = []struct{ said, hint string }{
	{"cannot start any token", "indent with spaces; a value that begins with a special character needs quotes"},
	{"tab character", "indent with spaces"},
	{"mapping value is not allowed", "is the line indented like its neighbours? A value with \": \" in it needs quotes"},
	{"reserved character", "put the value in quotes"},
	{"directive value", "put the value in quotes"},
	{"alias name", "put the value in quotes"},
	{"anchor", "put the value in quotes"},
	{"non-map value", "is a colon missing, or the space after it?"},
	{"unexpected key name", "is a colon missing, or the space after it?"},
	{"could not find end character", "is the closing quote missing?"},
	{"unknown escape", "write \\\\ for a backslash, or use single quotes"},
}

// syntax reports the parser's error, which knows its place.
func (d *decoder) syntax(err error) {
	where, said := place{1, 1}, "this is no YAML that can be read"
	if e, ok := err.(interface {
		GetToken() *token.Token
		GetMessage() string
	}); ok {
		if t := e.GetToken(); t != nil && t.Position != nil {
			where = place{t.Position.Line, t.Position.Column}
		}
		said, _, _ = strings.Cut(e.GetMessage(), `"`) // it would quote a value
		said = strings.ReplaceAll(strings.TrimSpace(said), "\t", "TAB")
	}
	for _, h := range hints {
		if strings.Contains(said, h.said) {
			said += "; " + h.hint
			break
		}
	}
	d.report(where, false, "not valid YAML: %s", said)
}

func (d *decoder) report(p place, warning bool, format string, args ...any) {
	d.problems = append(d.problems, Problem{d.file, max(p.line, 1), max(p.column, 1), fmt.Sprintf(format, args...), warning})
}

// mistake reports that the value of path, at n, cannot be what is wanted.
func (d *decoder) mistake(n ast.Node, path, format string, args ...any) {
	d.broken[path] = true
	d.report(at(n), false, "%s: %s", or(path, "the file"), fmt.Sprintf(format, args...))
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
	case v.Kind() == reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		if def, ok := p.Interface().(hasDefaults); ok {
			def.setDefaults()
		}
		v.Set(p)
		d.value(n, p.Elem(), path)
	case v.Kind() == reflect.Struct:
		d.mapping(n, v, path)
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
		d.mistake(n, path, "this has no value; write {} for its defaults, or leave it out")
	case v.Kind() != reflect.Struct && v.Kind() != reflect.Slice && v.Kind() != reflect.Map, v.Type() == prefixType:
		d.mistake(n, path, "this has no value; leave it out to get its default")
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
	content, err := os.ReadFile(d.abs(given))
	if err != nil {
		d.mistake(e.Value, full, "%v", err)
	} else if content = []byte(strings.TrimRight(string(content), "\r\n")); len(content) == 0 {
		d.mistake(e.Value, full, "%s is empty; write the secret into it", given)
	} else {
		d.places[path] = at(e.Value)
		v.SetString(string(content))
		d.private(full, d.abs(given), 0o007)
		if strings.TrimSpace(string(content)) != string(content) {
			d.warn(full, "%s begins or ends with a space, which belongs to the secret", given)
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
