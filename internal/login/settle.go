package login

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// saved is an attempt as it was read, or as it is about to be written.
type saved struct {
	Attempt Attempt
	rec     Record  // Version 0: not in the store
	entry   *asking // who has entered this copy
}

// keyOf is the key of an attempt's record.
func keyOf(id ID) string { return attemptKey + base64.RawURLEncoding.EncodeToString(id[:]) }

func attemptOfKey(key string) (id ID, ok bool) {
	name, ok := strings.CutPrefix(key, attemptKey)
	if !ok || len(name) != base64.RawURLEncoding.EncodedLen(len(id)) {
		return id, false
	}
	_, err := base64.RawURLEncoding.Strict().Decode(id[:], []byte(name))
	return id, err == nil
}

// load reads an attempt. ErrNotFound: it never was, or is long over.
func (e *Engine) load(ctx context.Context, id ID) (*saved, error) {
	rec, err := e.Store.Load(ctx, keyOf(id))
	if err != nil {
		return nil, err
	}
	return e.open(rec)
}

// findAll reads the attempts under an index; what another key sealed is passed
// over, as if it were not there.
func (e *Engine) findAll(ctx context.Context, index string) ([]*saved, error) {
	recs, err := e.Store.Find(ctx, index, "", 0)
	if err != nil {
		return nil, err
	}
	var all []*saved
	for _, rec := range recs {
		s, err := e.open(rec)
		if err != nil {
			e.Log.Error("an attempt in the store was not made by this installation", "key", rec.Key, "error", err)
			continue
		}
		all = append(all, s)
	}
	return all, nil
}

// open unseals a record: what decides was written by a node with our key, at
// that place.
func (e *Engine) open(rec Record) (*saved, error) {
	plain, err := e.Keys.Open(rec.Key, rec.Value)
	if err != nil {
		return nil, fmt.Errorf("attempt %s: %w", rec.Key, err)
	}
	s := &saved{rec: rec}
	if s.Attempt, err = decodeAttempt(plain); err != nil {
		return nil, fmt.Errorf("attempt %s: %w", rec.Key, err)
	}
	id, ok := attemptOfKey(rec.Key) // that it is this one's record, its seal says
	if !ok {
		return nil, fmt.Errorf("attempt %s: not an attempt's key", rec.Key)
	}
	s.Attempt.ID = id
	return s, nil
}

// save writes the attempt if nobody else has meanwhile and, where before is
// given, the store's clock has not reached it.
func (e *Engine) save(ctx context.Context, s *saved, cond Condition) error {
	a := &s.Attempt
	rec := s.rec
	rec.Key = keyOf(a.ID)
	rec.Value = e.Keys.Seal(rec.Key, a.encode())
	rec.Indexes = e.indexes(a)
	rec.Expires = a.Deadline.Add(e.PolicyNow().Grace + recogniseFor + cleanUpMargin)
	kept, err := e.Store.Save(ctx, rec, cond)
	if err != nil {
		s.rec = rec
		return err
	}
	s.rec = kept
	return nil
}

// indexes is where an attempt is listed: everywhere while it is open; after
// that only where late questions about it arrive.
func (e *Engine) indexes(a *Attempt) []string {
	list := []string{e.nameIndex(a.FrontEnd, a.Client, a.Typed)}
	for i := range a.Chains {
		for _, state := range [][]byte{a.Chains[i].State, a.Chains[i].Used} {
			if len(state) == stateSize {
				list = append(list, stateIndex(state))
			}
		}
	}
	if a.Verdict == nil || a.Owed {
		list = append(list, indexOpen)
	}
	if a.Verdict == nil {
		list = append(list, indexPerson+a.Person, e.ownerIndex(a))
		if a.Placed {
			list = append(list, e.place(a))
		}
	}
	return list
}

func (e *Engine) ownerIndex(a *Attempt) string {
	return e.listedAs(indexOwner, a.Who.ID, string(a.FrontEnd), a.Client)
}

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
	case r.FrontEnd == LDAP && a.waited(now):
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

