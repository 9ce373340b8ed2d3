// Package fakewebhook is a strict stand-in for VssID's own push service, for
// tests: a small program that takes what docs/push.md says and nothing else.
//
//	POST /vssgate  Authorization: Bearer TOKEN  {"type", "login_id", ..., "device_id", "platform", "push_token"}  -> 204
//
// What it refuses stands in Refusals; Script gives the next answers another shape.
package fakewebhook

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"slices"
	"sync"
	"testing"
)

// Path is where the service takes messages.
const Path = "/vssgate"

// A Message is what one device is told.
type Message map[string]string

// Server is a running fake.
type Server struct {
	URL   string // with Path
	Token string // what it takes for a bearer

	mu       sync.Mutex
	script   []http.HandlerFunc
	messages []Message
	changed  chan struct{} // closed when messages grows
	refusals []string
	raw      bytes.Buffer
}

// Run starts a fake on a port of 127.0.0.1 until the test ends: over TLS with
// that certificate, or plain where there is none.
func Run(t testing.TB, certificate *tls.Certificate) *Server {
	t.Helper()
	s := &Server{Token: rand.Text(), changed: make(chan struct{})}
	h := httptest.NewUnstartedServer(s)
	h.EnableHTTP2 = true
	if certificate == nil {
		h.Start()
	} else {
		h.TLS = &tls.Config{Certificates: []tls.Certificate{*certificate}}
		h.StartTLS()
	}
	t.Cleanup(h.Close)
	s.URL = h.URL + Path
	return s
}

// Take makes it take another bearer from now on.
func (s *Server) Take(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Token = token
}

func (s *Server) bearer() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return "Bearer " + s.Token
}

// kinds are the fields that each type has besides those of the device.
var kinds = map[string][]string{
	"login":        {"expires", "login_id"},
	"login.closed": {"login_id"},
	"notice":       {"notice"},
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	dump, _ := httputil.DumpRequest(r, true)
	var m Message
	fault := s.check(r, &m)
	s.mu.Lock()
	s.raw.Write(dump)
	answer := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }
	switch {
	case fault != "":
		s.refusals = append(s.refusals, fault)
		answer = func(w http.ResponseWriter, _ *http.Request) { http.Error(w, fault, http.StatusBadRequest) }
	case m["type"] == "check":
	case len(s.script) > 0:
		answer, s.script = s.script[0], s.script[1:]
	default:
		s.messages = append(s.messages, m)
		close(s.changed)
		s.changed = make(chan struct{})
	}
	s.mu.Unlock()
	answer(w, r)
}

// check says what is wrong with a request; "" nothing.
func (s *Server) check(r *http.Request, m *Message) string {
	switch {
	case r.Method != http.MethodPost || r.URL.Path != Path:
		return "unknown call: " + r.Method + " " + r.URL.Path
	case r.Header.Get("Authorization") != s.bearer():
		return "not the bearer"
	case r.Header.Get("Content-Type") != "application/json":
		return "not JSON by its header"
	}
	if err := json.NewDecoder(r.Body).Decode(m); err != nil {
		return "not an object of strings: " + err.Error()
	}
	want := []string{"type"}
	if (*m)["type"] != "check" {
		want = append(append(want, "device_id", "platform", "push_token"), kinds[(*m)["type"]]...)
	}
	slices.Sort(want)
	if got := slices.Sorted(maps.Keys(*m)); !slices.Equal(got, want) {
		return fmt.Sprintf("fields %q, want %q", got, want)
	}
	return ""
}

// Script queues the answers to the next requests that nothing is wrong with.
// What is answered so does not count as taken.
func (s *Server) Script(answers ...http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = append(s.script, answers...)
}

// Says is an answer with that status and body.
func Says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

// Wait returns the messages taken as soon as there are n, or ctx's error.
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

// Refusals say what was wrong with requests.
func (s *Server) Refusals() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.refusals)
}

// Raw is all that was asked, heads and bodies: what a test searches for what
// must never leave.
func (s *Server) Raw() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.raw.String()
}
