package config

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"vssgate/internal/secret"
)

// shared is what NASes and applications have in common.
type shared struct {
	path        string
	name        string
	addresses   []netip.Prefix
	firstFactor *string
	mode        string
	hold        *time.Duration
	separator   string
	approval    *string
	language    *string
	anywhere    bool   // known by something else than its address
	nas         string // the kind that mode comes from; "": it is written, or the usual one
}

// checkClients checks the clients of one front end, also against each other.
func (d *decoder) checkClients(c *Config, all []shared) {
	names, owners := map[string]bool{}, map[netip.Prefix]string{}
	for _, k := range all {
		switch {
		case k.name == "":
			d.wrong(k.path+".name", "is missing; it stands in the audit and on the phones")
		case names[k.name]:
			d.wrong(k.path+".name", "another client is called %q too; choose another name", k.name)
		}
		names[k.name] = true
		d.checkAddresses(k, owners)
		d.checkChoices(c, k)
	}
}

func (d *decoder) checkAddresses(k shared, owners map[netip.Prefix]string) {
	if len(k.addresses) == 0 && !k.anywhere {
		d.wrong(k.path+".addresses", "want where %s asks from, like [192.0.2.10]", or(k.name, "it"))
	}
	for i, p := range k.addresses {
		if !p.IsValid() {
			continue
		}
		switch other, taken := owners[p]; {
		case taken && slices.Contains(k.addresses[:i], p):
			d.wrong(position(k.path+".addresses", i), "%v stands here a second time; take it out", p)
		case taken:
			d.wrong(position(k.path+".addresses", i), "both %s and %s have %v; take it out of one", other, k.name, p)
		}
		owners[p] = k.name
	}
}

// checkChoices fills in what follows from the mode and from the general part.
func (d *decoder) checkChoices(c *Config, k shared) {
	if *k.language == "" {
		*k.language = c.Language
	} else {
		d.oneOf(k.path+".language", *k.language, languages...)
	}
	if *k.firstFactor == "" && len(c.FirstFactors) > 0 {
		*k.firstFactor = c.FirstFactors[0].Name
	} else if *k.firstFactor != "" && !slices.ContainsFunc(c.FirstFactors, func(f FirstFactor) bool { return f.Name == *k.firstFactor }) {
		d.wrong(k.path+".first_factor", "there is no first factor %q; see first_factors", *k.firstFactor)
	}
	if len(k.separator) > 8 || strings.ContainsAny(k.separator, "0123456789") {
		d.wrong(k.path+".separator", `%q; want a sign that is no digit, like ",", or "" for the last digits`, k.separator)
	}
	d.checkHold(c, k)
	d.checkApproval(c, k)
}

// defaultHold is how long a request stays unanswered: as long as a NAS or an
// application commonly waits, and in mode challenge as long as it takes to see
// that somebody pressed OK after approving.
var defaultHold = map[string]time.Duration{"challenge": 5 * time.Second, "hold": 55 * time.Second}

func (d *decoder) checkHold(c *Config, k shared) {
	path, validFor := k.path+".hold", c.SecondFactor.ValidFor
	switch {
	case *k.hold < 0:
		*k.hold = min(defaultHold[k.mode], validFor)
	case *k.hold == 0 && k.mode == "hold":
		d.wrong(path, "0s would answer before anybody can approve; want a duration like 55s")
	case *k.hold > validFor && !d.isBroken("second_factor.valid_for"):
		d.warn(path, "%s is longer than a login is valid (second_factor.valid_for): %s are meant", short(*k.hold), short(validFor))
		*k.hold = validFor
	}
}

// checkApproval: a number to match can be shown by a challenge only. Modes that
// let in without one say so in the client itself.
func (d *decoder) checkApproval(c *Config, k shared) {
	path, written := k.path+".approval", *k.approval != ""
	if !written {
		*k.approval = c.SecondFactor.Approval
	}
	switch {
	case written && !slices.Contains(approvals, *k.approval):
		d.oneOf(path, *k.approval, approvals...)
	case k.mode != "hold" && k.mode != "append":
	case !written && k.nas != "":
		d.wrong(path, "a NAS of kind %s cannot show a number to match (it means mode %s); say here: simple (approve or deny) or off (codes only)", k.nas, k.mode)
	case *k.approval == "number" && written:
		d.wrong(path, "mode %s cannot show a number to match; say simple (approve or deny) or off (codes only)", k.mode)
	case !written:
		d.wrong(path, "mode %s cannot show a number to match; say here: simple (approve or deny) or off (codes only)", k.mode)
	}
}