// unwait says that q does not wait any more: an approval that comes now is to
// be collected by the next request.
func (s *saved) unwait(q *asking) (changed bool) {
	if q.facts.Chain < 0 || q.facts.Chain >= len(s.Attempt.Chains) {
		return false
	}
	c := &s.Attempt.Chains[q.facts.Chain]
	if c.Newest != q.facts.Request || c.Until.IsZero() {
		return false
	}
	c.Until = time.Time{}
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
	if s.unwait(q) || s.entry == q && (!q.entered || blames) {
		return e.saveEntry(ctx, s, q, Condition{})
	}
	return nil
}

// ask challenges.
func (e *Engine) ask(ctx context.Context, s *saved, q *asking, text PromptText) error {
	if err := e.leave(ctx, s, q); err != nil {
		return err
	}
	a := &s.Attempt
	c := a.Chains[q.facts.Chain]
	r := Reply{Kind: Ask, Prompt: text, Number: c.Number, State: c.State, Approval: a.Approval, Tries: max(e.PolicyNow().WrongCodes-a.Counted, 0), Codes: a.Phoneless}
	switch {
	case a.Phoneless != 0 && text != PromptWrongCode:
		r.Prompt = PromptFallback
	case text == "":
		r.Prompt = e.promptText(a, c.Number)
	}
	e.finish(q, r)
	return nil
}

// promptText chooses what a first challenge says. A number to match is always
// shown; beside it, or in place of it, whatever keeps the phone silent.
func (e *Engine) promptText(a *Attempt, number string) PromptText {
	switch {
	case a.Notify == PushNotAllowed:
		return PromptNotificationsOff
	case a.Pushes == 0:
		return PromptNoPush
	case number != "":
		return PromptNumber
	case a.Approval == ApprovalSimple && a.Simple:
		return PromptSimple
	}
	return PromptCode
}

// tell replies a reason; the attempt goes on, or has ended before.
func (e *Engine) tell(ctx context.Context, s *saved, q *asking, reason Reason) error {
	if err := e.leave(ctx, s, q); err != nil {
		return err
	}
	a := &s.Attempt
	approval := a.Approval
	switch {
	case reason == AppendNeeded && !a.Placed:
		approval = ApprovalOff
	case reason == HoldOver && a.Several:
		reason = SeveralLogins
	case reason == HoldOver && !a.Placed: // no retry can join and collect an approval; a code can be appended
		reason, approval = AppendNeeded, ApprovalOff
	}
	if a.Verdict == nil {
		e.Log.Info("login answered for now", "trace", a.ID.Trace(), "client", a.Client, "account", a.Who.ID, "username", a.Who.Username, "reason", string(reason))
	}
	e.finish(q, Reply{Kind: Reject, Reason: reason, Approval: approval, Tries: max(e.PolicyNow().WrongCodes-a.Counted, 0), Until: q.until, Codes: a.Phoneless})
	return nil
}

// silence drops q: a newer request of its chain came, or its asker has gone.
func (e *Engine) silence(ctx context.Context, s *saved, q *asking) error {
	if q.entered && s.Attempt.Verdict == nil && s.unwait(q) {
		if err := e.save(ctx, s, Condition{}); err != nil {
			return err
		}
	}
	e.finish(q, Reply{Kind: Silence})
	return nil
}

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

// repeat gives the request that was let in its answer again.
func (e *Engine) repeat(s *saved, q *asking) error {
	e.Log.Info("accept given again: the request that was let in asked once more", "trace", s.Attempt.ID.Trace(), "client", s.Attempt.Client,
		"source", q.req.Source, "account", s.Attempt.Who.ID)
	e.Meter.Joined()
	e.finish(q, Reply{Kind: Accept, Reason: Accepted, Identity: s.Attempt.Who, Factor: s.Attempt.Verdict.Factor, Keep: s.Attempt.Verdict.Keep})
	return nil
}

