package login

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"time"

	"vssgate/otp"
)

// An OpenLogin is what a person's devices see of an open attempt.
type OpenLogin struct {
	ID       ID
	Code     string   // the same each time it is shown; "" when a code does not count for this login
	Approval Approval // the client's setting; the device's abilities may cut it further
	Username string
	Client   string
	From     string
	Created  time.Time
	Expires  time.Time
	Waiting  int // requests that asked in this login's name so far
}

// Logins are a person's open attempts, newest first.
type Logins struct {
	Now     time.Time // the store's clock
	Version string    // changes whenever anything below does
	Open    []OpenLogin
}

// An Answering is a phone's answer, its signature already verified.
type Answering struct {
	Kind     AnswerKind // Approve, Deny or Report
	Number   string     // Approve: the digits typed; "" none given
	Person   string     // whose device it is
	Device   string     // its id
	Enrolled time.Time  // since when; must be before the login opened
	Presence string     // "device_key", or "backend:<name>"
	Signed   string     // the signed request, kept as evidence
	Shown    *Shown     // what the phone showed, or nil
}

// Shown is what a phone showed when it was answered; it must equal the record.
type Shown struct {
	Client   string
	From     string
	Username string
	Created  time.Time // compared to the second
}

// Outcome is what an answer led to.
type Outcome string

// The outcomes.
const (
	OutcomeAccepted Outcome = "accepted"          // the waiting request was let in
	OutcomeRetry    Outcome = "waiting_for_retry" // nobody waits: press OK or log in again
	OutcomeRejected Outcome = "rejected"          // denied or reported
)

// Answered is the fate of an answer.
type Answered struct {
	Outcome     Outcome
	RetryWithin time.Duration // OutcomeRetry: how long the approval is kept
}

// Why an answer changed nothing, except ErrWrongNumber, which denies the login.
var (
	ErrNotYours      = errors.New("no such login of this person")
	ErrSeveralLogins = errors.New("several logins of this account are open here")
	ErrWrongNumber   = errors.New("the number does not match")
	ErrNumberMissing = errors.New("the number shown at the login is missing")
	ErrApprovalOff   = errors.New("this login is confirmed by code only")
	ErrShown         = errors.New("what was shown is not this login")
)

// EndedError says that the login has ended, and how.
type EndedError struct{ Verdict Reason }

func (e *EndedError) Error() string { return "this login has ended: " + string(e.Verdict) }

// Logins returns a person's open logins, newest first.
func (e *Engine) Logins(ctx context.Context, person string) (Logins, error) {
	all, err := e.findAll(ctx, indexPerson+person)
	if err != nil {
		return Logins{}, err
	}
	now, err := e.Store.Now(ctx)
	if err != nil {
		return Logins{}, err
	}
	list := Logins{Now: now}
	slices.SortFunc(all, func(a, b *saved) int { return b.Attempt.Created.Compare(a.Attempt.Created) })
	version := fnv.New64a()
	for _, s := range all {
		a := &s.Attempt
		if !a.live(now, e.PolicyNow().Grace) {
			continue
		}
		fmt.Fprintf(version, "%s %d\n", a.ID, s.rec.Version)
		code := ""
		if a.Factors.Has(AllowCode) {
			code = e.Keys.Code(a.ID[:], e.PolicyNow().CodeDigits)
		}
		list.Open = append(list.Open, OpenLogin{
			ID: a.ID, Code: code, Approval: a.Approval, Username: a.Who.Username,
			Client: a.Client, From: a.From, Created: a.Created, Expires: a.Deadline, Waiting: a.Requests,
		})
	}
	list.Version = strconv.FormatUint(version.Sum64(), 36)
	return list, nil
}

// Wait returns a person's open logins as soon as they differ from the version
// `since` ("": as soon as there are any), or as they are when ctx ends.
func (e *Engine) Wait(ctx context.Context, person, since string) (Logins, error) {
	for {
		list, again, err := e.waitOnce(ctx, person, since)
		if err != nil || !again {
			return list, err
		}
	}
}

func (e *Engine) waitOnce(ctx context.Context, person, since string) (list Logins, again bool, err error) {
	changed, release := e.next(indexPerson + person)
	defer release()
	list, err = e.Logins(context.WithoutCancel(ctx), person)
	if err != nil || since != "" && list.Version != since || since == "" && len(list.Open) > 0 {
		return list, false, err
	}
	select {
	case <-changed:
		return list, true, nil
	case <-ctx.Done():
		return list, false, nil
	}
}

