package upstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"

	"vssgate/internal/login"
	"vssgate/internal/secret"
)

// Options are what a Factor is made of.
type Options struct {
	Name    string   // for the log
	Servers []Server // in order

	// Identify says who a user is: id, groups, number.
	Identify login.FirstFactor

	// Pass are the names of the attributes that go on to the NAS with an
	// Access-Accept; All: all do. What the protocol needs goes on in any case.
	Pass []string

	// Timeout is for one round, over all servers.
	Timeout time.Duration

	Meter Meter        // nil: nothing is counted
	Log   *slog.Logger // nil: slog.Default()
}

// All among Options.Pass stands for every attribute.
const All = "all"

// A Server is a RADIUS server.
type Server struct {
	Address string        // HOST:PORT
	Secret  secret.Secret // shared with it
	Link    Link          // over TLS; nil: over UDP
}

// A Link asks a server in another way than over UDP. radius.Link is one.
type Link interface {
	// Ask sends the packet that encode makes for an Identifier, or for a Token of
	// RADIUS/1.1, and returns its answer, found genuine.
	Ask(ctx context.Context, encode func(id uint32, v11 bool) ([]byte, error)) ([]byte, error)
}

// A Meter counts. Its methods never block.
type Meter interface {
	// UpstreamDropped counts one datagram from a server that was no answer.
	UpstreamDropped(reason string)
}

type noMeter struct{}

func (noMeter) UpstreamDropped(string) {}

// A Factor is a first factor behind RADIUS servers.
type Factor struct {
	opts    Options
	pass    pass
	servers []*server
}

var _ login.FirstFactor = (*Factor)(nil)

// New makes a Factor. It asks nobody yet. Close ends it.
func New(o Options) (*Factor, error) {
	if len(o.Servers) == 0 || o.Identify == nil {
		return nil, errors.New("upstream: no server, or nobody who says who users are")
	}
	if o.Timeout <= 0 {
		o.Timeout = 5 * time.Second
	}
	if o.Meter == nil {
		o.Meter = noMeter{}
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	passing, err := newPass(o.Pass)
	if err != nil {
		return nil, fmt.Errorf("upstream: pass_attributes: %w", err)
	}
	f := &Factor{opts: o, pass: passing}
	for _, s := range o.Servers {
		f.servers = append(f.servers, newServer(s, o))
	}
	return f, nil
}

// Close gives the sockets back and ends what is being asked.
func (f *Factor) Close() {
	for _, s := range f.servers {
		if s.udp != nil {
			s.udp.close()
		}
	}
}

// Resolve finds whom the typed name means.
func (f *Factor) Resolve(ctx context.Context, username string) (login.Identity, error) {
	return f.opts.Identify.Resolve(ctx, username)
}

// Check asks about a name and a password that came with nothing else.
func (f *Factor) Check(ctx context.Context, id login.Identity, password []byte) (login.Checked, error) {
	var list layeh.Attributes
	list.Add(rfc2865.UserName_Type, layeh.Attribute(id.Username))
	list.Add(rfc2865.UserPassword_Type, nil)
	list.Add(rfc2865.NASIdentifier_Type, layeh.Attribute("vssgate"))
	return f.Asking(list).Check(ctx, id, password)
}

// Asking is the first factor of the Access-Request with these attributes; see
// radius.Upstream.
func (f *Factor) Asking(attributes layeh.Attributes) login.FirstFactor {
	return &asking{factor: f, attributes: attributes}
}
