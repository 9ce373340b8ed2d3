package login

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"vssgate/otp"
)

// A flight is a first factor being asked. A second request with the same join
// key waits for it instead of asking again.
type flight struct {
	key   string        // under which it is found
	done  chan struct{} // closed when the attempt is in the store, or the asker was answered
	reply *Reply        // the answer, when there is no attempt to join
}

// check asks the first factor, once for all requests of one login that arrive
// meanwhile, and begins or joins the attempt when the password is right.
func (e *Engine) check(ctx context.Context, s *saved, q *asking) (finished bool, err error) {
	for {
		if known, err := e.refusedBefore(ctx, q); known || err != nil {
			return known, err
		}
		other := e.takeOff(q)
		if other == nil {
			return false, e.askFirst(ctx, s, q)
		}
		select {
		case <-other.done:
		case <-ctx.Done():
			return false, ctx.Err()
		}
		if other.reply != nil {
			e.under(q, other.reply.Attempt)
			e.finish(q, *other.reply)
			return true, nil
		}
		joined, err := e.proven(ctx, q)
		if err != nil {
			return false, err
		}
		if joined != nil {
			*s = *joined
			return false, nil
		}
	}
}

// takeOff makes q the one who asks for its join key, or returns the flight of
// the one who does. A bind asks by itself, on its own connection.
func (e *Engine) takeOff(q *asking) (other *flight) {
	if q.req.OwnCheck || q.flight != nil {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	key := string(q.facts.Self)
	if f := e.checking[key]; f != nil {
		return f
	}
	q.flight = &flight{key: key, done: make(chan struct{})}
	e.checking[key] = q.flight
	return nil
}

// land lets those go on who wait for q's flight: its attempt is in the store,
// or q was answered without one.
func (e *Engine) land(q *asking, reply *Reply) {
	if q.flight == nil {
		return
	}
	e.mu.Lock()
	delete(e.checking, q.flight.key)
	e.mu.Unlock()
	q.flight.reply = reply
	close(q.flight.done)
	q.flight = nil
}

// askFirst resolves the name and has the password checked.
func (e *Engine) askFirst(ctx context.Context, s *saved, q *asking) error {
	r := q.req
	if !r.Conversation && len(bytes.Trim(r.Password, "\x00")) == 0 {
		e.wrong(s, q, EmptyPassword)
		return nil
	}
	id, err := q.resolve(ctx)
	if err != nil {
		e.told(Event{Attempt: q.id, Kind: EventChecked, Word: "unreachable"})
		return e.unreachable(q, "resolve the user name", err)
	}
	if s.rec.Version == 0 {
		if begun, err := e.appendedElsewhere(ctx, q, &id); begun != nil || err != nil {
			if err == nil {
				*s = *begun
			}
			return err // decided again: a code of that login came
		}
		if err := e.cutFallback(ctx, q, &id); err != nil {
			return err
		}
	}
	taken, allowed, err := e.allow(ctx, q, id)
	if err != nil {
		return err
	}
	if !allowed {
		e.Log.Warn("password not passed to the directory: too many wrong ones lately", "trace", q.id.Trace(), "client", r.Client.Name,
			"account", id.ID, "station", r.Station, "limit", e.PolicyNow().Throttle.PerAccount, "within", e.PolicyNow().Throttle.Within)
		q.identity = &id
		e.told(Event{Attempt: q.id, Kind: EventChecked, Word: "throttled"})
		e.wrong(s, q, BadPassword)
		return nil
	}
	checked, err := e.checkPassword(ctx, q, &id)
	if err != nil {
		e.giveBack(ctx, taken)
		return e.unreachable(q, "check the password", err)
	}
	if checked.First == FirstRight && (id.ID == "" || s.rec.Version != 0 && id.ID != s.Attempt.Who.ID) {
		checked = Checked{First: FirstWrong, Reason: BadPassword} // nobody, or not who began this login: never right
	}
	q.facts.First, q.checked, q.identity = checked.First, &checked, &id
	if checked.First == FirstWrong {
		e.tellRefused(q, id, checked)
		e.wrong(s, q, checked.Reason)
		return errors.Join(e.unremember(ctx, q, id.ID), e.rememberRefused(ctx, q))
	}
	e.giveBack(ctx, taken)
	switch {
	case checked.First != FirstRight || s.rec.Version != 0:
	case r.Rule != "":
		q.facts.Rule = r.Rule
	default:
		begun, err := e.begin(ctx, q)
		if err != nil {
			return err
		}
		*s = *begun
	}
	return nil
}

// resolve finds whom the directory knows under q's name, once.
func (q *asking) resolve(ctx context.Context) (Identity, error) {
	if q.resolved == nil {
		id, err := q.req.First.Resolve(ctx, q.req.Username)
		if err != nil {
			return id, err
		}
		q.resolved = &id
	}
	return *q.resolved, nil
}

// checkPassword asks the first factor. id becomes whom a conversation turned
// out to be about.
func (e *Engine) checkPassword(ctx context.Context, q *asking, id *Identity) (Checked, error) {
	asked := time.Now()
	checked, err := q.req.First.Check(ctx, *id, q.req.Password)
	took := time.Since(asked)
	e.Meter.Upstream(took)
	e.told(Event{Attempt: q.id, Kind: EventChecked, Word: checkedWord(checked, err), Took: took})
	switch {
	case err != nil:
	case len(checked.Keep) > MaxKeep:
		err = fmt.Errorf("the first factor gives %d bytes to keep, more than %d", len(checked.Keep), MaxKeep)
	case checked.Identity != nil:
		*id = *checked.Identity
	}
	return checked, err
}

// wrong makes q's password wrong. It ends q alone, not the open login that q
// asked in the name of.
func (e *Engine) wrong(s *saved, q *asking, why Reason) {
	q.move(e, q.own)
	*s = *e.refuse(q, why)
}

// tellRefused logs why the directory refused a bind, where it said more than
// that the password is wrong.
func (e *Engine) tellRefused(q *asking, id Identity, c Checked) {
	if c.Detail != "" {
		e.Log.Info("the directory refused a bind", "trace", q.id.Trace(), "client", q.req.Client.Name, "account", id.ID,
			"reason", string(c.Reason), "detail", c.Detail)
	}
}

// checkedWord is what the first factor said, in a word.
func checkedWord(c Checked, err error) string {
	switch {
	case err != nil:
		return "unreachable"
	case c.First == FirstRight:
		return "right"
	case c.First == FirstMore:
		return "relayed"
	}
	return string(c.Reason)
}

func (e *Engine) unreachable(q *asking, what string, err error) error {
	q.facts.First = FirstUnreachable
	e.Log.Error("first factor cannot be asked; the NAS or application gets no verdict", "trace", q.id.Trace(), "client", q.req.Client.Name,
		"doing", what, "error", err)
	return nil
}

// refusedBefore answers a retry of a password that was refused a moment ago,
// without asking again: a NAS that insists locks nobody out.
func (e *Engine) refusedBefore(ctx context.Context, q *asking) (bool, error) {
	rec, err := e.Store.Load(ctx, refusedKey(q))
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	hex, why, _ := strings.Cut(string(rec.Value), " ")
	if id, err := ParseID(hex); err == nil {
		e.under(q, id)
	}
	e.Meter.Joined()
	e.finish(q, Reply{Kind: Reject, Reason: Reason(why)})
	return true, nil
}

// under has q answered under the id of a request that it repeats: the same
// login, so the same trace.
func (e *Engine) under(q *asking, id ID) {
	e.mu.Lock()
	was := q.id
	q.id = id
	e.mu.Unlock()
	e.moved(q, was)
}

func (e *Engine) rememberRefused(ctx context.Context, q *asking) error {
	now, err := e.Store.Now(ctx)
	if err != nil {
		return err
	}
	_, err = e.Store.Save(ctx, Record{Key: refusedKey(q), Value: []byte(q.id.String() + " " + string(q.facts.Refused)), Expires: now.Add(refusedFor)}, Condition{})
	if errors.Is(err, ErrConflict) {
		return nil // another node has just remembered the same
	}
	return err
}

func refusedKey(q *asking) string { return "refused:" + hex.EncodeToString(q.facts.Self[:16]) }

// allow takes a place among the wrong passwords that may still be passed on,
// for the account and for the station; giveBack returns what was taken when
// the password turns out right. Rules (service accounts) are not throttled: an
// attacker could shut an application out.
func (e *Engine) allow(ctx context.Context, q *asking, id Identity) (taken []string, allowed bool, err error) {
	t := e.PolicyNow().Throttle
	var quotas []Quota
	limit := func(kind, whom string, count int) {
		if whom != "" && count > 0 && q.req.Rule == "" {
			quotas = append(quotas, Quota{e.listedAs(kind, whom), Limit{count, t.Within}})
		}
	}
	limit(triesOfAccount, id.ID, t.PerAccount)
	if q.req.FrontEnd != LDAP { // the address of an application stands for all its users
		limit(triesOfSource, q.req.Station, t.PerSource)
	}
	if len(quotas) == 0 {
		if id.ID == "" && t.PerAccount > 0 && q.req.Rule == "" { // nobody takes as long as somebody
			_, err = e.Store.Count(ctx, Quota{Key: e.listedAs(triesOfAccount, "")})
		}
		return nil, true, err
	}
	if allowed, err = e.Store.Count(ctx, quotas...); !allowed || err != nil {
		return nil, false, err
	}
	for _, quota := range quotas {
		taken = append(taken, quota.Key)
	}
	return taken, true, nil
}

// Where wrong passwords are noted.
const (
	triesOfAccount = "tries:account:"
	triesOfSource  = "tries:source:"
)

func (e *Engine) giveBack(ctx context.Context, taken []string) {
	if len(taken) == 0 {
		return
	}
	if err := e.Store.Uncount(ctx, taken...); err != nil {
		e.Log.Warn("a right password still counts against the throttle", "error", err)
	}
}

// begin is called when q's password is right: it finds the open attempt of the
// same account, client and station, or fills in a fresh one. Where it had to wait
// to see whether another node lives it looks at everything anew.
func (e *Engine) begin(ctx context.Context, q *asking) (*saved, error) {
	if err := e.takePulse(ctx, q); err != nil {
		return nil, err
	}
	s, pulses, err := e.beginNow(ctx, q)
	if err != nil || len(pulses) == 0 {
		return s, err
	}
	if err = e.mourn(ctx, q, pulses); err == nil {
		s, _, err = e.beginNow(ctx, q)
	}
	return s, err
}

// beginNow is begin as things stand; pulses are those of other nodes by which
// somebody waits in a login that q could join.
func (e *Engine) beginNow(ctx context.Context, q *asking) (s *saved, pulses []string, err error) {
	account, err := e.accountOf(ctx, q)
	if err != nil {
		return nil, nil, err
	}
	now, err := e.Store.Now(ctx)
	if err != nil {
		return nil, nil, err
	}
	id := *q.identity
	policy := e.PolicyNow().matching(q.req, &id, now)
	factors := e.PolicyNow().FactorsFor(q.req, &id, now)
	phoneless, err := e.fallBack(ctx, q, &account, factors)
	if err != nil {
		return nil, nil, err
	}
	rule, err := e.rule(ctx, q, account, policy, now)
	if err != nil {
		return nil, nil, err
	}
	if rule != FactorNone || q.facts.Problem != "" {
		return e.unconfirmed(q, account.Person, rule, policy), nil, nil
	}
	if s, pulses, err = e.sameLogin(ctx, q, account.Person); s != nil || err != nil {
		if s != nil {
			e.remind(s)
		}
		return s, nil, err
	}
	q.move(e, q.own)
	q.holds(now)
	s = e.fresh(q)
	a := &s.Attempt
	a.Who.DN = ""            // it has told its part: policies, and as whom to bind
	if e.KeepGroups != nil { // all of them were asked for by now; q keeps them, in case it has to begin again
		a.Who.Groups = e.KeepGroups(a.Who.Groups)
	}
	a.limit(factors)
	a.Phoneless = phoneless
	a.Person, a.Notify, a.Number, a.Simple = account.Person, account.Notify, account.CanNumber, account.CanSimple
	a.Created, a.Deadline = now, now.Add(e.PolicyNow().ValidFor)
	a.CodesSeen, a.Lasting = q.codesSeen, q.lasting
	return s, pulses, nil
}

// accountOf finds the account of q's owner, and what stands in its way.
func (e *Engine) accountOf(ctx context.Context, q *asking) (account Account, err error) {
	id := *q.identity
	if err = id.Complete(ctx); err != nil {
		return account, err
	}
	q.is(id)
	if account, err = e.People.Account(ctx, id); err != nil {
		return account, err
	}
	q.facts.Problem = account.Problem
	if account.Former != "" { // what is open was meant for the person before
		if err = e.Withdraw(ctx, account.Former, func(open, _ string) bool { return open == id.ID }); err != nil {
			return account, err
		}
		if err = e.noticeNumber(ctx, id.ID, account); err != nil {
			return account, err
		}
	}
	return account, e.noteLock(ctx, q)
}

// unconfirmed is the attempt of a login that needs no second factor, or that
// something stands in the way of.
func (e *Engine) unconfirmed(q *asking, person string, rule Factor, policy Rule) *saved {
	q.facts.Rule = string(rule)
	s := e.fresh(q)
	s.Attempt.Person = person
	if rule != FactorNone && rule != FactorRemembered {
		s.Attempt.WouldBe = q.wouldBe()
	}
	if rule != FactorNone && policy.Require == RequireFrom {
		q.required = policy.Date
	}
	return s
}

// Complete asks for the groups that were not asked for yet.
func (who *Identity) Complete(ctx context.Context) (err error) {
	if who.AllGroups != nil {
		who.Groups, err = who.AllGroups(ctx)
		who.AllGroups = nil
	}
	return err
}

// sameLogin finds the open attempt of this account, client, NAS and station,
// whatever the method or spelling. A bind joins only where nobody waits: all
// users of an application come from one address. pulses are those of other nodes
// by which somebody waits.
func (e *Engine) sameLogin(ctx context.Context, q *asking, person string) (same *saved, pulses []string, err error) {
	all, err := e.findAll(ctx, indexPerson+person)
	if err != nil {
		return nil, nil, err
	}
	q.seen, q.looked = all, true
	for _, s := range all {
		a := &s.Attempt
		switch {
		case !q.req.placed() || !a.of(q.identity.ID, q.req.FrontEnd, q.req.Client.Name) || !a.from(q.req.NAS, q.req.Station):
		case !a.live(s.rec.Read, e.PolicyNow().Grace): // its node did not live to end it
			if _, err := e.meetDeadline(ctx, a.ID); err != nil {
				return nil, nil, err
			}
		case q.req.FrontEnd == LDAP && e.taken(a, q, s.rec.Read):
			pulses = append(pulses, e.elsewhere(a, s.rec.Read)...)
		default:
			e.Meter.Joined()
			return s, nil, q.joins(e, s)
		}
	}
	return nil, pulses, nil
}

// placed tells whether it is known where r comes from.
func (r *Request) placed() bool { return r.Station != "" || r.Client.JoinUser }

// from tells whether a's requests come from that place, and it is known.
func (a *Attempt) from(nas, station string) bool {
	return a.Placed && a.NAS == nas && a.Station == station
}

func (e *Engine) listedAs(kind string, fields ...string) string {
	return e.Keys.Name(otp.PurposeJoin, kind, fields...)
}
