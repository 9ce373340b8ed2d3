package radius

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"

	"vssgate/internal/login"
)

// A Handler decides logins. login.Engine is one.
type Handler interface {
	// Handle takes a request and returns at once; r.Reply is called exactly
	// once, from any goroutine, also before Handle returns. leave, which may be
	// nil, says that the NAS has gone and will take no answer; r.Reply is still
	// called, with Silence if it was not on its way already. leave is called at
	// most once, and not after r.Reply has returned.
	Handle(r *login.Request) (leave func())
}

// Options are what a Server is made of.
type Options struct {
	Clients []Client
	Handler Handler

	// Text renders what the user reads; "" sends none. Required.
	Text func(c *login.Client, r login.Reply) string

	// Ready tells whether the node can decide logins: only then is
	// Status-Server answered. nil: always.
	Ready func() bool

	// Accountant keeps what NASes tell of sessions. nil: accounting is dropped,
	// and named.
	Accountant Accountant

	// Trail follows logins for people; nil: nobody does.
	Trail login.Trail

	// MaxHeld bounds the requests that wait for an answer; what comes beyond is
	// dropped, so that the NAS asks elsewhere. 0: 200,000.
	MaxHeld int

	// MaxConnections bounds the connections over TLS; what comes beyond is
	// closed. 0: 4096.
	MaxConnections int

	// DrainFor is how long held requests may still be answered after Serve's
	// context has ended. 0: not at all.
	DrainFor time.Duration

	// Signs is told of a NAS of that client whose ratchet has turned (see
	// RequireAuto), so that it is remembered. It must not block, and calls done
	// once: the request that turned it is decided when that is safe, and dropped
	// when it could not be made so. nil: nobody is told.
	Signs func(client string, signer Signer, done func(safe bool))

	// EAPKey signs the States of EAP conversations, so that any node that has the
	// same can go on with them. nil: this process alone.
	EAPKey []byte

	Meter Meter        // nil: nothing is counted
	Log   *slog.Logger // nil: slog.Default()
}

// A Server serves any number of sockets with one table of exchanges.
type Server struct {
	opts      Options
	clients   atomic.Pointer[clients]
	exchanges *exchanges
	tell      *teller
	eap       eapStates

	limits      limits
	protocols   []string // offered over TLS, the best first
	named       named
	strays      login.Strays
	handshakes  handshakes
	connections atomic.Int64
}

// New makes a Server. It is an error if two clients have the same address.
func New(opts Options) (*Server, error) {
	if opts.Handler == nil || opts.Text == nil {
		return nil, errors.New("radius: no handler, or no texts")
	}
	if opts.Ready == nil {
		opts.Ready = func() bool { return true }
	}
	if opts.MaxHeld == 0 {
		opts.MaxHeld = 200_000
	}
	if opts.MaxConnections == 0 {
		opts.MaxConnections = 4096
	}
	if opts.Signs == nil {
		opts.Signs = func(_ string, _ Signer, done func(bool)) { done(true) }
	}
	if opts.Meter == nil {
		opts.Meter = noMeter{}
	}
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	s := &Server{
		opts:      opts,
		exchanges: newExchanges(opts.MaxHeld, opts.Meter),
		tell:      newTeller(opts.Log),
		eap:       newEAPStates(opts.EAPKey),
		limits:    defaultLimits,
		protocols: []string{protocolV11, protocolV10},
	}
	s.clients.Store(&clients{})
	use, err := s.Prepare(opts.Clients)
	if err != nil {
		return nil, err
	}
	use()
	return s, nil
}

// Prepare checks other clients; use puts them in the place of those there are.
// What is held is answered as its client was when it came, and what is known of
// a client's NASes stays, by its name. Who is no client any more is not heard.
func (s *Server) Prepare(list []Client) (use func(), err error) {
	next, err := newClients(list)
	if err != nil {
		return nil, err
	}
	return func() {
		next.inherit(s.clients.Load())
		s.clients.Store(next)
	}, nil
}

// readers is how many goroutines read one socket: more bring nothing, the
// work is mostly the kernel's.
const readers = 2

