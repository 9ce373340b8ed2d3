package directory

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"sync"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// passOver is how long a server that did not answer is tried only after the
// others.
const passOver = 5 * time.Second

// A server is one directory server of several with the same content.
type server struct {
	url      string
	address  string
	tls      *tls.Config // nil: plain TCP
	startTLS bool        // tls only after the StartTLS exchange
	log      *slog.Logger

	mu    sync.Mutex
	retry time.Time // when a dead server may be tried first again; zero: it is thought to be alive
}

func newServer(raw string, startTLS bool, config *tls.Config) (*server, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("LDAP URL cannot be read") // the cause would repeat the URL
	}
	s := &server{url: u.Scheme + "://" + u.Host, startTLS: startTLS}
	port := u.Port()
	switch {
	case u.Hostname() == "":
		return nil, fmt.Errorf("LDAP URL %s has no host", s.url)
	case u.Scheme == "ldaps" && startTLS:
		return nil, fmt.Errorf("StartTLS is for ldap:// URLs, %s has TLS already", s.url)
	case u.Scheme == "ldaps" && port == "":
		port = "636"
	case u.Scheme == "ldap" && port == "":
		port = "389"
	case u.Scheme != "ldap" && u.Scheme != "ldaps":
		return nil, fmt.Errorf("LDAP URL %s is neither ldap:// nor ldaps://", s.url)
	}
	s.address = net.JoinHostPort(u.Hostname(), port)
	if u.Scheme == "ldaps" || startTLS {
		s.tls = &tls.Config{MinVersion: tls.VersionTLS12}
		if config != nil {
			s.tls = config.Clone()
		}
		if s.tls.ServerName == "" {
			s.tls.ServerName = u.Hostname()
		}
	}
	return s, nil
}

// dial returns a connection that is ready for the first LDAP message. With TLS
// its handshake is done and the certificate is verified.
func (s *server) dial(ctx context.Context) (net.Conn, error) {
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", s.address)
	if err != nil {
		return nil, err
	}
	conn := raw
	if s.tls != nil {
		if conn, err = s.secure(ctx, raw); err != nil {
			raw.Close()
			return nil, fmt.Errorf("TLS with %s: %w", s.url, err)
		}
	}
	if s.doubtful() {
		if err := probe(ctx, raw, conn); err != nil {
			raw.Close()
			return nil, fmt.Errorf("%s accepts connections, but does not answer: %w", s.url, err)
		}
	}
	return conn, nil
}

// whoAmI is the ExtendedRequest of RFC 4532, message 1. It changes nothing, and
// whatever is answered (some servers do not know it) shows that the server lives.
const whoAmI = "\x30\x1e\x02\x01\x01\x77\x19\x80\x171.3.6.1.4.1.4203.1.11.3"

