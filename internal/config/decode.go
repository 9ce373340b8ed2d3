package config

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"vssgate/internal/secret"
)

// A Problem is a mistake, or a warning, at its place.
type Problem struct {
	File         string
	Line, Column int
	Message      string // what is wrong, and the way out
	Warning      bool
}

func (p Problem) String() string {
	kind := ""
	if p.Warning {
		kind = "warning: "
	}
	return fmt.Sprintf("%s:%d:%d: %s%s", p.File, p.Line, p.Column, kind, p.Message)
}

// Problems are all mistakes of a file. As an error they print a line each.
type Problems []Problem

func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// A place is where a value stands in the file.
type place struct{ line, column int }

// A decoder turns YAML into a Config and remembers where everything stood.
type decoder struct {
	file     string
	dir      string // relative paths are relative to it
	places   map[string]place
	problems []Problem
}

// Load reads and checks a file. Its error is Problems, or says why the file
// cannot be read.
func Load(path string) (*Config, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w (write one with: vssgate init DIR)", err)
	}
	return Parse(path, src)
}

// Parse is Load for a file that was read already.
func Parse(path string, src []byte) (*Config, error) {
	d := &decoder{file: path, dir: filepath.Dir(path), places: map[string]place{}}
	c := Default()
	d.parse(src, c)
	d.check(c)
	slices.SortStableFunc(d.problems, func(a, b Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	var mistakes Problems
	for _, p := range d.problems {
		if p.Warning {
			c.Warnings = append(c.Warnings, p)
		} else {
			mistakes = append(mistakes, p)
		}
	}
	if len(mistakes) > 0 {
		return nil, mistakes
	}
	return c, nil
}

func (d *decoder) parse(src []byte, c *Config) {
	defer func() { // the parser is not ours; a file must never end the program
		if p := recover(); p != nil {
			d.report(place{1, 1}, false, "this is no YAML that can be read: %v", p)
		}
	}()
	file, err := parser.ParseBytes(src, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		d.syntax(err)
		return
	}
	var body ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if body != nil {
			d.report(at(doc.Body), false, "a second document in one file; a configuration is one document")
			return
		}
		body = doc.Body
	}
	if body != nil {
		d.value(body, reflect.ValueOf(c).Elem(), "")
	}
}

// syntax reports the parser's error, which knows its place.
func (d *decoder) syntax(err error) {
	where := place{1, 1}
	var located interface {
		GetToken() *token.Token
		GetMessage() string
	}
	message := strings.SplitN(err.Error(), "\n", 2)[0]
	if l, ok := err.(interface {
		GetToken() *token.Token
		GetMessage() string
	}); ok {
		located = l
		if t := located.GetToken(); t != nil && t.Position != nil {
			where = place{t.Position.Line, t.Position.Column}
		}
		message = located.GetMessage()
	}
	d.report(where, false, "not valid YAML: %s", message)
}

func (d *decoder) report(p place, warning bool, format string, args ...any) {
	d.problems = append(d.problems, Problem{d.file, max(p.line, 1), max(p.column, 1), fmt.Sprintf(format, args...), warning})
}

func at(n ast.Node) place {
	if t := n.GetToken(); t != nil && t.Position != nil {
		// A mapping's own token is its first colon: its place is its first key.
		if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 && !m.IsFlowStyle {
			return at(m.Values[0].Key)
		}
		if v, ok := n.(*ast.MappingValueNode); ok {
			return at(v.Key)
		}
		return place{t.Position.Line, t.Position.Column}
	}
	return place{1, 1}
}

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
		d.report(at(n), false, "%s: anchors, aliases and tags are not used here; write the value out", path)
		return
	case *ast.NullNode:
		if v.Kind() != reflect.Struct && v.Kind() != reflect.Pointer && v.Kind() != reflect.Slice && v.Kind() != reflect.Map {
			d.report(at(n), false, "%s has no value; leave the key out to get its default", path)
		}
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

func pairs(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch m := n.(type) {
	case *ast.MappingNode:
		return m.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{m}, true
	}
	return nil, false
}

func (d *decoder) mapping(n ast.Node, v reflect.Value, path string) {
	entries, ok := pairs(n)
	if !ok {
		d.report(at(n), false, "%s: want keys and values, like {%s: ...}", or(path, "the file"), firstKey(v.Type()))
		return
	}
	seen := map[string]place{}
	for _, e := range entries {
		key := keyOf(e)
		full := join(path, key)
		if first, twice := seen[key]; twice {
			d.report(at(e.Key), false, "%s stands here a second time; the first is in line %d", full, first.line)
			continue
		}
		seen[key] = at(e.Key)
		d.entry(e, v, path, key)
	}
}

func keyOf(e *ast.MappingValueNode) string { return e.Key.GetToken().Value }

// entry decodes one key of a struct.
func (d *decoder) entry(e *ast.MappingValueNode, v reflect.Value, path, key string) {
	full := join(path, key)
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name := f.Tag.Get("yaml")
		switch {
		case name == "-" || name == "":
		case name == key:
			d.value(e.Value, v.Field(i), full)
			return
		case f.Type == secretType && name+"_file" == key:
			d.secretFile(e, v.Field(i), join(path, name), full)
			return
		}
	}
	switch {
	case later[withoutPositions(full)]:
		d.report(at(e.Key), false, "%s is not available in this version; take it out", full)
	default:
		d.report(at(e.Key), false, "%s is unknown%s", full, nearest(key, v.Type()))
	}
}

