package login

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"slices"
	"strconv"
	"time"
)

// enter makes q a request of the attempt: the newest of its chain. It changes
// the copy in memory; keep or another save makes it last.
func (e *Engine) enter(s *saved, q *asking, now time.Time) error {
	a := &s.Attempt
	if s.entry == q || q.facts.First != FirstRight || q.facts.Rule != "" || q.facts.Problem != "" || a.Verdict != nil {
		return nil
	}
	if !q.entered && q.lacksKeep(a) {
		q.facts.First = FirstUnknown
		return nil
	}
	s.entry = q
	if !q.entered {
		if err := e.enterChain(s, q, now); err != nil {
			return err
		}
		a.Requests++
	}
	if q.facts.Code == CodeWrong && !q.blamed {
		e.blame(a, q)
	}
	return nil
}

func (e *Engine) enterChain(s *saved, q *asking, now time.Time) error {
	a, r := &s.Attempt, q.req
	switch {
	case q.facts.Chain < 0: // an appended code belongs to no chain
		return nil
	case len(r.State) > 0:
		return e.enterState(a, q, now)
	case r.FrontEnd == LDAP && e.taken(a, q, now):
		return errTaken
	}
	if n := len(a.Chains); n == 0 || r.Client.Mode == Challenge && n < maxChains {
		a.Chains = append(a.Chains, Chain{Number: e.newNumber(a, q)})
	}
	q.facts.Chain = a.newest()
	c := &a.Chains[q.facts.Chain]
	q.leads(c)
	q.keeps(a, c)
	if q.facts.CanAsk {
		c.State = e.newState(a.Client)
	}
	a.Placed = a.Placed || r.placed()
	return nil
}

// maxChains bounds how often a login may be begun anew while it is open.
const maxChains = 8

// enterState uses a State up. The same one again, with the same words from the
// same place and within repeatFor, is the same request (a lost reply).
func (e *Engine) enterState(a *Attempt, q *asking, now time.Time) error {
	i := a.chainByState(q.req.State)
	if i < 0 {
		return errBadState
	}
	c := &a.Chains[i]
	switch {
	case bytes.Equal(c.State, q.req.State):
		c.Used, c.Said, c.SaidAt, c.SaidWrong = c.State, q.facts.Self, now, false
		c.State = e.newState(a.Client)
	case bytes.Equal(c.Said, q.facts.Self) && (now.Before(c.SaidAt.Add(repeatFor)) || now.Before(c.Until)):
		if q.facts.Code == CodeUncounted {
			q.facts.Code = CodeCounted // with the first one
			if c.SaidWrong {
				q.facts.Code, q.blamed = CodeWrong, true
			}
		}
	default:
		return errBadState
	}
	q.facts.Chain = i
	q.leads(c)
	return nil
}

// leads makes q the newest request of its chain: the one that gets the verdict.
func (q *asking) leads(c *Chain) {
	c.Newest, c.Until = q.facts.Request, q.facts.HoldUntil
	q.facts.Entered = true
}

// newNumber makes the digits to match, unlike those of the other chains; ""
// where numbers are not used, or not seen.
func (e *Engine) newNumber(a *Attempt, q *asking) string {
	if a.Approval != ApprovalNumber || !a.Number || q.req.NoChallenge {
		return ""
	}
	low := 1
	for range e.PolicyNow().NumberDigits - 1 {
		low *= 10
	}
	for {
		if n := strconv.Itoa(low + randomBelow(9*low)); a.chainByNumber(n) < 0 {
			return n
		}
	}
}

// keep saves q's entry, when that is not done yet.
func (e *Engine) keep(ctx context.Context, s *saved, q *asking) error {
	if q.entered || s.entry != q || s.Attempt.Verdict != nil {
		return nil
	}
	return e.saveEntry(ctx, s, q, Condition{})
}

// saveEntry saves what q changed, and lets those follow who wait for it.
func (e *Engine) saveEntry(ctx context.Context, s *saved, q *asking, cond Condition) error {
	if err := e.save(ctx, s, cond); err != nil {
		return err
	}
	q.entered = true
	q.blamed = q.facts.Code == CodeWrong
	e.land(q, nil)
	e.watch(s)
	return nil
}

// unwait says that the request does not wait any more: an approval that comes now
// is to be collected by the next one.
func (a *Attempt) unwait(request string) (changed bool) {
	i := slices.IndexFunc(a.Chains, func(c Chain) bool { return c.Newest == request && !c.Until.IsZero() })
	if i < 0 {
		return false
	}
	a.Chains[i].Until = time.Time{}
	return true
}

// leave saves what an interim reply changes: the entry, a wrong code noted on a
// copy that had lost a race, and that nobody waits.
func (e *Engine) leave(ctx context.Context, s *saved, q *asking) error {
	a := &s.Attempt
	if a.Verdict != nil || s.rec.Version == 0 && s.entry != q {
		return nil
	}
	blames := q.facts.Code == CodeWrong && !q.blamed
	if a.unwait(q.facts.Request) || s.entry == q && (!q.entered || blames) {
		return e.saveEntry(ctx, s, q, Condition{})
	}
	return nil
}

// randomBelow is uniform over [0, n), for n far below 2^32.
func randomBelow(n int) int {
	var raw [8]byte
	rand.Read(raw[:])
	return int(binary.BigEndian.Uint64(raw[:]) % uint64(n)) // bias below 2^-32
}
