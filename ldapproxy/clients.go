package ldapproxy

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// clients finds the client to which an address belongs: the one with the
// longest prefix.
type clients struct {
	entries []clientEntry
	count   int
}

type clientEntry struct {
	prefix netip.Prefix
	client *Client
}

func newClients(all []Client) (*clients, error) {
	c := &clients{count: len(all)}
	seen := map[netip.Prefix]bool{}
	for i := range all {
		if all[i].Login == nil || all[i].Directory == nil {
			return nil, errors.New("an LDAP client needs its settings and a directory")
		}
		for _, p := range all[i].Prefixes {
			p = p.Masked()
			if seen[p] {
				return nil, fmt.Errorf("two LDAP clients have the addresses %s", p)
			}
			seen[p] = true
			c.entries = append(c.entries, clientEntry{p, &all[i]})
		}
	}
	slices.SortStableFunc(c.entries, func(a, b clientEntry) int { return b.prefix.Bits() - a.prefix.Bits() })
	return c, nil
}

func (c *clients) find(a netip.Addr) *Client {
	for _, e := range c.entries {
		if e.prefix.Contains(a) {
			return e.client
		}
	}
	return nil
}
