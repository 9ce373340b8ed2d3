package ldapproxy

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/nmcclain/ldap"

	"vssgate/internal/directory"
)

// Rules say who may connect and what is asked of them. They can be replaced
// while a Server runs.
type Rules struct {
	Clients    []Client
	Exempt     []Exempt
	RequireTLS bool // passwords on plain connections are refused
}

// An Exempt is a service account: binds as exactly this DN need no second
// factor. Audit names the rule.
type Exempt struct {
	DN   string
	From []netip.Prefix // where it may come from; none: anywhere
	Why  string
}

// rules are Rules as the server looks them up.
type rules struct {
	clients    *clients
	exempt     map[string]*Exempt // by normalised DN
	requireTLS bool
}

func newRules(o Rules) (*rules, error) {
	r := &rules{exempt: map[string]*Exempt{}, requireTLS: o.RequireTLS}
	var err error
	if r.clients, err = newClients(o.Clients); err != nil {
		return nil, err
	}
	for _, e := range o.Exempt {
		name, err := directory.NormalizeDN(e.DN)
		switch {
		case err != nil:
			return nil, fmt.Errorf("exempt bind %q is no plain DN: %w", e.DN, err)
		case name == "":
			return nil, errors.New("an exempt bind needs a DN")
		case r.exempt[name] != nil:
			return nil, fmt.Errorf("exempt bind %q is listed twice", e.DN)
		}
		r.exempt[name] = &e
	}
	return r, nil
}

// Prepare checks other rules; use puts them in the place of those there are. A
// bind that is held is answered by the rules under which it came, the next one
// on its connection is judged by the new ones. Connections of who is no client
// any more end, when what they hold is answered.
func (s *Server) Prepare(o Rules) (use func(), err error) {
	next, err := newRules(o)
	if err != nil {
		return nil, err
	}
	return func() {
		s.rules.Store(next)
		s.mu.Lock()
		defer s.mu.Unlock()
		for c := range s.conns {
			if next.clients.find(c.from) == nil {
				c.spawn(func() { c.endWhenAnswered(noClient) })
			}
		}
	}, nil
}

// noClient ends the connections of who is none any more.
var noClient = &farewell{ldap.LDAPResultUnwillingToPerform, "this application may not ask any more"}

// endWhenAnswered ends the connection once no bind waits on it.
func (c *conn) endWhenAnswered(why *farewell) {
	c.mu.Lock()
	for c.bind != nil && !c.closed {
		c.turn.Wait()
	}
	c.mu.Unlock()
	c.end(why)
}

// exemption finds the rule under which a bind with that name from that address
// needs no second factor: the name must be the DN of the rule, however it is
// spelt, and nothing below it or like it.
func (r *rules) exemption(name string, from netip.Addr) (normal string, rule *Exempt) {
	if len(r.exempt) == 0 {
		return "", nil
	}
	normal, err := directory.NormalizeDN(name)
	if err != nil {
		return "", nil
	}
	rule = r.exempt[normal]
	if rule == nil || len(rule.From) > 0 && !contains(rule.From, from) {
		return "", nil
	}
	return normal, rule
}
