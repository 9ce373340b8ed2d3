package main

import (
	"slices"
	"time"
)

// Results of a bind (RFC 4511 appendix A).
const (
	bindSuccess            = 0
	bindInvalidCredentials = 49
)

func (q *request) binds() bool { return q.What == "bind" }

// endBind notes how a bind ended: a success is an accept, 49 a reject, and
// anything else no answer.
func (q *request) endBind(l nasLine) {
	q.ended = l.At
	switch {
	case l.What == "left":
		return
	case l.What == "result" && l.Code == bindSuccess:
		l.Code = accept
	case l.What == "result" && l.Code == bindInvalidCredentials:
		l.Code = reject
	default:
		q.dropped = true
		return
	}
	q.answers = append(q.answers, l)
}

// waits tells whether its connection was open and unanswered from one instant to
// another, as far as its application had to do with it.
func (q *request) waits(from, to time.Time) bool {
	if q.dropped {
		to = from
	}
	return q.binds() && !q.At.After(from) && (q.ended.IsZero() || !q.ended.Before(to))
}

// sameApplication: nothing in LDAP tells the two apart.
func (q *request) sameApplication(other *request) bool {
	return q.Client == other.Client && q.User == other.User && q.Station == other.Station
}

// lived tells whether a node, and the store with it, were not struck by anything
// between two instants.
func (c *checker) lived(node string, from, to time.Time) bool {
	return !slices.ContainsFunc(c.faults, func(f faultLine) bool {
		return (f.Node == "" || f.Node == node) && touches(f, from.Add(-told), to.Add(told))
	})
}

// told is how long the end of a bind may take to be seen.
const told = 500 * time.Millisecond

// checkBinds: whose connection waits in a login, that one gets its approval, and
// nobody else who has the password and binds beside it. When its node dies or is
// cut off, whoever binds next may be the same user again.
func (c *checker) checkBinds() {
	for _, e := range c.entries {
		if !e.binds() || e.login == nil {
			continue
		}
		created, ok := e.login.created()
		if !ok || !e.At.After(created) {
			continue // it began the login itself
		}
		for _, q := range c.requests {
			if q != e.request && q.sameApplication(e.request) && q.waits(created, e.login.accepted().Time.Add(told)) && c.lived(q.Server, q.At, e.heard) {
				c.broken("shared", "bind %s of %s was let in by login %s, in which bind %s was waiting", e.Request, e.User, e.login.id, q.Request)
			}
		}
	}
}

// bindsApart tells whether a second login of a user at an application may have
// begun while the first was open: when a connection was waiting there, or a node
// may have died with one.
func (c *checker) bindsApart(first, second *login) bool {
	from, _ := first.created()
	at, _ := second.created()
	waiting, binds := 0, false
	slack := c.slack(from, at)
	broke := slices.ContainsFunc(c.faults, func(f faultLine) bool { return touches(f, from.Add(-slack), at.Add(slack)) })
	p := second.shown[0]
	for _, q := range c.requests {
		if !q.binds() || q.User != p.User || q.Client != p.Client || q.Station != p.From {
			continue
		}
		binds = true
		if !q.At.After(at.Add(slack)) && (q.ended.IsZero() || !q.ended.Before(at.Add(-slack))) {
			waiting++
		}
	}
	return binds && (waiting > 1 || broke)
}
