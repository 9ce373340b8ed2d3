package radius

import (
	"container/list"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"vssgate/internal/certs"
)

// Credentials are what one side of a TLS connection shows, and whom it trusts.
// They are asked for each connection anew, from any goroutine.
type Credentials struct {
	Certificate func() *tls.Certificate
	Authorities func() *x509.CertPool // nil: the system's, which is for the NAS's side only
}

// server is our side towards NASes: both sides show certificates. Sessions are
// not resumed, so that a connection is always judged by today's certificates.
func (c Credentials) server(protocols []string) *tls.Config {
	choose := func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		t := &tls.Config{
			MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*c.Certificate()},
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: c.Authorities(), SessionTicketsDisabled: true,
			NextProtos: protocols,
		}
		if !slices.Contains(hello.SupportedVersions, tls.VersionTLS13) { // which RADIUS/1.1 needs (RFC 9765 section 3.5)
			t.NextProtos = []string{protocolV10}
		}
		return t, nil
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: choose}
}

// limits are how long a TLS connection may take, and how many there may be.
type limits struct {
	handshake  time.Duration // from the connection to its last handshake message
	idle       time.Duration // between two packets of a NAS
	write      time.Duration // until a NAS takes what we write
	handshakes int           // at once; one more ends the oldest
}

var defaultLimits = limits{
	handshake:  10 * time.Second,
	idle:       time.Hour, // a NAS without watchdog is silent between two logins; dead ones are found by TCP
	write:      10 * time.Second,
	handshakes: 2048,
}

// ServeTLS answers what comes over TLS to l (RFC 6614, and RFC 9765 with who
// wants that) until ctx ends, as Serve does, and closes l. A connection is
// served if its certificate is one of the authorities' and has a name of a
// client's.
func (s *Server) ServeTLS(ctx context.Context, l net.Listener, creds Credentials) error {
	defer l.Close()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	config := creds.server(s.protocols)
	var all sync.WaitGroup
	defer all.Wait()
	for pause := time.Duration(0); ; {
		raw, err := l.Accept()
		switch {
		case err == nil:
			pause = 0
			all.Go(func() { s.welcome(ctx, raw, config) })
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("radius: %s: %w", l.Addr(), err)
		default: // out of descriptors, say: those who are here go on
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.opts.Log.Error("cannot accept RADIUS/TLS connections", "error", err, "again_in", pause)
			wait, cancel := context.WithTimeout(ctx, pause)
			<-wait.Done()
			cancel()
		}
	}
}

// welcome serves a new connection, or turns it away.
func (s *Server) welcome(ctx context.Context, raw net.Conn, config *tls.Config) {
	defer raw.Close()
	from := raw.RemoteAddr().(*net.TCPAddr).AddrPort()
	from = netip.AddrPortFrom(from.Addr().Unmap().WithZone(""), from.Port())
	if !s.clients.Load().mayConnect(from.Addr()) {
		s.closed("", NoTLSClient, from)
		return
	}
	secured := tls.Server(raw, config)
	if why, err := s.handshake(ctx, secured); why != "" {
		if ctx.Err() == nil {
			s.closed("", why, from, slog.Any("error", err))
		}
		return
	}
	c, why := s.conn(secured, from)
	if why != "" {
		s.closed("", why, from, slog.String("certificate", strings.Join(certs.Names(secured.ConnectionState().PeerCertificates[0]), " ")))
		return
	}
	if !s.connected(+1) {
		s.closed(c.client.name(), TooManyConnections, from)
		return
	}
	defer s.connected(-1)
	s.serveConn(ctx, c)
}

// handshake shows and checks certificates; it says why there is no connection.
func (s *Server) handshake(ctx context.Context, c *tls.Conn) (why Drop, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.limits.handshake)
	defer cancel()
	done := s.handshakes.begin(cancel, s.limits.handshakes)
	defer done()
	err = c.HandshakeContext(ctx)
	switch {
	case err == nil:
		return "", nil
	case ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded):
		return NoHandshake, err
	}
	return BadHandshake, err
}

// conn is a connection whose certificate was verified, if it is a client's.
func (s *Server) conn(c *tls.Conn, from netip.AddrPort) (*conn, Drop) {
	state := c.ConnectionState()
	speaks := s.speaks(state, from)
	if speaks == nil {
		return nil, UnknownCertificate
	}
	return newConn(c, speaks, from, s.overTLS(), s.limits), ""
}

// speaks is the client at the other end of a connection, as it is now; nil:
// there is none.
func (s *Server) speaks(state tls.ConnectionState, from netip.AddrPort) *client {
	p := s.clients.Load().peer(state.PeerCertificates[0], from.Addr())
	switch {
	case p == nil:
		return nil
	case state.NegotiatedProtocol == protocolV11:
		return p.v11
	}
	return p.v10
}

// connected counts a connection that has come, +1, or gone, -1. false: there
// are too many.
func (s *Server) connected(delta int) bool {
	if n := s.connections.Add(int64(delta)); delta > 0 && n > int64(s.opts.MaxConnections) {
		s.connections.Add(-1)
		return false
	}
	s.opts.Meter.TLSConnections(delta)
	return true
}

// closed counts and tells why we have closed a connection.
func (s *Server) closed(client string, why Drop, from netip.AddrPort, more ...slog.Attr) {
	s.tell.tell(time.Now(), client, string(why), "radius connection closed", func() []slog.Attr {
		return append(more, slog.String("from", from.String()))
	})
	s.opts.Meter.TLSClosed(why)
}

// handshakes are those that are not over. A new one always finds room: who
// opens connections and says nothing must not keep others out.
type handshakes struct {
	mu  sync.Mutex
	all list.List // of their cancel functions, the oldest first
}

// begin counts one more, cancels the oldest if that is one too many, and
// returns what counts it off.
func (h *handshakes) begin(cancel context.CancelFunc, most int) (done func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.all.Len() >= most {
		oldest := h.all.Front()
		oldest.Value.(context.CancelFunc)()
		h.all.Remove(oldest)
	}
	at := h.all.PushBack(cancel)
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.all.Remove(at)
	}
}