// secretFile reads a secret from a file of its own.
func (d *decoder) secretFile(e *ast.MappingValueNode, v reflect.Value, path, full string) {
	var file string
	d.value(e.Value, reflect.ValueOf(&file).Elem(), full)
	if file == "" {
		return
	}
	if v.String() != "" {
		d.report(at(e.Key), false, "%s and %s are both given; take one out", path, full)
		return
	}
	raw, err := os.ReadFile(d.abs(file))
	if err != nil {
		d.report(at(e.Value), false, "%s: %v", full, err)
		return
	}
	content := strings.TrimRight(string(raw), "\r\n")
	if content == "" {
		d.report(at(e.Value), false, "%s: %s is empty", full, file)
		return
	}
	v.SetString(content)
	d.places[path] = at(e.Value)
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
		d.report(at(n), false, "%s: want a list, like [a, b]", path)
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

// words decodes a map of strings.
func (d *decoder) words(n ast.Node, v reflect.Value, path string) {
	entries, ok := pairs(n)
	if m, empty := n.(*ast.MappingNode); empty && len(m.Values) == 0 {
		ok = true
	}
	if !ok {
		d.report(at(n), false, "%s: want keys and values, like {VSS: vss.vn}", path)
		return
	}
	m := map[string]string{}
	for _, e := range entries {
		key := keyOf(e)
		if _, twice := m[key]; twice {
			d.report(at(e.Key), false, "%s stands here a second time", join(path, key))
			continue
		}
		var s string
		d.value(e.Value, reflect.ValueOf(&s).Elem(), join(path, key))
		m[key] = s
	}
	v.Set(reflect.ValueOf(m))
}

func (d *decoder) scalar(n ast.Node, v reflect.Value, path string) {
	switch v.Kind() {
	case reflect.String:
		switch s := n.(type) {
		case *ast.StringNode:
			v.SetString(s.Value)
			return
		case *ast.LiteralNode:
			v.SetString(s.Value.Value)
			return
		case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
			d.report(at(n), false, "%s: want text; put it in quotes: %q", path, n.GetToken().Value)
			return
		}
		d.report(at(n), false, "%s: want text", path)
	case reflect.Bool:
		if b, ok := n.(*ast.BoolNode); ok {
			v.SetBool(b.Value)
			return
		}
		d.report(at(n), false, "%s: want true or false", path)
	case reflect.Int:
		if i, ok := n.(*ast.IntegerNode); ok {
			switch x := i.Value.(type) {
			case uint64:
				if x <= 1<<31 {
					v.SetInt(int64(x))
					return
				}
			case int64:
				v.SetInt(x)
				return
			}
		}
		d.report(at(n), false, "%s: want a whole number", path)
	}
}

func (d *decoder) duration(n ast.Node, v reflect.Value, path string) {
	s, ok := n.(*ast.StringNode)
	if ok && s.Value == "" {
		return // as if it were left out
	}
	if ok {
		if t, err := time.ParseDuration(s.Value); err == nil && t >= 0 {
			v.SetInt(int64(t))
			return
		}
	}
	d.report(at(n), false, "%s: want a duration with its unit, like 30s, 2m or 1h30m", path)
}

func (d *decoder) prefix(n ast.Node, v reflect.Value, path string) {
	s, ok := n.(*ast.StringNode)
	if !ok {
		d.report(at(n), false, "%s: want an address like 192.0.2.10, 192.0.2.0/24 or \"2001:db8::/64\"", path)
		return
	}
	p, err := parsePrefix(s.Value)
	if err != nil {
		d.report(at(n), false, "%s: %q is no address; want one like 192.0.2.10, 192.0.2.0/24 or \"2001:db8::/64\"", path, s.Value)
		return
	}
	v.Set(reflect.ValueOf(p))
}

// parsePrefix reads an address or a prefix; IPv4 written as IPv6 is IPv4.
func parsePrefix(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		addr = addr.Unmap().WithZone("")
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, err
	}
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
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

// withoutPositions is a path without its list positions.
func withoutPositions(path string) string {
	var b strings.Builder
	skip := false
	for _, r := range path {
		switch {
		case r == '[':
			skip = true
		case r == ']':
			skip = false
		case !skip:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// keysOf are the keys a struct takes.
func keysOf(t reflect.Type) (keys []string) {
	for i := range t.NumField() {
		name := t.Field(i).Tag.Get("yaml")
		if name == "" || name == "-" {
			continue
		}
		keys = append(keys, name)
		if t.Field(i).Type == secretType {
			keys = append(keys, name+"_file")
		}
	}
	return keys
}

func firstKey(t reflect.Type) string { return keysOf(t)[0] }

// nearest suggests the key that was meant, or lists those there are.
func nearest(key string, t reflect.Type) string {
	best, least := "", 3
	for _, k := range keysOf(t) {
		if n := distance(key, k); n < least {
			best, least = k, n
		}
	}
	if best != "" {
		return fmt.Sprintf("; did you mean %s?", best)
	}
	return "; known here: " + strings.Join(keysOf(t), ", ")
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
