package directory

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"
)

const (
	poolSize = 32               // connections in use at once; more callers wait
	idleFor  = 30 * time.Second // firewalls forget connections without telling
)

var errClosed = errors.New("the first factor is closed")

// A pool keeps connections to the servers that were used a moment ago. Each is
// lent to one caller at a time. A connection on which anything went wrong is
// never lent again.
type pool struct {
	servers servers
	ready   func(ctx context.Context, c *conn) error // makes a fresh connection usable; nil: nothing to do
	slots   chan struct{}

	mu     sync.Mutex
	idle   []*conn // latest used last
	closed bool
}

func newPool(all servers, ready func(context.Context, *conn) error) *pool {
	return &pool{servers: all, ready: ready, slots: make(chan struct{}, poolSize)}
}

// borrow lends a connection. The caller gives it back with giveBack, exactly
// once.
func (p *pool) borrow(ctx context.Context) (*conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c, err := p.find(ctx)
	if err != nil {
		<-p.slots
		return nil, err
	}
	return c, nil
}

func (p *pool) find(ctx context.Context) (*conn, error) {
	if c, err := p.takeIdle(time.Now()); c != nil || err != nil {
		return c, err
	}
	var c *conn
	err := p.servers.try(ctx, func(ctx context.Context, s *server) (err error) {
		c, err = p.open(ctx, s)
		return err
	})
	return c, err
}

// takeIdle returns an idle connection to the server that is to be tried first,
// or nil.
func (p *pool) takeIdle(now time.Time) (*conn, error) {
	best := p.servers.first(now)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errClosed
	}
	p.idle = slices.DeleteFunc(p.idle, func(c *conn) bool {
		old := now.Sub(c.used) > idleFor
		if old {
			c.Close()
		}
		return old
	})
	for i, c := range slices.Backward(p.idle) {
		if c.server != best {
			continue
		}
		p.idle = slices.Delete(p.idle, i, i+1)
		if c.kept = true; c.alive() {
			return c, nil
		}
		c.Close()
	}
	return nil, nil
}

func (p *pool) open(ctx context.Context, s *server) (*conn, error) {
	raw, err := s.dial(ctx)
	if err != nil {
		return nil, err
	}
	c := newConn(raw, s)
	if p.ready == nil {
		return c, nil
	}
	if err := p.ready(ctx, c); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// giveBack ends a loan, after an operation that ended in err. Unless the
// directory answered, the connection is closed.
func (p *pool) giveBack(c *conn, err error) {
	if !answered(err) && !callerLeft(err) {
		p.forget(c.server)
		// A connection that was idle may just have grown old; a fresh one, or
		// silence, tells of the server.
		if !c.kept || errors.Is(err, context.DeadlineExceeded) {
			c.server.learn(err, time.Now())
		}
	}
	if !answered(err) || !p.keep(c) {
		c.Close()
	}
	<-p.slots
}

// callerLeft tells whether an operation ended because nobody waits for it any
// more, which tells nothing of the server.
func callerLeft(err error) bool { return errors.Is(err, context.Canceled) }

func (p *pool) keep(c *conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.closed.Load() || p.closed {
		return false
	}
	c.used = time.Now()
	p.idle = append(p.idle, c)
	return true
}

// forget closes the idle connections to s: one of them was found dead.
func (p *pool) forget(s *server) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = slices.DeleteFunc(p.idle, func(c *conn) bool {
		if c.server == s {
			c.Close()
		}
		return c.server == s
	})
}

// close closes what is idle now and what is given back later.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, c := range p.idle {
		c.Close()
	}
	p.idle = nil
}

// answered tells whether err is the directory's own result, after which the
// connection is as good as before, and not the loss of the connection.
func answered(err error) bool {
	var result *ldap.Error
	if err == nil {
		return true
	}
	return errors.As(err, &result) && result.ResultCode < ldap.ErrorNetwork &&
		result.ResultCode != ldap.LDAPResultBusy && result.ResultCode != ldap.LDAPResultUnavailable
}
