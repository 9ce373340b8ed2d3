package trail

import (
	"sync"
	"time"

	"vssgate/internal/login"
)

// Limits of what is remembered.
const (
	maxRecent  = 10_000  // logins that have ended
	maxDropped = 1_000   // requests that were not served
	maxOpen    = 300_000 // open logins; more are not followed
	forgetOpen = 30 * time.Minute
	sweepEvery = time.Minute
)

// Stages of a login, besides those that only the store knows.
const (
	Ended     = "ended"     // it has a verdict
	NoAnswer  = "no_answer" // a dependency was down, or nobody waited any more: no verdict
	Dropped   = "dropped"   // the request was not served
	Asking    = "asking"    // the password is being checked
	Open      = "open"      // the store has it, and there is no verdict
	Elsewhere = "elsewhere" // it ended on another node
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
	if e == nil {
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
	case login.EventAgain, login.EventResent, login.EventPush:
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
	switch {
	case ev.Record != nil:
		e.ended = endedBy(ev.Record, at)
		if e.from == "" {
			e.from = ev.Record.From
		}
		if len(e.events) == 1 { // it began on another node, or before the start
			e.began = at.Add(-ev.Record.Took)
			e.events[0].at = e.at(at)
		}
	case ev.Kind == login.EventDropped:
		e.ended = &ended{at: at, stage: Dropped, reason: ev.Word}
	case ev.Kind == login.EventReply && final(ev.Reply): // another node has the record, or will
		e.ended = &ended{at: at, stage: Ended, reason: string(ev.Reply.Reason)}
	case ev.Kind == login.EventReply && ev.Alone:
		e.ended = &ended{at: at, stage: NoAnswer, reason: string(ev.Reply.Reason)}
		if ev.Reply.Kind == login.Silence && ev.Word != "" {
			e.ended.reason = ev.Word
		}
	default:
		return
	}
	t.open--
	into, most := &t.recent, maxRecent
	if e.ended.stage == Dropped {
		into, most = &t.dropped, maxDropped
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
	if r.Kind != login.Reject {
		return r.Kind == login.Accept
	}
	switch r.Reason {
	case login.HoldOver, login.AppendNeeded, login.WrongCode, login.SeveralLogins, login.CodeUsed:
		return false
	}
	return true
}

// sweep forgets open logins that ended elsewhere: their node remembers them.
func (t *Trail) sweep(now time.Time) {
	if now.Sub(t.swept) < sweepEvery {
		return
	}
	t.swept = now
	for id, e := range t.entries {
		if e.ended == nil && now.Sub(e.began) > forgetOpen {
			delete(t.entries, id)
			t.open--
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