// probe asks a server that was found dead whether it answers again: a process
// that hangs still has its connections accepted by the kernel.
func probe(ctx context.Context, raw, conn net.Conn) error {
	stop := context.AfterFunc(ctx, func() { raw.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := io.WriteString(conn, whoAmI); err != nil {
		return err
	}
	_, err := readAnswer(conn)
	if err == nil && !stop() {
		return ctx.Err()
	}
	return err
}

func (s *server) secure(ctx context.Context, raw net.Conn) (net.Conn, error) {
	if s.startTLS {
		if err := startTLS(ctx, raw); err != nil {
			return nil, err
		}
	}
	conn := tls.Client(raw, s.tls)
	return conn, conn.HandshakeContext(ctx)
}

// startTLSRequest is the ExtendedRequest of RFC 4511 section 4.14.1, message 1.
const startTLSRequest = "\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037"

// startTLS asks for TLS and reads exactly the one answer: the next byte of the
// connection belongs to the handshake.
func startTLS(ctx context.Context, conn net.Conn) error {
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := io.WriteString(conn, startTLSRequest); err != nil {
		return err
	}
	frame, err := readAnswer(conn)
	if err != nil {
		return fmt.Errorf("StartTLS: %w", err)
	}
	if err := startTLSAnswer(frame); err != nil {
		return err
	}
	if !stop() {
		return ctx.Err()
	}
	return nil
}

// longestAnswer bounds what an unauthenticated peer can make us keep.
const longestAnswer = 4096

// readAnswer reads one LDAPMessage, and not one byte more.
func readAnswer(r io.Reader) ([]byte, error) {
	frame := make([]byte, 2, 64)
	if _, err := io.ReadFull(r, frame); err != nil {
		return nil, err
	}
	length := int(frame[1])
	if n := length - 0x80; n > 0 {
		if n > 2 {
			return nil, errors.New("answer is too long")
		}
		more := make([]byte, n)
		if _, err := io.ReadFull(r, more); err != nil {
			return nil, err
		}
		frame, length = append(frame, more...), 0
		for _, b := range more {
			length = length<<8 | int(b)
		}
	}
	if frame[0] != 0x30 || frame[1] == 0x80 || length > longestAnswer {
		return nil, errors.New("answer is no LDAP message")
	}
	body := make([]byte, length)
	_, err := io.ReadFull(r, body)
	return append(frame, body...), err
}

// startTLSAnswer tells whether frame is the consent to message 1.
func startTLSAnswer(frame []byte) error {
	message, err := ber.DecodePacketErr(frame)
	if err != nil || len(message.Children) < 2 {
		return errors.New("StartTLS: answer is no LDAP message")
	}
	id, ok := message.Children[0].Value.(int64)
	response := message.Children[1]
	if !ok || id != 1 || response.ClassType != ber.ClassApplication || response.Tag != ldap.ApplicationExtendedResponse {
		return errors.New("StartTLS: answer is to something else")
	}
	if err := ldap.GetLDAPError(message); err != nil {
		return fmt.Errorf("StartTLS: %w", err)
	}
	return nil
}

// servers are tried in their order, the dead ones last.
type servers []*server

// order returns those that are thought to be alive, or whose time to be tried
// again has come, and then the others.
func (all servers) order(now time.Time) []*server {
	var first, last []*server
	for _, s := range all {
		if s.passedOver(now) {
			last = append(last, s)
		} else {
			first = append(first, s)
		}
	}
	return append(first, last...)
}

// first is the first one of order.
func (all servers) first(now time.Time) *server {
	for _, s := range all {
		if !s.passedOver(now) {
			return s
		}
	}
	return all[0]
}

// try calls use with one server after the other until one answers. Each gets an
// equal part of the time that is left, so that one that swallows packets does
// not use it up.
func (all servers) try(ctx context.Context, use func(context.Context, *server) error) error {
	order := all.order(time.Now())
	var failures []error
	for i, s := range order {
		err := s.attempt(ctx, len(order)-i, use)
		if err == nil {
			return nil
		}
		failures = append(failures, fmt.Errorf("%s: %w", s.url, err))
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(failures...)
}

func (s *server) attempt(ctx context.Context, left int, use func(context.Context, *server) error) error {
	s.claim(time.Now())
	mine, cancel := part(ctx, left)
	defer cancel()
	err := use(mine, s)
	if !callerLeft(err) {
		s.learn(err, time.Now())
	}
	return err
}

// part bounds the first of so many tries that share the time left in ctx.
func part(ctx context.Context, tries int) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok || tries < 2 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, time.Until(deadline)/time.Duration(tries))
}

// doubtful: it did not answer when it was asked last.
func (s *server) doubtful() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.retry.IsZero()
}

func (s *server) passedOver(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return now.Before(s.retry)
}

// claim makes one caller at a time find out whether a dead server has come
// back.
func (s *server) claim(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.retry.IsZero() {
		s.retry = now.Add(passOver)
	}
}

// learn notes how a try ended, and tells when that is news.
func (s *server) learn(err error, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.retry.IsZero()
	s.retry = time.Time{}
	if err != nil {
		s.retry = now.Add(passOver)
	}
	switch {
	case was && err != nil:
		s.log.Warn("a directory server does not answer; the others are asked first", "server", s.url, "again_in", passOver, "cause", err)
	case !was && err == nil:
		s.log.Info("a directory server answers again", "server", s.url)
	}
}

// A dialled connection knows its server.
type dialled struct {
	net.Conn
	server *server
}

var errSilent = errors.New("no answer in time")

// Doubt tells that the server did not answer on this connection in time: it is
// passed over until it answers again.
func (d *dialled) Doubt() { d.server.learn(errSilent, time.Now()) }
