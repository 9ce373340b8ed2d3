package login

import (
	"bytes"
	"context"
)

// appended finds the login that an appended code belongs to: one of this user
// at this client whose password, already found right, is the part before it.
// Here it is looked for under the name as typed, so that nobody need be asked
// whose that is; see appendedElsewhere.
func (e *Engine) appended(ctx context.Context, q *asking, way cut) (*saved, error) {
	secret := e.secretOf(q.req, way.password)
	best, err := e.nearest(ctx, q, q.req.Username, func(a *Attempt) bool { return bytes.Equal(a.Secret, secret) })
	if best == nil || err != nil {
		return nil, err
	}
	if !best.Attempt.live(best.rec.Read, e.PolicyNow().Grace) { // one may be open that was begun under another spelling
		other, err := e.appendedOf(ctx, q, &best.Attempt.Who, way)
		if err != nil {
			return nil, err
		}
		if other != nil {
			best = other
		}
	}
	return e.guessed(ctx, q, best, way)
}

// appendedElsewhere finds it where the login was begun under another spelling of
// the name: who is the directory's word for whose the name is. Nobody (an empty
// ID) has none, after the same look-up.
func (e *Engine) appendedElsewhere(ctx context.Context, q *asking, who *Identity) (*saved, error) {
	for _, way := range e.PolicyNow().cuts(q.req, e.PolicyNow().mayUse()) {
		best, err := e.appendedOf(ctx, q, who, way)
		if err != nil {
			return nil, err
		}
		if best != nil {
			return e.guessed(ctx, q, best, way)
		}
	}
	return nil, nil
}

// appendedOf is the login of that account with that password at q's client,
// under whichever name it was begun.
func (e *Engine) appendedOf(ctx context.Context, q *asking, who *Identity, way cut) (*saved, error) {
	return e.nearest(ctx, q, who.Username, func(a *Attempt) bool {
		return a.Who.ID == who.ID && bytes.Equal(a.Secret, e.secretAs(q.req, a.Typed, way.password))
	})
}

// nearest is, of the attempts listed under a name that fit, the one that q's
// code belongs to: an open one rather than one that has ended, from the same
// place, the youngest.
func (e *Engine) nearest(ctx context.Context, q *asking, name string, fits func(*Attempt) bool) (best *saved, err error) {
	all, err := e.findAll(ctx, e.nameIndex(q.req.FrontEnd, q.req.Client.Name, name))
	for _, s := range all {
		if fits(&s.Attempt) && (best == nil || e.nearer(q, s, best)) {
			best = s
		}
	}
	return best, err
}

// guessed makes q a guess of s's code; nil: it is none, and a request for itself.
func (e *Engine) guessed(ctx context.Context, q *asking, s *saved, way cut) (*saved, error) {
	if alone, err := e.alone(ctx, q, s, way.password); alone || err != nil {
		return nil, err
	}
	q.move(e, s.Attempt.ID)
	q.is(s.Attempt.Who)
	q.code, q.guess = way.code, []byte(q.facts.Request)
	q.facts.Chain, q.facts.Code, q.facts.CanAsk = -1, CodeUncounted, false
	q.req.Password = way.password
	if !q.req.OwnCheck {
		q.facts.First = FirstRight
	}
	return s, e.noteLock(ctx, q)
}

// alone makes q's password the part before the code, where the code has let
// somebody in already and what it confirmed is remembered: a NAS sends what was
// typed once to its portal and to its gateway. Then, and where the code may
// begin another login (anew), it does not belong to the one that has ended.
func (e *Engine) alone(ctx context.Context, q *asking, s *saved, cut []byte) (bool, error) {
	a := &s.Attempt
	if a.Verdict == nil || q.facts.asksAgain(a.Verdict, s.rec.Read) {
		return false, nil
	}
	who := q.identity
	q.identity = &a.Who
	known, err := e.remembers(ctx, q, cut, a.Person, s.rec.Read)
	if !known || err != nil {
		q.identity = who
		if err != nil {
			return false, err
		}
		return e.anew(ctx, a)
	}
	q.req.Password, q.identity = cut, &Identity{}
	e.placeOf(q)
	return true, nil
}

// nearer tells whether an appended code belongs rather to s than to t.
func (e *Engine) nearer(q *asking, s, t *saved) bool {
	rank := func(x *saved) (n int) {
		if x.Attempt.live(x.rec.Read, e.PolicyNow().Grace) {
			n += 2
		}
		if bytes.Equal(x.Attempt.Scope, q.scope) {
			n++
		}
		return n
	}
	if a, b := rank(s), rank(t); a != b {
		return a > b
	}
	return s.Attempt.Created.After(t.Attempt.Created)
}
