package login

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"time"

	"vssgate/otp"
)

// Where attempts are listed. What follows the colon is opaque: a MAC, or the
// random part of a State.
const (
	attemptKey  = "attempt:"
	indexOpen   = "open"  // all open attempts
	indexPerson = "p:"    // open attempts of a person, whatever the account
	indexName   = "name:" // attempts of a name, as typed and as in the directory, at a client, a while longer
)

// stateSize is 16 random bytes and the first 8 of their MAC.
const (
	stateRandom = 16
	stateSize   = 24
)

var (
	errBadState = errors.New("unknown, foreign or used State")
	errTaken    = errors.New("the attempt has its asker already")
)

// find returns the attempt that q belongs to, a fresh one when there is none,
// or nil when q is answered already.
func (e *Engine) find(ctx context.Context, q *asking) (*saved, error) {
	switch {
	case q.entered:
		return e.load(ctx, q.id)
	case q.facts.Gone:
		e.finish(q, Reply{Kind: Silence})
		return nil, nil
	case len(q.req.State) > 0:
		return e.findByState(ctx, q)
	default:
		return e.findByPassword(ctx, q)
	}
}

// findByState: an answer to a challenge. That we made the State for this client
// was seen before (Handle), so a foreign one costs no look-up.
func (e *Engine) findByState(ctx context.Context, q *asking) (*saved, error) {
	r := q.req
	if rd := e.takeRound(r.State, r.Username); rd != nil {
		return rd.resume(e, q), nil
	}
	if r.Conversation { // the last round again, with another Identifier
		e.placeOf(q)
		if s, err := e.joinable(ctx, q); s != nil || err != nil {
			r.State = nil
			return s, err
		}
	}
	all, err := e.findAll(ctx, e.nameIndex(r.FrontEnd, r.Client.Name, r.Username)) // a State belongs to the name it was made for
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		a := &s.Attempt
		if chain := a.chainByState(r.State); chain >= 0 && a.Client == r.Client.Name && a.FrontEnd == r.FrontEnd && a.Typed == r.Username {
			return s, e.answerState(ctx, s, q, chain)
		}
	}
	e.finish(q, Reply{Kind: BadAnswer, Reason: BadState})
	return nil, nil
}

// answerState notes what came with a State: a code, or `ok`.
func (e *Engine) answerState(ctx context.Context, s *saved, q *asking, chain int) error {
	r := q.req
	q.move(e, s.Attempt.ID)
	q.is(s.Attempt.Who)
	q.facts.Chain, q.facts.First, q.facts.Mode = chain, FirstRight, r.Client.Mode
	q.facts.CanAsk, q.facts.Then = true, ThenChallenge
	q.facts.Self = e.Keys.MAC(otp.PurposeJoin, []byte("said"), r.State, r.Password, []byte(r.NAS), []byte(r.Station))
	q.guess = q.facts.Self
	if q.code = e.PolicyNow().codeOf(r.Password, s.Attempt.Factors); q.code != "" {
		q.facts.Code = CodeUncounted
	} else {
		q.facts.HoldUntil = s.rec.Read.Add(r.Client.Hold)
	}
	return e.noteLock(ctx, q)
}

// findByPassword: a new login, a retry that joins, or an appended code.
func (e *Engine) findByPassword(ctx context.Context, q *asking) (*saved, error) {
	r := q.req
	if r.Conversation {
		return e.findByProof(ctx, q)
	}
	r.Password = withoutWord(r.Password, r.Client.Separator)
	e.placeOf(q)
	if len(bytes.Trim(r.Password, "\x00")) == 0 {
		return e.refuse(q, EmptyPassword), nil
	}
	if r.Rule != "" {
		return e.fresh(q), nil
	}
	if s, err := e.proven(ctx, q); s != nil || err != nil {
		return s, err
	}
	return e.fresh(q), nil
}

// proven finds the attempt whose password q repeats, as it was or with a code
// behind it.
func (e *Engine) proven(ctx context.Context, q *asking) (*saved, error) {
	if s, err := e.joinable(ctx, q); s != nil || err != nil {
		return s, err
	}
	for _, way := range e.PolicyNow().cuts(q.req, e.PolicyNow().mayUse()) {
		if len(way.password) == 0 {
			return e.refuse(q, EmptyPassword), nil
		}
		if s, err := e.appended(ctx, q, way); s != nil || err != nil {
			return s, err
		}
	}
	return nil, nil
}

