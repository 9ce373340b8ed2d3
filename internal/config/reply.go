package config

import (
	"errors"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"vssgate/internal/directory"
	"vssgate/radius/dictionary"
)

// attributes decodes RADIUS attributes by name; what they may be, the
// dictionary knows.
func (d *decoder) attributes(n ast.Node, v reflect.Value, path string) {
	entries, ok := pairs(n)
	if !ok || len(entries) == 0 {
		d.mistake(n, path, "want names and values, like {Filter-Id: admins}")
		return
	}
	var all []dictionary.AVP
	for _, e := range d.once(entries, path) {
		full := join(path, keyOf(e))
		field, err := dictionary.Reply(keyOf(e))
		if err != nil {
			d.attribute(e, full, err)
			continue
		}
		list, ok := e.Value.(*ast.SequenceNode)
		if !ok {
			all = d.avp(all, e.Value, field, full)
			continue
		}
		for i, item := range list.Values {
			all = d.avp(all, item, field, position(full, i))
		}
	}
	v.Set(reflect.ValueOf(all))
}

// avp adds one value of an attribute. What YAML takes for a number or a switch
// is no text: 0123 or true would not be sent as it stands there.
func (d *decoder) avp(all []dictionary.AVP, n ast.Node, field dictionary.Field, path string) []dictionary.AVP {
	var text string
	switch i, isNumber := n.(*ast.IntegerNode); {
	case isNumber && field.IsNumber() && wholeNumber.MatchString(i.Token.Value):
		text = i.Token.Value
	case isNumber && field.IsNumber():
		d.mistake(n, path, "want a whole number, like 3")
		return all
	default:
		d.value(n, reflect.ValueOf(&text).Elem(), path)
		if d.broken[path] {
			return all
		}
	}
	avp, err := field.Encode(text)
	if err != nil {
		d.mistake(n, path, "%v", err)
		return all
	}
	return append(all, avp)
}

// attribute reports a name that cannot be given.
func (d *decoder) attribute(e *ast.MappingValueNode, full string, err error) {
	meant, _, _ := strings.Cut(keyOf(e), ":")
	if errors.Is(err, dictionary.ErrUnknown) {
		d.report(at(e.Key), false, "%s is unknown; %s", full, mayBe(meant))
		return
	}
	d.report(at(e.Key), false, "%s %v; take it out", full, err)
}

// mayBe tells which attribute may be meant by a name that is none.
func mayBe(meant string) string {
	if likely := alike(meant); len(likely) > 0 {
		return "did you mean " + list(likely) + "?"
	}
	return "a vendor's attribute that has no name here is written by its numbers, like Attr-26.12356.1"
}

// alike are attributes whose names begin as a name does, if those are few, or
// the one that is nearest.
func alike(meant string) (likely []string) {
	for _, name := range dictionary.Names() {
		if len(meant) > 2 && len(name) > len(meant) && strings.EqualFold(name[:len(meant)], meant) {
			likely = append(likely, name)
		}
	}
	if len(likely) > 0 && len(likely) < 8 {
		return likely
	}
	if best := nearest(meant, dictionary.Names()); best != "" {
		return []string{best}
	}
	return nil
}

// roomForReply is what an answer of 4096 bytes has for attributes of ours:
// the rest is the text's and the proxies'.
const roomForReply = 3000

func (d *decoder) checkReply(k *RADIUSClient, path string) {
	size := 0
	for i := range k.Reply {
		r, at := &k.Reply[i], position(path, i)
		if d.written(at + ".group") {
			d.group(at+".group", r)
		}
		if !d.written(at + ".attributes") {
			d.wrong(at+".attributes", "is missing; want names and values, like {Filter-Id: admins}")
		}
		for _, avp := range r.Attributes {
			size += avp.Size()
		}
	}
	if size > roomForReply {
		d.wrong(path, "%d bytes of attributes; at most %d fit into an answer, should all of them match", size, roomForReply)
	}
}

func (d *decoder) group(path string, r *Reply) {
	var err error
	if r.In, err = directory.ParseGroup(r.Group); err != nil {
		d.wrong(path, "%q is no group; want its DN, or its name like vpn-admins; left out, everybody is meant", r.Group)
	}
}

// checkGroupsKnown: a directory that is asked for no groups has none.
func (d *decoder) checkGroupsKnown(c *Config, k *RADIUSClient, path string) {
	l := c.directoryOf(k.FirstFactor)
	if l == nil || l.Attributes.Groups != "" {
		return
	}
	for i := range k.Reply {
		if at := position(path, i) + ".group"; d.written(at) {
			d.wrong(at, "nobody is in it: the first factor %s has no attributes.groups to read groups from", k.FirstFactor)
		}
	}
}

// directoryOf is the directory that knows the users of a first factor; nil:
// none does.
func (c *Config) directoryOf(factor string) *LDAPDirectory {
	f := c.firstFactor(factor)
	if f != nil && f.RADIUS != nil {
		f = c.firstFactor(f.RADIUS.IdentifyWith)
	}
	if f == nil {
		return nil
	}
	return f.LDAP
}

func (c *Config) firstFactor(name string) *FirstFactor {
	for i := range c.FirstFactors {
		if c.FirstFactors[i].Name == name {
			return &c.FirstFactors[i]
		}
	}
	return nil
}
