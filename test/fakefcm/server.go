package fakefcm

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Server is a running fake.
type Server struct {
	URL       string // http://127.0.0.1:port
	ProjectID string

	http  *http.Server
	ended chan error
	key   *rsa.PrivateKey
	keyID string

	mu           sync.Mutex
	bearers      map[string]time.Time // until when each is good
	tokenFault   func(http.ResponseWriter)
	script       []Fault
	always       *Fault
	unregistered map[string]bool
	messages     []Message
	changed      chan struct{} // closed when messages grows
	notes        []string
	late         []*time.Timer

	rawMu sync.Mutex
	raw   bytes.Buffer
}

// maxRaw and maxMessages bound what a long-running fake remembers.
const (
	maxRaw      = 64 << 20
	maxMessages = 100_000
)

// TB is what Run needs of a testing.TB; so a program may use this package
// without carrying package testing along.
type TB interface {
	Helper()
	Cleanup(func())
	Fatal(args ...any)
}

// Run starts a fake for one test and stops it at its end.
func Run(t TB) *Server {
	t.Helper()
	s, err := Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// Start listens on addr, for example 127.0.0.1:0, until Close.
func Start(addr string) (*Server, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("fake FCM: %w", err)
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("fake FCM: %w", err)
	}
	s := &Server{
		URL: "http://" + listener.Addr().String(), ProjectID: "fake-vssid", key: key, keyID: rand.Text(),
		ended: make(chan error, 1), bearers: map[string]time.Time{}, unregistered: map[string]bool{}, changed: make(chan struct{}),
	}
	s.http = &http.Server{Handler: s.routes(), ReadHeaderTimeout: 10 * time.Second}
	go func() { s.ended <- s.http.Serve(&tap{listener, s}) }()
	return s, nil
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/token", s.token)
	mux.HandleFunc("POST /v1/projects/{project}/{call}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("call") != "messages:send" {
			s.unknown(w, r)
			return
		}
		s.send(w, r)
	})
	mux.HandleFunc("/", s.unknown)
	return mux
}

func (s *Server) unknown(w http.ResponseWriter, r *http.Request) {
	s.note("unknown call: " + r.Method + " " + r.URL.Path)
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(http.StatusNotFound)
	fmt.Fprint(w, "<!DOCTYPE html><title>Error 404 (Not Found)!!1</title>")
}

// Close stops the fake and what it would still have delivered late.
func (s *Server) Close() error {
	s.mu.Lock()
	for _, t := range s.late {
		t.Stop()
	}
	s.mu.Unlock()
	err := s.http.Close()
	if ended := <-s.ended; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	s.ended <- http.ErrServerClosed
	return err
}

// Endpoint is what fcm.endpoint is set to.
func (s *Server) Endpoint() string { return s.URL + "/v1" }

func (s *Server) email() string { return "push@" + s.ProjectID + ".iam.gserviceaccount.com" }

// CredentialsJSON is the key file of the service account, as Google gives it
// out, with this server as its token end point.
func (s *Server) CredentialsJSON() []byte {
	der, err := x509.MarshalPKCS8PrivateKey(s.key)
	if err != nil {
		panic(err) // a key that was just made
	}
	raw, _ := json.Marshal(map[string]string{
		"type": "service_account", "project_id": s.ProjectID, "private_key_id": s.keyID,
		"private_key":  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"client_email": s.email(), "client_id": "1", "token_uri": s.URL + "/token",
		"auth_uri": s.URL + "/auth", "universe_domain": "googleapis.com",
	})
	return raw
}

// Script queues what becomes of the next messages, one each; after them all is
// ordinary again.
func (s *Server) Script(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = append(s.script, faults...)
}

// Always makes every message that the script does not cover meet that fault,
// until Always(OK()).
func (s *Server) Always(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.always = &f
}

// Unregister makes a device's token one whose app is gone.
func (s *Server) Unregister(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unregistered[token] = true
}

func (s *Server) fault(token string) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case len(s.script) > 0:
		f := s.script[0]
		s.script = s.script[1:]
		return f
	case s.unregistered[token]:
		return Unregistered()
	case s.always != nil:
		return *s.always
	}
	return OK()
}

func (s *Server) accept(m Message, f Fault) {
	deliver := func() { s.record(m) }
	if f.late > 0 {
		s.mu.Lock()
		s.late = append(s.late, time.AfterFunc(f.late, deliver))
		s.mu.Unlock()
		return
	}
	deliver()
	if f.twice {
		deliver()
	}
}

func (s *Server) record(m Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.messages) >= maxMessages {
		return
	}
	m.At = time.Now()
	s.messages = append(s.messages, m)
	close(s.changed)
	s.changed = make(chan struct{})
}

// Messages are those delivered so far, in order.
func (s *Server) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

// Wait returns the messages as soon as there are n of them, or ctx's error.
func (s *Server) Wait(ctx context.Context, n int) ([]Message, error) {
	for {
		s.mu.Lock()
		messages, changed := slices.Clone(s.messages), s.changed
		s.mu.Unlock()
		if len(messages) >= n {
			return messages, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return messages, fmt.Errorf("%d of %d messages: %w; refusals: %q", len(messages), n, ctx.Err(), s.Refusals())
		}
	}
}

// Refusals say which requests were refused for what they were, not by script.
func (s *Server) Refusals() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.notes)
}

func (s *Server) note(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.notes) < maxMessages {
		s.notes = append(s.notes, what)
	}
}

// Raw is every byte that reached the fake on any connection: what a test
// searches for things that must never leave.
func (s *Server) Raw() []byte {
	s.rawMu.Lock()
	defer s.rawMu.Unlock()
	return bytes.Clone(s.raw.Bytes())
}

// tap is a listener whose connections keep what they read.
type tap struct {
	net.Listener
	s *Server
}

func (t *tap) Accept() (net.Conn, error) {
	c, err := t.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &tappedConn{c, t.s}, nil
}

type tappedConn struct {
	net.Conn
	s *Server
}

func (c *tappedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.s.rawMu.Lock()
	if room := maxRaw - c.s.raw.Len(); room > 0 {
		c.s.raw.Write(p[:min(n, room)])
	}
	c.s.rawMu.Unlock()
	return n, err
}
