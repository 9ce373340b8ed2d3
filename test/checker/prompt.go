package main

import (
	"slices"
	"strings"
	"time"
)

// checkPrompts: one login rings a phone once, and one login it stays, however
// often a NAS asks for it.
func (c *checker) checkPrompts() {
	for _, l := range c.sorted() {
		c.checkOnePrompt(l)
	}
	c.checkOneLogin()
}

// repeats is how soon a node may send the same message again that FCM took: it
// has waited for the answer before.
const repeats = 2500 * time.Millisecond

// checkOnePrompt: each phone is told of a login by one node, once. What FCM took
// and answered with a fault, late or twice may come again, as the same
// notification.
func (c *checker) checkOnePrompt(l *login) {
	told := map[string]pushLine{}
	for _, p := range l.prompts {
		before, again := told[p.Token]
		switch {
		case p.Collapse != "" && p.Collapse != l.id || p.Expires != l.prompts[0].Expires:
			c.broken("prompt", "login %s was prompted in two ways, which a phone shows as two", l.id)
		case p.Node != l.prompts[0].Node:
			c.broken("prompt", "login %s was prompted by %s and by %s", l.id, l.prompts[0].Node, p.Node)
		case again && before.Fault == "" && p.Fault == "" && p.At.Sub(before.At) < repeats:
			c.broken("prompt", "login %s rang a phone twice", l.id)
		}
		told[p.Token] = p
	}
}

// checkOneLogin: two logins of one user from one place are open one after the
// other, unless the store has lost the first, or two applications bind at once.
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
	if ended, ok := first.ended(); ok && !to.Before(ended.Add(-c.slack(from, to))) || !ok && c.voided(first) || c.lost(from, to) || c.bindsApart(first, second) {
		return
	}
	p := first.shown[0]
	c.broken("prompt", "%s at %s from %s was asked about login %s while login %s was open", p.User, p.Client, p.From, second.id, first.id)
}
