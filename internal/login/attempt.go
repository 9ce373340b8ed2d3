package login

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"time"
)

// An ID names an attempt: 16 random bytes.
type ID [16]byte

// NewID makes an ID.
func NewID() (id ID) {
	rand.Read(id[:])
	return id
}

func (id ID) String() string { return hex.EncodeToString(id[:]) }

// ParseID reads what String printed.
func ParseID(s string) (id ID, err error) {
	raw, err := hex.DecodeString(s)
	if err != nil || len(raw) != len(id) {
		return id, errors.New("not a login id")
	}
	return ID(raw), nil
}

// traceAlphabet leaves out what people mix up: 0 and O, 1, I and L. The
// letters come first: a trace id begins with one, so it is never a number.
const traceAlphabet = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
const traceLetters = 23

// Trace is the short form that texts and logs carry: six characters.
func (id ID) Trace() string {
	var t [6]byte
	t[0] = traceAlphabet[int(id[0])%traceLetters]
	for i := 1; i < len(t); i++ {
		t[i] = traceAlphabet[(int(id[2*i])<<8|int(id[2*i+1]))%len(traceAlphabet)]
	}
	return string(t[:])
}

// An Attempt is one login, from the first request with a right password to its
// verdict. It is kept sealed in the Store; every change is one compare-and-set.
// What is kept of it, and how, says encode.go.
type Attempt struct {
	ID       ID // its key in the Store says it
	FrontEnd FrontEnd
	Client   string
	Approval Approval
	NAS      string
	Station  string
	From     string // what the phone and audit show as the origin
	Typed    string // the name as typed, to bind States to it
	Proof    bool   // begun by a proof of the password, not by the password
	Secret   []byte // MAC of client, typed name and password: knows the password again
	Lasting  []byte // MAC for what is remembered: see lastingOf; none where nothing is
	Scope    []byte // MAC of NAS, station and, where there is none, the packet: who may join
	Placed   bool   // where it came from is known: a retry from there joins
	Who      Identity
	Person   string    // opaque id of the person whose devices answer
	Factors  FactorSet // which second factors count

	// Phoneless: no phone can confirm this login, only codes of the account's own
	// can, of these kinds. 0: a phone can.
	Phoneless FactorSet

	WouldBe  Reason // let in by a rule: what would have been; such an attempt is never stored
	Created  time.Time
	Deadline time.Time

	Chains   []Chain
	Requests int // how many asked

	Counted   int    // codes counted, before they were compared
	Wrong     int    // codes found wrong
	CodesSeen uint64 // the account's counter of codes when the attempt began

	Prompted bool // the prompt is claimed, or will never be sent
	Pushes   int  // devices that were prompted
	Waiting  bool // prompted when the account's other attempt at this client ends
	Notify   PushState
	Number   bool // some device can type a number
	Simple   bool // some device can approve without one
	Several  bool // a simple approval was refused because of another open attempt

	Answer  *Given
	Verdict *Verdict
	Owed    bool // the audit record is still to be written

	newer []byte // fields of a newer version, here as below: see encode.go
}

// A Chain is a request and the States after it. In mode challenge each has its
// own number to match; otherwise an attempt has one chain.
type Chain struct {
	Number    string    // digits to type on the phone; "" none
	Newest    string    // the request that gets the verdict
	Until     time.Time // until when that request waits; zero: nobody waits
	State     []byte    // handed out last and not used yet
	Used      []byte    // the State used last
	Said      []byte    // MAC of what came with Used, and from where
	SaidAt    time.Time //
	SaidWrong bool      // it was a code, compared and found wrong
	Keep      []byte    // Checked.Keep of the request that leads, or led, it
	KeepOf    []byte    // Keep is not empty: by what that request's password is known again
	newer     []byte
}

// Given is a phone's answer.
type Given struct {
	Kind     AnswerKind
	Chain    int    // approve with a number: the chain it lets in
	Number   string // "": approved without
	At       time.Time
	Device   string
	Presence string // "device_key" or "backend:<name>"
	Signed   string // the signed answer: evidence for who lets in by it, and for audit
	newer    []byte
}

// AnswerKind is what a phone says.
type AnswerKind string

// The answers. WrongNumberGiven is an approval with another number.
const (
	Approve          AnswerKind = "approve"
	Deny             AnswerKind = "deny"
	Report           AnswerKind = "report"
	WrongNumberGiven AnswerKind = "wrong_number"
	Withdrawn        AnswerKind = "withdrawn" // by an administrator, or the device was revoked
)

// A Verdict ends an attempt, once and for all.
type Verdict struct {
	Reason Reason
	Factor Factor
	At     time.Time
	LetIn  []byte // what the request that was let in is known by: see Facts.Self
	Keep   []byte // what it was given: see Checked.Keep
	newer  []byte
}

// PushState is what is known of prompting a person.
type PushState uint8

// Push states.
const (
	PushReady      PushState = iota // at least one device can be told
	PushMissing                     // nothing to push with, or the push service is down
	PushNotAllowed                  // no device may show notifications
)

// chainByNumber returns the newest chain with that number; -1 when there is none.
func (a *Attempt) chainByNumber(number string) int {
	for i := len(a.Chains) - 1; i >= 0; i-- {
		if a.Chains[i].Number == number {
			return i
		}
	}
	return -1
}

// newest is the chain that began last; -1 when there is none.
func (a *Attempt) newest() int { return len(a.Chains) - 1 }

// waited tells whether somebody waits for the verdict now.
func (a *Attempt) waited(now time.Time) bool {
	for i := range a.Chains {
		if now.Before(a.Chains[i].Until) {
			return true
		}
	}
	return false
}

// approved tells whether an approval in time is still to be collected.
func (a *Attempt) approved(now time.Time, grace time.Duration) bool {
	g := a.Answer
	return g != nil && g.Kind == Approve && g.At.Before(a.Deadline) && now.Before(g.At.Add(grace))
}
