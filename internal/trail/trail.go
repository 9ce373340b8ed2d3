package trail

import (
	"sync"
	"time"

	"vssgate/internal/login"
)

// Limits of what is remembered.
const (
	maxRecent  = 10_000  // logins that have ended
	maxService = 1_000   // binds of service accounts that a rule let in: there may be thousands a second
	maxDropped = 1_000   // requests that were not served
	maxRefused = 10_000  // requests that were rejected and are no login
	maxOpen    = 300_000 // open logins; more are not followed
	forgetOpen = 30 * time.Minute
	sweepEvery = time.Minute
	goesOn     = 2 * time.Minute // the longest that nothing happens while a password is being checked
)

// Stages of a login, besides those that only the store knows.
const (
	Ended     = "ended"     // it has a verdict
	NoAnswer  = "no_answer" // a dependency was down, or nobody waited any more: no verdict
	Dropped   = "dropped"   // the request was not served: no answer
	Refused   = "refused"   // the request was rejected, and is no login
	Asking    = "asking"    // the password is being checked
	Open      = "open"      // the store has it, and there is no verdict
	Elsewhere = "elsewhere" // it ended on another node
	Void      = "void"      // the store has forgotten it
)

// A Trail remembers logins. It is a login.Trail.
type Trail struct {
	now func() time.Time

	mu       sync.Mutex
	words    *words
	entries  map[login.ID]*entry // all that are remembered
	open     int                 // of those
	recent   ring
	dropped  ring
	refused  ring
	service  ring
	swept    time.Time
	watchers map[*Watcher]struct{}
}

// A ring forgets the oldest.
type ring struct {
	ids  []login.ID
	next int
}

// push adds an id and returns the one that had to go, if any.
func (r *ring) push(id login.ID, most int) (gone login.ID, full bool) {
	if len(r.ids) < most {
		r.ids = append(r.ids, id)
		return gone, false
	}
	gone, r.ids[r.next] = r.ids[r.next], id
	r.next = (r.next + 1) % most
	return gone, true
}

// New makes a Trail.
func New() *Trail {
	return &Trail{now: time.Now, words: newWords(), entries: map[login.ID]*entry{}, watchers: map[*Watcher]struct{}{}}
}

// Tell notes what happened to a login.
func (t *Trail) Tell(ev login.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	at := ev.At
	if at.IsZero() {
		at = now
	}
	t.sweep(now)
	e := t.entry(ev, at)
	if e == nil || ev.Kind == login.EventVoid && e.ended != nil {
		return
	}
	if ev.Kind == login.EventJoined {
		t.join(e, ev.Was)
		return
	}
	e.asks(ev.Request)
	word := ev.Word
	switch {
	case ev.Reply != nil:
		e.said = t.saidOf(ev.Reply)
		if word == "" {
			word = replyWord(ev.Reply)
		}
	case ev.Kind == login.EventPhone:
		e.device = ev.Device
	}
	switch ev.Kind {
	case login.EventPrompt, login.EventHeld, login.EventCode, login.EventPhone:
		e.proven = true
	case login.EventReply:
		e.proven = e.proven || !ev.Alone
	}
	e.add(ev.Kind, t.words.of(word), at, ev.Took)
	t.settle(e, ev, at)
	t.show(e, ev, word, at)
}

// entry is the login of an event, a new one where it is told of for the first
// time; nil: too many are open, or it is an old one's afterthought.
func (t *Trail) entry(ev login.Event, at time.Time) *entry {
	e := t.entries[ev.Attempt]
	if e != nil {
		return e
	}
	switch ev.Kind {
	case login.EventAgain, login.EventResent, login.EventPush, login.EventVoid:
		return nil
	}
	if t.open >= maxOpen {
		return nil
	}
	e = &entry{id: ev.Attempt, began: at}
	t.entries[ev.Attempt] = e
	t.open++
	return e
}

// join makes what was told under another id this login's.
func (t *Trail) join(e *entry, was login.ID) {
	part := t.entries[was]
	if part == nil || part == e || part.ended != nil {
		return
	}
	delete(t.entries, was)
	t.open--
	e.proven = true
	e.asks(&login.Request{Client: part.client, FrontEnd: part.frontEnd, Username: part.typed, Session: part.session, Station: part.from})
	if part.began.Before(e.began) && len(e.events) == 0 {
		e.began = part.began
	}
	joined := t.words.of(login.AsksJoined)
	for _, x := range part.events {
		if x.kind == login.EventAsked {
			x.word = joined
		}
		e.add(x.kind, x.word, part.began.Add(time.Duration(x.at)*time.Millisecond), time.Duration(x.took)*time.Microsecond)
	}
}

