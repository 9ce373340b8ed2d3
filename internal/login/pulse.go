package login

import (
	"context"
	"errors"
	"sync"
	"time"
)

// A pulse tells the other nodes that this one lives. Only nodes that hold binds
// have one: a bind joins an attempt only where nobody waits, and nobody waits any
// more at a node that has died.
type pulse struct {
	node  string        // this node's name, in this life
	began chan struct{} // closed with the first beat
	mu    sync.Mutex
	rec   Record // Version 0: no beat yet
}

// How often a node says that it lives, and for how long that counts.
const (
	beatEvery = time.Second
	beatFor   = 3 * time.Second
)

func newPulse() pulse { return pulse{node: newRequestID(), began: make(chan struct{})} }

func pulseKey(node string) string { return "node:" + node }

// begin makes sure that the first beat is known before anybody is said to wait here.
func (p *pulse) begin(ctx context.Context, s Store) error {
	select {
	case <-p.began:
		return nil
	default:
		return p.beat(ctx, s)
	}
}

// run goes on from the first beat until ctx ends. A beat that fails is made up for
// by the next.
func (p *pulse) run(ctx context.Context, s Store) {
	select {
	case <-ctx.Done():
		return
	case <-p.began:
	}
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = p.beat(ctx, s)
		}
	}
}

func (p *pulse) beat(ctx context.Context, s Store) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, err := s.Now(ctx)
	if err != nil {
		return err
	}
	key := pulseKey(p.node)
	save := func(version uint64) (err error) {
		p.rec, err = s.Save(ctx, Record{Key: key, Value: []byte{1}, Version: version, Expires: now.Add(beatFor)}, Condition{})
		return err
	}
	err = save(p.rec.Version)
	if errors.Is(err, ErrConflict) { // the last one has been forgotten, or its answer was lost
		there, miss := s.Load(ctx, key)
		if miss != nil && !errors.Is(miss, ErrNotFound) {
			return miss
		}
		err = save(there.Version)
	}
	if err != nil {
		return err
	}
	select {
	case <-p.began:
	default:
		close(p.began)
	}
	return nil
}

// lives tells whether a node beats once more. It takes up to beatFor to find that
// one has died.
func (e *Engine) lives(ctx context.Context, node string) (bool, error) {
	if node == "" || node == e.pulse.node {
		return true, nil
	}
	first := uint64(0)
	for {
		rec, again, err := e.listen(ctx, node, first)
		switch {
		case errors.Is(err, ErrNotFound):
			return false, nil
		case err != nil || !again:
			return true, err
		}
		first = rec.Version
	}
}

// listen waits for the node's next change after its beat of that version (0: none
// was heard yet); again: nothing is known yet.
func (e *Engine) listen(ctx context.Context, node string, first uint64) (rec Record, again bool, err error) {
	changed, release := e.next(pulseKey(node))
	defer release()
	if rec, err = e.Store.Load(ctx, pulseKey(node)); err != nil || first != 0 && rec.Version != first {
		return rec, false, err
	}
	over := time.NewTimer(rec.Expires.Sub(rec.Read) + time.Millisecond)
	defer over.Stop()
	select {
	case <-changed:
	case <-over.C:
	case <-ctx.Done():
		return rec, false, context.Cause(ctx)
	}
	return rec, true, nil
}

// abandoned notes who has lost the node where he waited in a, and tells whether
// nobody else waits there.
func (e *Engine) abandoned(ctx context.Context, q *asking, a *Attempt, now time.Time) (bool, error) {
	for i := range a.Chains {
		c := &a.Chains[i]
		if !now.Before(c.Until) {
			continue
		}
		if alive, err := e.lives(ctx, c.Node); alive || err != nil {
			return false, err
		}
		q.lost = c.Node
	}
	return true, nil
}
