package radius

import (
	"bytes"
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"time"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"
)

// A Requirement says what a request without Message-Authenticator is worth.
// Who sits between NAS and server can turn our answer to such a request into
// another (CVE-2024-3596).
type Requirement string

// The requirements. What is none of them is RequireAuto.
const (
	RequireAuto Requirement = "auto" // served until its NAS is known to sign, and never with Proxy-State, which the attack needs
	RequireYes  Requirement = "yes"
	RequireNo   Requirement = "no"
)

// A Signer is a NAS whose requests carry Message-Authenticator. One address
// and one NAS-Identifier: whoever else shares the client is not meant.
type Signer struct {
	Source     netip.Addr
	Identifier string // NAS-Identifier as it came; "" none
}

// When a NAS is known to sign: after turnAfter different valid requests with
// Message-Authenticator, and none without in bareFor.
const (
	turnAfter = 3
	bareFor   = 10 * time.Minute
	maxNASes  = 4096 // of one client; of more nothing is learnt until old ones are forgotten
)

// nases is what the NASes of one client have shown.
type nases struct {
	mu    sync.Mutex
	known map[Signer]*conduct
	swept time.Time
}

// conduct is what one NAS has shown.
type conduct struct {
	seen     time.Time
	bare     time.Time           // the last request without Message-Authenticator
	signed   int                 // with it, since then; at most turnAfter
	which    [turnAfter][16]byte // their Request Authenticators: who replays one packet moves nothing
	required bool                // the ratchet has turned
	kept     bool                // and it is known to be remembered
	previous time.Time           // when the previous secret was last used
}

// admit tells whether an Access-Request may be served, and learns from it: the
// ratchet of RequireAuto turns in one direction only. What has a wrong
// Message-Authenticator never comes here. EAP proves nothing of other requests:
// it carries Message-Authenticator always (RFC 3579 section 3.1). turned is the
// NAS whose requests must carry it from now on.
func (c *client) admit(p *packet, source netip.Addr, now time.Time) (drop Drop, turned *Signer) {
	switch {
	case c.version != overUDP: // TLS protects both ways
		return "", nil
	case c.Require == RequireYes && !p.authentic:
		return RequiredAuthenticator, nil
	case c.Require == RequireYes, c.Require == RequireNo, p.counts.of(rfc2869.EAPMessage_Type) > 0:
		return "", nil
	case !p.authentic && p.counts.of(rfc2865.ProxyState_Type) > 0:
		drop = BareProxyState
	}
	c.nases.mu.Lock()
	defer c.nases.mu.Unlock()
	k := c.nases.of(source, p.Get(rfc2865.NASIdentifier_Type), now)
	switch {
	case k == nil:
	case p.authentic && k.turns(p.Authenticator, now):
		turned = &Signer{source, string(p.Get(rfc2865.NASIdentifier_Type))}
	case p.authentic:
	case k.required:
		drop = LostAuthenticator
	default:
		k.bare, k.signed = now, 0
	}
	return drop, turned
}

// admit is client.admit, with what there is to tell of it.
func (s *Server) admit(p *packet, c *client, k key) (drop Drop, turned *Signer) {
	drop, turned = c.admit(p, k.source.Addr(), time.Now())
	if turned != nil {
		s.opts.Log.Info("this NAS signs its requests: from now on those without Message-Authenticator are dropped",
			"client", c.name(), "from", k.source.Addr().String(), "nas", label([]byte(turned.Identifier)),
			"hint", "to undo it: vssgate nas forget "+c.name())
	}
	if drop == "" && !p.authentic {
		s.opts.Meter.Unsigned(c.name())
	}
	return drop, turned
}

// remembered has the request b that turned a ratchet decided once that is safe:
// what its NAS has heard an answer to is not forgotten. b is copied, as its
// reader goes on with others.
func (s *Server) remembered(turned Signer, b []byte, c *client, k key) {
	b = bytes.Clone(b)
	s.opts.Signs(c.name(), turned, func(safe bool) {
		defer s.survive(c, k, nil) // who saved it goes on with others
		if !safe {
			s.drop(c, Unavailable, k)
			return
		}
		if p, drop := open(b, c, k.socket.takes); drop == "" { // as it was before
			s.ask(b, &p, c, k)
		}
	})
}

