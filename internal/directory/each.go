package directory

import (
	"context"
	"fmt"
	"slices"

	"github.com/go-ldap/ldap/v3"

	"vssgate/internal/login"
)

// eachPage is how many entries are asked for at a time (RFC 2696).
const eachPage = 500

// Each calls visit for every user, or every one below a DN where that is given,
// page by page, in the directory's order. It is for reports: it may take as
// long as ctx allows. An entry below several base DNs is visited once for each.
func (d *LDAP) Each(ctx context.Context, under string, visit func(login.Identity) error) error {
	for _, base := range d.bases {
		at := base.dn
		if under != "" {
			if at = deeper(base.dn, under); at == "" {
				continue
			}
		}
		if err := d.eachBelow(ctx, at, visit); err != nil {
			return fmt.Errorf("first factor %s: list users below %s: %w", d.name, at, err)
		}
	}
	return nil
}

// deeper is the one of two DNs that is below the other; "" neither is.
func deeper(base, under string) string {
	switch {
	case Below(under, base):
		return under
	case Below(base, under):
		return base
	}
	return ""
}

func (d *LDAP) eachBelow(ctx context.Context, base string, visit func(login.Identity) error) error {
	c, err := d.searches.borrow(ctx)
	if err != nil {
		return err
	}
	err = c.within(ctx, func() error {
		return c.pages(base, d.filter.any, d.asked(), func(entry *ldap.Entry) error {
			if who := d.identity(entry); who.ID != "" {
				return visit(who)
			}
			return nil
		})
	})
	d.searches.giveBack(c, err)
	return err
}

// pages searches below base, and calls visit for each entry.
func (c *conn) pages(base string, filter []byte, attributes []string, visit func(*ldap.Entry) error) error {
	paging := ldap.NewControlPaging(eachPage)
	for {
		request := ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false,
			"", attributes, []ldap.Control{paging})
		result, err := c.search(request, filter)
		if err != nil {
			return err
		}
		for _, entry := range result.Entries {
			if err := visit(entry); err != nil {
				return err
			}
		}
		next, ok := ldap.FindControl(result.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
		if !ok || len(next.Cookie) == 0 {
			return nil
		}
		paging.SetCookie(next.Cookie)
	}
}

// Each calls visit for every user of the file, by name. A file has no parts: with
// under given there is nobody.
func (f *File) Each(_ context.Context, under string, visit func(login.Identity) error) error {
	if under != "" {
		return nil
	}
	var names []string
	for name := range f.users {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := visit(f.users[name].identity()); err != nil {
			return err
		}
	}
	return nil
}