// answerPatience is how long a phone waits to hear that its approval was
// collected by the request that waits for it.
const answerPatience = 2 * time.Second

// Answer takes a phone's answer. It counts for the person's own open logins
// only, before the deadline, from a device enrolled before the login opened;
// the first answer stands.
func (e *Engine) Answer(ctx context.Context, id ID, ans Answering) (Answered, error) {
	for range maxRounds {
		s, err := e.load(ctx, id)
		if errors.Is(err, ErrNotFound) {
			return Answered{}, ErrNotYours
		}
		if err != nil {
			return Answered{}, err
		}
		repeated, err := e.mayAnswer(ctx, s, ans)
		if err != nil {
			return Answered{}, err
		}
		if !repeated {
			err = e.record(ctx, s, ans)
		}
		switch {
		case errors.Is(err, ErrConflict), errors.Is(err, ErrLate):
			continue
		case err != nil:
			return Answered{}, err
		}
		return e.fate(ctx, id)
	}
	return Answered{}, errRaces
}

// mayAnswer checks everything about an answer but its content against the
// login; repeated: the very same answer is recorded already.
func (e *Engine) mayAnswer(ctx context.Context, s *saved, ans Answering) (repeated bool, err error) {
	a := &s.Attempt
	if a.Person == "" || a.Person != ans.Person || !ans.Enrolled.Before(a.Created) {
		return false, ErrNotYours
	}
	if g := a.Answer; g != nil && g.Device == ans.Device && g.Kind == ans.Kind && g.Number == ans.Number {
		return true, nil
	}
	switch {
	case a.Verdict != nil:
		return false, &EndedError{a.Verdict.Reason}
	case a.Answer != nil:
		return false, &EndedError{Accepted} // approved on another device, not collected yet
	case a.over(s.rec.Read):
		return false, &EndedError{Expired}
	case ans.Shown != nil && !ans.Shown.equals(a):
		return false, ErrShown
	}
	return false, nil
}

func (s *Shown) equals(a *Attempt) bool {
	return s.Client == a.Client && s.From == a.From && s.Username == a.Who.Username && s.Created.Unix() == a.Created.Unix()
}

// record notes the answer and, when it refuses, ends the login.
func (e *Engine) record(ctx context.Context, s *saved, ans Answering) error {
	a := &s.Attempt
	g := &Given{Kind: ans.Kind, Number: ans.Number, At: s.rec.Read, Device: ans.Device, Presence: ans.Presence, Signed: ans.Signed}
	var refused error
	if ans.Kind == Approve {
		if refused = e.approve(ctx, s, g); refused != nil && !errors.Is(refused, ErrWrongNumber) {
			return refused
		}
	}
	a.Answer = g
	act := Decide(a, nil, e.PolicyNow(), s.rec.Read)
	if act.Kind != ActEnd {
		if err := e.save(ctx, s, Condition{Before: a.Deadline}); err != nil {
			return err
		}
		e.told(Event{Attempt: a.ID, Kind: EventPhone, Word: string(g.Kind), Device: g.Device})
		return e.unclaimApproved(ctx, a)
	}
	if err := e.Forget(ctx, a.Person); err != nil { // before, so that no refusal is without it
		return err
	}
	e.told(Event{Attempt: a.ID, Kind: EventPhone, Word: string(g.Kind), Device: g.Device})
	if err := e.conclude(ctx, s, act, nil); err != nil {
		return err
	}
	if err := e.afterRefusal(ctx, s, act.Reason); err != nil {
		return err
	}
	return refused
}

// approve checks an approval: the number, or that there can be no mistake
// about which login is meant.
func (e *Engine) approve(ctx context.Context, s *saved, g *Given) error {
	a := &s.Attempt
	switch {
	case a.Approval == ApprovalOff:
		return ErrApprovalOff
	case a.Approval == ApprovalNumber && !otp.IsCode([]byte(g.Number), e.PolicyNow().NumberDigits):
		return ErrNumberMissing // a slip of the finger is no wrong number
	case a.Approval == ApprovalNumber:
		if g.Chain = a.chainByNumber(g.Number); g.Chain < 0 {
			g.Kind = WrongNumberGiven
			return ErrWrongNumber
		}
		return nil
	}
	g.Number = ""
	all, err := e.findAll(ctx, indexPerson+a.Person)
	if err != nil {
		return err
	}
	several := e.besides(a, all, s.rec.Read)
	if len(several) == 0 {
		return nil
	}
	for _, o := range append(several, s) { // both users are told
		o.Attempt.Several = true
		if err := e.save(ctx, o, Condition{}); err != nil && !errors.Is(err, ErrConflict) {
			return err
		}
	}
	return ErrSeveralLogins
}

