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
	others, err := e.findAll(ctx, e.ownerIndex(a))
	if err != nil {
		return err
	}
	others = slices.DeleteFunc(others, func(o *saved) bool { return o.Attempt.ID == a.ID || !o.Attempt.live(now, e.PolicyNow().Grace) })
	if len(others) >= e.PolicyNow().MaxOpen {
		return e.tooMany(s, q)
	}
	a.Waiting = slices.ContainsFunc(others, func(o *saved) bool { return o.Attempt.Prompted && !o.Attempt.Waiting })
	if err := e.claimPush(ctx, a); err != nil {
		return err
	}
	only := Condition{Full: e.ownerIndex(a), AtMost: e.PolicyNow().MaxOpen}
	if a.FrontEnd == RADIUS && a.Placed {
		only = Condition{Full: e.place(a), AtMost: 1} // from one place one login: who comes second joins
	}
	if err = e.saveEntry(ctx, s, q, only); err == nil {
		e.told(Event{Attempt: a.ID, Kind: EventPrompt, Word: a.promptWord(e.Prompter.Ready())})
		e.sendPush(a)
		return nil
	}
	unclaimed := e.unclaimPush(ctx, a)
	switch {
	case unclaimed != nil:
		return unclaimed
	case errors.Is(err, ErrFull) && only.AtMost == 1:
		return errTaken
	case errors.Is(err, ErrFull):
		return e.tooMany(s, q)
	}
	return err
}

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
	ok, err := e.Store.Count(ctx, e.pushKey(a), e.PolicyNow().PushLimit.Count, e.PolicyNow().PushLimit.Within)
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

func (e *Engine) sendPush(a *Attempt) {
	if a.Pushes > 0 {
		e.Prompter.Prompt(Prompt{Login: a.ID, Account: a.Who.ID, Person: a.Person, Opened: a.Created, Expires: a.Deadline})
	}
}

// promoteNext prompts the oldest login of the account at this client that was
// waiting for its turn.
func (e *Engine) promoteNext(ctx context.Context, ended *Attempt) error {
	others, err := e.findAll(ctx, e.ownerIndex(ended))
	if err != nil {
		return err
	}
	slices.SortFunc(others, func(a, b *saved) int { return a.Attempt.Created.Compare(b.Attempt.Created) })
	for _, o := range others {
		a := &o.Attempt
		if a.ID == ended.ID || !a.Waiting || a.Verdict != nil || a.over(o.rec.Read) {
			continue
		}
		a.Waiting = false
		if err := e.claimPush(ctx, a); err != nil {
			return err
		}
		err := e.save(ctx, o, Condition{Before: a.Deadline})
		if err == nil {
			e.told(Event{Attempt: a.ID, Kind: EventPrompt, Word: a.promptWord(e.Prompter.Ready())})
			e.sendPush(a)
			return nil
		}
		if err := e.unclaimPush(ctx, a); err != nil {
			return err
		}
		if !errors.Is(err, ErrConflict) && !errors.Is(err, ErrLate) {
			return err
		}
	}
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
	first, err := e.Store.Count(ctx, e.listedAs("noticed:", id, account.Former), 1, noticeAgain)
	if first {
		e.Prompter.Notice(Notice{Person: account.Former, Word: NoticeNumber})
	}
	return err
}
