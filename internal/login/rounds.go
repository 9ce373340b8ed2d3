package login

import (
	"maps"
	"time"
)

// A round is a first factor of several rounds that waits for the next one.
// It lives on this node alone.
type round struct {
	id      ID
	name    string // as typed: a conversation about one user proves nothing of another
	next    func(*Request) FirstFactor
	expires time.Time
}

// maxConversations bounds the first factors that wait for a next round.
const (
	maxConversations     = 10000
	conversationPatience = time.Minute
)

// relay hands a round on with a State of ours.
func (e *Engine) relay(q *asking) error {
	state := e.newState(q.req.Client.Name)
	now := time.Now()
	e.mu.Lock()
	if len(e.rounds) >= maxConversations {
		maps.DeleteFunc(e.rounds, func(_ string, r *round) bool { return now.After(r.expires) })
	}
	full := len(e.rounds) >= maxConversations
	if !full {
		e.rounds[string(state)] = &round{id: q.own, name: q.req.Username, next: q.checked.Next, expires: now.Add(conversationPatience)}
	}
	e.mu.Unlock()
	if full {
		e.Log.Warn("login shed: too many first factors are in the middle of a conversation", "limit", maxConversations)
		e.finish(q, Reply{Kind: NoAnswer, Reason: Unavailable})
		return nil
	}
	e.finish(q, Reply{Kind: Relay, State: state, Data: q.checked.Relay})
	return nil
}

// resume goes on with a conversation: the password is still to be proven.
func (r *round) resume(e *Engine, q *asking) *saved {
	q.own, q.id = r.id, r.id
	q.req.Conversation = true
	e.placeOf(q)
	q.req.State = nil
	if r.next != nil {
		q.req.First = r.next(q.req)
	}
	return e.fresh(q)
}

// takeRound returns the conversation about a user that a State belongs to, once.
func (e *Engine) takeRound(state []byte, name string) *round {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.rounds[string(state)]
	if r == nil || r.name != name {
		return nil
	}
	delete(e.rounds, string(state))
	if time.Now().After(r.expires) {
		return nil
	}
	return r
}
