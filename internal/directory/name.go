package directory

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
	"golang.org/x/text/unicode/norm"
)

// The longest names that are looked up, in bytes.
const (
	longestName = 256
	longestDN   = 2048
)

// typedName makes a typed name ready to be looked up, or says that nobody can
// have it. Letters are put together (NFC): phones and Macs send Vietnamese
// letters taken apart (NFD). There is no second try in another form, because
// it could find another entry.
func typedName(typed string) (name string, ok bool) {
	if len(typed) > longestName || !utf8.ValidString(typed) || strings.ContainsRune(typed, 0) {
		return "", false
	}
	name = norm.NFC.String(typed)
	return name, strings.TrimSpace(name) != ""
}

// domains knows what DOMAIN\user and user@domain stand for: short names to
// DNS names, both in lower case.
type domains map[string]string

func newDomains(configured map[string]string) domains {
	d := domains{}
	for short, dns := range configured {
		d[strings.ToLower(short)] = strings.ToLower(dns)
	}
	return d
}

// cut takes a known domain off a name: DOMAIN\user by its short name,
// user@domain by its DNS name or short name. A name with an unknown domain
// stays whole; it may be somebody's mail address.
func (d domains) cut(name string) string {
	if domain, user, ok := strings.Cut(name, `\`); ok {
		if d.knows(domain) {
			return user
		}
		return name
	}
	if at := strings.LastIndexByte(name, '@'); at >= 0 && d.knows(name[at+1:]) {
		return name[:at]
	}
	return name
}

func (d domains) knows(domain string) bool {
	domain = strings.ToLower(domain)
	if _, ok := d[domain]; ok && domain != "" {
		return true
	}
	for _, dns := range d {
		if dns == domain && dns != "" {
			return true
		}
	}
	return false
}

// placeholder is where a user filter takes the name.
const placeholder = "{username}"

// A userFilter is a filter with a gap for the name. It is parsed once: a name
// is never a part of a text that is parsed, only a value.
type userFilter struct {
	parsed *ber.Packet
	gap    string // stands where the name goes
	any    []byte // the filter where any name will do: equality becomes presence

	attributes []string // that it names
}

func newUserFilter(pattern string) (f userFilter, err error) {
	if !strings.Contains(pattern, placeholder) {
		return f, errors.New("user filter has no " + placeholder)
	}
	f.attributes = filterAttributes(pattern)
	f.gap = rand.Text() // nobody has that in a filter
	if f.parsed, err = ldap.CompileFilter(strings.ReplaceAll(pattern, placeholder, f.gap)); err != nil {
		return f, fmt.Errorf("user filter: %w", err)
	}
	anybody, err := ldap.CompileFilter(strings.ReplaceAll(pattern, placeholder, "*"))
	if err != nil {
		return f, fmt.Errorf("user filter: %w", err)
	}
	f.any = anybody.Bytes()
	return f, nil
}

// with is the filter for a name, encoded.
func (f userFilter) with(name string) []byte { return f.fill(nil, f.parsed, name) }

func (f userFilter) fill(b []byte, p *ber.Packet, name string) []byte {
	tag := byte(p.ClassType) | byte(p.TagType) | byte(p.Tag)
	if p.TagType == ber.TypePrimitive {
		return appendOctets(b, tag, strings.ReplaceAll(p.Data.String(), f.gap, name))
	}
	return appendElement(b, tag, func(b []byte) []byte {
		for _, child := range p.Children {
			b = f.fill(b, child, name)
		}
		return b
	})
}
