package login

import (
	"context"
	"errors"
	"slices"
	"time"
)

// prompt claims the one prompt of an attempt and sends it. While another login
// of the account at this client is on the phone this one waits for its end;
// past push_limit, or with nothing to push to, only the push is missing.
func (e *Engine) prompt(ctx context.Context, s *saved, q *asking, now time.Time) error {
	a := &s.Attempt
	a.Prompted = true
	all := q.seen
	if !q.looked { // q has joined what another request has begun
		var err error
		if all, err = e.findAll(ctx, indexPerson+a.Person); err != nil {
			return err
		}
	}
	q.looked = false
	only := Condition{Full: indexPerson + a.Person, AtMost: 1}
	for _, o := range all {
		only.But = append(only.But, o.rec.Key)
	}
	others := e.besides(a, all, now)
	if len(others) >= e.PolicyNow().MaxOpen {
		return e.tooMany(s, q)
	}
	a.Waiting = slices.ContainsFunc(others, func(o *saved) bool { return o.Attempt.Prompted }) // behind those that wait, too
	if err := e.claimPush(ctx, a); err != nil {
		return err
	}
	err := e.saveEntry(ctx, s, q, only)
	if err == nil {
		e.told(Event{Attempt: a.ID, Kind: EventPrompt, Word: a.promptWord(e.Prompter.Ready())})
		e.sendPush(s)
		if a.Waiting { // for one that may have ended meanwhile
			err = e.promoteNext(ctx, a)
		}
		return err
	}
	if unclaimed := e.unclaimPush(ctx, a); unclaimed != nil {
		return unclaimed
	}
	if errors.Is(err, ErrFull) { // one has begun meanwhile that was not seen: perhaps from the same place
		return errTaken
	}
	return err
}

// beside tells whether two attempts are of one account at one client.
func (a *Attempt) beside(b *Attempt) bool { return a.of(b.Who.ID, b.FrontEnd, b.Client) }

// besides are, of a person's open logins, the others of a's account at its client.
func (e *Engine) besides(a *Attempt, all []*saved, now time.Time) []*saved {
	return slices.DeleteFunc(all, func(o *saved) bool {
		return o.Attempt.ID == a.ID || !o.Attempt.beside(a) || !o.Attempt.live(now, e.PolicyNow().Grace)
	})
}

// of tells whether it is of that account at that client.
func (a *Attempt) of(account string, f FrontEnd, client string) bool {
	return a.Who.ID == account && a.FrontEnd == f && a.Client == client
}

// onPhone tells whether a login has had its turn on the phone.
func (s *saved) onPhone() bool { return s.Attempt.Prompted && !s.Attempt.Waiting }

// tooMany refuses q: the account has as many open logins here as it may have.
func (e *Engine) tooMany(s *saved, q *asking) error {
	q.facts.Problem = SeveralLogins
	*s = *e.fresh(q)
	return nil
}

// claimPush sets Pushes when a push may go out now.
func (e *Engine) claimPush(ctx context.Context, a *Attempt) error {
	a.Pushes = 0
	if a.Waiting || a.Notify != PushReady || !e.Prompter.Ready() {
		return nil
	}
	ok, err := e.Store.Count(ctx, Quota{e.pushKey(a), e.PolicyNow().PushLimit})
	if ok {
		a.Pushes = 1
	}
	return err
}

func (e *Engine) pushKey(a *Attempt) string { return e.listedAs(pushesOf, a.Who.ID) }

// pushesOf is where the prompts of an account are noted.
const pushesOf = "pushes:"

func (e *Engine) unclaimPush(ctx context.Context, a *Attempt) error {
	if a.Pushes == 0 {
		return nil
	}
	a.Pushes = 0
	return e.Store.Uncount(ctx, e.pushKey(a))
}

func (e *Engine) sendPush(s *saved) {
	if s.Attempt.Pushes > 0 {
		e.Prompter.Prompt(s.prompt())
	}
}

// prompt is what the person's devices are told of s.
func (s *saved) prompt() Prompt {
	a := &s.Attempt
	return Prompt{Login: a.ID, Account: a.Who.ID, Person: a.Person, Opened: a.Created, Expires: a.Deadline, Left: a.Deadline.Sub(s.rec.Read)}
}

// promptLease is how long the node that claimed a prompt has to send it.
const promptLease = 3 * time.Second

// remind sees to the prompt of a login that q finds open, which another node may
// have claimed and not lived to send.
func (e *Engine) remind(s *saved) {
	a := &s.Attempt
	if a.Verdict == nil && a.Answer == nil && s.onPhone() && !s.rec.Read.Before(a.Created.Add(promptLease)) && e.Prompter.Ready() {
		e.sendPush(s)
	}
}

// MayPrompt tells one of all nodes, and one time only, that the devices may be told
// of p now; the login is open then. The mark is asked for before the login, beside
// which it lies: a store that has forgotten the one does not know the other.
func (e *Engine) MayPrompt(ctx context.Context, p Prompt) (bool, error) {
	first, err := e.Store.UseOnce(ctx, keyOf(p.Login)+Beside+"pushed", p.Expires, false)
	if errors.Is(err, ErrLate) || err == nil && !first {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	s, err := e.load(ctx, p.Login)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil && s.Attempt.Verdict == nil, err
}

// promoteNext prompts the oldest login of of's account at its client that waits
// for its turn, unless another is on the phone. Who loses a race looks again.
func (e *Engine) promoteNext(ctx context.Context, of *Attempt) error {
	for range maxRounds {
		next, err := e.nextInTurn(ctx, of)
		if next == nil || err != nil {
			return err
		}
		if err = e.promote(ctx, next); !errors.Is(err, ErrConflict) && !errors.Is(err, ErrLate) {
			return err
		}
	}
	return errRaces
}

// nextInTurn is the login that is to be prompted now; nil: none is.
func (e *Engine) nextInTurn(ctx context.Context, of *Attempt) (next *saved, err error) {
	all, err := e.findAll(ctx, indexPerson+of.Person)
	for _, o := range all {
		a := &o.Attempt
		switch {
		case !a.beside(of) || !a.live(o.rec.Read, e.PolicyNow().Grace):
		case o.onPhone():
			return nil, nil
		case a.Waiting && !a.over(o.rec.Read) && (next == nil || a.Created.Before(next.Attempt.Created)):
			next = o
		}
	}
	return next, err
}

func (e *Engine) promote(ctx context.Context, s *saved) error {
	a := &s.Attempt
	a.Waiting = false
	if err := e.claimPush(ctx, a); err != nil {
		return err
	}
	if err := e.save(ctx, s, Condition{Before: a.Deadline}); err != nil {
		return errors.Join(err, e.unclaimPush(ctx, a))
	}
	e.told(Event{Attempt: a.ID, Kind: EventPrompt, Word: a.promptWord(e.Prompter.Ready())})
	e.sendPush(s)
	return nil
}

// noticeAgain is how long a person is not told again that one account's number
// has changed: each login of that account finds it out anew.
const noticeAgain = 24 * time.Hour

// noticeNumber tells whose the account was that its number leads to somebody
// else now. Whoever may write that attribute could mean to be the second factor.
func (e *Engine) noticeNumber(ctx context.Context, id string, account Account) error {
	if account.Problem != "" && account.Problem != NumberChanged {
		return nil
	}
	first, err := e.Store.Count(ctx, Quota{e.listedAs("noticed:", id, account.Former), Limit{1, noticeAgain}})
	if first {
		e.Prompter.Notice(Notice{Person: account.Former, Word: NoticeNumber})
	}
	return err
}
