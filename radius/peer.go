package radius

import (
	"crypto/x509"
	"net/netip"
	"slices"

	"vssgate/internal/certs"
	"vssgate/internal/secret"
)

// tlsSecret is the shared secret inside TLS, the same for all (RFC 6614
// section 2.3): TLS is what protects.
const tlsSecret secret.Secret = "radsec"

// A peer is a client as it comes over TLS.
type peer struct {
	names    []string
	prefixes []netip.Prefix // none: anywhere
	v10, v11 *client
}

func newPeer(c Client) *peer {
	p := &peer{names: c.CertificateNames}
	for _, prefix := range c.Prefixes {
		p.prefixes = append(p.prefixes, unmapped(prefix))
	}
	c.Secret, c.Previous = tlsSecret, ""
	p.v10, p.v11 = newClient(c, overTLS), newClient(c, overV11)
	return p
}

// at is the length of the longest prefix around source; 0 where the peer may
// come from anywhere, -1 where it may not come from there.
func (p *peer) at(source netip.Addr) int {
	if len(p.prefixes) == 0 {
		return 0
	}
	longest := -1
	for _, prefix := range p.prefixes {
		if prefix.Contains(source) {
			longest = max(longest, prefix.Bits())
		}
	}
	return longest
}

// mayConnect tells whether any peer comes from there.
func (t *clients) mayConnect(source netip.Addr) bool {
	return slices.ContainsFunc(t.peers, func(p *peer) bool { return p.at(source) >= 0 })
}

// peer is whose certificate that is, seen from source, or nil. Where several
// have one of its names, the longest prefix wins, then the first.
func (t *clients) peer(cert *x509.Certificate, source netip.Addr) (found *peer) {
	names, longest := certs.Names(cert), -1
	for _, p := range t.peers {
		if at := p.at(source); at > longest && slices.ContainsFunc(p.names, func(n string) bool { return slices.Contains(names, certs.Canonical(n)) }) {
			found, longest = p, at
		}
	}
	return found
}
