package main

import (
	"slices"
	"strings"
)

// checkPrompts: one login rings a phone once, and one login it stays, however
// often a NAS asks for it.
func (c *checker) checkPrompts() {
	for _, l := range c.sorted() {
		c.checkOnePrompt(l)
	}
	c.checkOneLogin()
}

// checkOnePrompt: each phone is told of a login once; where FCM's answer was
// lost or FCM itself repeats, both are the same notification.
func (c *checker) checkOnePrompt(l *login) {
	told := map[string]int{}
	for _, p := range l.prompts {
		if p.Collapse != "" && p.Collapse != l.id || p.Expires != l.prompts[0].Expires {
			c.broken("prompt", "login %s was prompted in two ways, which a phone shows as two", l.id)
			return
		}
		if p.Fault == "" {
			if told[p.Token]++; told[p.Token] == 2 {
				c.broken("prompt", "login %s rang a phone twice", l.id)
			}
		}
	}
}

// checkOneLogin: two logins of one user from one place are open one after the
// other, unless the store has lost the first.
func (c *checker) checkOneLogin() {
	places := map[string][]*login{}
	for _, l := range c.sorted() {
		if _, ok := l.created(); ok {
			p := l.shown[0]
			at := strings.Join([]string{p.User, p.Client, p.From}, "\x00")
			places[at] = append(places[at], l)
		}
	}
	for _, all := range places {
		slices.SortFunc(all, func(a, b *login) int { return a.shown[0].Created.Compare(b.shown[0].Created) })
		for i, l := range all[1:] {
			c.checkAfter(all[i], l)
		}
	}
}

func (c *checker) checkAfter(first, second *login) {
	from, to := first.shown[0].Created, second.shown[0].Created
	if ended, ok := first.ended(); ok && !to.Before(ended.Add(-c.slack(from, to))) || !ok && c.voided(first) || c.lost(from, to) {
		return
	}
	p := first.shown[0]
	c.broken("prompt", "%s at %s from %s was asked about login %s while login %s was open", p.User, p.Client, p.From, second.id, first.id)
}
