package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// checkAccepts: nobody is let in without a right password and a second factor
// that was given for this login, in time; and none of those who must not be.
func (c *checker) checkAccepts() {
	for _, e := range c.entries {
		c.checkPassword(e)
		if e.login == nil {
			c.broken("record", "%s at %s was let in by request %s: no audit record says so", e.User, e.Client, e.Request)
			continue
		}
		switch a := e.login.accepted(); a.Factor {
		case "code":
			c.checkCode(e, a)
		case "approval":
			c.checkApproval(e, a)
		default:
			c.broken("factor", "login %s of %s was let in by %q, which nothing names", a.Attempt, e.User, a.Factor)
		}
	}
	for _, v := range c.visits {
		if v.Must == "out" && c.cameIn(v.Visit) {
			c.broken("out", "visit %d (%s) was let in", v.Visit, v.Kind)
		}
	}
}

func (c *checker) cameIn(visit int) bool {
	return slices.ContainsFunc(c.entries, func(e *entry) bool { return e.Visit == visit })
}

// accepted is the record that lets in; its login has one.
func (l *login) accepted() auditLine {
	return l.records[slices.IndexFunc(l.records, func(a auditLine) bool { return a.Verdict == "accepted" })]
}

// checkPassword looks at the request that began the conversation: the first
// one, or the one that got the first challenge.
func (c *checker) checkPassword(e *entry) {
	first := e.root()
	at := slices.IndexFunc(c.world.Users, func(u user) bool { return u.Name == e.User })
	switch {
	case at < 0:
		c.broken("password", "%s was let in, whom nobody knows", e.User)
	case first.State != "":
		c.broken("password", "%s was let in with a State that nobody was given: request %s", e.User, e.Request)
	case first.User != e.User:
		c.broken("password", "%s was let in with the State of %s", e.User, first.User)
	case first.Typed != c.world.Users[at].Password && !strings.HasPrefix(first.Typed, c.world.Users[at].Password+c.world.Separator):
		c.broken("password", "%s was let in with a wrong password: request %s", e.User, first.Request)
	}
}

// typedCode is the code that came with a request.
func (c *checker) typedCode(q *request) string {
	if q.State != "" {
		return q.Typed
	}
	at := strings.LastIndex(q.Typed, c.world.Separator)
	if at < 0 {
		return ""
	}
	return q.Typed[at+len(c.world.Separator):]
}

// checkCode: the code that let in is the one of this login, typed after the
// login began and before its deadline.
func (c *checker) checkCode(e *entry, a auditLine) {
	code := c.typedCode(e.request)
	at := slices.IndexFunc(e.login.shown, func(p phoneLine) bool { return p.Code == code && code != "" })
	if at < 0 {
		c.broken("factor", "login %s of %s was let in by a code that no phone was shown for it", a.Attempt, e.User)
		return
	}
	p := e.login.shown[at]
	c.samePlace(e, p)
	slack := c.slack(e.root().At, e.heard)
	if e.At.Before(p.Created.Add(-slack)) || p.At.After(e.heard.Add(slack)) {
		c.broken("deadline", "login %s of %s was let in by a code typed before it began", a.Attempt, e.User)
	}
	if !a.Time.Before(p.Expires) {
		c.broken("deadline", "login %s of %s was let in by a code at %s: its deadline was %s", a.Attempt, e.User, clock(a.Time), clock(p.Expires))
	}
	if e.At.After(p.Expires.Add(slack)) {
		c.broken("deadline", "login %s of %s was let in by a code that was typed at %s: its deadline was %s", a.Attempt, e.User, clock(e.At), clock(p.Expires))
	}
}

// checkApproval: a phone approved this login, before its deadline, and the
// approval was collected within grace; with its own number, where one is shown.
func (c *checker) checkApproval(e *entry, a auditLine) {
	var whys []string
	for _, p := range e.login.answers {
		if p.Answer != "approve" {
			continue
		}
		why := c.approves(e, a, p)
		if why == "" {
			return
		}
		whys = append(whys, fmt.Sprintf("%s (sent at %s, heard %q at %s)", why, clock(p.At), p.Verdict, clock(p.Until)))
	}
	if whys == nil {
		whys = []string{"no phone said so"}
	}
	c.broken("factor", "login %s of %s was let in by an approval (asked at %s, heard at %s, by the record at %s): %s", a.Attempt, e.User,
		clock(e.At), clock(e.heard), clock(a.Time), strings.Join(whys, "; "))
}

// approves tells why an answer is none that lets e in; "": it is.
func (c *checker) approves(e *entry, a auditLine, p phoneLine) (why string) {
	slack := c.slack(e.root().At, e.heard)
	until := p.Until.Add(c.world.Grace.duration() + slack)
	switch {
	case p.Device != a.Device:
		return "the record names another phone"
	case p.Verdict == "refused":
		return "the phone's was refused"
	case p.At.After(e.heard):
		return "it came after the accept"
	case !c.shownBefore(e, p.At, slack):
		return "the phone was not shown this login before, or after its deadline"
	case e.heard.After(until) || a.Time.After(until):
		return "it was older than the grace"
	case c.world.Clients[e.Client].Approval == "number" && !c.matches(e, p.Number):
		return "the number is not that of this request's challenge"
	}
	return ""
}

// shownBefore tells whether a phone saw the login, for that user and place, and
// before its deadline.
func (c *checker) shownBefore(e *entry, at time.Time, slack time.Duration) bool {
	for _, p := range e.login.shown {
		if !p.At.After(at) {
			c.samePlace(e, p)
			return at.Before(p.Expires.Add(slack))
		}
	}
	return false
}

// samePlace: what the phone showed is who was let in.
func (c *checker) samePlace(e *entry, p phoneLine) {
	if p.User != e.User || p.Client != e.Client || p.From != e.Station {
		c.broken("place", "%s at %s from %s was let in by login %s, which the phone showed as %s at %s from %s",
			e.User, e.Client, e.Station, p.Login, p.User, p.Client, p.From)
	}
}

// matches tells whether number was shown in the conversation that led to e.
func (c *checker) matches(e *entry, number string) bool {
	for q := e.parent; q != nil; q = q.parent {
		if n := numberOf(q.text()); n != "" {
			return n == number
		}
	}
	return false
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05.000") }
