package ldapproxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nmcclain/ldap"

	"vssgate/internal/login"
)

// What of a client may wait behind a bind, and how many of its operations may
// be unanswered at once.
const (
	maxQueued      = 16
	maxQueuedBytes = 64 << 10
	maxOutstanding = 1024
)

// farewell ends a connection with a Notice of Disconnection.
type farewell struct {
	code ldap.LDAPResultCode
	why  string
}

func (f *farewell) Error() string {
	return fmt.Sprintf("%s: %s", ldap.LDAPResultCodeMap[f.code], f.why)
}

// standing is what a client is to us.
type standing uint8

const (
	anonymous standing = iota
	approved           // a user whose second factor was given
	exempted           // a service account, bound by a written rule
)

// conn is one client connection with its upstream connection.
type conn struct {
	server  *Server
	client  atomic.Pointer[Client] // as of the last bind
	first   string                 // its name when it connected
	from    netip.Addr
	station string          // from, in words
	ctx     context.Context // ends with the connection
	cancel  context.CancelFunc
	raw     net.Conn // below TLS: deadlines are set here

	src  source      // of the reader alone
	slow *time.Timer // the reader's: see readOn
	tls  bool        // who has the turn reads it, the reader sets it

	exempt struct { // of the last exempt bind; who has the turn
		of           *rules
		name, normal string
		rule         *Exempt
	}

	writing sync.Mutex // frames to the client go out whole
	out     net.Conn
	taken   deadline // until the client takes what is written
	torn    bool     // part of a frame is out: nothing else may follow it

	mu       sync.Mutex
	heard    deadline // until something is heard of the client
	closed   bool
	standing standing
	up       *upstream // nil: dialled when it is needed
	pending  map[int32]struct{}
	bind     *bind // has the turn; after its answer whoever runs what waited has it
	here     *bind // decided in the reader's goroutine
	turn     sync.Cond
	queue    []waiting
	queued   int // bytes in queue
	idle     bool
	greeted  bool
	working  sync.WaitGroup
}

// waiting is a frame that came behind a bind.
type waiting struct {
	h     header
	frame []byte
}

func newConn(ctx context.Context, s *Server, client *Client, from netip.Addr, raw net.Conn) *conn {
	c := &conn{server: s, first: client.Login.Name, from: from, station: from.String(), raw: raw, out: raw}
	c.client.Store(client)
	c.ctx, c.cancel = context.WithCancel(ctx)
	c.src.r = raw
	c.taken.set, c.heard.set = raw.SetWriteDeadline, raw.SetReadDeadline
	c.turn.L = &c.mu
	return c
}

// turnAway closes a connection that is not served. A fresh socket takes one
// notice without waiting; LDAPS clients would not understand it.
func (c *conn) turnAway(tlsFirst bool) {
	c.torn = tlsFirst
	c.end(&farewell{ldap.LDAPResultBusy, "too many connections"})
}

// serve reads the client until it leaves, and returns when all is over.
func (c *conn) serve(tlsFirst bool) {
	defer c.working.Wait()
	if tlsFirst {
		if err := c.handshake(nil); err != nil {
			c.end(err)
			return
		}
	}
	c.run()
}

// run reads the client until it leaves, or another goroutine does.
func (c *conn) run() {
	defer c.survive()
	if err := c.read(); !errors.Is(err, errReadOn) {
		c.end(err)
	}
}

// errReadOn: another goroutine reads the client now.
var errReadOn = errors.New("read on elsewhere")

// read takes frame after frame. An error ends the connection.
func (c *conn) read() error {
	for {
		h, err := c.header()
		if err != nil {
			return err
		}
		if h.size > maxInspected {
			err = c.stream(h)
		} else {
			err = c.readFrame(h)
		}
		if err != nil {
			return err
		}
	}
}

func (c *conn) readFrame(h header) error {
	b, err := c.await(h.size)
	if err != nil {
		return err
	}
	c.src.skip(h.size)
	frame := b[:h.size:h.size]
	if err := guard(h, frame); err != nil {
		return err
	}
	return c.take(h, frame)
}

// header waits for the next frame and reads its header.
func (c *conn) header() (header, error) {
	if len(c.src.buffered()) == 0 {
		c.mu.Lock()
		c.idle = true
		c.rearm()
		c.mu.Unlock()
	}
	b, err := c.src.peek(1)
	if err != nil {
		return header{}, err
	}
	limit := c.begin()
	for waited := false; ; waited = true {
		h, err := parseHeader(b, limit, true)
		if !errors.Is(err, errShort) {
			return h, err
		}
		if !waited { // once for all of it: it may come byte by byte
			c.hurry()
		}
		if b, err = c.src.peek(len(b) + 1); err != nil {
			return header{}, err
		}
	}
}

