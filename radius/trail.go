package radius

import (
	"net/netip"
	"sync"
	"time"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"

	"vssgate/internal/login"
)

// maxNamed is how many requests that are not served are told to the Trail in a
// second: rubbish must cost nothing.
const maxNamed = 50

// A named counts them.
type named struct {
	mu     sync.Mutex
	second int64
	n      int
}

func (n *named) allow(now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if s := now.Unix(); s != n.second {
		n.second, n.n = s, 0
	}
	n.n++
	return n.n <= maxNamed
}

// lost tells the Trail of an Access-Request that is not served, if it names a
// user: whoever asks why a login failed finds it under that name. Nothing in b
// needs to be true.
func (s *Server) lost(b []byte, c *client, why Drop, k key) {
	if s.opts.Trail == nil || len(b) < headerLen || layeh.Code(b[0]) != layeh.CodeAccessRequest || !s.named.allow(time.Now()) {
		return
	}
	b, bad := frame(b)
	if bad != "" {
		return
	}
	attributes, err := layeh.ParseAttributes(b[headerLen:])
	if err != nil {
		return
	}
	if name := readable(attributes.Get(rfc2865.UserName_Type)); name != "" {
		s.tellLost(login.NewID(), c, string(why), name, label(attributes.Get(rfc2865.CallingStationID_Type)), k.source.Addr())
	}
}

func (s *Server) tellLost(id login.ID, c *client, why, name, station string, source netip.Addr) {
	station, _ = withoutPort(station)
	s.opts.Trail.Tell(login.Event{Attempt: id, Kind: login.EventDropped, Word: why,
		Request: &login.Request{FrontEnd: login.RADIUS, Client: c.Login, Username: name, Station: station, Source: source}})
}

// lostOf is lost for a request that was read, and is refused under that id.
func (s *Server) lostOf(p *packet, c *client, why string, id login.ID, k key) {
	name := readable(p.Get(rfc2865.UserName_Type))
	if s.opts.Trail != nil && name != "" && s.named.allow(time.Now()) {
		s.tellLost(id, c, why, name, label(p.Get(rfc2865.CallingStationID_Type)), k.source.Addr())
	}
}

// repeated tells the Trail that a request came again.
func (s *Server) repeated(b beginning) {
	switch {
	case b.again != nil:
		b.again()
	case b.resend != nil && s.opts.Trail != nil && b.attempt != (login.ID{}):
		s.opts.Trail.Tell(login.Event{Attempt: b.attempt, Kind: login.EventResent})
	}
}

// session is the Acct-Session-Id of a login, under which the NAS will account
// for it, if it says so beforehand.
func (p *packet) session() string { return label(p.Get(rfc2866.AcctSessionID_Type)) }