func (d *decoder) checkRADIUS(c *Config) {
	r := &c.RADIUS
	d.listens("radius.listen", r.Listen)
	d.checkRADIUSTLS(r)
	overUDP := slices.ContainsFunc(r.Clients, func(k RADIUSClient) bool { return len(k.CertificateNames) == 0 })
	if len(r.Listen) == 0 && overUDP {
		d.wrong("radius.listen", `want at least one ADDRESS:PORT, like "127.0.0.1:1812"`)
	}
	d.checkAccounting(c)
	d.between("radius.max_held", r.MaxHeld, 1, 10_000_000)
	var all []shared
	for i := range r.Clients {
		k, path := &r.Clients[i], position("radius.clients", i)
		secured := len(k.CertificateNames) > 0
		d.preset(c, k, path)
		d.checkNAS(k, path)
		d.checkPrevious(k, path, c.Location, time.Now())
		d.checkRemember(path, k.Remember, remembersStation)
		d.checkObserve(&k.Observe, path, c.Location, time.Now())
		all = append(all, shared{path, k.Name, k.Addresses, &k.FirstFactor, k.Mode, &k.Hold, k.Separator, &k.Approval, &k.Language, secured, d.modeFrom(k, path)})
	}
	d.checkClients(c, all)
	for i := range r.Clients {
		d.checkGroupsKnown(c, &r.Clients[i], position("radius.clients", i)+".reply")
		d.checkUpstreamClient(c, &r.Clients[i], position("radius.clients", i))
	}
}

func (d *decoder) checkNAS(k *RADIUSClient, path string) {
	k.SecretFile = d.from[path+".secret"]
	d.oneOf(path+".mode", k.Mode, "challenge", "hold", "append")
	d.oneOf(path+".then", k.Then, "reject", "challenge")
	if k.Then == "challenge" && k.Mode != "hold" {
		d.warn(path+".then", "it means nothing in mode %s; take it out", k.Mode)
	}
	d.checkReply(k, path+".reply")
	d.oneOf(path+".join", k.Join, "strict", "user")
	if k.Join == "user" {
		d.warn(path+".join", "user lets requests of one user name join each other from anywhere, and collect each other's approval; use it only for a NAS that sends no Calling-Station-Id")
	}
	d.checkMessageAuthenticator(k, path)
	if k.Secret != "" || len(k.CertificateNames) == 0 { // else over TLS only
		d.sharedSecret(path+".secret", k.Secret)
	}
}

// sharedSecret wants a secret of RADIUS that nobody can guess.
func (d *decoder) sharedSecret(path string, s secret.Secret) {
	switch n := len(s.Reveal()); {
	case n == 0:
		d.wrong(path, "is missing; give it, or secret_file")
	case n < 12:
		d.wrong(path, "%d characters can be guessed from one packet; want at least 16, made at random", n)
	case n < 16:
		d.warn(path, "%d characters; better at least 16, made at random", n)
	}
}

func (d *decoder) checkMessageAuthenticator(k *RADIUSClient, path string) {
	d.oneOf(path+".require_message_authenticator", k.RequireMessageAuthenticator, "auto", "yes", "no")
	if k.RequireMessageAuthenticator == "no" {
		d.warn(path+".require_message_authenticator", "who sits between NAS and server can forge what is answered to requests without it (CVE-2024-3596); use auto, or yes, as soon as the NAS sends it")
	}
	if !k.MessageAuthenticatorInReplies {
		d.warn(path+".message_authenticator_in_replies", "%sanswers without it can be forged (CVE-2024-3596); leave it out only for a NAS that drops answers with it", d.bareBecause(k, path))
	}
}

func (d *decoder) bareBecause(k *RADIUSClient, path string) string {
	if d.written(path + ".message_authenticator_in_replies") {
		return ""
	}
	return "nas: " + k.NAS + " means false; "
}

// checkPrevious: a secret that is being replaced is accepted for a while only.
func (d *decoder) checkPrevious(k *RADIUSClient, path string, zone *time.Location, now time.Time) {
	old, until := k.PreviousSecret.Reveal(), path+".previous_until"
	switch {
	case old == "" && k.PreviousUntil == "":
		return
	case old == "":
		d.wrong(path+".previous_secret", "is missing; give it, or previous_secret_file, or take previous_until out")
		return
	case k.PreviousUntil == "":
		d.wrong(until, "is missing; write until when the previous secret is accepted, like %s", now.AddDate(0, 0, 14).Format(time.DateOnly))
		return
	case old == k.Secret.Reveal():
		d.wrong(path+".previous_secret", "is the same as secret; write the new one there")
	}
	if k.PreviousExpires = d.moment(until, k.PreviousUntil, zone); k.PreviousExpires.IsZero() {
		return
	}
	if !now.Before(k.PreviousExpires) {
		d.warn(until, "%s has passed: the previous secret is not accepted any more; take both out", k.PreviousUntil)
	}
}

