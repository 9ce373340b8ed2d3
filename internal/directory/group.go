package directory

import (
	"fmt"
	"slices"
	"strings"
)

// A Group is one that a configuration names: by its DN, or by a bare name.
type Group struct {
	name string // the DN's one spelling, or the name
	bare bool
}

// ParseGroup reads a group's DN or, where there is no `=` in it, its bare name.
func ParseGroup(s string) (Group, error) {
	if !strings.Contains(s, "=") {
		if g := (Group{lowerASCII(oneSpace(s)), true}); g.name != "" {
			return g, nil
		}
		return Group{}, fmt.Errorf("%q is no group", s)
	}
	dn, err := NormalizeDN(s)
	return Group{name: dn}, err
}

// A Membership is the groups that somebody is in, ready to be asked.
type Membership map[Group]bool

// NewMembership takes what Identity.Groups has: DNs, or bare names (files). A
// DN that cannot be read is nobody's group.
func NewMembership(groups []string) Membership {
	m := Membership{}
	for _, s := range groups {
		if !strings.Contains(s, "=") {
			m[Group{lowerASCII(oneSpace(s)), true}] = true
			continue
		}
		dn, err := parseDN(s)
		if err != nil || len(dn.RDNs) == 0 {
			continue
		}
		m[Group{name: dn.String()}] = true
		for _, a := range dn.RDNs[0].Attributes {
			m[Group{lowerASCII(oneSpace(a.Value)), true}] = true
		}
	}
	return m
}

// Among returns those of a user's groups that some of these mean. Few do, and
// the others need not be kept: a user may be in hundreds.
func Among(these []Group, groups []string) (meant []string) {
	if len(these) == 0 {
		return nil
	}
	for _, s := range groups {
		if m := NewMembership([]string{s}); slices.ContainsFunc(these, m.In) {
			meant = append(meant, s)
		}
	}
	return meant
}

// In tells whether g is one of them: by DN exactly, by bare name if it is the
// value of the first RDN, whatever lies behind it.
func (m Membership) In(g Group) bool { return m[g] }