// afterRefusal does what a refusal means for the account, and closes the books.
func (e *Engine) afterRefusal(ctx context.Context, s *saved, why Reason) error {
	account := s.Attempt.Who.ID
	var err error
	switch why {
	case Reported:
		e.Log.Warn("a login was reported by its owner: somebody else knows the password", "alert", "reported", "trace", s.Attempt.ID.Trace(), "account", account)
		err = e.lockReported(ctx, account)
	case WrongNumber:
		if _, _, err = e.countGuess(ctx, account, "number "+s.Attempt.ID.String(), nil); err == nil {
			err = e.commitGuesses(ctx, account)
		}
	}
	return errors.Join(err, e.closeBooks(ctx, s))
}

// unclaimApproved: a prompt that was approved does not count against push_limit.
func (e *Engine) unclaimApproved(ctx context.Context, a *Attempt) error {
	if a.Pushes == 0 {
		return nil
	}
	return e.Store.Uncount(ctx, e.pushKey(a))
}

// fate tells what became of an answer that is recorded: at once, or when the
// request that waits has collected it.
func (e *Engine) fate(ctx context.Context, id ID) (Answered, error) {
	patient, cancel := context.WithTimeout(ctx, answerPatience)
	defer cancel()
	for {
		fate, waits, err := e.fateOnce(patient, id)
		if err != nil || !waits {
			return fate, err
		}
	}
}

// fateOnce looks, and waits for a change or ctx's end. Once that has come it only
// looks: while a node stops nothing tells it of changes any more.
func (e *Engine) fateOnce(ctx context.Context, id ID) (fate Answered, waits bool, err error) {
	last := ctx.Err() != nil
	changed, release := e.next(keyOf(id))
	defer release()
	s, err := e.load(context.WithoutCancel(ctx), id)
	if err != nil {
		return fate, false, err
	}
	a := &s.Attempt
	retry := Answered{Outcome: OutcomeRetry, RetryWithin: a.Answer.At.Add(e.PolicyNow().Grace).Sub(s.rec.Read)}
	switch {
	case a.Answer.refusal() == WrongNumber:
		return fate, false, ErrWrongNumber
	case a.Answer.refusal() != "":
		return Answered{Outcome: OutcomeRejected}, false, nil
	case a.Verdict != nil && a.Verdict.Reason == Accepted:
		return Answered{Outcome: OutcomeAccepted}, false, nil
	case a.Verdict != nil:
		return fate, false, &EndedError{a.Verdict.Reason}
	case last || !a.waited(s.rec.Read):
		return retry, false, nil
	}
	select {
	case <-changed:
	case <-ctx.Done():
	}
	return fate, true, nil
}

// Withdraw ends a person's open logins that match, because an account has
// changed or a device was revoked, and all that is remembered of the person.
// device is the one that approved the login; "" none has.
func (e *Engine) Withdraw(ctx context.Context, person string, match func(account, device string) bool) error {
	if err := e.Forget(ctx, person); err != nil {
		return err
	}
	all, err := e.findAll(ctx, indexPerson+person)
	if err != nil {
		return err
	}
	for _, s := range all {
		for range maxRounds {
			a := &s.Attempt
			if a.Verdict != nil || !match(a.Who.ID, a.approver()) {
				break
			}
			a.Answer = &Given{Kind: Withdrawn, At: s.rec.Read}
			err := e.conclude(ctx, s, end(Revoked), nil)
			if err == nil {
				err = e.closeBooks(ctx, s)
			}
			if !errors.Is(err, ErrConflict) {
				if err != nil {
					return err
				}
				break
			}
			if s, err = e.load(ctx, a.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// approver is the device that approved; "" none has.
func (a *Attempt) approver() string {
	if a.Answer == nil {
		return ""
	}
	return a.Answer.Device
}
