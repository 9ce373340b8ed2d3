package config

import (
	"slices"
	"strings"
	"time"
)

// factors are the second factors there are, in the order of contract and help.
var factors = []string{"approve", "code", "totp", "recovery", "help"}

// withoutPhone is what it means that a factor needs no phone.
var withoutPhone = map[string]string{
	"totp":     "codes of authenticator apps count: they name no login, so one that is read to somebody lets him in with the password for a minute and a half",
	"recovery": "printed recovery codes count: whoever has an account's list and its password needs no phone",
	"help":     "help-desk codes count: who may run vssgate account help-code can let anybody in whose password he knows; each is in the audit",
}

func (d *decoder) checkPolicies(c *Config) {
	s := &c.SecondFactor
	d.checkFactors("second_factor.factors", s.Factors)
	if len(s.Factors) == 0 && !d.isBroken("second_factor.factors") {
		d.wrong("second_factor.factors", "want at least one of %s", strings.Join(factors, ", "))
	}
	for i := range s.Policies {
		d.checkPolicy(c, &s.Policies[i], position("second_factor.policies", i))
	}
}

func (d *decoder) checkFactors(path string, given []string) {
	for i, f := range given {
		d.oneOf(position(path, i), f, factors...)
		if means := withoutPhone[f]; means != "" {
			d.warn(position(path, i), "%s", means)
		}
	}
}

func (d *decoder) checkPolicy(c *Config, p *Policy, path string) {
	d.checkFactors(path+".factors", p.Factors)
	d.checkMatch(c, &p.Match, path+".match")
	d.oneOf(path+".require", p.Require, "always", "from", "if_device", "never")
	if p.Date != "" && p.Require != "from" {
		d.wrong(path+".date", "goes with require: from only")
	}
	if p.Until != "" && p.Require != "never" {
		d.wrong(path+".until", "goes with require: never only")
	}
	switch p.Require {
	case "from":
		d.checkDate(c, p, path)
	case "never":
		d.checkNever(c, p, path)
	}
}

func (d *decoder) checkDate(c *Config, p *Policy, path string) {
	if p.Date == "" {
		d.wrong(path+".date", "is missing; write from when on the second factor is needed, like 2027-03-01")
		return
	}
	p.At = d.moment(path+".date", p.Date, c.Location)
	if _, err := time.Parse(time.DateOnly, p.Date); err == nil {
		p.At = p.At.AddDate(0, 0, -1) // the day's beginning
	}
	if !p.At.IsZero() && !time.Now().Before(p.At) {
		d.warn(path, "%s has come: the second factor is needed; write require: always", p.Date)
	}
}

func (d *decoder) checkNever(c *Config, p *Policy, path string) {
	if strings.TrimSpace(p.Why) == "" {
		d.wrong(path+".why", "is missing: why these may log in on the password alone, and who allowed it")
	}
	if p.Until == "" {
		d.wrong(path+".until", "is missing; write until when the second factor is not needed, like 2027-01-31")
		return
	}
	if p.At = d.moment(path+".until", p.Until, c.Location); p.At.IsZero() {
		return
	}
	if time.Now().Before(p.At) {
		d.warn(path, "until %s the password alone lets these in (%s)", p.Until, p.Why)
	} else {
		d.warn(path, "%s has passed: this policy does nothing any more; take it out", p.Until)
	}
}

func (d *decoder) checkMatch(c *Config, m *Match, path string) {
	for i, dn := range m.Group {
		if strings.Contains(dn, "=") { // users in files have names for groups
			d.dn(wordAt(m.Group, path+".group", i), dn)
		}
	}
	for i, dn := range m.Under {
		d.dn(wordAt(m.Under, path+".under", i), dn)
	}
	for i, name := range m.Client {
		known := slices.ContainsFunc(c.RADIUS.Clients, func(k RADIUSClient) bool { return k.Name == name }) ||
			slices.ContainsFunc(c.LDAP.Clients, func(k LDAPClient) bool { return k.Name == name })
		if !known {
			d.wrong(wordAt(m.Client, path+".client", i), "no client is called %q", name)
		}
	}
	for i, s := range m.Network {
		prefix, err := parsePrefix(s)
		if err != nil {
			d.wrong(wordAt(m.Network, path+".network", i), "%q is no network; want one like 10.0.0.0/8 or 2001:db8::/32", s)
			continue
		}
		m.Networks = append(m.Networks, prefix)
	}
}

// wordAt is the path of one of several words; a single one has no position.
func wordAt(all Words, path string, i int) string {
	if len(all) == 1 {
		return path
	}
	return position(path, i)
}
