package directory

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

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

// A filterText may stand in a filter as it is. Only asFilterText makes one of
// something typed; escaping for a DN would be another type.
type filterText string

func asFilterText(name string) filterText { return filterText(ldap.EscapeFilter(name)) }

// anyValue makes an equality in the filter a test of presence.
const anyValue filterText = "*"

// A userFilter is a filter with a gap for the name.
type userFilter struct{ parts []string }

func newUserFilter(pattern string) (userFilter, error) {
	parts := strings.Split(pattern, placeholder)
	if len(parts) < 2 {
		return userFilter{}, errors.New("user filter has no " + placeholder)
	}
	f := userFilter{parts: parts}
	if _, err := ldap.CompileFilter(f.with("x")); err != nil {
		return userFilter{}, fmt.Errorf("user filter: %w", err)
	}
	return f, nil
}

func (f userFilter) with(name filterText) string {
	return strings.Join(f.parts, string(name))
}