// moment reads the end of something: a day, up to its end, or a time. Zero: it
// is none, and that was told.
func (d *decoder) moment(path, s string, zone *time.Location) time.Time {
	if zone == nil {
		zone = time.UTC
	}
	if day, err := time.ParseInLocation(time.DateOnly, s, zone); err == nil {
		return day.AddDate(0, 0, 1)
	}
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		d.wrong(path, "%q; want a day like 2027-01-31, or a time like 2027-01-31T18:00:00+07:00", s)
		return time.Time{}
	}
	return at
}

func (d *decoder) checkLDAP(c *Config) {
	l := &c.LDAP
	d.listens("ldap.listen", l.Listen)
	d.listens("ldap.tls.listen", l.TLS.Listen)
	d.checkLDAPTLS(l)
	d.ldapURLs("ldap.upstream.urls", l.Upstream.URLs, l.Upstream.StartTLS)
	d.authorities("ldap.upstream.ca_file", &l.Upstream.CAFile)
	if len(l.Upstream.URLs) == 0 && (l.Upstream.StartTLS || l.Upstream.CAFile != "") {
		d.wrong("ldap.upstream.urls", "is missing; without it the first factor's servers are used, with their own start_tls and ca_file")
	}
	d.between("ldap.max_connections", l.MaxConnections, 1, 1_000_000)
	d.checkExempt(l.ExemptBinds)
	var all []shared
	for i := range l.Clients {
		k, path := &l.Clients[i], position("ldap.clients", i)
		d.oneOf(path+".mode", k.Mode, "hold", "append")
		d.checkBehind(c, k, path)
		d.checkRemember(path, k.Remember, remembersApplication)
		all = append(all, shared{path, k.Name, k.Addresses, &k.FirstFactor, k.Mode, &k.Hold, k.Separator, &k.Approval, &k.Language, false, ""})
	}
	d.checkClients(c, all)
}

// checkBehind wants a directory behind an application.
func (d *decoder) checkBehind(c *Config, k *LDAPClient, path string) {
	i := slices.IndexFunc(c.FirstFactors, func(f FirstFactor) bool { return f.Name == k.FirstFactor || k.FirstFactor == "" })
	if i < 0 {
		return
	}
	const want = "applications need an ldap directory behind them, name one"
	switch f := c.FirstFactors[i]; {
	case f.RADIUS != nil:
		d.wrong(path+".first_factor", "%q is radius servers; %s", f.Name, want)
	case f.LDAP == nil && f.File != "":
		d.wrong(path+".first_factor", "%q is a file; %s", f.Name, want)
	}
}

// checkLDAPTLS: a password on a plain connection is taken only where that was
// written out.
func (d *decoder) checkLDAPTLS(l *LDAP) {
	d.pair("ldap.tls", &l.TLS.CertFile, &l.TLS.KeyFile)
	certificate := l.TLS.CertFile != "" || d.isBroken("ldap.tls.cert_file")
	if len(l.TLS.Listen) > 0 && !certificate {
		d.wrong("ldap.tls.listen", "needs a certificate: give ldap.tls.cert_file and key_file")
		return
	}
	if len(l.Clients) == 0 {
		return
	}
	open := slices.ContainsFunc(l.Listen, func(addr string) bool { return !loopback(hostOf(addr)) })
	switch {
	case len(l.Listen)+len(l.TLS.Listen) == 0:
		d.wrong("ldap.listen", `want at least one ADDRESS:PORT, like "127.0.0.1:3389", here or in ldap.tls.listen`)
	case l.RequireTLS && !certificate:
		d.wrong("ldap.require_tls", "passwords are taken over TLS only, and there is no certificate; give ldap.tls.cert_file and key_file, or write require_tls: false")
	case !l.RequireTLS && open:
		d.warn("ldap.require_tls", "applications may send passwords unencrypted over the network; give ldap.tls a certificate and take this out")
	}
}

func (d *decoder) checkExempt(binds []ExemptBind) {
	seen := map[string]bool{}
	for i, x := range binds {
		path := position("ldap.exempt_binds", i)
		normal := d.dn(path+".dn", x.DN)
		if normal != "" && seen[normal] {
			d.wrong(path+".dn", "%s is exempt already; take one out", x.DN)
		}
		seen[normal] = true
		if strings.TrimSpace(x.Why) == "" {
			d.wrong(path+".why", "is missing: who allowed this account to bind without a second factor, and for what")
		}
		if len(x.From) == 0 {
			d.warn(path+".from", "is missing: whoever learns this password may use it from every client; name the addresses")
		}
	}
}
