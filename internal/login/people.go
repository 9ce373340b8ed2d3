package login

import (
	"context"
	"time"
)

// People knows accounts, persons and their devices.
type People interface {
	// Account tells what stands in the way of id's second factor, pins the
	// social insurance number on first use, and returns whose devices answer.
	Account(ctx context.Context, id Identity) (Account, error)
}

// An Account is what the decision needs to know of one.
type Account struct {
	Person    string    // opaque; "" when Problem says why: all but no_device and old_app do
	Former    string    // who must not answer for it any more: their open logins of it are to end; "" nobody
	Problem   Reason    // "": usable
	Notify    PushState // whether a prompt can reach a device
	CanNumber bool      // some device can type a number
	CanSimple bool      // some device can approve without one
}

// Fallbacks knows the codes that accounts have of their own, for when no phone
// is at hand: of an authenticator app, from a printed list, from the help desk.
type Fallbacks interface {
	// Fallbacks tells which kinds of them an account has now (AllowTOTP,
	// AllowRecovery, AllowHelp), and for which person they were made.
	Fallbacks(ctx context.Context, account string) (kinds FactorSet, person string, err error)

	// UseFallback tells which kind of code that is, FactorNone when it is none,
	// and has it marked as used, committed on all nodes, before it returns. Each
	// code is good for one attempt, which may ask again.
	UseFallback(ctx context.Context, c FallbackCode) (Factor, error)
}

// A FallbackCode is what somebody typed whose password is right.
type FallbackCode struct {
	Attempt ID
	Account string    // directory id
	Person  string    // whose the account is: codes made for another do not count
	Kinds   FactorSet // those that count
	Code    string    // without spaces
}

// A Prompt is what a person's devices are told: no code, no number, no name.
type Prompt struct {
	Login   ID
	Account string // directory id, for the log only
	Person  string
	Opened  time.Time // devices that came in then or later are not told
	Expires time.Time
	Left    time.Duration // until then, by the clock that Expires is of: the store's
}

// A Notice is what a person's devices are told besides their logins: no more
// than its word.
type Notice struct {
	Person string
	Word   NoticeWord
	Except string // the device it is about, which need not be told; "" none
}

// NoticeWord is what has happened.
type NoticeWord string

// The words.
const (
	NoticeDevice   NoticeWord = "new_device"         // one more device answers for the person
	NoticeNumber   NoticeWord = "number_changed"     // an account's number leads to somebody else, or did
	NoticeRecovery NoticeWord = "recovery_code_used" // a login was let in by one
	NoticeHelp     NoticeWord = "help_code_used"     // likewise
)

// NoticeWords are all there are.
var NoticeWords = []NoticeWord{NoticeDevice, NoticeNumber, NoticeRecovery, NoticeHelp}

// Prompter tells devices. It never blocks and never fails a login.
type Prompter interface {
	// Ready tells whether pushes can go out at all now.
	Ready() bool
	// Prompt tells every usable device of the person that a login waits. It is asked
	// again, here or by another node, when a node may have died over it; the devices
	// are told once.
	Prompt(p Prompt)
	// Closed tells the devices that were prompted that the login has ended.
	Closed(p Prompt)
	// Notice tells the person's usable devices, but one, what has happened.
	Notice(n Notice)
}

// Auditor writes the one record of a login. It returns after the record is
// written: nobody is let in before.
type Auditor interface {
	Login(rec AuditRecord) error
}

// An AuditRecord is how a login ended.
type AuditRecord struct {
	Time     time.Time
	Attempt  ID
	FrontEnd FrontEnd
	Client   string
	NAS      string
	From     string
	Account  string // directory id; "" when nobody was found
	Username string // the directory's
	Accepted bool
	Reason   Reason
	Factor   Factor
	WouldBe  Reason // observed: what would have been without the rule; "" otherwise
	Device   string
	Presence string
	Signed   string
	Pushes   int
	Requests int
	Took     time.Duration
}

// Meter counts. Its methods never block.
type Meter interface {
	Verdict(f FrontEnd, client string, accepted bool, reason Reason, took time.Duration)
	Open(delta int)
	Joined()
	LateApproval()
	Upstream(took time.Duration)
}
