package ldapproxy

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
)

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

// desk is a small engine: it runs the first factor as the real one does, cuts an
// appended code off, and leaves what is held to the test.
type desk struct {
	held chan *visit // binds whose password is right

	mu       sync.Mutex
	visits   []*visit
	checks   int
	resolves int
}

// visit is one request at the desk.
type visit struct {
	request  *login.Request
	identity login.Identity
	checked  login.Checked
	left     chan struct{} // closed when the asker has gone
}

const rightCode = "123456"

func newDesk() *desk { return &desk{held: make(chan *visit, 4096)} }

func (d *desk) Handle(r *login.Request) func() {
	v := &visit{request: r, left: make(chan struct{})}
	d.mu.Lock()
	d.visits = append(d.visits, v)
	d.mu.Unlock()
	if r.Rule != "" {
		d.work(v)
	} else {
		go d.work(v)
	}
	return sync.OnceFunc(func() { close(v.left) })
}

func (d *desk) work(v *visit) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	password, code := cutCode(string(v.request.Password))
	who, err := v.request.First.Resolve(ctx, v.request.Username)
	if err == nil {
		d.count(&d.resolves)
		v.identity = who
		v.checked, err = v.request.First.Check(ctx, who, []byte(password))
		d.count(&d.checks)
	}
	switch {
	case err != nil:
		v.request.Reply(login.Reply{Kind: login.NoAnswer, Reason: login.Unavailable, Trace: "TRACE2"})
	case v.checked.First != login.FirstRight:
		v.reject(v.checked.Reason)
	case v.request.Rule != "":
		v.accept()
	case code == rightCode:
		v.accept()
	case code != "":
		v.reject(login.WrongCode)
	default:
		d.held <- v
	}
}

func (d *desk) count(n *int) {
	d.mu.Lock()
	*n++
	d.mu.Unlock()
}

// asked is how many requests came.
func (d *desk) asked() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.visits)
}

func (d *desk) last() *visit {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.visits[len(d.visits)-1]
}

// next waits until a bind is held.
func (d *desk) next(t testing.TB) *visit {
	t.Helper()
	select {
	case v := <-d.held:
		return v
	case <-time.After(patience):
		t.Fatal("no bind is held")
		return nil
	}
}

func (v *visit) accept() {
	v.request.Reply(login.Reply{Kind: login.Accept, Reason: login.Accepted, Trace: "TRACE2", Identity: v.identity})
}

func (v *visit) reject(why login.Reason) {
	v.request.Reply(login.Reply{Kind: login.Reject, Reason: why, Trace: "TRACE2"})
}

// wantLeft waits until the desk has been told that the asker has gone.
func (v *visit) wantLeft(t testing.TB) {
	t.Helper()
	select {
	case <-v.left:
	case <-time.After(patience):
		t.Fatal("the engine was not told that the client has gone")
	}
}

// cutCode splits "password,123456".
func cutCode(s string) (password, code string) {
	i := strings.LastIndexByte(s, ',')
	if i < 0 || len(s)-i-1 != len(rightCode) || strings.Trim(s[i+1:], "0123456789") != "" {
		return s, ""
	}
	return s[:i], s[i+1:]
}

// proxy is a running Server.
type proxy struct {
	t       testing.TB
	addr    string
	tlsAddr string
	server  *Server
	stop    func() // ends it and waits
	log     *logBook
	meter   *tally
}

// front starts a Server on 127.0.0.1 for one client, "app".
func front(t testing.TB, d Directory, h Handler, change func(*Options, *limits)) *proxy {
	t.Helper()
	p := &proxy{t: t, log: &logBook{}, meter: &tally{counts: map[string]int{}}}
	o := Options{
		Rules: Rules{Clients: []Client{{
			Login:     &login.Client{Name: "app", Mode: login.Hold, Language: "en"},
			Prefixes:  []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
			Directory: d,
		}}},
		Handler: h,
		Text: func(c *login.Client, r login.Reply) string {
			return fmt.Sprintf("%s for %s [%s]", r.Reason, c.Name, r.Trace)
		},
		Meter: p.meter,
		Log:   slog.New(slog.NewTextHandler(p.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	l := defaultLimits
	if change != nil {
		change(&o, &l)
	}
	var err error
	p.server, err = New(o)
	require.NoError(t, err)
	p.server.limits = l
	p.serve(o.TLS != nil)
	return p
}

func (p *proxy) serve(secure bool) {
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	listen := func(tlsFirst bool) string {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(p.t, err)
		group.Go(func() {
			if err := p.server.Serve(ctx, ln, tlsFirst); err != nil {
				p.t.Error(err)
			}
		})
		return ln.Addr().String()
	}
	p.addr = listen(false)
	if secure {
		p.tlsAddr = listen(true)
	}
	p.stop = sync.OnceFunc(func() {
		cancel()
		ended := make(chan struct{})
		go func() { group.Wait(); close(ended) }()
		select {
		case <-ended:
		case <-time.After(patience):
			p.t.Error("Serve does not return")
		}
	})
	p.t.Cleanup(p.stop)
}

// logBook keeps what is logged.
type logBook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBook) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// tally is a Meter that can be waited for.
type tally struct {
	mu     sync.Mutex
	open   int
	counts map[string]int
}

func (m *tally) Connections(delta int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open += delta
}

func (m *tally) Refused(reason string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counts[reason]++
}

func (m *tally) refused(reason string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.counts[reason]
}

// globalLog catches what the LDAP package says by the process's logger.
func globalLog(t testing.TB) *logBook {
	book := &logBook{}
	old := log.Writer()
	log.SetOutput(book)
	t.Cleanup(func() { log.SetOutput(old) })
	return book
}
