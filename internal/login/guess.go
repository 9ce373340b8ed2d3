package login

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"time"
)

// lock is an account's record of codes, across logins, clients and nodes.
// Wrong codes are Counted - Cleared. What was counted is kept in memory (or in
// Redis) before a code is compared, and committed to disk before the reply
// that tells it was wrong: a crash in between ends the login and tells nobody
// anything.
type lock struct {
	Counted  uint64    // codes counted, ever
	Cleared  uint64    // those forgiven by a right code or an administrator
	Locked   int       // how often it was locked since the last success
	Until    time.Time // locked until then
	Stopped  bool      // locked until an administrator unlocks
	Reported bool      // locked because a login was reported, not by codes
	Seen     []string  // guesses counted last: the same one asked again is counted once
	Kept     bool      // the committed record counts something
}

const (
	lockPrefix     = "lock:"  // committed
	codesPrefix    = "codes:" // volatile, newer
	maxLock        = 24 * time.Hour
	seenGuesses    = 16
	codesForgotten = 48 * time.Hour
)

func (l *lock) wrong() int { return int(l.Counted - l.Cleared) }

// locked tells whether the account is locked now.
func (l *lock) locked(now time.Time) bool { return l.Stopped || now.Before(l.Until) }

// noteLock sets q's Problem when its account is locked, and notes how many codes
// the account has counted.
func (e *Engine) noteLock(ctx context.Context, q *asking) error {
	l, err := e.loadLock(ctx, q.identity.ID)
	if err != nil {
		return err
	}
	q.codesSeen, q.lock = l.Counted, l
	now, err := e.Store.Now(ctx)
	if err != nil {
		return err
	}
	if l.locked(now) && !l.lets(hex.EncodeToString(q.guess)) {
		q.setLocked(&l.lock)
	}
	return nil
}

// lets tells whether a guess was counted before the account was locked by
// guesses: it is one of those that may be compared. Otherwise a right code that
// comes from several hands at once could let nobody in.
func (l *lock) lets(guess string) bool {
	return !l.Stopped && !l.Reported && slices.Contains(l.Seen, guess)
}

func (q *asking) setLocked(l *lock) {
	q.facts.Problem = LockedOut
	if !l.Stopped {
		q.until = l.Until
	}
}

// count counts q's code at the account and at the attempt, before anything is
// compared.
func (e *Engine) count(ctx context.Context, s *saved, q *asking) error {
	a := &s.Attempt
	l, refused, err := e.countGuess(ctx, a.Who.ID, hex.EncodeToString(q.guess), q.lock)
	q.lock, s.lock = nil, l
	if err != nil {
		return err
	}
	if refused {
		e.told(Event{Attempt: a.ID, Kind: EventCode, Word: "locked"})
		q.setLocked(&l.lock)
		return nil
	}
	a.Counted++
	if err := e.saveEntry(ctx, s, q, Condition{}); err != nil {
		return err
	}
	q.facts.Code = CodeCounted
	return nil
}

// compare compares q's code, in constant time.
func (e *Engine) compare(ctx context.Context, s *saved, q *asking) error {
	is, err := e.whichCode(ctx, &s.Attempt, q)
	if err != nil {
		return err
	}
	if is != FactorNone {
		q.facts.Code, q.facts.CodeIs = CodeRight, is
		e.told(Event{Attempt: s.Attempt.ID, Kind: EventCode, Word: codeWord(is)})
		return nil
	}
	q.facts.Code = CodeWrong
	e.told(Event{Attempt: s.Attempt.ID, Kind: EventCode, Word: "wrong"})
	if err := e.commitGuesses(ctx, s.Attempt.Who.ID); err != nil {
		return err
	}
	e.blame(&s.Attempt, q)
	return e.saveEntry(ctx, s, q, Condition{})
}

// codeWord is which code was right, in a word.
func codeWord(is Factor) string {
	if is == FactorCode {
		return "right"
	}
	return string(is)
}

// blame notes in the attempt that q's code was wrong.
func (e *Engine) blame(a *Attempt, q *asking) {
	a.Wrong++
	if q.facts.Chain >= 0 && q.facts.Chain < len(a.Chains) {
		a.Chains[q.facts.Chain].SaidWrong = true
	}
}

// countGuess counts one guess, once, unless the account is locked, or as many
// guesses as may be wrong are being compared already: refused, the guess must not
// be compared. seen is the lock as it was read a moment ago; nil: it was not.
func (e *Engine) countGuess(ctx context.Context, account, guess string, seen *readLock) (l *readLock, refused bool, err error) {
	lockedNow := false
	l, _, err = e.changeLock(ctx, account, seen, func(l *lock, now time.Time) bool {
		refused, lockedNow = false, false
		if l.lets(guess) {
			return false
		}
		before := l.locked(now)
		if l.lockIfDue(e.PolicyNow().Lockout, now); l.locked(now) {
			refused, lockedNow = true, !before
			return lockedNow
		}
		if slices.Contains(l.Seen, guess) {
			return false
		}
		l.Counted++
		l.Seen = append(l.Seen, guess)
		if n := len(l.Seen); n > seenGuesses {
			l.Seen = l.Seen[n-seenGuesses:]
		}
		return true
	})
	if lockedNow && err == nil {
		e.tellLocked(account, &l.lock)
		err = e.commitLock(ctx, account, &l.lock)
	}
	return l, refused, err
}

// commitGuesses locks the account if that is due, and commits its counter.
func (e *Engine) commitGuesses(ctx context.Context, account string) error {
	l, now, err := e.changeLock(ctx, account, nil, func(l *lock, now time.Time) bool {
		l.Kept = true
		l.lockIfDue(e.PolicyNow().Lockout, now)
		return true
	})
	if err != nil {
		return err
	}
	if l.locked(now) {
		e.tellLocked(account, &l.lock)
	}
	return e.commitLock(ctx, account, &l.lock)
}

