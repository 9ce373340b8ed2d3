package phoneapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// A Backend is a server of VssID's own that acts for people whom it has signed
// in.
type Backend struct {
	Name      string
	Addresses []netip.Prefix // where it asks from; none: anywhere
	May       []Right        // none: nothing
	// Tokens are the SHA-256 sums of the tokens that are valid now.
	Tokens func() [][sha256.Size]byte
}

// A Right is something that a backend may do. With any of them it may look a
// person up.
type Right string

// The rights.
const (
	MayDevices Right = "devices" // bring a person's devices in
	MayShow    Right = "show"    // see a person's open logins and their codes
	MayAnswer  Right = "answer"  // approve, deny and report them
)

// presence is how the audit tells a backend's answers from a phone's.
func (b *Backend) presence() string { return "backend:" + b.Name }

func (b *Backend) may(r Right) bool { return slices.Contains(b.May, r) }

// from tells whether it may ask from there.
func (b *Backend) from(remote string) bool {
	if len(b.Addresses) == 0 {
		return true
	}
	at, err := netip.ParseAddrPort(remote)
	ip := at.Addr().Unmap().WithZone("")
	return err == nil && slices.ContainsFunc(b.Addresses, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// forBackends tells whether the route is one of theirs; all others are the
// devices'.
func forBackends(pattern string) bool { return strings.Contains(pattern, " /v1/persons") }

// backend finds out which backend asks. The time that takes says nothing of
// the tokens: all of them are compared, and in full.
func (a *API) backend(r *http.Request, c *call) error {
	found := a.owner(bearer(r.Header))
	known := ""
	if found != nil {
		known = found.presence() + " " + address(r.RemoteAddr)
	}
	switch {
	case !a.limits.listens(r.RemoteAddr, known):
		return problem(SlowDown)
	case found == nil:
		a.limits.refused(r.RemoteAddr)
		return problem(BadToken)
	case !found.from(r.RemoteAddr):
		a.Log.Warn("a backend's token came from an address that is not its own: if it was stolen, replace it", "backend", found.Name, "from", r.RemoteAddr)
		a.limits.refused(r.RemoteAddr)
		return problem(BadToken)
	case !a.limits.backend(known):
		return problem(SlowDown)
	}
	c.backend, c.token = found, bearer(r.Header)
	return nil
}

// stillAsks looks at the backend again after what may have been a long wait:
// its token may have been taken away meanwhile.
func (a *API) stillAsks(c *call) error {
	found := a.owner(c.token)
	if found == nil || !found.from(c.remote) {
		return problem(BadToken)
	}
	c.backend = found
	return nil
}

// owner is the backend whose token that is, nil when it is nobody's.
func (a *API) owner(token string) (found *Backend) {
	sum := sha256.Sum256([]byte(token))
	if a.Backends == nil {
		return nil
	}
	for _, b := range a.Backends() {
		for _, valid := range b.Tokens() {
			if subtle.ConstantTimeCompare(sum[:], valid[:]) == 1 {
				found = &b
			}
		}
	}
	return found
}
