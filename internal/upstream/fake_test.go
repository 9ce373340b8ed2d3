package upstream

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"

	"vssgate/internal/login"
	"vssgate/internal/secret"
	"vssgate/radius/wire"
)

const shared = "secret-of-the-upstream"

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// A fake is a RADIUS server that does as script says.
type fake struct {
	addr string
	conn net.PacketConn

	mu     sync.Mutex
	asked  []asked                                        // as they came, retransmissions too
	script func(f *fake, p *layeh.Packet, n int) [][]byte // n counts from 1
}

// An asked is a request as it came.
type asked struct {
	*layeh.Packet
	raw  []byte
	from net.Addr
}

func startFake(t *testing.T, script func(f *fake, p *layeh.Packet, n int) [][]byte) *fake {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, conn.(*net.UDPConn).SetReadBuffer(4<<20))
	f := &fake{addr: conn.LocalAddr().String(), conn: conn, script: script}
	done := make(chan struct{})
	go func() { defer close(done); f.serve() }()
	t.Cleanup(func() { conn.Close(); <-done })
	return f
}

func (f *fake) serve() {
	buf := make([]byte, 4096)
	for {
		n, peer, err := f.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		p, err := layeh.Parse(buf[:n], []byte(shared))
		if err != nil {
			continue
		}
		f.mu.Lock()
		f.asked = append(f.asked, asked{p, append([]byte(nil), buf[:n]...), peer})
		count := len(f.asked)
		f.mu.Unlock()
		for _, b := range f.script(f, p, count) {
			f.conn.WriteTo(b, peer)
		}
	}
}

func (f *fake) times() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.asked)
}

// at is the request that came as number i, from 0.
func (f *fake) at(i int) asked {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[i]
}

// says is a genuine answer to p.
func says(p *layeh.Packet, code layeh.Code, attributes ...*layeh.AVP) []byte {
	return saysBy(shared, p, code, true, attributes...)
}

func saysBy(secret string, p *layeh.Packet, code layeh.Code, signed bool, attributes ...*layeh.AVP) []byte {
	a := &layeh.Packet{Code: code, Identifier: p.Identifier, Authenticator: p.Authenticator, Secret: []byte(secret), Attributes: attributes}
	if !signed {
		b, _ := a.Encode()
		return b
	}
	b, err := wire.NewKey([]byte(secret)).Sign(a)
	if err != nil {
		panic(err)
	}
	return b
}

func text(kind layeh.Type, value string) *layeh.AVP {
	return &layeh.AVP{Type: kind, Attribute: layeh.Attribute(value)}
}

// always answers so.
func always(code layeh.Code, attributes ...*layeh.AVP) func(*fake, *layeh.Packet, int) [][]byte {
	return func(_ *fake, p *layeh.Packet, _ int) [][]byte { return [][]byte{says(p, code, attributes...)} }
}

func silence(*fake, *layeh.Packet, int) [][]byte { return nil }

// people knows an.nv, and b by another name.
type people struct{}

func (people) Resolve(_ context.Context, name string) (login.Identity, error) {
	switch name {
	case "an.nv", "VSS\\an.nv":
		return login.Identity{ID: "id-of-an", Username: "an.nv"}, nil
	case "binh":
		return login.Identity{ID: "id-of-binh", Username: "binh"}, nil
	}
	return login.Identity{}, nil
}

func (people) Check(context.Context, login.Identity, []byte) (login.Checked, error) {
	panic("the upstream checks")
}

// counted is a Meter.
type counted struct{ drops chan string }

func (c counted) UpstreamDropped(reason string) { c.drops <- reason }

// bench is a Factor in front of fakes.
type bench struct {
	*Factor
	counted
	log *strings.Builder
}

func newBench(t *testing.T, o Options, fakes ...*fake) bench {
	t.Helper()
	b := bench{counted: counted{make(chan string, 10_000)}, log: &strings.Builder{}}
	for _, f := range fakes {
		o.Servers = append(o.Servers, Server{Address: f.addr, Secret: secret.Secret(shared)})
	}
	o.Name, o.Identify, o.Meter = "nps", people{}, b.counted
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(&locked{w: b.log}, nil))
	}
	if o.Pass == nil {
		o.Pass = []string{All}
	}
	if o.Timeout == 0 {
		o.Timeout = patience
	}
	var err error
	b.Factor, err = New(o)
	require.NoError(t, err)
	t.Cleanup(b.Close)
	return b
}

// locked is a writer for many.
type locked struct {
	mu sync.Mutex
	w  *strings.Builder
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// pap is what a NAS sends with a password.
func pap(name string, more ...*layeh.AVP) layeh.Attributes {
	return append(layeh.Attributes{text(rfc2865.UserName_Type, name), text(rfc2865.UserPassword_Type, "hidden for us"),
		text(rfc2865.NASIdentifier_Type, "vpn1")}, more...)
}

// eap is what a NAS sends with EAP.
func eap(outer, message string) layeh.Attributes {
	return layeh.Attributes{text(rfc2865.UserName_Type, outer), text(rfc2869.EAPMessage_Type, message)}
}

func (b bench) check(t *testing.T, list layeh.Attributes, password string) (login.Checked, error) {
	t.Helper()
	return b.Asking(list).Check(t.Context(), login.Identity{ID: "id-of-an"}, []byte(password))
}
