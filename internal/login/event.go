package login

import "time"

// An EventKind says what happened to a login.
type EventKind uint8

// What happens to a login on a node. Word is what is said of it; in brackets
// what it may be.
const (
	EventAsked   EventKind = iota + 1 // a request came (how it belongs to the login: Asks...); Request says who asks
	EventJoined                       // the requests told of under Was are this login's
	EventAgain                        // the very same packet came again, unanswered so far
	EventResent                       // the very same packet came again and got the same answer
	EventChecked                      // the first factor was asked (right, relayed, unreachable, throttled, or a Reason), Took
	EventCode                         // a code came (right, totp, recovery, help, wrong, locked)
	EventPrompt                       // the prompt was claimed (sent, waits, no_phone, not_allowed, not_ready, limit)
	EventPush                         // a device was told (a push outcome)
	EventPhone                        // a phone answered (an AnswerKind), Device
	EventHeld                         // the request waits, for Took at most
	EventEnded                        // the verdict is reached and audited; Record
	EventReply                        // a request was answered; Reply. Alone: there is no attempt behind it
	EventDropped                      // a request was not served (a drop reason); Request says who asked
	EventVoid                         // the store has forgotten the login; nobody is let in by it
	EventRefused                      // a request was rejected that is no login (a reason, or SharedTrace); Request says who asked
)

// How a request belongs to a login: the words of EventAsked.
const (
	AsksAnew    = "password"
	AsksJoined  = "join"          // a retry, or another request of an open login
	AsksCode    = "code"          // a State with digits
	AsksOK      = "ok"            // a State with anything else: approved meanwhile?
	AsksAppends = "appended_code" // password and code in one field
	AsksProof   = "proof"         // CHAP, MS-CHAP, EAP
)

// lostPulse is why a request was not served that was let in: see pulse.go.
const lostPulse = "pulse_lost"

// SharedTrace is said, after the reason, of an EventRefused that stands for many:
// see Strays.
const SharedTrace = "shared"

// An Event is one thing that happened to a login on this node. It holds no
// password, code, number to match, social insurance number or push token.
type Event struct {
	Attempt ID
	Kind    EventKind
	At      time.Time // zero: now
	Word    string
	Took    time.Duration
	Device  string       // EventPhone: its id
	Was     ID           // EventJoined
	Alone   bool         // EventReply
	Request *Request     // EventAsked, EventDropped, EventRefused: not to be kept, nor its password looked at
	Reply   *Reply       // EventReply: not to be kept
	Record  *AuditRecord // EventEnded
}

// A Trail follows logins for people who ask why one failed.
type Trail interface {
	// Tell never blocks. It is called from any goroutine; what happened to one
	// login is told in its order.
	Tell(e Event)
}

func (e *Engine) told(ev Event) {
	if e.Trail != nil {
		e.Trail.Tell(ev)
	}
}

// asked tells, once, that q came, and what it is to its attempt.
func (e *Engine) asked(q *asking) {
	if e.Trail == nil || q.shown || q.work == nil {
		return
	}
	q.shown = true
	word := AsksAnew
	switch {
	case len(q.req.State) > 0 && q.facts.Code != NoCode:
		word = AsksCode
	case len(q.req.State) > 0:
		word = AsksOK
	case q.facts.Code != NoCode:
		word = AsksAppends
	case q.id != q.own:
		word = AsksJoined
	case q.req.Conversation:
		word = AsksProof
	}
	e.Trail.Tell(Event{Attempt: q.id, Kind: EventAsked, At: q.began, Word: word, Request: q.req})
}

// moved tells that q is another attempt's than it was told to be: what it began
// is a part of that one; what it had only tried stays where it was.
func (e *Engine) moved(q *asking, was ID) {
	switch {
	case e.Trail == nil || !q.shown || q.work == nil || was == q.id:
	case was == q.own:
		e.Trail.Tell(Event{Attempt: q.id, Kind: EventJoined, Was: was})
	default:
		q.shown = false
		e.asked(q)
	}
}

// again is told when q's very packet comes again.
func (e *Engine) again(q *asking) func() {
	if e.Trail == nil {
		return nil
	}
	return func() {
		e.mu.Lock()
		id := q.id
		e.mu.Unlock()
		e.Trail.Tell(Event{Attempt: id, Kind: EventAgain})
	}
}

// replied tells what q was answered.
func (e *Engine) replied(q *asking, r *Reply, gone bool) {
	if e.Trail == nil || r.Stray != nil || q.mute {
		return
	}
	e.asked(q)
	word := ""
	switch {
	case r.Kind != Silence:
	case gone:
		word = "left"
	case r.Reason != "":
		word = string(r.Reason)
	default:
		word = "superseded"
	}
	alone := !q.entered && q.work != nil && q.id == q.own
	e.Trail.Tell(Event{Attempt: q.id, Kind: EventReply, Word: word, Reply: r, Alone: alone})
}

// promptWord is why a login's phones were told, or were not.
func (a *Attempt) promptWord(ready bool) string {
	switch {
	case a.Pushes > 0:
		return "sent"
	case a.Waiting:
		return "waits"
	case a.Phoneless != 0:
		return "no_phone"
	case a.Notify == PushNotAllowed:
		return "not_allowed"
	case a.Notify == PushMissing || !ready:
		return "not_ready"
	}
	return "limit"
}
