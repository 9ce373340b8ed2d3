package config

import (
	"net"
	"net/netip"
	"net/url"
	"os/user"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	_ "time/tzdata" // time_zone works on machines without zone files

	"vssgate/otp"
)

// wrong reports a mistake at the place of path, or of what is above it when it
// is not written in the file. Nothing is said below what was told of already.
func (d *decoder) wrong(path, format string, args ...any) {
	if !d.isBroken(path) {
		d.report(d.at(path), false, about(path, format), args...)
	}
}

// warn reports what works but should not stay so.
func (d *decoder) warn(path, format string, args ...any) {
	if !d.isBroken(path) {
		d.report(d.at(path), true, about(path, format), args...)
	}
}

// about puts the path before a message, as the subject of its sentence if it
// has none.
func about(path, format string) string {
	path = strings.ReplaceAll(path, "%", "%%")
	switch verb, _, _ := strings.Cut(format, " "); {
	case path == "":
		return format
	case verb == "is" || verb == "has" || verb == "needs":
		return path + " " + format
	}
	return path + ": " + format
}

func (d *decoder) at(path string) place {
	for ; path != ""; path = above(path) {
		if p, ok := d.places[path]; ok {
			return p
		}
	}
	return place{1, 1}
}

func (d *decoder) isBroken(path string) bool {
	for ; path != ""; path = above(path) {
		if d.broken[path] {
			return true
		}
	}
	return d.broken[""]
}

func (d *decoder) brokenBelow(path string) bool {
	for p, is := range d.broken {
		if is && strings.HasPrefix(p, path) {
			return true
		}
	}
	return false
}

// above is the path that path is in.
func above(path string) string { return path[:max(strings.LastIndexAny(path, ".["), 0)] }

func (d *decoder) written(path string) bool { _, ok := d.places[path]; return ok }

func (d *decoder) anyWritten(path string, keys ...string) bool {
	return slices.ContainsFunc(keys, func(key string) bool { return d.written(join(path, key)) })
}

// check is what must hold of values and between them; it also fills in what
// follows from others, and makes paths absolute.
func (d *decoder) check(c *Config) {
	d.oneOf("language", c.Language, languages...)
	d.checkTimeZone(c)
	d.checkKey(&c.SecretKeyFile)
	if c.DataDir == "" {
		d.wrong("data_dir", "want a folder, like /var/lib/vssgate")
	}
	c.DataDir = d.abs(c.DataDir)
	d.checkAudit(c)
	d.checkAlerts(c.Alerts.Webhook)
	if c.Texts.AccountURL != "" {
		d.webURL("texts.account_url", c.Texts.AccountURL)
	}
	d.checkRedis(c.Store.Redis)
	d.checkFirstFactors(c)
	d.checkThrottle(&c.Throttle)
	d.checkSecondFactor(&c.SecondFactor)
	d.checkPolicies(c)
	d.checkVssID(&c.VssID)
	d.checkPush(&c.Push)
	d.checkRADIUS(c)
	d.checkLDAP(c)
	if len(c.RADIUS.Clients)+len(c.LDAP.Clients) == 0 && !d.isBroken("radius.clients") && !d.isBroken("ldap.clients") {
		d.warn("", "nobody may ask: neither radius.clients nor ldap.clients has an entry")
	}
	d.checkAdmin(&c.Admin)
	d.listen("metrics.listen", c.Metrics.Listen)
	d.checkPorts(c)
	d.oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	d.oneOf("log.format", c.Log.Format, "text", "json")
}

var languages = []string{"vi", "en"}

func (d *decoder) checkTimeZone(c *Config) {
	var err error
	c.Location, err = time.LoadLocation(c.TimeZone)
	if err != nil || c.TimeZone == "" {
		d.wrong("time_zone", "%q is no time zone; want one like Asia/Ho_Chi_Minh", c.TimeZone)
	}
}

func (d *decoder) checkThrottle(t *Throttle) {
	d.atLeast("throttle.per_account", t.PerAccount, 1)
	d.atLeast("throttle.per_source", t.PerSource, 1)
	d.lasts("throttle.within", t.Within, time.Second, 24*time.Hour)
}

func (d *decoder) checkSecondFactor(s *SecondFactor) {
	const path = "second_factor."
	d.lasts(path+"valid_for", s.ValidFor, time.Second, 10*time.Minute)
	if s.ValidFor > 2*time.Minute && s.ValidFor <= 10*time.Minute {
		d.warn(path+"valid_for", "%s is longer than the 2m for which codes of VssID are to be valid", short(s.ValidFor))
	}
	d.between(path+"code_digits", s.CodeDigits, otp.MinDigits, otp.MaxDigits)
	d.atLeast(path+"wrong_codes", s.WrongCodes, 1)
	d.atLeast(path+"lockout.after", s.Lockout.After, 1)
	d.lasts(path+"lockout.for", s.Lockout.For, time.Second, 24*time.Hour)
	d.atLeast(path+"lockout.stop_after", s.Lockout.StopAfter, max(s.Lockout.After, 1))
	d.checkGuesses(s)
	d.oneOf(path+"approval", s.Approval, approvals...)
	d.between(path+"number_digits", s.NumberDigits, 2, 6)
	d.atLeast(path+"push_limit.count", s.PushLimit.Count, 1)
	d.lasts(path+"push_limit.within", s.PushLimit.Within, time.Second, 24*time.Hour)
	d.lasts(path+"grace", s.Grace, 0, 10*time.Minute)
}

