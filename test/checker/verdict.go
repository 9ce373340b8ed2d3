package main

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// checkVerdicts: what let in lets in once; a verdict is final; each has its
// record, and each login has its verdict.
func (c *checker) checkVerdicts() {
	for _, l := range c.sorted() {
		c.checkOnce(l)
		c.checkFinal(l)
		c.checkEnded(l)
	}
	for _, q := range c.requests {
		c.checkAnswers(q)
	}
}

func (c *checker) sorted() []*login {
	all := make([]*login, 0, len(c.logins))
	for _, l := range c.logins {
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b *login) int { return cmp.Compare(a.id, b.id) })
	return all
}

func (c *checker) checkOnce(l *login) {
	if len(l.admitted) > 1 {
		c.broken("once", "login %s let in requests %s and %s", l.id, l.admitted[0].Request, l.admitted[1].Request)
	}
	approved := map[string]int{}
	for _, p := range l.answers {
		if p.Answer == "approve" && p.Verdict == "accepted" {
			approved[p.Device]++
		}
	}
	if len(approved) > 1 {
		c.broken("once", "login %s was let in by %d phones", l.id, len(approved))
	}
}

// checkFinal: all that was told of a login's end is the same.
func (c *checker) checkFinal(l *login) {
	for _, a := range l.records {
		first := l.records[0]
		if a.Verdict != first.Verdict || a.Reason != first.Reason || a.Factor != first.Factor || !a.Time.Equal(first.Time) {
			c.broken("final", "login %s ended as %s (%s) at %s, and as %s (%s) at %s", l.id, first.Verdict, first.Reason, first.Node, a.Verdict, a.Reason, a.Node)
		}
	}
	for _, p := range l.answers {
		for _, a := range l.records {
			if p.Verdict == "rejected" && a.Verdict == "accepted" || p.Verdict == "accepted" && a.Verdict == "rejected" {
				c.broken("final", "login %s: the phone that said %s heard %s, its record says %s (%s)", l.id, p.Answer, p.Verdict, a.Verdict, a.Reason)
			}
		}
	}
}

// checkEnded: a login that anybody saw has a record, unless the store has lost
// it.
func (c *checker) checkEnded(l *login) {
	if _, ok := l.ended(); ok || c.voided(l) {
		return
	}
	c.broken("ended", "login %s was seen, and no audit record says how it ended", l.id)
}

// voided tells whether a login has no record because the store forgot it.
func (c *checker) voided(l *login) bool {
	if len(l.records) > 0 {
		return false
	}
	if created, ok := l.created(); ok {
		return c.lost(created, l.shown[0].Expires.Add(c.world.Grace.duration()))
	}
	return len(l.prompts) > 0 && c.lost(l.prompts[0].At, l.prompts[0].At.Add(c.world.ValidFor.duration()+c.world.Grace.duration()))
}

// checkAnswers: one packet has one answer, and a reject has its record.
func (c *checker) checkAnswers(q *request) {
	for _, a := range q.answers {
		if a.Code != q.answers[0].Code {
			c.broken("final", "request %s of %s was answered with %d and with %d", q.Request, q.User, q.answers[0].Code, a.Code)
		}
	}
	if len(q.answers) == 0 || q.answers[0].Code != reject {
		return
	}
	text := q.answers[0].Text
	if slices.ContainsFunc(c.world.Interim, func(part string) bool { return strings.Contains(text, part) }) {
		return
	}
	trace := traceOf(text)
	booked := slices.ContainsFunc(c.audit, func(a auditLine) bool { return a.Kind == "login" && a.Trace == trace && trace != "" })
	if !booked && !c.lost(q.At.Add(-c.world.ValidFor.duration()), q.answers[0].At) {
		c.broken("record", "request %s of %s was rejected with %q: no audit record says so", q.Request, q.User, text)
	}
}

// checkRevoked: from its revocation on a phone sees nothing and counts for
// nothing.
func (c *checker) checkRevoked() {
	gone := map[string]time.Time{}
	for _, p := range c.phones {
		if p.What == "revoked" {
			gone[p.Device] = p.Until
		}
	}
	for _, p := range c.phones {
		since, revoked := gone[p.Device]
		if !revoked || !p.At.After(since) {
			continue
		}
		switch {
		case p.What == "shown":
			c.broken("revoked", "device %s, revoked at %s, was shown login %s at %s", p.Device, clock(since), p.Login, clock(p.At))
		case p.What == "answered" && (p.Verdict == "accepted" || p.Verdict == "waiting_for_retry"):
			c.broken("revoked", "device %s, revoked at %s, answered login %s at %s: %s", p.Device, clock(since), p.Login, clock(p.At), p.Verdict)
		}
	}
}