// findByProof: a login that shows no password. The same proof again is the same
// request; any other is checked for itself.
func (e *Engine) findByProof(ctx context.Context, q *asking) (*saved, error) {
	if q.req.Probe {
		if open, err := e.probed(ctx, q.req); open || err != nil {
			e.finish(q, Reply{Kind: Silence, Reason: Probed})
			return nil, err
		}
	}
	if q.req.First == nil {
		e.finish(q, Reply{Kind: BadAnswer, Reason: Probed})
		return nil, nil
	}
	e.placeOf(q)
	if s, err := e.joinable(ctx, q); s != nil || err != nil {
		return s, err
	}
	return e.fresh(q), nil
}

// probed tells whether a login by password is open at the client, from the same
// station and under the same name: whoever tries other methods now is its NAS.
func (e *Engine) probed(ctx context.Context, r *Request) (bool, error) {
	all, err := e.findAll(ctx, e.nameIndex(r.FrontEnd, r.Client.Name, r.Username))
	return slices.ContainsFunc(all, func(s *saved) bool {
		return !s.Attempt.Proof && s.Attempt.Typed == r.Username && s.Attempt.Station == r.Station && s.Attempt.live(s.rec.Read, e.PolicyNow().Grace)
	}), err
}

func (e *Engine) nameIndex(f FrontEnd, client, typed string) string {
	return e.listedAs(indexName, string(f), client, typed)
}

// placeOf notes by what q is known again, and how it may be answered.
func (e *Engine) placeOf(q *asking) {
	r := q.req
	if r.Rule != "" { // nothing joins it: that its password is known again is enough
		q.facts.Self = half(e.Keys.MAC(otp.PurposeJoin, []byte("rule"), []byte(r.FrontEnd), []byte(r.Client.Name), []byte(r.Station), []byte(r.Username), r.Password))
		return
	}
	q.scope = e.scopeOf(r)
	q.secret = e.secretOf(r, r.Password)
	q.facts.Self = e.selfOf(q)
	q.facts.Mode, q.facts.Then = r.Client.Mode, r.Client.Then
	q.facts.CanAsk = r.FrontEnd == RADIUS && !r.NoChallenge && (r.Client.Mode == Challenge || r.Client.Then == ThenChallenge)
}

// joinable finds the attempt that a request with this very password joins
// without a check: open, from the same place; or, for a reply that was lost,
// the one that let it in a moment ago. Binds are always checked first.
func (e *Engine) joinable(ctx context.Context, q *asking) (*saved, error) {
	if q.req.OwnCheck {
		return nil, nil
	}
	all, err := e.findAll(ctx, e.nameIndex(q.req.FrontEnd, q.req.Client.Name, q.req.Username))
	if err != nil {
		return nil, err
	}
	var open *saved
	for _, s := range all {
		a := &s.Attempt
		switch {
		case !bytes.Equal(a.Secret, q.secret) || !bytes.Equal(a.Scope, q.scope):
		case a.Verdict != nil && q.facts.asksAgain(a.Verdict, s.rec.Read):
			return s, q.joins(e, s)
		case a.live(s.rec.Read, e.PolicyNow().Grace) && (open == nil || a.Created.After(open.Attempt.Created)):
			open = s
		}
	}
	if open == nil {
		return nil, nil
	}
	if err := q.joins(e, open); err != nil {
		return nil, err
	}
	e.Meter.Joined()
	return open, e.noteLock(ctx, q)
}

// joins makes q a request of the attempt whose password it has proven again.
func (q *asking) joins(e *Engine, s *saved) error {
	q.move(e, s.Attempt.ID)
	q.is(s.Attempt.Who)
	q.facts.First, q.facts.Begins = FirstRight, false
	q.holds(s.rec.Read)
	return nil
}

// holds sets until when a request without State may stay unanswered: hold is below
// what its asker waits, so what the first factor took, and another node was watched
// for, is a part of it.
func (q *asking) holds(now time.Time) {
	if c := q.req.Client; c.Mode == Hold || c.Mode == Challenge && !q.facts.CanAsk {
		q.facts.HoldUntil = now.Add(c.Hold - time.Since(q.began))
	}
}

// live tells whether a request may still join: open, and in time or approved.
func (a *Attempt) live(now time.Time, grace time.Duration) bool {
	return a.Verdict == nil && (!a.over(now) || a.approved(now, grace))
}

// is notes who asks. It takes a copy, which keeps no attempt alive.
func (q *asking) is(who Identity) { q.identity = &who }

// move makes q a request of that attempt in the table of held requests.
func (q *asking) move(e *Engine, id ID) {
	was := q.id
	e.drop(q)
	e.mu.Lock()
	q.id = id
	e.mu.Unlock()
	e.take(q)
	e.moved(q, was)
}

