package radius

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
	"vssgate/internal/secret"
)

// This file holds what the tests share: a NAS that writes packets byte by byte
// with code of its own, a handler that does as it is told, and a server with both.

const shared = "a-secret-of-the-test"

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// An attr is one attribute as it is on the wire.
type attr struct {
	kind  byte
	value []byte
}

func text(kind byte, value string) attr { return attr{kind, []byte(value)} }

// hidden is a User-Password, padded with NULs (RFC 2865 section 5.2).
func hidden(password string, auth [16]byte) attr { return hiddenBy(shared, password, auth) }

func hiddenBy(secret, password string, auth [16]byte) attr {
	padded := append([]byte(password), make([]byte, (16-len(password)%16)%16)...)
	if len(padded) == 0 {
		padded = make([]byte, 16)
	}
	before := auth[:]
	for at := 0; at < len(padded); at += 16 {
		pad := md5.Sum(append([]byte(secret), before...))
		for i := range 16 {
			padded[at+i] ^= pad[i]
		}
		before = padded[at : at+16]
	}
	return attr{2, padded}
}

// authOf makes authenticators that differ.
func authOf(n int) (a [16]byte) {
	binary.BigEndian.PutUint64(a[8:], uint64(n)+1)
	return a
}

// pack writes a packet as it is told to, right or wrong.
func pack(code, id byte, auth [16]byte, attrs ...attr) []byte {
	b := append([]byte{code, id, 0, 0}, auth[:]...)
	for _, a := range attrs {
		b = append(b, a.kind, byte(len(a.value)+2))
		b = append(b, a.value...)
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}

// signed is pack with a Message-Authenticator at place.
func signed(code, id byte, auth [16]byte, place int, attrs ...attr) []byte {
	return signedBy(shared, code, id, auth, place, attrs...)
}

func signedBy(secret string, code, id byte, auth [16]byte, place int, attrs ...attr) []byte {
	var all []attr
	all = append(all, attrs[:place]...)
	all = append(all, attr{80, make([]byte, 16)})
	all = append(all, attrs[place:]...)
	b := pack(code, id, auth, all...)
	at := 20
	for _, a := range attrs[:place] {
		at += 2 + len(a.value)
	}
	h := hmac.New(md5.New, []byte(secret))
	h.Write(b)
	copy(b[at+2:], h.Sum(nil))
	return b
}

// asks is an ordinary signed Access-Request.
func asks(id byte, n int, user, password string, more ...attr) []byte {
	return asksBy(shared, id, n, user, password, more...)
}

func asksBy(secret string, id byte, n int, user, password string, more ...attr) []byte {
	auth := authOf(n)
	return signedBy(secret, 1, id, auth, 0, append([]attr{text(1, user), hiddenBy(secret, password, auth)}, more...)...)
}

// attrsOf reads the attributes of an answer.
func attrsOf(t testing.TB, b []byte) (all []attr) {
	for b = b[20:]; len(b) > 0; b = b[b[1]:] {
		require.GreaterOrEqual(t, len(b), 2)
		require.GreaterOrEqual(t, int(b[1]), 2)
		require.GreaterOrEqual(t, len(b), int(b[1]))
		all = append(all, attr{b[0], bytes.Clone(b[2:b[1]])})
	}
	return all
}

// values are the values of all attributes of a kind.
func values(all []attr, kind byte) (v []string) {
	for _, a := range all {
		if a.kind == kind {
			v = append(v, string(a.value))
		}
	}
	return v
}

// genuine requires b to answer request as RFC 2865 and RFC 3579 say, with
// Message-Authenticator first, and returns its attributes.
func genuine(t testing.TB, request, b []byte) []attr { return genuineBy(t, shared, request, b) }

func genuineBy(t testing.TB, secret string, request, b []byte) []attr {
	require.GreaterOrEqual(t, len(b), 20)
	require.LessOrEqual(t, len(b), 4096)
	require.Equal(t, len(b), int(binary.BigEndian.Uint16(b[2:])), "Length")
	require.Equal(t, request[1], b[1], "Identifier")
	h := md5.New()
	h.Write(b[:4])
	h.Write(request[4:20])
	h.Write(b[20:])
	h.Write([]byte(secret))
	require.Equal(t, h.Sum(nil), b[4:20], "Response Authenticator")
	all := attrsOf(t, b)
	require.Equal(t, byte(80), all[0].kind, "Message-Authenticator comes first")
	over := bytes.Clone(b)
	copy(over[4:20], request[4:20])
	copy(over[22:38], make([]byte, 16))
	m := hmac.New(md5.New, []byte(secret))
	m.Write(over)
	require.Equal(t, m.Sum(nil), all[0].value, "Message-Authenticator")
	return all
}

// A nas is one port of a NAS.
type nas struct {
	t    testing.TB
	conn *net.UDPConn
}

func newNAS(t testing.TB, server netip.AddrPort) *nas {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(server))
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return &nas{t, conn}
}

func (n *nas) send(b []byte) {
	_, err := n.conn.Write(b)
	require.NoError(n.t, err)
}

func (n *nas) receive() []byte {
	n.conn.SetReadDeadline(time.Now().Add(patience))
	buf := make([]byte, 65536)
	k, err := n.conn.Read(buf)
	require.NoError(n.t, err, "no answer")
	return buf[:k]
}

// ask sends b and returns the code and attributes of its genuine answer.
func (n *nas) ask(b []byte) (code byte, attrs []attr) {
	n.send(b)
	answer := n.receive()
	return answer[0], genuine(n.t, b, answer)
}

