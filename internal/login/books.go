package login

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode"
)

// owedFor is how long a request waits for the record that another is writing.
const owedFor = 5 * time.Second

// awaitRecord waits until the audit record of a verdict is written, here or on
// another node. While it cannot be, nobody hears the verdict.
func (e *Engine) awaitRecord(ctx context.Context, s *saved, q *asking) (finished bool, err error) {
	changed, release := e.next(keyOf(s.Attempt.ID))
	defer release()
	again, err := e.load(ctx, s.Attempt.ID)
	if err != nil {
		return false, err
	}
	if !again.Attempt.Owed {
		*s = *again
		return false, nil
	}
	if e.takeUnpaid(s.Attempt.ID) { // it failed here before: perhaps the disk has room again
		if err = e.payNow(ctx, again); err == nil {
			*s = *again
			return false, nil
		}
		e.Log.Error("an audit record still cannot be written; nobody is answered", "trace", s.Attempt.ID.Trace(), "error", err)
		e.finish(q, Reply{Kind: NoAnswer, Reason: Unavailable})
		return true, nil
	}
	select {
	case <-changed:
		*s = *again // it says "owed" still: what stands now is read in the next round
		return false, nil
	case <-time.After(owedFor):
		e.finish(q, Reply{Kind: NoAnswer, Reason: Unavailable})
		return true, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// conclude ends the attempt: the verdict and the owed audit record are one
// transition, and the record is written before anybody is answered. q is nil
// when a timer or a phone ends it.
func (e *Engine) conclude(ctx context.Context, s *saved, act Action, q *asking) error {
	a := &s.Attempt
	now, err := e.Store.Now(ctx)
	if err != nil {
		return err
	}
	v := &Verdict{Reason: act.Reason, Factor: act.Factor, At: now}
	if act.Kind == ActAccept {
		v.Keep = q.kept(a)
		if q.req.FrontEnd == RADIUS {
			v.LetIn = q.facts.Self
		}
	}
	if s.rec.Version == 0 { // never proven, or let in by a rule: it lives here alone
		a.Verdict, a.Requests = v, 1
		if a.Created.IsZero() {
			a.Created = now.Add(-time.Since(q.began))
		}
		return e.enterInBooks(s, levelOf(act, q))
	}
	before := a.Verdict
	a.Verdict, a.Owed = v, true
	a.dropKeeps()
	if err := e.save(ctx, s, Condition{Before: e.validUntil(a, act)}); err != nil {
		a.Verdict, a.Owed = before, false
		return err
	}
	if err := e.enterInBooks(s, slog.LevelInfo); err != nil {
		e.noteUnpaid(a.ID)
		return err
	}
	return nil
}

// levelOf is how loudly the log tells of a verdict. Applications bind as
// themselves before each look-up, thousands of times a second: the audit has
// all of those, the log only those that failed.
func levelOf(act Action, q *asking) slog.Level {
	if act.Kind == ActAccept && q.req.Rule != "" {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// validUntil is the instant from which the store must refuse an accept.
func (e *Engine) validUntil(a *Attempt, act Action) time.Time {
	switch {
	case act.Kind != ActAccept:
		return time.Time{}
	case act.Factor == FactorApproval:
		return a.Answer.At.Add(e.PolicyNow().Grace)
	case act.Factor.typed():
		return a.Deadline
	}
	return time.Time{}
}

// enterInBooks writes the audit record, the log line and the metric of a verdict.
func (e *Engine) enterInBooks(s *saved, level slog.Level) error {
	a := &s.Attempt
	v := a.Verdict
	rec := AuditRecord{
		Time: v.At, Attempt: a.ID, FrontEnd: a.FrontEnd, Client: a.Client, NAS: legible(a.NAS), From: legible(a.From),
		Account: a.Who.ID, Username: a.Who.Username, Accepted: v.Reason == Accepted, Reason: v.Reason, Factor: v.Factor, WouldBe: a.WouldBe,
		Pushes: a.Pushes, Requests: a.Requests, Took: max(0, v.At.Sub(a.Created)), // the store's clock may have stepped back
	}
	if g := a.Answer; g != nil && (v.Factor == FactorApproval || g.refusal() == v.Reason) {
		rec.Device, rec.Presence, rec.Signed = g.Device, g.Presence, g.Signed
	}
	if err := e.Auditor.Login(rec); err != nil {
		return fmt.Errorf("write the audit record (nobody is let in without it): %w", err)
	}
	if e.Trail != nil {
		ended := rec
		e.Trail.Tell(Event{Attempt: a.ID, Kind: EventEnded, Word: string(v.Reason), Record: &ended})
	}
	e.Meter.Verdict(a.FrontEnd, a.Client, rec.Accepted, v.Reason, rec.Took)
	if v.Factor == FactorApproval && !v.At.Before(a.Answer.At.Add(lateAfter)) {
		e.Meter.LateApproval()
	}
	if !e.Log.Enabled(context.Background(), level) {
		return nil
	}
	e.Log.Log(context.Background(), level, "login ended", "trace", a.ID.Trace(), "attempt", a.ID.String(), "front_end", string(a.FrontEnd), "client", a.Client, "nas", rec.NAS,
		"from", rec.From, "account", a.Who.ID, "username", a.Who.Username, "typed", shown(a.Who.ID, a.Typed), "accepted", rec.Accepted,
		"reason", string(v.Reason), "factor", string(v.Factor), "requests", a.Requests, "took", rec.Took.Round(time.Millisecond))
	return nil
}

// lateAfter tells a late approval from one that somebody waited for.
const lateAfter = time.Second

// shown is the typed name for the log, where the directory knows no better.
func shown(account, typed string) string {
	if account != "" {
		return ""
	}
	return ShownName(typed)
}

// ShownName is a typed name as people may read it: cut, for it may be anything,
// and masked where it can be a social insurance or personal number.
func ShownName(typed string) string {
	if digits := strings.TrimSpace(typed); (len(digits) == 10 || len(digits) == 12) && strings.Trim(digits, "0123456789") == "" {
		return strings.Repeat("*", len(digits))
	}
	if len(typed) > 64 {
		typed = typed[:64]
	}
	return legible(typed)
}

// legible is what a NAS or a stranger wrote without signs that would drive a
// terminal or turn a line around: JSON escapes only those of ASCII.
func legible(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 0x7f && !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// closeBooks does what follows a verdict: the record is no longer owed, phones
// are told, the account's next open login is prompted.
func (e *Engine) closeBooks(ctx context.Context, s *saved) error {
	a := &s.Attempt
	a.Owed = false
	if err := e.save(ctx, s, Condition{}); err != nil && !errors.Is(err, ErrConflict) {
		a.Owed = true
		e.noteWritten(s)
		return err
	}
	e.forget(a.ID)
	e.noticeUse(a)
	if a.Verdict.Factor.typed() {
		if err := e.clearGuesses(ctx, s); err != nil {
			return err
		}
	}
	if a.Pushes > 0 {
		e.Prompter.Closed(s.prompt())
	}
	return e.promoteNext(ctx, a)
}

// pay writes the audit record that a node which died owes, and closes the
// books. A young debt may still be paid by the node that reached the verdict:
// again says when to look once more.
func (e *Engine) pay(ctx context.Context, s *saved) (again time.Duration, err error) {
	if !s.Attempt.Owed {
		return 0, nil
	}
	if e.wrote(s.Attempt.ID) {
		return 0, e.closeBooks(ctx, s)
	}
	if due := s.Attempt.Verdict.At.Add(repeatFor); s.rec.Read.Before(due) {
		return due.Sub(s.rec.Read), nil
	}
	mine, err := e.Store.Count(ctx, Quota{e.listedAs("paying:", s.Attempt.ID.String()), Limit{1, repeatFor}})
	if err != nil || !mine { // another node pays, or died over it
		return repeatFor, err
	}
	return 0, e.payNow(ctx, s)
}

func (e *Engine) payNow(ctx context.Context, s *saved) error {
	if err := e.enterInBooks(s, slog.LevelInfo); err != nil {
		e.noteUnpaid(s.Attempt.ID)
		return err
	}
	return e.closeBooks(ctx, s)
}

// closeAgain is how soon a node tries again to close the books.
const closeAgain = time.Second

// noteWritten remembers that the record is written, until the store knows it
// too: this node writes it no second time.
func (e *Engine) noteWritten(s *saved) {
	e.watch(s)
	e.watchAgain(s.Attempt.ID, closeAgain)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.of(s.Attempt.ID).written = true
}

func (e *Engine) wrote(id ID) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	k := e.known[id]
	return k != nil && k.written
}

// noteUnpaid remembers that this node could not write the record of a login, so
// that it tries again as soon as somebody asks.
func (e *Engine) noteUnpaid(id ID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.unpaid == nil {
		e.unpaid = map[ID]bool{}
	}
	e.unpaid[id] = true
}

// takeUnpaid tells whether it is up to the caller to write the record: exactly
// one is told so.
func (e *Engine) takeUnpaid(id ID) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	mine := e.unpaid[id]
	delete(e.unpaid, id)
	return mine
}
