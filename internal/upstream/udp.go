package upstream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	layeh "layeh.com/radius"

	"vssgate/radius/wire"
)

const (
	tries      = 3       // how often a request is sent: the same bytes, at equal intervals
	maxSockets = 64      // of one server; each has 256 Identifiers
	readBuffer = 1 << 20 // 256 answers at once
)

// unexpected is a datagram with an Identifier that nobody waits for.
const unexpected wire.Fault = "unexpected"

// udp asks one server over UDP. A socket has 256 Identifiers; when all of them
// are in use another is opened, and closed when nobody needs it any more.
type udp struct {
	address string
	key     *wire.Key
	tell    *teller
	readers sync.WaitGroup

	mu      sync.Mutex
	sockets []*socket
	refused time.Time // when the server's machine last said that nobody listens
	closed  bool
}

// A socket is one port of ours.
type socket struct {
	conn    net.Conn
	last    byte             // Identifier given out last: one that was free is not used again at once
	waiting map[byte]*waiter // guarded by udp.mu
}

// A waiter waits for the answer to a request.
type waiter struct {
	request []byte      // nil: not sent yet
	answer  chan []byte // takes one
	fault   wire.Fault  // of what came last in its place
}

func newUDP(address string, key *wire.Key, tell *teller) *udp {
	return &udp{address: address, key: key, tell: tell}
}

// Ask sends what encode makes, again and again, until its answer comes or ctx
// ends. What is no genuine answer is passed over and counted: anybody can send it.
func (u *udp) Ask(ctx context.Context, encode func(id uint32, v11 bool) ([]byte, error)) ([]byte, error) {
	s, id, w, err := u.take(ctx)
	if err != nil {
		return nil, err
	}
	lost := true
	defer func() { u.release(s, id, lost) }()
	request, err := encode(uint32(id), false)
	if err != nil {
		return nil, err
	}
	u.mu.Lock()
	w.request = request
	u.mu.Unlock()
	again := time.NewTicker(interval(ctx))
	defer again.Stop()
	for sent := 1; ; sent++ {
		if sent <= tries {
			_, _ = s.conn.Write(request) // an error here is an earlier ICMP message; the server may be back
		}
		select {
		case b := <-w.answer:
			lost = false
			return b, nil
		case <-again.C:
		case <-ctx.Done():
			return nil, u.noAnswer(w, min(sent, tries), ctx.Err())
		}
	}
}

// interval is how long to wait for an answer before the request is sent again.
func interval(ctx context.Context) time.Duration {
	deadline, limited := ctx.Deadline()
	if !limited {
		return 2 * time.Second
	}
	return max(time.Until(deadline)/tries, 10*time.Millisecond)
}

func (u *udp) noAnswer(w *waiter, sent int, err error) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if w.fault != "" {
		return fmt.Errorf("no answer that can be taken (%s), sent %d times: %w", w.fault, sent, err)
	}
	return fmt.Errorf("no answer, sent %d times: %w", sent, err)
}

// take finds a free Identifier, on a new socket if need be.
func (u *udp) take(ctx context.Context) (*socket, byte, *waiter, error) {
	u.mu.Lock()
	s, id, w := u.free()
	u.mu.Unlock()
	if s != nil {
		return s, id, w, nil
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp", u.address)
	if err != nil {
		return nil, 0, nil, err
	}
	_ = conn.(*net.UDPConn).SetReadBuffer(readBuffer) // the kernel may allow less; that is no failure
	u.mu.Lock()
	defer u.mu.Unlock()
	if s, id, w = u.free(); s != nil || u.closed || len(u.sockets) >= maxSockets {
		conn.Close() // others have opened one meanwhile, or there are enough
		if s == nil {
			err = wire.ErrBusy
		}
		return s, id, w, err
	}
	s = &socket{conn: conn, last: byte(rand.N(256)), waiting: map[byte]*waiter{}}
	u.sockets = append(u.sockets, s)
	u.readers.Go(func() { u.read(s) })
	id, w = s.identifier()
	return s, id, w, nil
}

// free takes an Identifier of a socket that is there; nil: there is none. It is
// called with u.mu held.
func (u *udp) free() (*socket, byte, *waiter) {
	for _, s := range u.sockets {
		if len(s.waiting) < 256 {
			id, w := s.identifier()
			return s, id, w
		}
	}
	return nil, 0, nil
}

func (s *socket) identifier() (byte, *waiter) {
	for s.last++; s.waiting[s.last] != nil; s.last++ {
	}
	w := &waiter{answer: make(chan []byte, 1)}
	s.waiting[s.last] = w
	return s.last, w
}

// release gives an Identifier back. A socket that nobody needs is closed, but
// for the first one while the server answers: where its name leads may change.
func (u *udp) release(s *socket, id byte, lost bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(s.waiting, id)
	if len(s.waiting) > 0 || u.closed || s == u.sockets[0] && !lost {
		return
	}
	u.sockets = slices.DeleteFunc(u.sockets, func(o *socket) bool { return o == s })
	s.conn.Close()
}

// read hands answers to who waits for them until the socket is closed.
func (u *udp) read(s *socket) {
	buf := make([]byte, layeh.MaxPacketLength+1)
	for {
		n, err := s.conn.Read(buf)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case errors.Is(err, syscall.ECONNREFUSED):
			u.mu.Lock()
			u.refused = time.Now()
			u.mu.Unlock()
			continue
		case err != nil:
			time.Sleep(time.Millisecond) // nothing known; what is known does not come in a row
			continue
		}
		u.answer(s, buf[:n])
	}
}

// answer verifies b and hands it on.
func (u *udp) answer(s *socket, b []byte) {
	if len(b) < wire.HeaderLen {
		u.tell.drop(wire.BadFrame)
		return
	}
	u.mu.Lock()
	w := s.waiting[b[1]]
	var request []byte
	if w != nil {
		request = w.request
	}
	u.mu.Unlock()
	if request == nil {
		u.tell.drop(unexpected)
		return
	}
	genuine, fault := u.key.Genuine(b, request)
	if fault == wire.Unsigned && layeh.Code(request[0]) == layeh.CodeStatusServer {
		genuine, fault = b, "" // a sign of life, from who knows the secret; it lets nobody in
	}
	if fault != "" {
		u.mu.Lock()
		w.fault = fault
		u.mu.Unlock()
		u.tell.drop(fault)
		return
	}
	select {
	case w.answer <- append([]byte(nil), genuine...):
	default: // the same again
	}
}

// refusedSince tells whether the server's machine said after t that nobody
// listens there.
func (u *udp) refusedSince(t time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.refused.After(t)
}

// close gives the sockets back; who waits, waits until its context ends.
func (u *udp) close() {
	u.mu.Lock()
	u.closed = true
	for _, s := range u.sockets {
		s.conn.Close()
	}
	u.mu.Unlock()
	u.readers.Wait()
}