// hears requires that the next datagram that comes is the answer to a probe
// sent now: nothing else was sent before. Call it when the server is known to
// be done with what was sent before.
func (n *nas) hearsNothing() {
	probe := signed(12, 255, authOf(1<<40), 0)
	code, _ := n.ask(probe)
	require.Equal(n.t, byte(2), code)
}

// A scripted handler hands each request to the test, or to script.
type scripted struct {
	asked  chan asking
	script func(r *login.Request) (leave func())
}

type asking struct {
	*login.Request
	left chan struct{} // closed when leave is called
}

func (h *scripted) Handle(r *login.Request) func() {
	if h.script != nil {
		return h.script(r)
	}
	left := make(chan struct{})
	h.asked <- asking{r, left}
	return sync.OnceFunc(func() { close(left) })
}

// next is the next request.
func (h *scripted) next(t testing.TB) asking {
	select {
	case a := <-h.asked:
		return a
	case <-time.After(patience):
		require.Fail(t, "the handler was not asked")
		return asking{}
	}
}

// idle requires that nobody was asked.
func (h *scripted) idle(t testing.TB) { require.Empty(t, h.asked, "the handler was asked") }

func (a asking) hasLeft(t testing.TB) {
	select {
	case <-a.left:
	case <-time.After(patience):
		require.Fail(t, "leave was not called")
	}
}

// counter is a Meter that tests can wait for.
type counter struct {
	drops   chan Drop
	closes  chan Drop
	resent  chan struct{}
	refused chan string
	mu      sync.Mutex
	inUse   map[string]int
	counts  map[string]int // of Unsigned and PreviousSecret, by method and client
}

func newCounter() *counter {
	return &counter{drops: make(chan Drop, 100_000), closes: make(chan Drop, 100_000), resent: make(chan struct{}, 100_000),
		refused: make(chan string, 100_000), inUse: map[string]int{}, counts: map[string]int{}}
}

func (c *counter) Dropped(why Drop)          { c.drops <- why }
func (c *counter) RequestRefused(why string) { c.refused <- why }
func (c *counter) Resent()                   { c.resent <- struct{}{} }
func (c *counter) IdentifiersInUse(client string, delta int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inUse[client] += delta
}

func (c *counter) TLSConnections(delta int)     { c.IdentifiersInUse("connections", delta) }
func (c *counter) TLSClosed(why Drop)           { c.closes <- why }
func (c *counter) Unsigned(client string)       { c.inc("unsigned " + client) }
func (c *counter) PreviousSecret(client string) { c.inc("previous " + client) }

func (c *counter) inc(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[what]++
}

func (c *counter) counted(what string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts[what]
}

func (c *counter) used(client string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.inUse[client]
}

// dropped requires that the next thing dropped was dropped for that.
func (c *counter) dropped(t testing.TB, why Drop) {
	select {
	case got := <-c.drops:
		require.Equal(t, why, got)
	case <-time.After(patience):
		require.Fail(t, "nothing was dropped", "want %s", why)
	}
}

// A journal is a log that tests can read.
type journal struct {
	mu  sync.Mutex
	all strings.Builder
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.all.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.all.String()
}

// words stands in for the rendered texts.
func words(c *login.Client, r login.Reply) string {
	if r.Kind == login.Accept {
		return ""
	}
	return fmt.Sprintf("%d %s %s [%s]", r.Kind, r.Reason, r.Prompt, r.Trace)
}

// A bench is a running server and what is around it.
type bench struct {
	*scripted
	*counter
	*journal
	server *Server
	addr   netip.AddrPort
	stop   context.CancelFunc
	ended  chan error
}

func loopback() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
}

func options() Options {
	return Options{
		Clients: []Client{{Login: &login.Client{Name: "hq-vpn"}, Prefixes: loopback(), Secret: secret.Secret(shared)}},
		Text:    words,
	}
}

func listen(t testing.TB, network, addr string) *net.UDPConn {
	a, err := net.ResolveUDPAddr(network, addr)
	require.NoError(t, err)
	conn, err := net.ListenUDP(network, a)
	require.NoError(t, err)
	return conn
}

// start runs a server on 127.0.0.1; change may change its options.
func start(t testing.TB, change func(*Options)) *bench {
	return startOn(t, listen(t, "udp4", "127.0.0.1:0"), change)
}

func startOn(t testing.TB, conn *net.UDPConn, change func(*Options), how ...func(*Server, context.Context, *net.UDPConn) error) *bench {
	b := &bench{
		scripted: &scripted{asked: make(chan asking, 100_000)},
		counter:  newCounter(),
		journal:  &journal{},
		ended:    make(chan error, 1),
	}
	o := options()
	b.options(&o)
	if change != nil {
		change(&o)
	}
	var err error
	b.server, err = New(o)
	require.NoError(t, err)
	b.addr = conn.LocalAddr().(*net.UDPAddr).AddrPort()
	ctx, stop := context.WithCancel(context.Background())
	b.stop = stop
	serve := append(how, (*Server).Serve)[0]
	go func() { b.ended <- serve(b.server, ctx, conn) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-b.ended)
		b.ended <- nil
	})
	return b
}

func (b *bench) options(o *Options) {
	o.Handler, o.Meter, o.Log = b.scripted, b.counter, slog.New(slog.NewTextHandler(b.journal, nil))
}

// hasEnded waits for Serve to return.
func (b *bench) hasEnded(t testing.TB) {
	select {
	case err := <-b.ended:
		require.NoError(t, err)
		b.ended <- nil
	case <-time.After(patience):
		require.Fail(t, "Serve does not end")
	}
}

func md5Of(parts ...[]byte) (sum [16]byte) { return md5.Sum(bytes.Join(parts, nil)) }
