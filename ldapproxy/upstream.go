package ldapproxy

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/nmcclain/ldap"
)

var (
	errGone  = errors.New("the connection to the directory is gone")
	errStray = errors.New("the directory answered a bind that was not asked")
)

// upstream is a client's own connection to the directory. Who has the turn
// writes to it; its own goroutine reads it.
type upstream struct {
	c       *conn
	conn    net.Conn
	src     source
	retired atomic.Bool   // nothing of it may reach the client any more
	gone    chan struct{} // closed when nothing more will be read
	noticed bool          // the directory has said good-bye itself
	answer  chan []byte   // to the bind that is asked
	late    *time.Timer   // until the directory is to answer it; who has the turn
	taken   deadline      // until the directory takes what is written; who has the turn
	whole   deadline      // until a frame that has begun is here; its reader

	// Guarded by c.mu.
	identified bool // may hold an identity
	asked      bool // a bind, by
	expects    int32
}

// A doubter is a connection that wants to know that nothing was answered on it
// in time.
type doubter interface{ Doubt() }

// upstream returns the connection, dialled if there is none. The caller has the
// turn.
func (c *conn) upstream(ctx context.Context) (*upstream, error) {
	c.mu.Lock()
	u := c.up
	c.mu.Unlock()
	if u != nil {
		return u, nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.server.limits.dial)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	conn, err := c.client.Load().Directory.Dial(ctx)
	if err != nil {
		return nil, err
	}
	u = &upstream{c: c, conn: conn, gone: make(chan struct{}), answer: make(chan []byte, 1), late: time.NewTimer(c.server.limits.answer)}
	u.src.r = conn
	u.taken.set, u.whole.set = conn.SetWriteDeadline, conn.SetReadDeadline
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		conn.Close()
		return nil, errGone
	}
	c.up, c.pending = u, nil
	c.working.Go(u.run)
	return u, nil
}

// retire closes the connection; nobody is told.
func (u *upstream) retire() {
	u.retired.Store(true)
	u.conn.Close()
}

// write sends bytes to the directory. A connection that fails is noticed by its
// reader.
func (u *upstream) write(b []byte) error {
	u.taken.in(u.c.server.limits.write)
	if _, err := u.conn.Write(b); err != nil {
		u.conn.Close()
		return &farewell{ldap.LDAPResultUnavailable, u.c.unavailable()}
	}
	return nil
}

// bind asks the directory, and returns its BindResponse as it came. The
// connection is given up when there is none in time: nobody knows as whom it is
// bound.
func (u *upstream) bind(ctx context.Context, r bindRequest) ([]byte, bindResponse, error) {
	u.c.mu.Lock()
	u.identified = true
	u.asked, u.expects = true, r.id
	u.c.mu.Unlock()
	if err := u.write(encodeBind(r)); err != nil {
		u.c.giveUp(u)
		return nil, bindResponse{}, errGone
	}
	u.late.Reset(u.c.server.limits.answer)
	defer u.late.Stop()
	err := errGone
	select {
	case frame := <-u.answer:
		return u.bound(r, frame)
	case <-u.gone:
	case <-ctx.Done():
		err = ctx.Err()
	case <-u.late.C:
		err = context.DeadlineExceeded
	}
	if d, ok := u.conn.(doubter); ok && errors.Is(err, context.DeadlineExceeded) {
		d.Doubt()
	}
	u.c.giveUp(u)
	return nil, bindResponse{}, err
}

// bound notes as whom the connection is bound now. After a failed bind it is
// anonymous (RFC 4513 section 4).
func (u *upstream) bound(r bindRequest, frame []byte) ([]byte, bindResponse, error) {
	h, err := parseHeader(frame, maxInspected, false)
	if err != nil {
		u.c.giveUp(u)
		return nil, bindResponse{}, err
	}
	response, err := decodeBindResponse(h, frame)
	if err != nil {
		u.c.giveUp(u)
		return nil, bindResponse{}, err
	}
	if r.ownPolicy {
		frame = withoutPolicy(h, frame)
	}
	u.c.mu.Lock()
	u.identified = response.code == ldap.LDAPResultSuccess && (r.name != "" || r.password != "")
	u.c.mu.Unlock()
	return frame, response, nil
}

// giveUp forgets an upstream connection.
func (c *conn) giveUp(u *upstream) {
	c.mu.Lock()
	if c.up == u {
		c.up, c.pending = nil, nil
	}
	c.mu.Unlock()
	u.retire()
}

// run relays what the directory says until the connection ends.
func (u *upstream) run() {
	defer u.c.survive()
	err := u.relay()
	u.conn.Close()
	u.src.giveBack()
	close(u.gone)
	if left := (*clientLeft)(nil); errors.As(err, &left) {
		u.c.end(err)
	}
	u.c.lost(u, err)
}

