package login

import (
	"bytes"
	"slices"
)

// What a first factor gives for later (Checked.Keep) lies with the chain of the
// request that it was given for, and comes back in Reply.Keep.

// lacksKeep: q has joined without a check of its own, but what the first factor
// gave there was given for another proof. Then q needs its own.
func (q *asking) lacksKeep(a *Attempt) bool {
	secret := q.secret
	if q.facts.Chain < 0 { // an appended code: it is the password before it
		secret = a.Secret
	}
	return q.checked == nil && len(q.req.State) == 0 && !a.keepsFor(secret)
}

// keeps notes what the first factor gave for q: with its own check, or with
// that of the password by which it joined.
func (q *asking) keeps(a *Attempt, c *Chain) {
	keep := a.kept(q.secret)
	if q.checked != nil {
		keep = q.checked.Keep
	}
	c.Keep, c.KeepOf = keep, nil
	if len(keep) > 0 {
		c.KeepOf = q.secret
	}
}

// kept is what comes back with q's accept.
func (q *asking) kept(a *Attempt) []byte {
	switch chain := q.facts.Chain; {
	case q.checked != nil:
		return q.checked.Keep
	case chain >= 0 && chain < len(a.Chains):
		return a.Chains[chain].Keep
	}
	return a.kept(a.Secret)
}

// kept is what the first factor gave to the request with that password.
func (a *Attempt) kept(secret []byte) []byte {
	for i := len(a.Chains) - 1; i >= 0; i-- {
		if c := &a.Chains[i]; bytes.Equal(c.KeepOf, secret) {
			return c.Keep
		}
	}
	return nil
}

// keepsFor tells whether a request with that password can do without a check
// of its own: nothing is to come back with an accept, or it is kept.
func (a *Attempt) keepsFor(secret []byte) bool {
	return a.kept(secret) != nil || !slices.ContainsFunc(a.Chains, func(c Chain) bool { return len(c.Keep) > 0 })
}

// dropKeeps: after the verdict only who was let in needs what was kept.
func (a *Attempt) dropKeeps() {
	for i := range a.Chains {
		a.Chains[i].Keep, a.Chains[i].KeepOf = nil, nil
	}
}
