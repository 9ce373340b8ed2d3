package main

import (
	"bytes"
	"strings"
)

// checkPersonal: what leaves for FCM says nothing of anybody.
func (c *checker) checkPersonal() {
	for _, u := range c.world.Users {
		for what, word := range map[string]string{"name": u.Name, "password": u.Password, "number": u.Number} {
			if word != "" && bytes.Contains(c.raw, []byte(word)) {
				c.broken("personal", "FCM was sent the %s of %s", what, u.Name)
			}
		}
	}
	for _, p := range c.pushes {
		// Codes are short: they may well be part of an id by chance.
		text := strings.NewReplacer(p.Login, "", p.Token, "", p.Expires, "").Replace(p.Raw)
		if l := c.logins[p.Login]; l != nil {
			for _, s := range l.shown {
				for what, word := range map[string]string{"code": s.Code, "client": s.Client, "place": s.From} {
					if word != "" && strings.Contains(text, word) {
						c.broken("personal", "FCM was sent the %s of login %s", what, p.Login)
					}
				}
			}
		}
	}
}

// checkChains: no line of an audit was changed, added, moved or taken out.
func (c *checker) checkChains() {
	keys, err := auditKeys(c.key)
	if err != nil {
		c.broken("chain", "%v", err)
		return
	}
	for node, audit := range c.chains {
		if why := checkChain(audit, keys); why != "" {
			c.broken("chain", "the audit of %s: %s", node, why)
		}
	}
}
