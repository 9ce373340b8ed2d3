package radius

import (
	"context"
	"log/slog"
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
		s.opts.Trail.Tell(login.Event{Attempt: login.NewID(), Kind: login.EventDropped, Word: string(why), Request: whoAsks(attributes, c, k.source.Addr())})
	}
}

// whoAsks is what a request that is no login says of who asks.
func whoAsks(a layeh.Attributes, c *client, source netip.Addr) *login.Request {
	station, _ := withoutPort(label(a.Get(rfc2865.CallingStationID_Type)))
	return &login.Request{FrontEnd: login.RADIUS, Client: c.Login, Username: readable(a.Get(rfc2865.UserName_Type)), Station: station, Source: source}
}

// refused counts and tells of a request that is rejected and is no login, and
// returns its reply with the trace under which it is told of. In a flood those of
// a user share one, so that log and Trail are bounded and each trace leads to its
// user; see login.Strays.
func (s *Server) refused(c *client, why string, r login.Reply, detail string, asked *login.Request) login.Reply {
	s.opts.Meter.RequestRefused(why)
	now := time.Now()
	stray := s.strays.Of(c.name()+" "+why, asked.Username, r.Attempt, now)
	r.Attempt, r.Trace = stray.ID, stray.ID.Trace()
	if stray.Known {
		return r
	}
	about := []slog.Attr{slog.String("client", c.name()), slog.String("reason", why), slog.String("from", asked.Source.String()), slog.String("trace", r.Trace)}
	if detail != "" {
		about = append(about, slog.String("detail", detail))
	}
	if stray.Shared {
		about = append(about, slog.Bool("shared", true)) // with those that follow within this minute
	}
	if stray.Crowd {
		asked = &login.Request{FrontEnd: login.RADIUS, Client: c.Login}
	}
	s.opts.Log.LogAttrs(context.Background(), slog.LevelWarn, "radius request refused", append(about, slog.String("hint", wayOut[why]))...)
	if s.opts.Trail != nil {
		s.opts.Trail.Tell(login.Event{Attempt: r.Attempt, Kind: login.EventRefused, Word: why, Request: asked})
		if stray.Shared {
			s.opts.Trail.Tell(login.Event{Attempt: r.Attempt, Kind: login.EventRefused, Word: login.SharedTrace})
		}
	}
	return r
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
