package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Codes of RADIUS packets.
const (
	accept    = 2
	reject    = 3
	challenge = 11
)

// repeated is how long a reply that was lost may be asked for again.
const repeated = 10 * time.Second

// A request is one packet of a NAS, however often it was sent, or one bind.
type request struct {
	nasLine           // as it was sent first
	answers []nasLine // in order
	parent  *request  // whose challenge it answers; nil: it begins a login, or nobody knows its State
	ended   time.Time // a bind: since when its connection is not waiting any more; zero: it waits to the end of the run
	dropped bool      // a bind: that was not its application's doing, and it heard neither success nor 49
}

// A login is an attempt as vssgate names it.
type login struct {
	id       string
	shown    []phoneLine
	answers  []phoneLine
	prompts  []pushLine
	records  []auditLine
	admitted []*request // what was let in by it
}

type checker struct {
	*run
	requests   []*request
	logins     map[string]*login
	entries    []*entry
	violations []violation
}

// A violation is one guarantee that did not hold.
type violation struct{ rule, what string }

func (c *checker) broken(rule, format string, v ...any) {
	c.violations = append(c.violations, violation{rule, fmt.Sprintf(format, v...)})
}

func newChecker(r *run) *checker {
	c := &checker{run: r, logins: map[string]*login{}}
	c.indexRequests()
	c.indexLogins()
	c.indexEntries()
	return c
}

func (c *checker) indexRequests() {
	byName, byState := map[string]*request{}, map[string]*request{}
	slices.SortStableFunc(c.nas, func(a, b nasLine) int { return a.At.Compare(b.At) })
	for _, l := range c.nas {
		q := byName[l.Request]
		switch {
		case l.What == "sent" && q == nil:
			q = &request{nasLine: l, parent: byState[l.State]}
			byName[l.Request] = q
			c.requests = append(c.requests, q)
		case l.What == "bind" && q == nil:
			byName[l.Request] = &request{nasLine: l}
			c.requests = append(c.requests, byName[l.Request])
		case l.What != "sent" && q == nil:
			c.broken("answer", "an answer to %s, which was never sent", l.Request)
		case l.What == "heard":
			q.answers = append(q.answers, l)
			if l.Code == challenge && l.State != "" {
				byState[l.State] = q
			}
		default:
			q.endBind(l)
		}
	}
}

func (c *checker) login(id string) *login {
	l := c.logins[id]
	if l == nil {
		l = &login{id: id}
		c.logins[id] = l
	}
	return l
}

func (c *checker) indexLogins() {
	for _, p := range c.phones {
		switch p.What {
		case "shown":
			l := c.login(p.Login)
			l.shown = append(l.shown, p)
		case "answered":
			l := c.login(p.Login)
			l.answers = append(l.answers, p)
		}
	}
	for _, p := range c.pushes {
		if p.Type == "login" {
			l := c.login(p.Login)
			l.prompts = append(l.prompts, p)
		}
	}
	for _, a := range c.audit {
		if a.Kind == "login" {
			l := c.login(a.Attempt)
			l.records = append(l.records, a)
		}
	}
}

// key is what makes two packets the same request asked again.
func (q *request) key() string {
	if q.binds() {
		return q.Request // each is asked for itself
	}
	return strings.Join([]string{q.Client, q.User, q.Station, q.Typed, q.State}, "\x00")
}

// root is the request that began the conversation.
func (q *request) root() *request {
	for q.parent != nil {
		q = q.parent
	}
	return q
}

func (q *request) first(code int) (at time.Time, ok bool) {
	for _, a := range q.answers {
		if a.Code == code {
			return a.At, true
		}
	}
	return at, false
}

// text is what the user read.
func (q *request) text() string {
	for _, a := range q.answers {
		if a.Text != "" {
			return a.Text
		}
	}
	return ""
}

var (
	traced  = regexp.MustCompile(`\[([A-Z0-9]{6})\]$`)
	numeral = regexp.MustCompile(`(?:^|[^\w])([0-9]{2,6})(?:$|[^\w])`)
)

func traceOf(text string) string {
	if m := traced.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return ""
}

// numberOf is the number to match that a text shows.
func numberOf(text string) string {
	if m := numeral.FindStringSubmatch(traced.ReplaceAllString(text, "")); m != nil {
		return m[1]
	}
	return ""
}

// slack is how far what was seen between two instants may be off: by the time
// it takes to be seen, and by how far the store's clock was off then. The
// instants may be by that clock themselves.
func (c *checker) slack(from, to time.Time) time.Duration {
	base := c.world.Slack.duration()
	most := base
	for _, f := range c.faults {
		off := millis(max(f.ClockMS, -f.ClockMS)).duration()
		if off != 0 && touches(f, from.Add(-base-off), to.Add(base+off)) {
			most += off
		}
	}
	return most
}

func touches(f faultLine, from, to time.Time) bool { return !f.At.After(to) && !f.Until.Before(from) }

// lost tells whether the store may have forgotten between two instants what was
// open then.
func (c *checker) lost(from, to time.Time) bool {
	slack := c.slack(from, to)
	return slices.ContainsFunc(c.faults, func(f faultLine) bool { return f.Loses && touches(f, from.Add(-slack), to.Add(slack)) })
}

// created and expires are what the phone was told; ok: it saw the login.
func (l *login) created() (at time.Time, ok bool) {
	if len(l.shown) == 0 {
		return at, false
	}
	return l.shown[0].Created, true
}

// ended is when its verdict was reached; ok: a record says so.
func (l *login) ended() (at time.Time, ok bool) {
	if len(l.records) == 0 {
		return at, false
	}
	return l.records[0].Time, true
}
