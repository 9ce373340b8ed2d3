package main

import (
	"cmp"
	"slices"
	"time"
)

// An entry is who was let in: one request, and what was let in with it as the
// same one.
type entry struct {
	*request
	heard time.Time // first
	login *login    // nil: no record says which
}

// indexEntries finds who was let in, and by which login.
func (c *checker) indexEntries() {
	last := map[string]*entry{}
	for _, q := range c.requests {
		heard, ok := q.first(accept)
		if !ok {
			continue
		}
		if e := last[q.key()]; e != nil && heard.Sub(e.heard) <= repeated+c.slack(e.heard, heard) {
			continue // its reply was lost
		}
		e := &entry{request: q, heard: heard}
		last[q.key()] = e
		c.entries = append(c.entries, e)
	}
	slices.SortStableFunc(c.entries, func(a, b *entry) int { return a.heard.Compare(b.heard) })
	c.matchEntries()
	for _, e := range c.entries {
		if e.login == nil {
			e.login = leastUsed(c.fitting(e))
		}
		if e.login != nil {
			e.login.admitted = append(e.login.admitted, e.request)
		}
	}
}

// matchEntries gives as many as can be a login of their own whose second factor
// may have let them in: one user may come in twice from one place within what
// clocks are off, and then times alone do not tell which record is whose.
func (c *checker) matchEntries() {
	taken := map[*login]*entry{}
	var place func(e *entry, tried map[*login]bool) bool
	place = func(e *entry, tried map[*login]bool) bool {
		for _, l := range c.fitting(e) {
			if tried[l] || !c.mayExplain(l, e) {
				continue
			}
			tried[l] = true
			if before := taken[l]; before == nil || place(before, tried) {
				taken[l], e.login = e, l
				return true
			}
		}
		return false
	}
	for _, e := range c.entries {
		place(e, map[*login]bool{})
	}
}

// mayExplain tells whether the second factor by which l let in can be that of e:
// the code that came with it, or an approval that was sent before it was let in.
func (c *checker) mayExplain(l *login, e *entry) bool {
	a := l.accepted()
	if a.Factor == "code" {
		code := c.typedCode(e.request)
		return code != "" && slices.ContainsFunc(l.shown, func(p phoneLine) bool { return p.Code == code })
	}
	return slices.ContainsFunc(l.answers, func(p phoneLine) bool {
		return p.Answer == "approve" && p.Device == a.Device && p.Verdict != "refused" && !p.At.After(e.heard)
	})
}

// fitting are the logins whose record says that it let in somebody like e: that
// user, from that place, at that time, with the trace that the user read before;
// the nearest in time first.
func (c *checker) fitting(e *entry) (found []*login) {
	trace := ""
	if e.parent != nil {
		trace = traceOf(e.parent.text())
	}
	asked := c.askedFirst(e.request)
	slack := c.slack(asked, e.heard)
	for _, l := range c.logins {
		if slices.ContainsFunc(l.records, func(a auditLine) bool {
			return a.Verdict == "accepted" && a.Username == e.User && a.Client == e.Client && a.From == e.Station &&
				(trace == "" || a.Trace == trace) && !a.Time.Before(asked.Add(-slack)) && !a.Time.After(e.heard.Add(slack))
		}) {
			found = append(found, l)
		}
	}
	slices.SortFunc(found, func(a, b *login) int {
		return cmp.Or(cmp.Compare(a.since(e.heard), b.since(e.heard)), cmp.Compare(a.id, b.id))
	})
	return found
}

// leastUsed is the first of those that let in the fewest; nil: there is none.
func leastUsed(logins []*login) *login {
	if len(logins) == 0 {
		return nil
	}
	return slices.MinFunc(logins, func(a, b *login) int { return cmp.Compare(len(a.admitted), len(b.admitted)) })
}

// askedFirst is when the same was asked for the first time, not longer ago than a
// lost reply may be asked for again: it may be that request which was let in, and
// nobody heard of it.
func (c *checker) askedFirst(q *request) time.Time {
	first := q.At
	for _, other := range c.requests {
		if other.key() == q.key() && other.At.Before(first) && q.At.Sub(other.At) <= repeated+c.world.Slack.duration() {
			first = other.At
		}
	}
	return first
}

// since is how long after its accept, or before it, an instant is.
func (l *login) since(at time.Time) time.Duration { return at.Sub(l.accepted().Time).Abs() }