// begin notes that a frame has begun, and returns how large it may be.
func (c *conn) begin() (limit int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle, c.greeted = false, true
	if c.standing == anonymous {
		return maxInspected
	}
	return maxBound
}

// await returns at least n bytes of the frame that has begun.
func (c *conn) await(n int) ([]byte, error) {
	if b := c.src.buffered(); len(b) >= n {
		return b, nil
	}
	c.hurry()
	return c.src.peek(n)
}

// hurry bounds how long the reader waits for the rest of what has begun.
func (c *conn) hurry() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.heard.in(c.server.limits.frame)
	}
}

// rearm sets how long the reader may wait for the next frame. A client whose
// bind is held may be silent as long as the bind is. c.mu is held.
func (c *conn) rearm() {
	if c.closed || !c.idle {
		return
	}
	l := &c.server.limits
	switch {
	case c.bind != nil:
		c.heard.none()
	case c.standing != anonymous:
		c.heard.in(l.bound)
	case c.greeted:
		c.heard.in(l.anonymous)
	default:
		c.heard.in(l.first)
	}
}

// take runs a frame if the reader has the turn; behind a bind it waits.
func (c *conn) take(h header, frame []byte) error {
	c.mu.Lock()
	b := c.myTurn()
	if b == nil {
		c.mu.Unlock()
		return c.process(h, frame, false)
	}
	defer c.mu.Unlock()
	switch {
	case h.op == opUnbindRequest:
		return io.EOF
	case h.op == opAbandonRequest && abandons(h, frame, b.request.id): // RFC 4511 section 4.11: it has no effect on a bind
		return nil
	case len(c.queue) >= maxQueued || c.queued+len(frame) > maxQueuedBytes:
		return &farewell{ldap.LDAPResultBusy, "too much is sent behind a bind"}
	}
	c.queue = append(c.queue, waiting{h, bytes.Clone(frame)})
	c.queued += len(frame)
	return nil
}

// myTurn returns nil when the reader may act, otherwise the unanswered bind. A
// bind that is answered only has what waited behind it run, which does not take
// long: the client may have seen the answer already. c.mu is held.
func (c *conn) myTurn() *bind {
	for c.bind != nil && c.bind.done && !c.closed {
		c.turn.Wait()
	}
	return c.bind
}

func abandons(h header, frame []byte, id int32) bool {
	contents, _ := operation(h, frame)
	abandoned, err := abandonedID(contents)
	return err == nil && abandoned == id
}

// runQueue runs what waited behind b, until nothing is left or another bind has
// the turn.
func (c *conn) runQueue(b *bind) {
	for {
		c.mu.Lock()
		if c.closed || c.bind != b {
			c.mu.Unlock()
			return
		}
		if len(c.queue) == 0 {
			c.bind, c.queue = nil, nil
			c.rearm()
			c.turn.Broadcast()
			c.mu.Unlock()
			return
		}
		w := c.queue[0]
		c.queue = c.queue[1:]
		c.queued -= len(w.frame)
		c.mu.Unlock()
		if err := c.process(w.h, w.frame, true); err != nil {
			c.end(err)
			return
		}
	}
}

// process carries a request out; the caller has the turn. queued: it waited
// behind a bind.
func (c *conn) process(h header, frame []byte, queued bool) error {
	contents, controls := operation(h, frame)
	switch h.op {
	case opUnbindRequest:
		return io.EOF
	case opBindRequest:
		return c.beginBind(h, frame, queued)
	case opExtendedRequest:
		oid, err := extendedRequest(contents)
		if err != nil {
			return err
		}
		if oid == oidStartTLS {
			return c.startTLS(h.id, queued)
		}
	}
	refused, err := c.refuses(h.op, contents, controls)
	if err != nil {
		return err
	}
	if refused != nil {
		c.refused("operation", refused)
		return c.answer(h, refused.code, refused.text)
	}
	return c.relay(h, frame)
}

// refused counts and tells what was turned away without asking anybody.
func (c *conn) refused(what string, r *refusedBind) {
	c.server.meter.Refused(what)
	c.server.log.Info("LDAP "+what+" refused", "client", c.client.Load().Login.Name, "from", c.from, "code", int(r.code), "why", r.text)
}

