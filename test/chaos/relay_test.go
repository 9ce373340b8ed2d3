package chaos_test

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A relay passes TCP connections on, until it is told not to.
type relay struct {
	addr   string
	target atomic.Value // string

	gate sync.RWMutex // held for writing: nothing passes, and nobody is told

	mu      sync.Mutex
	conns   map[net.Conn]bool
	refuses bool
}

// newRelay serves a listener until the test ends.
func newRelay(t testing.TB, l net.Listener, target string) *relay {
	t.Helper()
	r := &relay{addr: l.Addr().String(), conns: map[net.Conn]bool{}}
	r.target.Store(target)
	t.Cleanup(func() {
		l.Close()
		r.reset()
	})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go r.serve(c)
		}
	}()
	return r
}

func (r *relay) serve(near net.Conn) {
	defer near.Close()
	if !r.add(near) {
		return
	}
	defer r.remove(near)
	far, err := net.DialTimeout("tcp", r.target.Load().(string), 2*time.Second)
	if err != nil {
		return
	}
	defer far.Close()
	if !r.add(far) {
		return
	}
	defer r.remove(far)
	var both sync.WaitGroup
	pass := func(to, from net.Conn) {
		_, _ = io.Copy(gated{to, &r.gate}, from)
		to.Close()
		from.Close()
	}
	both.Go(func() { pass(far, near) })
	both.Go(func() { pass(near, far) })
	both.Wait()
}

// gated writes while the gate is open.
type gated struct {
	io.Writer
	gate *sync.RWMutex
}

func (g gated) Write(p []byte) (int, error) {
	g.gate.RLock()
	defer g.gate.RUnlock()
	return g.Writer.Write(p)
}

func (r *relay) add(c net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuses {
		return false
	}
	r.conns[c] = true
	return true
}

func (r *relay) remove(c net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, c)
}

// silence lets nothing pass, as a network that is cut, until heal is called:
// then what was written meanwhile arrives.
func (r *relay) silence() (heal func()) {
	r.gate.Lock()
	return r.gate.Unlock
}

// lose is silence whose bytes never arrive: connections have ended when it
// heals.
func (r *relay) lose() (heal func()) {
	open := r.silence()
	return func() {
		r.reset()
		open()
	}
}

// refuse ends all connections and takes none, until heal is called.
func (r *relay) refuse() (heal func()) {
	r.mu.Lock()
	r.refuses = true
	r.mu.Unlock()
	r.reset()
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.refuses = false
	}
}

func (r *relay) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		c.Close()
	}
}
