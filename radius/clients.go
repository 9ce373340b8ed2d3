package radius

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"vssgate/internal/login"
	"vssgate/internal/secret"
	"vssgate/radius/dictionary"
	"vssgate/radius/wire"
)

// A Client is a NAS, or a proxy, that may ask us.
type Client struct {
	Login    *login.Client
	Prefixes []netip.Prefix // the longest that matches a source address picks the client
	Secret   secret.Secret  // over UDP; "": the client comes over TLS only
	First    login.FirstFactor

	// Upstream checks in the place of First what may be more than a password:
	// CHAP, MS-CHAP and EAP pass through to it. nil: there is none.
	Upstream Upstream

	// CertificateNames are the names by which the client's certificate is known
	// over TLS. None: the client comes over UDP only.
	CertificateNames []string

	// Reply is what an Access-Accept of that user carries besides, in order.
	// nil: nothing.
	Reply       func(who login.Identity) []dictionary.AVP
	Require     Requirement // Message-Authenticator; "": RequireAuto
	BareReplies bool        // leave it out of answers, for a NAS that drops them with it

	// Previous is a secret that is still accepted, until PreviousUntil, and
	// answered with, while NASes are given the new one. "": none.
	Previous      secret.Secret
	PreviousUntil time.Time
}

// A version is how packets are written and protected.
type version uint8

const (
	overUDP version = iota
	overTLS         // RADIUS/1.0 in TLS (RFC 6614): as over UDP, with a secret that everybody knows
	overV11         // RADIUS/1.1 in TLS (RFC 9765): TLS alone protects; a Token for the Identifier
)

// client is a Client as the server uses it, for one version.
type client struct {
	Client
	version  version
	secret   []byte
	key      *wire.Key // of secret
	nases    *nases
	previous *client // the same with the previous secret; nil: none
	former   bool    // this is somebody's previous
}

func newClient(c Client, v version) *client {
	shared := []byte(c.Secret.Reveal())
	k := &client{Client: c, version: v, secret: shared, key: wire.NewKey(shared), nases: &nases{known: map[Signer]*conduct{}}}
	if c.Previous != "" {
		c.Secret, c.Previous = c.Previous, ""
		k.previous = newClient(c, v)
		k.previous.nases, k.previous.former = k.nases, true
	}
	return k
}

func (c *client) name() string { return c.Login.Name }

// same tells whether answers to either are made alike: the Clients may have been
// replaced meanwhile.
func (c *client) same(as *client) bool {
	return c == as || c.name() == as.name() && c.version == as.version && bytes.Equal(c.secret, as.secret)
}

// madeWith finds with whose secret a packet was made: c's own, or the previous
// one while it is accepted. why says that neither fits, or that the previous
// one would have.
func (c *client) madeWith(fits func(*client) bool, neither Drop) (k *client, why Drop) {
	switch {
	case fits(c):
		return c, ""
	case c.previous == nil || !fits(c.previous):
		return c, neither
	case !time.Now().Before(c.PreviousUntil):
		return c, PreviousExpired
	}
	return c.previous, ""
}

// clients finds a client by source address.
type clients struct {
	all      []*client
	byPrefix map[netip.Prefix]*client
	bits4    []int // prefix lengths in use, longest first
	bits6    []int
	peers    []*peer // over TLS
}

func newClients(list []Client) (*clients, error) {
	t := &clients{byPrefix: map[netip.Prefix]*client{}}
	var mistakes []error
	for _, c := range list {
		if c.Login == nil || c.Secret == "" && len(c.CertificateNames) == 0 {
			return nil, errors.New("radius: a client without name, or with neither secret nor certificate names")
		}
		if len(c.CertificateNames) > 0 {
			t.peers = append(t.peers, newPeer(c))
		}
		if c.Secret == "" {
			continue
		}
		k := newClient(c, overUDP)
		t.all = append(t.all, k)
		for _, p := range c.Prefixes {
			mistakes = append(mistakes, t.add(p, k))
		}
	}
	return t, errors.Join(mistakes...)
}

func (t *clients) add(p netip.Prefix, c *client) error {
	if !p.IsValid() {
		return fmt.Errorf("radius: client %s: an address that is none", c.name())
	}
	p = unmapped(p)
	if other := t.byPrefix[p]; other != nil {
		return fmt.Errorf("radius: clients %s and %s both have the address %s", other.name(), c.name(), p)
	}
	t.byPrefix[p] = c
	bits := &t.bits6
	if p.Addr().Is4() {
		bits = &t.bits4
	}
	if !slices.Contains(*bits, p.Bits()) {
		*bits = append(*bits, p.Bits())
		slices.SortFunc(*bits, func(a, b int) int { return b - a })
	}
	return nil
}

// unmapped writes ::ffff:192.0.2.0/120 as 192.0.2.0/24 and clears host bits:
// one network has one spelling.
func unmapped(p netip.Prefix) netip.Prefix {
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p.Masked()
}

// inherit takes over what is known of the NASes of clients of the same name.
func (t *clients) inherit(from *clients) {
	for _, c := range t.all {
		if n := from.nasesOf(c.name()); n != nil {
			c.nases = n
			if c.previous != nil {
				c.previous.nases = n
			}
		}
	}
}

// find returns the client with the longest prefix around source, or nil.
func (t *clients) find(source netip.Addr) *client {
	source = source.Unmap().WithZone("")
	bits := t.bits6
	if source.Is4() {
		bits = t.bits4
	}
	for _, n := range bits {
		p, err := source.Prefix(n)
		if err != nil {
			continue
		}
		if c := t.byPrefix[p]; c != nil {
			return c
		}
	}
	return nil
}

// nasesOf is what is known of the NASes of the client with that name; nil:
// there is no such client.
func (t *clients) nasesOf(name string) *nases {
	for _, c := range t.all {
		if c.name() == name {
			return c.nases
		}
	}
	return nil
}