// answer responds to a request in the directory's stead.
func (c *conn) answer(h header, code ldap.LDAPResultCode, text string) error {
	op, answered := response[h.op]
	if !answered {
		return nil
	}
	return c.send(encodeResult(h.id, op, code, text))
}

// send writes whole frames to the client.
func (c *conn) send(frames []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.write(frames)
}

var errTorn = errors.New("the client was left in the middle of a message")

// write writes to the client; c.writing is held.
func (c *conn) write(b []byte) error {
	if c.torn {
		return errTorn
	}
	c.taken.in(c.server.limits.write)
	_, err := c.out.Write(b)
	c.torn = err != nil
	return err
}

// spawn runs f beside the connection, which outlives it; false: it has ended.
func (c *conn) spawn(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.working.Go(func() {
			defer c.survive()
			f()
		})
	}
	return !c.closed
}

// survive keeps a mistake of ours that one connection has brought to light from
// ending the others. Only what the runtime says of it is logged: anything else
// could quote the client.
func (c *conn) survive() {
	p := recover()
	if p == nil {
		return
	}
	what := fmt.Sprintf("%T", p)
	if err, ok := p.(runtime.Error); ok {
		what = err.Error()
	}
	c.server.meter.Refused("broken")
	c.server.log.Error("an LDAP connection failed inside vssgate", "client", c.client.Load().Login.Name, "from", c.from, "panic", what, "stack", string(debug.Stack()))
	c.end(&farewell{ldap.LDAPResultUnavailable, "this connection failed"})
}

// unavailable is what is answered when the directory cannot be reached.
func (c *conn) unavailable() string {
	return c.server.o.Text(c.client.Load().Login, login.Reply{Kind: login.NoAnswer, Reason: login.Unavailable})
}

// drain ends the connection of a server that stops: a bind that is held may still
// be answered, for a while.
func (c *conn) drain() {
	stops := &farewell{ldap.LDAPResultUnavailable, "the login service stops"}
	late := time.AfterFunc(c.server.o.DrainFor, func() { c.end(stops) })
	defer late.Stop()
	c.endWhenAnswered(stops)
}

// end closes both connections, the upstream one at once, and tells the engine
// and the client. The first reason counts.
func (c *conn) end(why error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	c.closed = true
	c.working.Add(1) // whoever waits for the connection waits for its good-bye
	defer c.working.Done()
	up, leave := c.up, c.bind.desert()
	c.up, c.queue, c.pending = nil, nil, nil
	c.raw.SetReadDeadline(time.Unix(1, 0))
	c.raw.SetWriteDeadline(time.Now().Add(c.server.limits.end))
	c.turn.Broadcast()
	c.mu.Unlock()

	c.cancel()
	if up != nil {
		up.retire()
	}
	leave()
	c.goodbye(why)
}

func (c *conn) goodbye(why error) {
	notice, word := c.notice(why)
	if word != "" {
		c.server.meter.Refused(word)
		c.server.log.Info("LDAP connection ended", "client", c.client.Load().Login.Name, "from", c.from, "cause", why)
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	if notice != nil && !c.torn {
		c.raw.SetWriteDeadline(time.Now().Add(c.server.limits.end))
		c.out.Write(encodeExtended(0, oidNoticeOfDisconnection, notice.code, notice.why))
	}
	c.torn = true
	c.out.Close()
}

// notice tells what a client learns when its connection ends, and the word
// under which that is counted; none when it left by itself.
func (c *conn) notice(why error) (*farewell, string) {
	var f *farewell
	switch {
	case errors.Is(why, errHandshake):
		return nil, "tls"
	case errors.As(why, &f) && f.code == ldap.LDAPResultBusy:
		return f, "busy"
	case errors.As(why, &f) && f.code == ldap.LDAPResultProtocolError:
		return f, "bad_frame"
	case errors.As(why, &f):
		return f, ""
	case errors.Is(why, errMalformed), errors.Is(why, errTooLarge), errors.Is(why, errTooDeep), errors.Is(why, errMessageID):
		return &farewell{ldap.LDAPResultProtocolError, why.Error()}, "bad_frame"
	case errors.Is(why, os.ErrDeadlineExceeded):
		return &farewell{ldap.LDAPResultUnavailable, "nothing was heard for too long"}, "deadline"
	}
	return nil, ""
}
