package testenv

import (
	"net"
	"sync"
	"testing"
	"time"
)

// A Relay stands before a server, as the network does, and fails as networks do.
type Relay struct {
	Addr string // 127.0.0.1:PORT

	serving sync.WaitGroup

	mu      sync.Mutex
	to      string
	open    chan struct{} // closed while what comes is passed on
	delay   time.Duration // of each answer
	refuses bool          // new connections
	conns   map[*relayed]bool
}

// relayed is one connection: both of its ends.
type relayed struct {
	ends [2]net.Conn
	dead chan struct{} // closed: nothing more comes through, and neither end is told
}

// StartRelay passes on to that address until the test ends.
func StartRelay(t testing.TB, to string) *Relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	return RelayFrom(t, l, to)
}

// RelayFrom is StartRelay for those who come to that listener.
func RelayFrom(t testing.TB, l net.Listener, to string) *Relay {
	t.Helper()
	r := &Relay{Addr: l.Addr().String(), to: to, open: make(chan struct{}), conns: map[*relayed]bool{}}
	close(r.open)
	r.serving.Go(func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			r.serving.Go(func() { r.serve(from) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		r.Mend()
		r.Cut()
		r.serving.Wait()
	})
	return r
}

// Part lets nothing through any more, either way, and nobody is told. Mend lets
// all of it through that was sent meanwhile.
func (r *Relay) Part() {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.open:
		r.open = make(chan struct{})
	default: // it is parted
	}
}

// Refuse closes the connections that there are, and new ones at once.
func (r *Relay) Refuse() {
	r.mu.Lock()
	r.refuses = true
	r.mu.Unlock()
	r.Cut()
}

// Lead has new connections passed on to another address.
func (r *Relay) Lead(to string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.to = to
}

// Mend ends Part, Slow and Refuse.
func (r *Relay) Mend() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.delay, r.refuses = 0, false
	select {
	case <-r.open:
	default:
		close(r.open)
	}
}

// Slow has each answer come that much later.
func (r *Relay) Slow(by time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.delay = by
}

// Forget loses the connections that there are, for good, and tells neither end:
// they are half open. New ones come through.
func (r *Relay) Forget() { r.each((*relayed).forget) }

// Cut closes the connections that there are.
func (r *Relay) Cut() { r.each((*relayed).close) }

func (r *Relay) each(do func(*relayed)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		do(c)
	}
}

// forget is called by one at a time.
func (c *relayed) forget() {
	select {
	case <-c.dead:
	default:
		close(c.dead)
	}
}

func (c *relayed) close() {
	for _, end := range c.ends {
		_ = end.Close()
	}
}

func (r *Relay) serve(from net.Conn) {
	r.mu.Lock()
	addr := r.to
	r.mu.Unlock()
	to, err := net.DialTimeout("tcp", addr, 2*time.Second)
	if err != nil {
		_ = from.Close()
		return
	}
	c := &relayed{ends: [2]net.Conn{from, to}, dead: make(chan struct{})}
	r.mu.Lock()
	refuses := r.refuses
	r.conns[c] = true
	r.mu.Unlock()
	if refuses {
		c.close()
	}
	var both sync.WaitGroup
	both.Go(func() { r.pass(c, from, to, false) })
	both.Go(func() { r.pass(c, to, from, true) })
	both.Wait()
	r.mu.Lock()
	delete(r.conns, c)
	r.mu.Unlock()
}

// pass passes on what comes on one end, chunk by chunk.
func (r *Relay) pass(c *relayed, from, to net.Conn, answers bool) {
	defer c.close()
	buf := make([]byte, 1<<16)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		r.mu.Lock()
		open, delay := r.open, r.delay
		r.mu.Unlock()
		if answers && delay > 0 {
			time.Sleep(delay)
		}
		select {
		case <-open:
		case <-c.dead:
		}
		select {
		case <-c.dead:
			continue // read and lost
		default:
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}