// fresh is the attempt that q begins if its password is right. It lives on
// this node alone.
func (e *Engine) fresh(q *asking) *saved {
	r := q.req
	if q.facts.Entered = false; !q.facts.Begins {
		q.facts.Chain = 0
	}
	approval := r.Client.Approval
	if approval == ApprovalNumber && r.NoChallenge {
		approval = ApprovalOff // nobody would see the number
	}
	return &saved{Attempt: Attempt{
		ID: q.id, FrontEnd: r.FrontEnd, Client: r.Client.Name, Approval: approval, NAS: r.NAS, Station: r.Station,
		From: r.origin(), Typed: r.Username, Proof: r.Conversation, Secret: q.secret, Scope: q.scope, Who: *q.identity,
	}}
}

// refuse makes q's password wrong before anybody is asked.
func (e *Engine) refuse(q *asking, why Reason) *saved {
	q.facts.First, q.facts.Refused = FirstWrong, why
	return e.fresh(q)
}

// origin is where the person sits, as far as the asker tells.
func (r *Request) origin() string {
	if r.Station != "" {
		return r.Station
	}
	return r.Source.String()
}

// scopeOf says from where a request may join: the same NAS and station. Where
// the NAS names no station only the very same packet is the same login, unless
// the client says join: user.
func (e *Engine) scopeOf(r *Request) []byte {
	packet := r.Packet
	if r.Station != "" || r.Client.JoinUser {
		packet = nil
	}
	return half(e.Keys.MAC(otp.PurposeJoin, []byte("scope"), []byte(r.FrontEnd), []byte(r.NAS), []byte(r.Station), packet))
}

func (e *Engine) secretOf(r *Request, password []byte) []byte {
	if r.Conversation {
		return e.proofOf(r, password)
	}
	return e.secretAs(r, r.Username, password)
}

// secretAs is secretOf of a request with the name typed that way.
func (e *Engine) secretAs(r *Request, typed string, password []byte) []byte {
	return half(e.Keys.MAC(otp.PurposeJoin, []byte("secret"), []byte(r.FrontEnd), []byte(r.Client.Name), []byte(typed), password))
}

// proofOf stands for the password where none came: the same proof in the same
// round of a conversation is the same request; without one nothing is like it.
func (e *Engine) proofOf(r *Request, proof []byte) []byte {
	if proof == nil {
		unlike := make([]byte, 16)
		rand.Read(unlike)
		return unlike
	}
	return half(e.Keys.MAC(otp.PurposeJoin, []byte("proof"), []byte(r.FrontEnd), []byte(r.Client.Name), []byte(r.Username), r.State, proof))
}

// half is 128 bits of a MAC: each open login keeps three of them.
func half(mac []byte) []byte { return bytes.Clone(mac[:16]) }

// selfOf is the join key: place, name and password.
func (e *Engine) selfOf(q *asking) []byte {
	return half(e.Keys.MAC(otp.PurposeJoin, []byte("self"), q.secret, q.scope))
}

// cutCode splits an appended code off: the last digits, behind the separator.
func cutCode(password []byte, separator string, digits int) (cut []byte, code string, ok bool) {
	at := len(password) - digits
	if at < len(separator) || !otp.IsCode(password[at:], digits) || !bytes.HasSuffix(password[:at], []byte(separator)) {
		return nil, "", false
	}
	if separator == "" && at == 0 {
		return nil, "", false // nothing but digits is a password
	}
	return password[:at-len(separator)], string(password[at:]), true
}

// withoutWord cuts `push` or `vssid` behind the separator off: they mean the
// password alone.
func withoutWord(password []byte, separator string) []byte {
	if separator == "" {
		return password
	}
	for _, word := range []string{"push", "vssid"} {
		if cut, found := bytes.CutSuffix(password, []byte(separator+word)); found {
			return cut
		}
	}
	return password
}

// newState makes a State for a client: 16 random bytes and 8 of their MAC,
// which binds it to the client. None is zero: ocserv keeps a State as a C
// string, and would send back what stands before.
func (e *Engine) newState(client string) []byte {
	for {
		state := make([]byte, stateRandom, stateSize)
		rand.Read(state)
		state = append(state, e.Keys.MAC(otp.PurposeState, state, []byte(client))[:stateSize-stateRandom]...)
		if bytes.IndexByte(state, 0) < 0 {
			return state
		}
	}
}

func (e *Engine) genuine(state []byte, c *Client) bool {
	return len(state) == stateSize && e.Keys.VerifyMAC(otp.PurposeState, state[stateRandom:], state[:stateRandom], []byte(c.Name))
}

// chainByState finds the chain a State belongs to, used or not; -1 none.
func (a *Attempt) chainByState(state []byte) int {
	for i := range a.Chains {
		if bytes.Equal(a.Chains[i].State, state) || bytes.Equal(a.Chains[i].Used, state) {
			return i
		}
	}
	return -1
}