// guesses is how many wrong codes of an account without a success are still
// few beside the million that six digits have (NIST SP 800-63B section 5.2.2).
const guesses = 100

func (d *decoder) checkGuesses(s *SecondFactor) {
	if n := s.WrongCodes; n > guesses {
		d.warn("second_factor.wrong_codes", "%d guesses at one code are many; better 3", n)
	}
	if n := s.Lockout.StopAfter; n > guesses {
		d.warn("second_factor.lockout.stop_after", "%d guesses without success are many; at most %d are advised", n, guesses)
	}
}

var approvals = []string{"number", "simple", "off"}

// longestSocket is what the address of a Unix socket can hold (sun_path, unix(7)).
const longestSocket = 107

func (d *decoder) checkAdmin(a *Admin) {
	const path = "admin.socket"
	if a.Socket == "" {
		d.wrong(path, "want a path, like /run/vssgate/admin.sock")
		return
	}
	if a.Group != "" {
		if _, err := user.LookupGroup(a.Group); err != nil {
			d.wrong("admin.group", "this machine has no group %q; make it with groupadd, or take it out", a.Group)
		}
	}
	if a.Socket = d.abs(a.Socket); len(a.Socket) > longestSocket {
		d.wrong(path, "%s has %d bytes; a socket's path has at most %d, choose a shorter one", a.Socket, len(a.Socket), longestSocket)
	}
}

// oneOf wants one of a few words.
func (d *decoder) oneOf(path, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		d.wrong(path, "%q; want %s", value, list(allowed))
	}
}

func (d *decoder) between(path string, n, low, high int) {
	if n < low || n > high {
		d.wrong(path, "%d; want %d to %d", n, low, high)
	}
}

func (d *decoder) atLeast(path string, n, least int) {
	if n < least {
		d.wrong(path, "%d; want at least %d", n, least)
	}
}

func (d *decoder) lasts(path string, t, low, high time.Duration) {
	if t < low || t > high {
		d.wrong(path, "%s; want %s to %s", short(t), short(low), short(high))
	}
}

// short writes a duration as people do: 2m, not 2m0s.
func short(t time.Duration) string {
	s := t.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// listen wants an address that a listener can be bound to.
func (d *decoder) listen(path, addr string) {
	host, port, err := net.SplitHostPort(addr)
	if n, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil || strconv.FormatUint(n, 10) != port {
		d.wrong(path, `%q; want ADDRESS:PORT, like "127.0.0.1:1812" or "[::1]:1812"`, addr)
		return
	}
	if host != "" && host != "localhost" {
		if _, err := netip.ParseAddr(host); err != nil {
			d.wrong(path, `%q; the address must be numeric, like "127.0.0.1:%s"; ":%s" listens everywhere`, addr, port, port)
		}
	}
}

// listens wants addresses, each once.
func (d *decoder) listens(path string, all []string) {
	for i, addr := range all {
		d.listen(position(path, i), addr)
		if slices.Contains(all[:i], addr) && !strings.HasSuffix(addr, ":0") {
			d.wrong(position(path, i), "%q stands here a second time; take it out", addr)
		}
	}
}

// checkPorts wants no two listeners at one TCP address. Front ends without
// clients do not listen.
func (d *decoder) checkPorts(c *Config) {
	type listener struct{ path, addr string }
	all := []listener{{"vssid.listen", c.VssID.Listen}, {"metrics.listen", c.Metrics.Listen}}
	if len(c.RADIUS.Clients) > 0 {
		for i, addr := range c.RADIUS.TLS.Listen {
			all = append(all, listener{position("radius.tls.listen", i), addr})
		}
	}
	if len(c.LDAP.Clients) > 0 {
		for i, addr := range c.LDAP.Listen {
			all = append(all, listener{position("ldap.listen", i), addr})
		}
		for i, addr := range c.LDAP.TLS.Listen {
			all = append(all, listener{position("ldap.tls.listen", i), addr})
		}
	}
	for i, l := range all {
		first := slices.IndexFunc(all[:i], func(other listener) bool { return other.addr == l.addr })
		if first >= 0 && !strings.HasSuffix(l.addr, ":0") && above(all[first].path) != above(l.path) {
			d.wrong(l.path, "%q is %s already; choose another port", l.addr, all[first].path)
		}
	}
}

func position(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// webURL wants an http or https URL without a name and password in it.
func (d *decoder) webURL(path, raw string) *url.URL {
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
		d.wrong(path, "want a URL like https://HOST")
		return nil
	}
	if u.User != nil {
		d.wrong(path, "a user name or password does not belong in this URL; take it out")
		return nil
	}
	return u
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

func hostOf(addr string) string { host, _, _ := net.SplitHostPort(addr); return host }

// aVersion is numbers between dots.
var aVersion = regexp.MustCompile(`^[0-9]{1,9}(\.[0-9]{1,9})*$`)