// Serve answers the logins that come to conn until ctx ends, lets held requests
// be answered for DrainFor more, closes conn and returns after its last
// goroutine has ended. What is still held then stays unanswered: the NAS asks
// again, or elsewhere. The error is the socket's; nil if ctx ended.
func (s *Server) Serve(ctx context.Context, conn *net.UDPConn) error {
	return s.serveUDP(ctx, conn, takesLogins)
}

// ServeAccounting is Serve for a socket that takes accounting, and no logins.
func (s *Server) ServeAccounting(ctx context.Context, conn *net.UDPConn) error {
	return s.serveUDP(ctx, conn, takesAccounting)
}

func (s *Server) serveUDP(ctx context.Context, conn *net.UDPConn, takes codes) error {
	defer conn.Close()
	sock, err := newUDPSocket(conn, takes)
	if err != nil {
		return fmt.Errorf("radius: %s: %w", conn.LocalAddr(), err)
	}
	stopReading := func() { conn.SetReadDeadline(time.Unix(1, 0)) }
	defer context.AfterFunc(ctx, stopReading)()

	var all sync.WaitGroup
	errs := make([]error, readers)
	for i := range errs {
		all.Go(func() {
			errs[i] = s.read(sock)
			stopReading() // one reader without the others would hide the failure
		})
	}
	all.Wait()
	s.drain(&sock.socket)
	if err := errors.Join(errs...); err != nil && ctx.Err() == nil {
		return fmt.Errorf("radius: %s: %w", conn.LocalAddr(), err)
	}
	return nil
}

func (s *Server) drain(sock *socket) {
	drained := s.exchanges.drain(sock)
	if s.opts.DrainFor > 0 {
		limit := time.NewTimer(s.opts.DrainFor)
		defer limit.Stop()
		select {
		case <-drained:
		case <-limit.C:
		}
	}
	s.giveUp(sock)
}

// giveUp forgets what came through sock, and tells the Handler about what is
// still held.
func (s *Server) giveUp(sock *socket) {
	for _, leave := range s.exchanges.end(sock) {
		s.left(leave)
	}
}

// maxReadErrors in a row mean that the socket is of no use any more.
const maxReadErrors = 16

// read serves datagrams until it is told to stop by a read deadline.
func (s *Server) read(sock *udpSocket) error {
	buf := make([]byte, layeh.MaxPacketLength+1) // one more tells what is too long
	oob := make([]byte, 128)
	var to asked
	for failed := 0; ; {
		n, k, err := sock.receive(buf, oob, &to)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case err != nil:
			if failed++; failed == maxReadErrors || errors.Is(err, net.ErrClosed) {
				return err
			}
			continue
		}
		failed = 0
		s.serve(buf[:n], k)
	}
}

// serve does what there is to do about one datagram. b is not kept.
func (s *Server) serve(b []byte, k key) {
	c := s.clients.Load().find(k.source.Addr())
	if c == nil {
		s.drop(nil, UnknownSource, k)
		return
	}
	s.take(b, c, k)
}

// take does what there is to do about one packet of c, and says why it was not
// read. b is not kept.
func (s *Server) take(b []byte, c *client, k key) (drop Drop) {
	defer s.survive(c, k, nil)
	p, drop := open(b, c, k.socket.takes)
	if drop != "" {
		s.drop(c, drop, k)
		s.lost(b, c, drop, k)
		return drop
	}
	c, k.identifier = p.client, p.id
	if c.former {
		s.usedPrevious(&p, c, k)
	}
	switch p.Code {
	case layeh.CodeStatusServer:
		s.status(&p, c, k)
		return ""
	case layeh.CodeAccountingRequest:
		if c.version != overV11 { // each code has Identifiers of its own, Tokens are for all
			k.identifier |= 1 << 8
		}
		s.account(&p, c, k)
		return ""
	}
	drop, turned := s.admit(&p, c, k)
	if drop != "" {
		s.drop(c, drop, k, slog.String("nas", label(p.Get(rfc2865.NASIdentifier_Type))))
		s.lost(b, c, drop, k)
		return ""
	}
	if turned != nil {
		s.remembered(*turned, b, c, k)
		return ""
	}
	return s.ask(b, &p, c, k)
}