func (u *upstream) relay() error {
	for {
		h, err := u.header()
		if err != nil {
			return err
		}
		if h.op == opBindResponse {
			err = u.bindResponse(h)
		} else {
			err = u.pass(h)
		}
		if err != nil {
			return err
		}
	}
}

// header waits for the directory's next frame.
func (u *upstream) header() (header, error) {
	if len(u.src.buffered()) == 0 {
		u.whole.none()
	}
	b, err := u.src.peek(1)
	if err != nil {
		return header{}, err
	}
	for waited := false; ; waited = true {
		h, err := parseHeader(b, maxUpstream, false)
		if !errors.Is(err, errShort) {
			return h, err
		}
		if !waited { // as a client's
			u.whole.in(u.c.server.limits.frame)
		}
		if b, err = u.src.peek(len(b) + 1); err != nil {
			return header{}, err
		}
	}
}

// await returns at least n bytes of the frame that has begun.
func (u *upstream) await(n int) ([]byte, error) {
	if b := u.src.buffered(); len(b) >= n {
		return b, nil
	}
	u.whole.in(u.c.server.limits.frame)
	return u.src.peek(n)
}

// bindResponse hands a BindResponse to the bind that asked. It never goes to the
// client from here, whatever message id it carries.
func (u *upstream) bindResponse(h header) error {
	if h.size > maxInspected {
		return errTooLarge
	}
	b, err := u.await(h.size)
	if err != nil {
		return err
	}
	frame := append(make([]byte, 0, h.size), b[:h.size]...)
	u.src.skip(h.size)
	u.c.mu.Lock()
	defer u.c.mu.Unlock()
	if !u.asked || u.expects != h.id {
		return errStray
	}
	u.asked = false
	u.answer <- frame
	return nil
}

// pass relays the frames that are here, or one that is longer than that as it
// comes. Frames of the directory are not looked into.
func (u *upstream) pass(h header) error {
	n := u.settle(h)
	c := u.c
	c.writing.Lock()
	defer c.writing.Unlock()
	if u.retired.Load() {
		return errGone
	}
	if n > 0 {
		err := c.write(u.src.buffered()[:n])
		u.src.skip(n)
		return clientError(err)
	}
	return u.passLong(h.size)
}

// clientLeft says that not the directory failed but the client.
type clientLeft struct{ cause error }

func (e *clientLeft) Error() string { return "write to the client: " + e.cause.Error() }
func (e *clientLeft) Unwrap() error { return e.cause }

func clientError(err error) error {
	if err == nil {
		return nil
	}
	return &clientLeft{err}
}

// passLong relays a frame that is not here as a whole; c.writing is held until
// its end.
func (u *upstream) passLong(left int) error {
	for left > 0 {
		b, err := u.await(1)
		if err != nil {
			u.c.torn = true
			return err
		}
		part := b[:min(left, len(b))]
		if err := u.c.write(part); err != nil {
			return clientError(err)
		}
		u.src.skip(len(part))
		left -= len(part)
	}
	return nil
}

// settle notes which operations the whole frames at the front of the buffer
// answer, and returns how many bytes these are. 0: the first one is not whole,
// and is noted too.
func (u *upstream) settle(h header) (n int) {
	b := u.src.buffered()
	u.finish(h)
	for h.size <= len(b)-n {
		n += h.size
		following, err := parseHeader(b[n:], maxUpstream, false)
		if err != nil || following.op == opBindResponse || following.size > len(b)-n {
			break
		}
		h = following
		u.finish(h)
	}
	return n
}

// finish notes that an operation is answered.
func (u *upstream) finish(h header) {
	switch h.op {
	case opSearchEntry, opSearchReference, opIntermediate:
		return
	}
	u.noticed = u.noticed || h.id == 0
	u.c.mu.Lock()
	delete(u.c.pending, h.id)
	u.c.mu.Unlock()
}

// lost is what follows when the directory's end of a connection that was not
// given up is gone. A bind whose password is not proven yet finds that out by
// itself and another connection can be opened; a held one is over, and anything
// else the client must be told.
func (c *conn) lost(u *upstream, why error) {
	c.mu.Lock()
	if c.up != u || c.closed {
		c.mu.Unlock()
		return
	}
	c.up = nil
	b := c.bind
	if b != nil && !b.done && b.frame == nil && len(c.pending) == 0 {
		c.mu.Unlock()
		return
	}
	held := b != nil && !b.done
	leave := b.desert()
	c.mu.Unlock()
	c.log("the connection", why)
	leave()
	if held {
		c.send(b.result(ldap.LDAPResultUnavailable, c.unavailable()))
	}
	if u.noticed {
		c.end(errGone)
		return
	}
	c.end(&farewell{ldap.LDAPResultUnavailable, c.unavailable()})
}
