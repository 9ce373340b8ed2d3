package login

import (
	"context"
	"errors"
	"time"
)

// A store may lose its memory: Redis is restarted, fails over, or is emptied. What
// was open in it is void: nobody is let in by it, and who wanted in logs in again.
// No change tells of a record that is not there any more, so whoever sees that
// Store.Since has moved calls Reconsider. What is held of such a login is answered
// then, and not when its hold is over: until then its NAS would wait for nothing.

// Reconsider looks at all logins that are open here, one after the other, and gives
// up those that the store has forgotten. It returns at once; the looking ends with
// ctx, or when Reconsider is called again.
func (e *Engine) Reconsider(ctx context.Context) {
	ctx, stop := context.WithCancel(ctx)
	e.mu.Lock()
	if e.stopLooking != nil {
		e.stopLooking()
	}
	e.stopLooking = stop
	var open []ID
	for id, k := range e.known {
		if k.watched {
			open = append(open, id)
		}
	}
	e.mu.Unlock()
	e.working.Go(func() {
		defer stop()
		void := 0
		for _, id := range open {
			if e.isForgotten(ctx, id) {
				void++
				e.void(id)
			}
		}
		if void > 0 {
			e.Log.Warn("logins that were open are void, for the store has forgotten them; their users log in again", "logins", void)
		}
	})
}

// isForgotten asks until the store answers or ctx ends.
func (e *Engine) isForgotten(ctx context.Context, id ID) bool {
	for ctx.Err() == nil {
		asked, cancel := context.WithTimeout(ctx, e.Patience)
		_, err := e.load(asked, id)
		cancel()
		if err == nil || errors.Is(err, ErrNotFound) {
			return err != nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	return false
}

// void has those who are held in a login that the store has forgotten find that out.
// It is watched until its deadline all the same: since when this node knows it is
// not forgotten here (late).
func (e *Engine) void(id ID) {
	e.told(Event{Attempt: id, Kind: EventVoid})
	e.mu.Lock()
	var held []*asking
	if k := e.known[id]; k != nil {
		for q := k.asking; q != nil; q = q.next {
			held = append(held, q)
		}
	}
	e.mu.Unlock()
	for _, q := range held {
		e.poke(q)
	}
}

// isVoid answers a request whose login the store has forgotten.
func (e *Engine) isVoid(q *asking) {
	e.Log.Warn("login is void: the store has forgotten it (Redis was restarted, failed over or emptied); the user logs in again",
		"trace", q.id.Trace(), "client", q.req.Client.Name)
	e.told(Event{Attempt: q.id, Kind: EventVoid})
	e.finish(q, Reply{Kind: NoAnswer, Reason: Unavailable})
}