// ask has an Access-Request that may be served decided, and says why it was not
// read.
func (s *Server) ask(b []byte, p *packet, c *client, k key) Drop {
	r, drop := s.reading(p, c, k.source.Addr())
	if drop != "" {
		s.drop(c, drop, k)
		s.lost(b, c, drop, k)
		return drop
	}
	s.login(p, c, k, r)
	return ""
}

func (s *Server) reading(p *packet, c *client, source netip.Addr) (reading, Drop) {
	if p.counts.of(rfc2869.EAPMessage_Type) > 0 {
		return s.readEAP(p, c, source), ""
	}
	return p.read(c, source)
}

// status answers Status-Server (RFC 5997) while logins can be decided, or
// accounting be kept: the NAS asks in order to know where to send them.
func (s *Server) status(p *packet, c *client, k key) {
	ready, code := s.opts.Ready, layeh.CodeAccessAccept
	if k.socket.takes == takesAccounting {
		ready, code = s.opts.Accountant.Ready, layeh.CodeAccountingResponse
	}
	if !ready() {
		s.drop(c, NotReady, k)
		return
	}
	b, err := answer{code: code}.encode(c, p.id, p.Authenticator, p.proxyState())
	s.sendOr(c, k, b, err)
}

// begin opens the exchange of a request. false: it is known, or there is no
// room, and that has been seen to.
func (s *Server) begin(x *exchange, k key) bool {
	b := s.exchanges.begin(x, k, time.Now())
	if b.crowded {
		s.tell.tell(time.Now(), x.client.name(), crowded, "a NAS is running out of Identifiers", func() []slog.Attr {
			return []slog.Attr{slog.String("from", k.source.String()), slog.Int("held_of_this_port", crowdedAt)}
		})
	}
	if b.left != nil {
		s.left(b.left)
	}
	s.repeated(b)
	switch {
	case b.resend != nil:
		s.opts.Meter.Resent()
		s.sendOr(x.client, x.key(), b.resend, nil)
	case b.drop != "":
		s.drop(x.client, b.drop, x.key())
	}
	return b.drop == ""
}

// login has an Access-Request decided.
func (s *Server) login(p *packet, c *client, k key, r reading) {
	x := &exchange{server: s, client: c, authenticator: p.Authenticator, proxyState: p.proxyState(), eap: r.eap, eapID: r.eapID}
	x.tries.method = p.method()
	switch {
	case !s.begin(x, k):
	case r.ask != nil:
		x.answerWith(answer{code: layeh.CodeAccessChallenge, state: r.state, eap: r.ask})
	case r.request == nil:
		x.send(s.refused(c, r.refused, r.reply, r.detail, whoAsks(p.Attributes, c, k.source.Addr())))
	default:
		s.handle(x, r.request, or(r.refused, rejectedForeign))
	}
}

// handle has r decided. bad is what a BadAnswer to it is told and counted as.
func (s *Server) handle(x *exchange, r *login.Request, bad string) {
	defer s.survive(x.client, x.key(), x)
	if len(r.State) == 0 { // a State says itself which login is meant
		r.Packet = x.identity()
	}
	r.Reply = func(l login.Reply) { x.reply(l, bad) }
	leave := s.opts.Handler.Handle(r)
	if s.exchanges.handled(x, leave, r.Again) && leave != nil {
		s.left(leave)
	}
}

// left tells the Handler that a NAS has gone.
func (s *Server) left(leave func()) {
	defer s.survive(nil, key{}, nil)
	leave()
}

// identity is what makes this very packet known again, at any node.
func (x *exchange) identity() []byte {
	addr := x.key().source.Addr().As16()
	port := x.key().source.Port()
	id := make([]byte, 0, len(addr)+2+4+len(x.authenticator))
	id = append(id, addr[:]...)
	id = binary.BigEndian.AppendUint16(id, port)
	id = binary.BigEndian.AppendUint32(id, x.identifier)
	return append(id, x.authenticator[:]...)
}