func (e *Engine) tellLocked(account string, l *lock) {
	e.Log.Warn("account locked after wrong codes", "alert", "locked", "account", account, "wrong", l.wrong(), "until", l.Until, "until_unlocked", l.Stopped)
}

// lockIfDue locks after each After wrong codes, twice as long each time.
func (l *lock) lockIfDue(p Lockout, now time.Time) {
	if l.wrong() >= p.StopAfter {
		l.Stopped = true
		return
	}
	if due := l.wrong() / p.After; due > l.Locked {
		l.Locked = due
		l.Until = now.Add(min(p.For<<min(due-1, 20), maxLock))
		l.Reported = false
	}
}

// clearGuesses forgives, after a right code, what was counted before that
// attempt began, and the right code itself. What was guessed elsewhere
// meanwhile stays.
func (e *Engine) clearGuesses(ctx context.Context, s *saved) error {
	a, kept := &s.Attempt, false
	l, _, err := e.changeLock(ctx, a.Who.ID, s.lock, func(l *lock, _ time.Time) bool {
		kept = l.Kept
		l.Cleared = min(max(l.Cleared, a.CodesSeen)+1, l.Counted)
		l.Kept = l.wrong() > 0
		if due := l.wrong() / e.PolicyNow().Lockout.After; due < l.Locked {
			l.Locked = due
			if !l.Reported {
				l.Until = time.Time{}
			}
		}
		return true
	})
	if err != nil || !kept {
		return err
	}
	return e.commitLock(ctx, a.Who.ID, &l.lock)
}

// lockReported locks an account whose login was reported by its owner.
func (e *Engine) lockReported(ctx context.Context, account string) error {
	l, _, err := e.changeLock(ctx, account, nil, func(l *lock, now time.Time) bool {
		if until := now.Add(e.PolicyNow().Lockout.For); until.After(l.Until) {
			l.Until, l.Reported = until, true
		}
		l.Kept = true
		return true
	})
	if err != nil {
		return err
	}
	return e.commitLock(ctx, account, &l.lock)
}

// Unlock lets an account log in again, after wrong codes and after wrong
// passwords: an administrator's word.
func (e *Engine) Unlock(ctx context.Context, account string) error {
	if err := e.Store.Uncount(ctx, slices.Repeat([]string{e.listedAs(triesOfAccount, account)}, e.PolicyNow().Throttle.PerAccount)...); err != nil {
		return err
	}
	l, _, err := e.changeLock(ctx, account, nil, func(l *lock, _ time.Time) bool {
		*l = lock{Counted: l.Counted, Cleared: l.Counted, Seen: l.Seen}
		return true
	})
	if err != nil {
		return err
	}
	return e.commitLock(ctx, account, &l.lock)
}

// changeLock applies change to the volatile record until it wins the race;
// change returns false when there is nothing to write. It begins with seen, as
// countGuess.
func (e *Engine) changeLock(ctx context.Context, account string, seen *readLock, change func(*lock, time.Time) bool) (*readLock, time.Time, error) {
	for range maxRounds {
		var err error
		if seen == nil {
			if seen, err = e.loadLock(ctx, account); err != nil {
				return nil, time.Time{}, err
			}
		}
		l, rec := seen, seen.rec
		seen = nil
		now, err := e.Store.Now(ctx)
		if err != nil || !change(&l.lock, now) {
			return l, now, err
		}
		if rec.Value, err = EncodeOver(rec.Value, &l.lock); err != nil {
			return nil, now, err
		}
		rec.Key, rec.Expires, rec.Durable, rec.Indexes = e.listedAs(codesPrefix, account), now.Add(codesForgotten), false, nil
		if l.rec, err = e.Store.Save(ctx, rec, Condition{}); !errors.Is(err, ErrConflict) {
			return l, now, err
		}
	}
	return nil, time.Time{}, errRaces
}

// A readLock is a lock and the volatile record that it was read from; rec is
// empty where that is still to be made.
type readLock struct {
	lock
	rec Record
}

// loadLock reads the volatile record, or what was committed when it is gone.
func (e *Engine) loadLock(ctx context.Context, account string) (*readLock, error) {
	committed := e.listedAs(lockPrefix, account)
	rec, err := e.Store.Load(ctx, e.listedAs(codesPrefix, account), committed)
	if errors.Is(err, ErrNotFound) {
		return &readLock{}, nil
	}
	if err != nil {
		return nil, err
	}
	l := &readLock{rec: rec}
	if err = json.Unmarshal(rec.Value, &l.lock); rec.Key == committed {
		l.rec = Record{}
	}
	return l, err
}

// commitLock writes the durable copy; a newer one that is there already stays.
func (e *Engine) commitLock(ctx context.Context, account string, l *lock) error {
	key := e.listedAs(lockPrefix, account)
	for range maxRounds {
		rec, err := e.Store.Load(ctx, key)
		if errors.Is(err, ErrNotFound) {
			rec, err = Record{Key: key}, nil
		}
		if err != nil {
			return err
		}
		var there lock
		if len(rec.Value) > 0 {
			if err := json.Unmarshal(rec.Value, &there); err != nil {
				return err
			}
		}
		if there.Counted > l.Counted || there.Counted == l.Counted && there.Cleared > l.Cleared {
			return nil
		}
		if rec.Value, err = EncodeOver(rec.Value, l); err != nil {
			return err
		}
		rec.Durable = true
		if _, err = e.Store.Save(ctx, rec, Condition{}); !errors.Is(err, ErrConflict) {
			return err
		}
	}
	return errRaces
}