// end concludes the attempt in q's name and answers q.
func (e *Engine) end(ctx context.Context, s *saved, q *asking, act Action) error {
	if act.Kind == ActAccept && e.late(s.Attempt.ID) {
		e.Log.Error("not let in: by this node's own clock the login is over; is the store's clock right?", "trace", s.Attempt.ID.Trace())
		act = Action{Kind: ActEnd, Reason: Expired}
	}
	if q.facts.First == FirstRight && s.rec.Version == 0 {
		s.Attempt.Who = *q.identity
	}
	if err := e.conclude(ctx, s, act, q); err != nil {
		return err
	}
	r := Reply{Kind: Reject, Reason: act.Reason, Until: q.until}
	if act.Reason == BadCode && q.facts.Begins {
		r.Codes = q.begins // what the account has
	}
	if q.facts.First == FirstWrong && q.checked != nil {
		r.Data = q.checked.Relay
	}
	if act.Kind == ActAccept {
		r = Reply{Kind: Accept, Reason: Accepted, Identity: s.Attempt.Who, Factor: act.Factor, Keep: s.Attempt.Verdict.Keep}
		if would := s.Attempt.WouldBe; would == NoDevice || would == NoNumber {
			r.Required = q.required
		}
	}
	if act.Kind == ActAccept {
		e.remember(ctx, &s.Attempt, q) // before the answer: the next login may follow at once
	}
	e.finish(q, r)
	if s.rec.Version == 0 {
		return nil
	}
	if err := e.closeBooks(ctx, s); err != nil {
		e.Log.Error("a login has ended but could not be closed; trying again at its deadline", "trace", s.Attempt.ID.Trace(), "error", err)
	}
	return nil
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
		return e.enterInBooks(s)
	}
	before := a.Verdict
	a.Verdict, a.Owed = v, true
	a.dropKeeps()
	if err := e.save(ctx, s, Condition{Before: e.validUntil(a, act)}); err != nil {
		a.Verdict, a.Owed = before, false
		return err
	}
	if err := e.enterInBooks(s); err != nil {
		e.noteUnpaid(a.ID)
		return err
	}
	return nil
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
func (e *Engine) enterInBooks(s *saved) error {
	a := &s.Attempt
	v := a.Verdict
	rec := AuditRecord{
		Time: v.At, Attempt: a.ID, FrontEnd: a.FrontEnd, Client: a.Client, NAS: legible(a.NAS), From: legible(a.From),
		Account: a.Who.ID, Username: a.Who.Username, Accepted: v.Reason == Accepted, Reason: v.Reason, Factor: v.Factor, WouldBe: a.WouldBe,
		Pushes: a.Pushes, Requests: a.Requests, Took: v.At.Sub(a.Created),
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
	e.Log.Info("login ended", "trace", a.ID.Trace(), "attempt", a.ID.String(), "front_end", string(a.FrontEnd), "client", a.Client, "nas", rec.NAS,
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
	e.forget(a.ID)
	a.Owed = false
	if err := e.save(ctx, s, Condition{}); err != nil && !errors.Is(err, ErrConflict) {
		return err
	}
	e.noticeUse(a)
	if a.Verdict.Factor.typed() {
		if err := e.clearGuesses(ctx, a); err != nil {
			return err
		}
	}
	if a.Pushes > 0 {
		e.Prompter.Closed(Prompt{Login: a.ID, Account: a.Who.ID, Person: a.Person, Expires: a.Deadline})
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
	if due := s.Attempt.Verdict.At.Add(repeatFor); s.rec.Read.Before(due) {
		return due.Sub(s.rec.Read), nil
	}
	return 0, e.payNow(ctx, s)
}

func (e *Engine) payNow(ctx context.Context, s *saved) error {
	if err := e.enterInBooks(s); err != nil {
		e.noteUnpaid(s.Attempt.ID)
		return err
	}
	return e.closeBooks(ctx, s)
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

// randomBelow is uniform over [0, n), for n far below 2^32.
func randomBelow(n int) int {
	var raw [8]byte
	rand.Read(raw[:])
	return int(binary.BigEndian.Uint64(raw[:]) % uint64(n)) // bias below 2^-32
}
