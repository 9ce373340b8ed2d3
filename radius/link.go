package radius

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"vssgate/internal/secret"
)

// LinkOptions are what a Link is made of.
type LinkOptions struct {
	Address    string // of the server, HOST:PORT
	ServerName string // in its certificate; "": the host of Address

	// Secret of RADIUS/1.0; "": radsec, as RFC 6614 wants it.
	Secret secret.Secret

	// Credentials: Certificate may be nil, then we show none; most servers want
	// one. Authorities issue the server's certificate.
	Credentials Credentials

	Log *slog.Logger // nil: slog.Default()
}

// A Link asks a server over TLS: many requests at a time over one connection,
// which is made when Run begins and made again when it is lost. RADIUS/1.1 is
// spoken when the server does.
type Link struct {
	opts   LinkOptions
	log    *slog.Logger
	limits linkLimits

	mu      sync.Mutex
	line    *line         // that is open; nil: none
	down    error         // why there is none; nil with it: not tried yet
	changed chan struct{} // closed with the next change of both
}

// linkLimits are how long a Link waits.
type linkLimits struct {
	dial     time.Duration // for connection and handshake
	write    time.Duration // until the server takes what we write
	watchdog time.Duration // without a word from the server until it is asked for one (RFC 3539 section 3.4.1)
	silence  time.Duration // after that, if it has ever answered that question
	first    time.Duration // between two tries to connect; doubled each time
	last     time.Duration // but no longer than this
	late     time.Duration // until the Identifier of a request that nobody waits for is used again
}

var defaultLinkLimits = linkLimits{
	dial: 10 * time.Second, write: 10 * time.Second, watchdog: 20 * time.Second, silence: 10 * time.Second,
	first: 250 * time.Millisecond, last: 10 * time.Second, late: time.Minute,
}

// ErrNoLink is part of Ask's errors when there is no connection.
var ErrNoLink = errors.New("no connection")

// NewLink makes a Link. It connects in Run.
func NewLink(o LinkOptions) (*Link, error) {
	host, _, err := net.SplitHostPort(o.Address)
	if err != nil {
		return nil, fmt.Errorf("radius: %w", err)
	}
	if o.ServerName == "" {
		o.ServerName = host
	}
	if o.Secret == "" {
		o.Secret = tlsSecret
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &Link{opts: o, log: o.Log.With("server", o.Address), limits: defaultLinkLimits, changed: make(chan struct{})}, nil
}

// Secret is the secret that packets of RADIUS/1.0 are made with.
func (l *Link) Secret() secret.Secret { return l.opts.Secret }

// Run keeps a connection until ctx ends.
func (l *Link) Run(ctx context.Context) error {
	pause, told := l.limits.first, ""
	for ctx.Err() == nil {
		good, err := l.once(ctx)
		if ctx.Err() != nil {
			break
		}
		l.set(nil, err)
		if good { // the next one may be made at once
			pause, told = 0, ""
		}
		level := slog.LevelDebug // that it is still so is no news
		if told != err.Error() {
			level, told = slog.LevelWarn, err.Error()
		}
		l.log.Log(ctx, level, "no RADIUS/TLS connection", "error", err, "again_in", pause)
		if pause == 0 {
			pause = l.limits.first
			continue
		}
		l.wait(ctx, pause+rand.N(pause/4+1))
		pause = min(2*pause, l.limits.last)
	}
	l.set(nil, ErrNoLink)
	return nil
}

func (l *Link) wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// once makes one connection and keeps it as long as it lasts. good: the server
// has said something, or not closed it soon. With TLS 1.3 a client learns only
// then that its certificate is not wanted.
func (l *Link) once(ctx context.Context) (good bool, err error) {
	conn, err := l.dial(ctx)
	if err != nil {
		return false, err
	}
	k := newLine(conn, l.opts.Secret, l.limits)
	l.set(k, nil)
	l.log.Info("RADIUS/TLS connection made", "protocol", k.protocol())
	begun := time.Now()
	err = k.serve(ctx)
	return k.heard.Load() != 0 || time.Since(begun) > l.limits.dial, fmt.Errorf("connection lost: %w", err)
}

func (l *Link) dial(ctx context.Context) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, l.limits.dial)
	defer cancel()
	c := &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: l.opts.ServerName, RootCAs: l.opts.Credentials.Authorities(),
		NextProtos: []string{protocolV11, protocolV10},
	}
	if l.opts.Credentials.Certificate != nil {
		c.Certificates = []tls.Certificate{*l.opts.Credentials.Certificate()}
	}
	conn, err := (&tls.Dialer{Config: c}).DialContext(ctx, "tcp", l.opts.Address)
	if err != nil {
		return nil, err
	}
	secured := conn.(*tls.Conn)
	if s := secured.ConnectionState(); s.NegotiatedProtocol == protocolV11 && s.Version < tls.VersionTLS13 {
		secured.Close()
		return nil, errors.New("the server speaks RADIUS/1.1 without TLS 1.3, which it must not (RFC 9765)")
	}
	return secured, nil
}

// set notes the open connection, or why there is none.
func (l *Link) set(k *line, down error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.line, l.down = k, down
	close(l.changed)
	l.changed = make(chan struct{})
}

// Up is nil while there is a connection, else why there is none.
func (l *Link) Up() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.line != nil:
		return nil
	case l.down == nil:
		return ErrNoLink
	}
	return fmt.Errorf("%w: %w", ErrNoLink, l.down)
}

// open is the connection. It waits for the very first; after that a server that
// is down is told of at once, so that another can be asked.
func (l *Link) open(ctx context.Context) (*line, error) {
	for {
		l.mu.Lock()
		k, down, changed := l.line, l.down, l.changed
		l.mu.Unlock()
		switch {
		case k != nil && !k.isLost(): // else Run is about to say so
			return k, nil
		case down != nil:
			return nil, fmt.Errorf("radius: %s: %w: %w", l.opts.Address, ErrNoLink, down)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("radius: %s: %w: %w", l.opts.Address, ErrNoLink, ctx.Err())
		}
	}
}

// Ask sends one request and returns its answer: Access-Accept, -Reject or
// -Challenge, whose authenticators are right. encode makes the packet, with
// that Identifier and signed with the Link's secret; or, v11, as RADIUS/1.1
// wants it, with that Token. A request is sent once; an error leaves open
// whether the server has read it, unless it is ErrNoLink.
func (l *Link) Ask(ctx context.Context, encode func(id uint32, v11 bool) ([]byte, error)) ([]byte, error) {
	k, err := l.open(ctx)
	if err != nil {
		return nil, err
	}
	b, err := k.ask(ctx, encode)
	if err != nil {
		return nil, fmt.Errorf("radius: %s: %w", l.opts.Address, err)
	}
	return b, nil
}