// reply is what the Handler answers.
func (x *exchange) reply(r login.Reply, bad string) {
	defer x.server.survive(x.client, x.key(), x)
	switch r.Kind {
	case login.Silence:
		if r.Reason == login.Probed {
			x.server.drop(x.client, Probe, x.key())
		}
		x.server.exchanges.finish(x, nil, time.Now())
	case login.NoAnswer:
		x.server.exchanges.forget(x) // sent again, it may find what is down now up again
		why := Unavailable
		if r.Reason == login.Shed {
			why = Shed
		}
		x.server.drop(x.client, why, x.key(), slog.String("trace", r.Trace))
	case login.BadAnswer:
		if r.Stray != nil {
			r = x.server.refused(x.client, bad, r, "", r.Stray)
		} else { // the login that it names knows of it
			x.server.opts.Meter.RequestRefused(bad)
			x.server.tell.tell(time.Now(), x.client.name(), bad, "radius request refused", func() []slog.Attr {
				return []slog.Attr{slog.String("from", x.key().source.String()), slog.String("trace", r.Trace)}
			})
		}
		x.send(r)
	default:
		x.send(r)
	}
}

// send turns what the Handler answers into a packet.
func (x *exchange) send(r login.Reply) {
	x.server.exchanges.belongs(x, r.Attempt)
	a := answer{code: code(r.Kind), text: x.server.opts.Text(x.client.Login, r)}
	switch {
	case a.code == layeh.CodeAccessChallenge:
		a.state, a.prompt = r.State, r.Kind == login.Ask
	case a.code == layeh.CodeAccessAccept && x.client.Reply != nil: // a reject grants nothing
		a.more = x.client.Reply(r.Identity)
	}
	if err := x.pass(&a, r); err != nil {
		x.server.exchanges.forget(x)
		x.server.sendOr(x.client, x.key(), nil, err)
		return
	}
	if x.eap {
		x.inEAP(&a, r)
	}
	x.answerWith(a)
}

// answerWith encodes, remembers and sends an answer.
func (x *exchange) answerWith(a answer) {
	s := x.server
	b, err := a.encode(x.client, x.identifier, x.authenticator, x.proxyState)
	if err != nil {
		s.exchanges.forget(x)
		s.sendOr(x.client, x.key(), nil, err)
		return
	}
	if s.exchanges.finish(x, b, time.Now()) {
		defer s.exchanges.sent(x.port.socket)
		s.sendOr(x.client, x.key(), b, nil)
	}
}

// code is the RADIUS code of a reply. What is not known is a reject.
func code(k login.ReplyKind) layeh.Code {
	switch k {
	case login.Accept:
		return layeh.CodeAccessAccept
	case login.Ask, login.Relay:
		return layeh.CodeAccessChallenge
	}
	return layeh.CodeAccessReject
}

// proxyState is what a proxy wants back, in order.
func (p *packet) proxyState() (all [][]byte) {
	if p.counts.of(rfc2865.ProxyState_Type) == 0 {
		return nil
	}
	for _, a := range p.Attributes {
		if a.Type == rfc2865.ProxyState_Type {
			all = append(all, bytes.Clone(a.Attribute)) // kept while the request is held, and nothing else of it
		}
	}
	return all
}

// sendOr sends b, or counts and tells why there is nothing to send.
func (s *Server) sendOr(c *client, k key, b []byte, err error) {
	if err == nil {
		err = k.socket.send(b, k.local, k.source)
	}
	if err != nil {
		s.drop(c, NotSent, k, slog.Any("error", err))
	}
}

// drop counts and tells what is not served.
func (s *Server) drop(c *client, why Drop, k key, more ...slog.Attr) {
	name := ""
	if c != nil {
		name = c.name()
	}
	s.tell.tell(time.Now(), name, string(why), "radius packet dropped", func() []slog.Attr {
		return append(more, slog.String("from", k.source.String()))
	})
	s.opts.Meter.Dropped(why)
}

// survive keeps one request's panic from ending the server. Only what the
// runtime says of a panic is logged: anything else could quote the request.
func (s *Server) survive(c *client, k key, x *exchange) {
	p := recover()
	if p == nil {
		return
	}
	if x != nil {
		s.exchanges.forget(x)
	}
	what := fmt.Sprintf("%T", p)
	if err, ok := p.(runtime.Error); ok {
		what = err.Error()
	}
	s.drop(c, Broken, k, slog.String("panic", what), slog.String("stack", string(debug.Stack())))
}
