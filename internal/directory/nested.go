package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"vssgate/internal/login"
)

// maxGroups bounds how many groups somebody may be in, those of groups
// included. Who is in more is not let in: which rule is his cannot be told.
const maxGroups = 5000

// asked is what a search for users asks for.
func (d *LDAP) asked() []string {
	all := d.attributes.names()
	if d.ad && d.nested {
		all = append(all, objectSid, primaryGroupID)
	}
	return all
}

// identity reads an entry. Groups that the entry does not show are asked for
// when the password is right: it may take the directory long, and strangers
// must not see from the time whom it knows.
func (d *LDAP) identity(entry *ldap.Entry) login.Identity {
	who := d.attributes.identity(entry, d.log)
	from, partial := rangeOf(entry, d.attributes.Groups)
	switch {
	case who.ID == "" || d.attributes.Groups == "":
	case d.nested && d.ad:
		who.AllGroups = d.within(who, func(ctx context.Context) ([]string, error) { return d.chain(ctx, entry) })
	case d.nested || partial:
		who.AllGroups = d.within(who, func(ctx context.Context) (groups []string, err error) {
			groups = who.Groups
			if partial {
				groups, err = d.ranges(ctx, entry, from)
			}
			if d.nested && err == nil {
				groups, err = d.upward(ctx, groups)
			}
			return groups, err
		})
	}
	return who
}

// within bounds the time of ask, and says what failed.
func (d *LDAP) within(who login.Identity, ask func(context.Context) ([]string, error)) func(context.Context) ([]string, error) {
	return func(ctx context.Context) ([]string, error) {
		ctx, cancel := context.WithTimeout(ctx, d.timeout)
		defer cancel()
		groups, err := ask(ctx)
		if err == nil && len(groups) > d.maxGroups {
			err = d.tooMany()
		}
		if err != nil {
			return nil, fmt.Errorf("first factor %s: groups of account %s: %w", d.name, who.ID, err)
		}
		return groups, nil
	}
}

func (d *LDAP) tooMany() error { return fmt.Errorf("more than %d groups", d.maxGroups) }

// chain asks Active Directory for all groups of an account in its own domain,
// the primary one too.
func (d *LDAP) chain(ctx context.Context, entry *ldap.Entry) ([]string, error) {
	domain, err := domainOf(entry.DN)
	if err != nil {
		return nil, err
	}
	var primary []string
	if filter, ok := primaryGroup(entry); ok {
		if primary, err = d.listed(ctx, domain, filter); err != nil {
			return nil, err
		}
	} else {
		d.log.Warn("an account's primary group cannot be read, and does not count", "dn", entry.DN)
	}
	above, err := d.listed(ctx, domain, membersAbove(append([]string{entry.DN}, primary...)))
	return append(primary, above...), err
}

// listed returns the DNs of what a filter finds, within the bound.
func (d *LDAP) listed(ctx context.Context, base, filter string) (dns []string, err error) {
	parsed, err := ldap.CompileFilter(filter)
	if err != nil {
		return nil, err
	}
	err = d.searching(ctx, func(c *conn) error {
		dns = nil // of a connection that was lost half-way
		return c.pages(base, parsed.Bytes(), []string{"1.1"}, func(entry *ldap.Entry) error {
			if dns = append(dns, entry.DN); len(dns) > d.maxGroups {
				return d.tooMany()
			}
			return nil
		})
	})
	return dns, err
}

// upward adds the groups that groups are in, each asked once: a ring ends.
func (d *LDAP) upward(ctx context.Context, groups []string) ([]string, error) {
	seen := map[string]bool{}
	var all []string
	for next := slices.Clone(groups); len(next) > 0; next = next[1:] {
		name, err := NormalizeDN(next[0])
		if err != nil || name == "" || seen[name] {
			continue
		}
		if seen[name] = true; len(seen) > d.maxGroups {
			return nil, d.tooMany()
		}
		all = append(all, next[0])
		above, err := d.groupsOf(ctx, next[0])
		if err != nil {
			return nil, err
		}
		next = append(next, above...)
	}
	return all, nil
}

// groupsOf are the groups of one entry; none if it is gone or hidden.
func (d *LDAP) groupsOf(ctx context.Context, dn string) ([]string, error) {
	entry, err := d.entry(ctx, dn, d.attributes.Groups)
	if entry == nil || err != nil {
		return nil, err
	}
	if from, partial := rangeOf(entry, d.attributes.Groups); partial {
		return d.ranges(ctx, entry, from)
	}
	return values(entry, d.attributes.Groups), nil
}

// HasGroup tells whether the directory shows an entry of that DN. It need not
// show every group that users are in.
func (d *LDAP) HasGroup(ctx context.Context, dn string) (bool, error) {
	if !strings.Contains(dn, "=") {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	entry, err := d.entry(ctx, dn, "1.1")
	if err != nil {
		return false, fmt.Errorf("first factor %s: look for group %s: %w", d.name, dn, err)
	}
	return entry != nil, nil
}

// entry reads one attribute of one entry; nil if there is none.
func (d *LDAP) entry(ctx context.Context, dn, attribute string) (entry *ldap.Entry, err error) {
	request := ldap.NewSearchRequest(dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 1, 0, false,
		"(objectClass=*)", []string{attribute}, nil)
	err = d.searching(ctx, func(c *conn) error {
		result, err := c.Search(request)
		if err == nil && len(result.Entries) == 1 {
			entry = result.Entries[0]
		}
		return err
	})
	if ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject) {
		return nil, nil
	}
	return entry, err
}

// A span of an attribute that Active Directory returns in spans, as
// memberOf;range=0-1499 ([MS-ADTS] section 3.1.1.3.1.3.3).
type span struct {
	values []string
	next   int // where the next span begins; 0: this is the last one; negative: that cannot be read
}

// rangeOf tells whether an entry shows only a part of an attribute.
func rangeOf(entry *ldap.Entry, name string) (s span, partial bool) {
	prefix := baseName(name) + ";range="
	for _, a := range entry.Attributes {
		if len(a.Name) < len(prefix) || !strings.EqualFold(a.Name[:len(prefix)], prefix) {
			continue
		}
		s = span{values: a.Values}
		if _, last, _ := strings.Cut(a.Name[len(prefix):], "-"); last != "*" {
			n, err := strconv.ParseUint(last, 10, 31)
			if s.next = int(n) + 1; err != nil {
				s.next = -1
			}
		}
		return s, true
	}
	return span{}, false
}

// baseName is an attribute's name without options.
func baseName(name string) string {
	base, _, _ := strings.Cut(name, ";")
	return base
}

// ranges reads the other spans of the groups, from the first one on.
func (d *LDAP) ranges(ctx context.Context, entry *ldap.Entry, s span) ([]string, error) {
	all := s.values
	for s.next != 0 {
		switch {
		case s.next < 0:
			return nil, errors.New("the directory tells a part of a list, and not which")
		case len(all) > d.maxGroups:
			return nil, d.tooMany()
		}
		more, err := d.entry(ctx, entry.DN, fmt.Sprintf("%s;range=%d-*", baseName(d.attributes.Groups), s.next))
		if err != nil {
			return nil, err
		}
		if more == nil {
			return nil, fmt.Errorf("%s is gone", entry.DN)
		}
		before := s.next
		var ok bool
		if s, ok = rangeOf(more, d.attributes.Groups); !ok || s.next > 0 && s.next <= before {
			return nil, fmt.Errorf("the directory's list does not go on from %d", before)
		}
		all = append(all, s.values...)
	}
	return all, nil
}
