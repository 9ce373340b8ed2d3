package config

import (
	"net/netip"
	"reflect"
	"regexp"
	"strconv"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// scalar decodes texts, switches and numbers. What is wrong is not quoted: it
// may be a secret.
func (d *decoder) scalar(n ast.Node, v reflect.Value, path string) {
	switch v.Kind() {
	case reflect.String:
		d.text(n, v, path)
	case reflect.Bool:
		if b, ok := n.(*ast.BoolNode); ok {
			v.SetBool(b.Value)
			return
		}
		d.mistake(n, path, "want true or false")
	case reflect.Int:
		d.number(n, v, path)
	}
}

func (d *decoder) text(n ast.Node, v reflect.Value, path string) {
	switch s := n.(type) {
	case *ast.StringNode:
		v.SetString(s.Value)
	case *ast.LiteralNode:
		v.SetString(s.Value.Value)
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		d.mistake(n, path, "want text; put it in quotes")
	case *ast.MappingNode, *ast.MappingValueNode: // within several braces the parser takes any colon for a key's
		d.mistake(n, path, "want text; if it has a colon in it, put it in quotes")
	default:
		d.mistake(n, path, "want text")
	}
}

// wholeNumber is what every reader takes for the same number: 010 and 1_000
// are other numbers, or none, in YAML 1.1.
var wholeNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)

func (d *decoder) number(n ast.Node, v reflect.Value, path string) {
	if i, ok := n.(*ast.IntegerNode); ok && wholeNumber.MatchString(i.Token.Value) {
		if x, err := strconv.ParseInt(i.Token.Value, 10, 32); err == nil {
			v.SetInt(x)
			return
		}
	}
	d.mistake(n, path, "want a whole number, like 3")
}

func (d *decoder) duration(n ast.Node, v reflect.Value, path string) {
	s, ok := n.(*ast.StringNode)
	if ok && s.Value == "" {
		delete(d.places, path) // as if it were left out
		return
	}
	if ok {
		if t, err := time.ParseDuration(s.Value); err == nil && t >= 0 {
			v.SetInt(int64(t))
			return
		}
	}
	d.mistake(n, path, "want a duration with its unit, like 30s, 2m or 1h30m")
}

func (d *decoder) prefix(n ast.Node, v reflect.Value, path string) {
	const want = `want an address like 192.0.2.10, 192.0.2.0/24 or "2001:db8::/64"`
	s, ok := n.(*ast.StringNode)
	if !ok {
		d.mistake(n, path, want)
		return
	}
	p, err := parsePrefix(s.Value)
	switch {
	case err != nil:
		d.mistake(n, path, "%q is no address; %s", s.Value, want)
	case p != p.Masked():
		d.mistake(n, path, "%s is one address in a network; write %s for all of it, or %s for this one", s.Value, p.Masked(), p.Addr())
	default:
		v.Set(reflect.ValueOf(p))
	}
}

// parsePrefix reads an address or a network; IPv4 written as IPv6 is IPv4.
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
	return p, nil
}
