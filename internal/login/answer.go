package login

import (
	"errors"
	"time"
)

// An OpenLogin is what a person's devices see of an open attempt.
type OpenLogin struct {
	ID       ID
	Code     string   // the same each time it is shown
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