// settle notes the end of a login, if this is one.
func (t *Trail) settle(e *entry, ev login.Event, at time.Time) {
	if e.ended != nil {
		switch {
		case ev.Kind == login.EventDropped && e.ended.stage == NoAnswer: // the front end knows better why
			e.ended.stage, e.ended.reason = Dropped, ev.Word
		case ev.Record != nil: // a waiting request was told before
			e.ended = endedBy(ev.Record, at)
		}
		return
	}
	if e.ended = e.endBy(ev, at); e.ended != nil {
		t.forgetsIn(e)
	}
}

// endBy is the end of a login, if the event is one.
func (e *entry) endBy(ev login.Event, at time.Time) *ended {
	switch {
	case ev.Record != nil:
		if e.from == "" {
			e.from = ev.Record.From
		}
		if len(e.events) == 1 { // it began on another node, or before the start
			e.began = at.Add(-ev.Record.Took)
			e.events[0].at = e.at(at)
		}
		return endedBy(ev.Record, at)
	case ev.Kind == login.EventVoid:
		return &ended{at: at, stage: Void}
	case ev.Kind == login.EventDropped:
		return &ended{at: at, stage: Dropped, reason: ev.Word}
	case ev.Kind == login.EventRefused:
		return &ended{at: at, stage: Refused, reason: ev.Word}
	case ev.Kind == login.EventReply && final(ev.Reply): // another node has the record, or will
		return &ended{at: at, stage: Ended, reason: verdictOf(ev.Reply)}
	case ev.Kind == login.EventReply && ev.Alone && ev.Reply.Kind == login.Silence && ev.Reply.Reason != "":
		return &ended{at: at, stage: Dropped, reason: string(ev.Reply.Reason)}
	case ev.Kind == login.EventReply && ev.Alone && ev.Reply.Kind == login.Silence && ev.Word != "":
		return &ended{at: at, stage: NoAnswer, reason: ev.Word}
	case ev.Kind == login.EventReply && ev.Alone && ev.Reply.Kind != login.Relay: // a round is no end
		return &ended{at: at, stage: NoAnswer, reason: string(ev.Reply.Reason)}
	}
	return nil
}

// forgetsIn has a login that has ended forgotten when its turn comes.
func (t *Trail) forgetsIn(e *entry) {
	t.open--
	into, most := &t.recent, maxRecent
	switch {
	case e.ended.stage == Dropped:
		into, most = &t.dropped, maxDropped
	case e.ended.stage == Refused:
		into, most = &t.refused, maxRefused
	case e.service && e.ended.reason == string(login.Accepted):
		into, most = &t.service, maxService
	}
	if gone, full := into.push(e.id, most); full {
		delete(t.entries, gone)
	}
}

// endedBy is what the audit record says.
func endedBy(r *login.AuditRecord, at time.Time) *ended {
	return &ended{
		at: at, stage: Ended, reason: string(r.Reason), username: r.Username, account: r.Account, nas: r.NAS, client: r.Client, frontEnd: r.FrontEnd,
		factor: string(r.Factor), wouldBe: string(r.WouldBe), requests: r.Requests, pushes: r.Pushes, took: r.Took,
	}
}

// final tells whether a reply leaves nothing open.
func final(r *login.Reply) bool {
	return r.Kind == login.Accept || r.Kind == login.Reject && !r.Interim
}

// verdictOf is how a login ended whose request was answered so. That it let
// another one in is why this one was rejected, and not how the login ended.
func verdictOf(r *login.Reply) string {
	if r.Reason == login.CodeUsed {
		return string(login.Accepted)
	}
	return string(r.Reason)
}

// sweep forgets open logins that ended elsewhere: their node remembers them. A
// conversation of several rounds that nobody goes on with is over.
func (t *Trail) sweep(now time.Time) {
	if now.Sub(t.swept) < sweepEvery {
		return
	}
	t.swept = now
	for id, e := range t.entries {
		switch {
		case e.ended != nil:
		case now.Sub(e.began) > forgetOpen:
			delete(t.entries, id)
			t.open--
		case !e.proven && now.Sub(e.lastAt()) > goesOn:
			e.ended = &ended{at: e.lastAt(), stage: NoAnswer, reason: "left"}
			t.forgetsIn(e)
		}
	}
}

// replyWord is what a request was answered, in a word.
func replyWord(r *login.Reply) string {
	switch r.Kind {
	case login.Accept:
		return "accept"
	case login.Reject:
		return "reject:" + string(r.Reason)
	case login.Ask:
		return "challenge:" + string(r.Prompt)
	case login.Relay:
		return "relay"
	case login.NoAnswer:
		return "no_answer:" + string(r.Reason)
	case login.BadAnswer:
		return "bad_answer"
	}
	return "silence"
}

func (t *Trail) saidOf(r *login.Reply) said {
	s := said{
		kind: r.Kind, reason: t.words.of(string(r.Reason)), prompt: t.words.of(string(r.Prompt)), approval: t.words.of(string(r.Approval)),
		tries: uint8(min(r.Tries, 255)), number: r.Number != "", codes: r.Codes,
	}
	if !r.Until.IsZero() {
		s.until = r.Until.Unix()
	}
	return s
}
