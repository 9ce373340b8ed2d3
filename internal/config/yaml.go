package config

import (
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

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

// shallow refuses brackets and dashes without end: a line of lists in lists
// (- - - -) takes the parser all memory there is.
func (d *decoder) shallow(src []byte) bool {
	depth, dashes, line := 0, 0, 1
	for i, c := range src {
		switch c {
		case '[', '{':
			depth++
		case ']', '}':
			depth = max(depth-1, 0)
		case ' ', '\t':
			if i > 0 && (src[i-1] == '-' || src[i-1] == '?') {
				dashes++
			}
		case '\n':
			line, dashes = line+1, 0
		}
		if depth > deepest || dashes > deepest {
			d.report(place{line, 1}, false, "more than %d brackets are open here, or dashes in a row; is it a configuration?", deepest)
			return false
		}
	}
	return true
}

// hints are ways out of what the parser says.
var hints = []struct{ said, hint string }{
	{"cannot start any token", "indent with spaces; a value that begins with a special character needs quotes"},
	{"tab character", "indent with spaces"},
	{"mapping value is not allowed", "is the line indented like its neighbours? A value with a colon in it needs quotes"},
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
