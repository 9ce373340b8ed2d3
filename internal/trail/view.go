package trail

import (
	"slices"
	"strings"
	"time"

	"vssgate/internal/login"
)

// A Login is what is shown of one.
type Login struct {
	ID       login.ID
	Client   *login.Client // nil: only its name is known
	Name     string        // the client's
	FrontEnd login.FrontEnd
	Username string // the directory's; where it knows nobody, as typed
	Typed    string
	Account  string
	NAS      string
	From     string
	Stage    string
	Reason   string
	Created  time.Time
	Ended    time.Time // zero: open
	Factor   string
	WouldBe  string // observed: what would have been without that
	Device   string
	Requests int
	Pushes   int
	Took     time.Duration // from the right password to the verdict
	Events   []Event
	Said     *login.Reply // what the user read last; its number is not the real one
}

// An Event is one thing that happened.
type Event struct {
	After time.Duration // since the login began
	Took  time.Duration // what it took, or went on for
	Kind  string
	Word  string
	Count int
}

// kinds are the names of events, as programs read them.
var kinds = map[login.EventKind]string{
	login.EventAsked: "request", login.EventAgain: "retransmission", login.EventResent: "reply_sent_again", login.EventChecked: "first_factor",
	login.EventCode: "code", login.EventPrompt: "prompt", login.EventPush: "push", login.EventPhone: "phone", login.EventHeld: "held",
	login.EventEnded: "verdict", login.EventReply: "reply", login.EventDropped: "dropped",
	login.EventRefused: "refused", login.EventVoid: "void",
}

// Logins are all that are remembered and fit, the newest first, at most `most`
// of them (0: all), without their events.
func (t *Trail) Logins(fits func(*Login) bool, most int) (all []Login) {
	t.mu.Lock()
	for _, e := range t.entries {
		if l := t.view(e, false); fits(&l) {
			all = append(all, l)
		}
	}
	t.mu.Unlock()
	slices.SortFunc(all, func(a, b Login) int { return b.Created.Compare(a.Created) })
	if most > 0 && len(all) > most {
		all = all[:most]
	}
	return all
}

// Find is what is remembered under a trace or an attempt's id, the newest first.
func (t *Trail) Find(which string) (all []Login) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, e := range t.entries {
		if strings.EqualFold(which, id.Trace()) || strings.EqualFold(which, id.String()) {
			all = append(all, t.view(e, true))
		}
	}
	slices.SortFunc(all, func(a, b Login) int { return b.Created.Compare(a.Created) })
	return all
}

func (t *Trail) view(e *entry, events bool) Login {
	l := Login{ID: e.id, Client: e.client, FrontEnd: e.frontEnd, Username: e.typed, Typed: e.typed, From: e.from, Stage: Asking, Created: e.began, Device: e.device}
	if e.client != nil {
		l.Name = e.client.Name
	}
	if e.proven {
		l.Stage = Open
	}
	if x := e.ended; x != nil {
		l.Stage, l.Reason, l.Ended, l.Account, l.NAS, l.Factor, l.WouldBe, l.Requests, l.Pushes, l.Took = x.stage, x.reason, x.at, x.account, x.nas, x.factor, x.wouldBe, x.requests, x.pushes, x.took
		if x.username != "" {
			l.Username = x.username
		}
		if x.client != "" {
			l.Name, l.FrontEnd = x.client, x.frontEnd
		}
	}
	if !events {
		return l
	}
	for _, v := range e.events {
		l.Events = append(l.Events, Event{
			After: time.Duration(v.at) * time.Millisecond, Took: time.Duration(v.took) * time.Microsecond,
			Kind: kinds[v.kind], Word: t.words.all[v.word], Count: int(v.count),
		})
	}
	l.Said = t.reply(e)
	return l
}

// reply is what was said last, with stars where a number to match stood.
func (t *Trail) reply(e *entry) *login.Reply {
	s := e.said
	if s == (said{}) {
		return nil
	}
	r := &login.Reply{
		Kind: s.kind, Reason: login.Reason(t.words.all[s.reason]), Prompt: login.PromptText(t.words.all[s.prompt]), Tries: int(s.tries),
		Approval: login.Approval(t.words.all[s.approval]), Attempt: e.id, Trace: e.id.Trace(), Codes: s.codes,
	}
	if s.number {
		r.Number = "**"
	}
	if s.until != 0 {
		r.Until = time.Unix(s.until, 0)
	}
	return r
}
