package ldapproxy

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"vssgate/internal/login"
)

// A Handler decides logins; login.Engine is one. It does not block, unless the
// request has a Rule: then it may return when that is answered. It calls r.Reply
// exactly once, from any goroutine, and r.First's methods before that. leave
// tells it that the asker has gone; the attempt stays open for a retry.
type Handler interface {
	Handle(r *login.Request) (leave func())
}

// A Directory is where a client's binds are checked and its operations go;
// directory.LDAP is one.
type Directory interface {
	// ResolveBind finds whom a bind name means: a DN, a UPN, DOMAIN\user or a
	// plain name. An Identity with an empty ID means nobody.
	ResolveBind(ctx context.Context, name string) (login.Identity, error)

	// NobodyDN names no entry, now or ever. Nobody's password is checked against
	// it in vain.
	NobodyDN() string

	// Dial opens an anonymous connection to the first server that answers, TLS
	// already done. The caller closes it.
	Dial(ctx context.Context) (net.Conn, error)
}

// A Client is an application that may connect, and its directory.
type Client struct {
	Login     *login.Client
	Prefixes  []netip.Prefix // the longest that fits wins, among all clients
	Directory Directory
}

// A Meter counts. Its methods never block.
type Meter interface {
	// Connections tells that client connections came or went.
	Connections(delta int)
	// Refused counts a connection, bind or frame that was turned away, by one
	// of a few words: unknown_client, too_many, bad_frame, busy, bind, operation,
	// tls, deadline; accept: none could be accepted, for want of descriptors, say;
	// unavailable: a bind got no verdict; broken: a mistake of ours ended it.
	Refused(reason string)
}

// Options are what a Server is made of. Handler and Text are needed.
type Options struct {
	Rules
	TLS            *tls.Config   // of LDAPS listeners and StartTLS; nil: no StartTLS
	MaxConnections int           // of all listeners together; 0: 9000. Among several clients none gets the last eighth beyond its even share
	DrainFor       time.Duration // after the end of Serve's context binds that are held may still be answered for so long
	Handler        Handler
	Text           func(*login.Client, login.Reply) string // what a refused user reads
	Meter          Meter                                   // nil: nobody counts
	Trail          login.Trail                             // who follows logins; nil: nobody
	Log            *slog.Logger                            // nil: slog.Default
}

// limits are how long a peer may take.
type limits struct {
	first     time.Duration // from the connection to the first byte
	anonymous time.Duration // between the frames of a client that has not bound
	bound     time.Duration // between the frames of one that has
	frame     time.Duration // for a header, and for what follows it; of a long frame: for each part
	write     time.Duration // until a peer takes what we write
	handshake time.Duration // TLS
	dial      time.Duration // to reach the directory
	answer    time.Duration // for the directory to answer a bind
	end       time.Duration // to say good-bye
}

var defaultLimits = limits{
	first:     30 * time.Second,
	anonymous: 2 * time.Minute,
	bound:     time.Hour,
	frame:     30 * time.Second,
	write:     30 * time.Second,
	handshake: 10 * time.Second,
	dial:      10 * time.Second,
	answer:    30 * time.Second,
	end:       2 * time.Second,
}

const defaultMaxConnections = 9000

// A Server serves any number of listeners.
type Server struct {
	o      Options
	limits limits
	log    *slog.Logger
	meter  Meter
	rules  atomic.Pointer[rules]
	strays login.Strays

	mu    sync.Mutex
	conns map[*conn]struct{}
	open  map[string]int // of them, by client's name
}

// New checks the options.
func New(o Options) (*Server, error) {
	s := &Server{o: o, limits: defaultLimits, log: o.Log, meter: o.Meter, conns: map[*conn]struct{}{}, open: map[string]int{}}
	if o.Handler == nil || o.Text == nil {
		return nil, errors.New("an LDAP server needs a handler and texts")
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.meter == nil {
		s.meter = noMeter{}
	}
	if s.o.MaxConnections <= 0 {
		s.o.MaxConnections = defaultMaxConnections
	}
	use, err := s.Prepare(o.Rules)
	if err != nil {
		return nil, err
	}
	use()
	return s, nil
}

type noMeter struct{}

func (noMeter) Connections(int) {}
func (noMeter) Refused(string)  {}

// Serve accepts clients from ln until ctx ends; tlsFirst is LDAPS. Then it
// tells all of them with a Notice of Disconnection, those whose bind is held when
// that is answered or DrainFor is over, and returns when its last goroutine has
// ended. It closes ln. An error of Accept is waited out.
func (s *Server) Serve(ctx context.Context, ln net.Listener, tlsFirst bool) error {
	if tlsFirst && s.o.TLS == nil {
		ln.Close()
		return errors.New("an LDAPS listener needs a certificate")
	}
	var group sync.WaitGroup
	defer group.Wait()
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer func() {
		if stop() {
			ln.Close()
		}
	}()
	pause := time.Duration(0)
	for {
		raw, err := ln.Accept()
		switch {
		case err == nil:
			pause = 0
			s.welcome(ctx, &group, raw, tlsFirst)
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		default: // out of descriptors, say: those who are here go on
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.meter.Refused("accept")
			s.log.Error("cannot accept LDAP connections", "cause", err, "again_in", pause)
			wait(ctx, pause)
		}
	}
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// welcome starts to serve a new connection, or turns it away.
func (s *Server) welcome(ctx context.Context, group *sync.WaitGroup, raw net.Conn, tlsFirst bool) {
	from := address(raw.RemoteAddr())
	client := s.rules.Load().clients.find(from)
	if client == nil {
		s.meter.Refused("unknown_client")
		s.log.Warn("LDAP connection from an address that is no client's", "from", from)
		raw.Close()
		return
	}
	c := newConn(context.WithoutCancel(ctx), s, client, from, raw)
	if !s.enter(c) {
		s.meter.Refused("too_many")
		s.log.Warn("LDAP connection refused: too many are open", "from", from, "client", client.Login.Name, "limit", s.o.MaxConnections)
		c.turnAway(tlsFirst)
		return
	}
	group.Go(func() {
		defer s.exit(c)
		stop := context.AfterFunc(ctx, func() { c.spawn(c.drain) })
		defer stop()
		c.serve(tlsFirst)
	})
}

// enter takes a place for c. The last eighth of the places is for clients that
// have less than an even share of all: no application shuts the others out.
func (s *Server) enter(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.o.MaxConnections
	left := all - len(s.conns)
	if left <= 0 || left <= all/8 && s.open[c.first] >= all/s.rules.Load().clients.count {
		return false
	}
	s.conns[c] = struct{}{}
	s.open[c.first]++
	s.meter.Connections(1)
	return true
}

func (s *Server) exit(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if s.open[c.first]--; s.open[c.first] == 0 {
		delete(s.open, c.first)
	}
	s.meter.Connections(-1)
}

func address(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

func contains(prefixes []netip.Prefix, a netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