// of is what is known of a NAS, or nil if there are too many.
func (n *nases) of(source netip.Addr, identifier layeh.Attribute, now time.Time) *conduct {
	k := n.known[Signer{source, string(identifier)}]
	if k == nil {
		if len(n.known) >= maxNASes && !n.forget(now) {
			return nil
		}
		k = &conduct{}
		n.known[Signer{source, string(identifier)}] = k
	}
	k.seen = now
	return k
}

// forget drops those that have not asked for bareFor, unless there is more to
// remember of them, and tells whether there were any. Names can be made up
// faster than all can be looked at: that is done once a second.
func (n *nases) forget(now time.Time) (any bool) {
	if now.Sub(n.swept) < time.Second {
		return false
	}
	n.swept = now
	for s, k := range n.known {
		if !k.required && now.Sub(k.seen) > bareFor {
			delete(n.known, s)
			any = true
		}
	}
	return any
}

// turns counts a signed request and tells whether it is the one that turns the
// ratchet.
func (k *conduct) turns(authenticator [16]byte, now time.Time) bool {
	if k.required {
		return false
	}
	for _, counted := range k.which[:k.signed] {
		if counted == authenticator {
			return false
		}
	}
	if k.signed < turnAfter {
		k.which[k.signed] = authenticator
		k.signed++
	}
	k.required = k.signed == turnAfter && (k.bare.IsZero() || now.Sub(k.bare) >= bareFor)
	return k.required
}

// Remember makes Message-Authenticator required of exactly these NASes of a
// client: all that is remembered, by this node and the others. A ratchet that
// has turned here and is not remembered yet stays as it is.
func (s *Server) Remember(client string, signers []Signer) {
	n := s.clients.Load().nasesOf(client)
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	remembered := map[Signer]bool{}
	for _, signer := range signers {
		remembered[signer] = true
		k := n.known[signer]
		if k == nil {
			k = &conduct{}
			n.known[signer] = k
		}
		k.required, k.kept = true, true
	}
	for signer, k := range n.known {
		if k.kept && !remembered[signer] {
			k.reset()
		}
	}
}

// Forget turns the ratchets of all of a client's NASes back.
func (s *Server) Forget(client string) {
	n := s.clients.Load().nasesOf(client)
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, k := range n.known {
		k.reset()
	}
}

func (k *conduct) reset() { k.required, k.kept, k.signed = false, false, 0 }

// usedPrevious counts and tells who still uses the previous secret: each NAS
// once in previousEvery.
func (s *Server) usedPrevious(p *packet, c *client, k key) {
	s.opts.Meter.PreviousSecret(c.name())
	now, identifier := time.Now(), p.Get(rfc2865.NASIdentifier_Type)
	if c.nases.tellPrevious(k.source.Addr(), identifier, now) {
		s.opts.Log.Warn("a NAS still uses the previous secret", "client", c.name(), "from", k.source.Addr().String(), "nas", label(identifier),
			"accepted_until", c.PreviousUntil.Format(time.RFC3339), "hint", "give it the new secret before then")
	}
}

const previousEvery = time.Minute

func (n *nases) tellPrevious(source netip.Addr, identifier layeh.Attribute, now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	k := n.of(source, identifier, now)
	if k == nil || now.Sub(k.previous) < previousEvery {
		return false
	}
	k.previous = now
	return true
}

// A NAS is what one NAS of a client has shown.
type NAS struct {
	Client string
	Signer
	Required bool      // Message-Authenticator, for it was seen to send it
	Bare     time.Time // the last request without it; zero: none
	Previous time.Time // when it was last told of using the previous secret; zero: never
	Seen     time.Time // zero: not since the start
}

// NASes are those of all clients of which something is known.
func (s *Server) NASes() (all []NAS) {
	for _, c := range s.clients.Load().all {
		c.nases.mu.Lock()
		for signer, k := range c.nases.known {
			all = append(all, NAS{c.name(), signer, k.required, k.bare, k.previous, k.seen})
		}
		c.nases.mu.Unlock()
	}
	slices.SortFunc(all, func(a, b NAS) int {
		return cmp.Or(cmp.Compare(a.Client, b.Client), a.Source.Compare(b.Source), cmp.Compare(a.Identifier, b.Identifier))
	})
	return all
}
