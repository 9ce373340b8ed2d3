package config

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	_ "time/tzdata" // time_zone works on machines without zone files

	"vssgate/otp"
)

// wrong reports a mistake at the place of path, or of what is above it when it
// is not written in the file.
func (d *decoder) wrong(path, format string, args ...any) {
	d.report(d.at(path), false, format, args...)
}

// warn reports what works but should not stay so.
func (d *decoder) warn(path, format string, args ...any) { d.report(d.at(path), true, format, args...) }

func (d *decoder) at(path string) place {
	for {
		if p, ok := d.places[path]; ok {
			return p
		}
		i := strings.LastIndexAny(path, ".[")
		if i < 0 {
			return place{1, 1}
		}
		path = path[:i]
	}
}

func (d *decoder) written(path string) bool { _, ok := d.places[path]; return ok }

// check is what must hold between values; it also makes paths absolute.
func (d *decoder) check(c *Config) {
	d.oneOf("language", c.Language, "vi", "en")
	var err error
	if c.Location, err = time.LoadLocation(c.TimeZone); err != nil || c.TimeZone == "" {
		d.wrong("time_zone", "time_zone: %q is no time zone; want one like Asia/Ho_Chi_Minh", c.TimeZone)
	}
	for _, p := range []*string{&c.DataDir, &c.SecretKeyFile, &c.Audit.File, &c.Admin.Socket} {
		*p = d.abs(*p)
	}
	d.checkKey(c)
	if r := c.Store.Redis; r != nil {
		d.checkRedis(r)
	}
	d.checkFirstFactors(c)
	d.positive("throttle.per_account", c.Throttle.PerAccount)
	d.positive("throttle.per_source", c.Throttle.PerSource)
	d.someTime("throttle.within", c.Throttle.Within)
	d.checkSecondFactor(&c.SecondFactor)
	d.checkVssID(&c.VssID)
	if c.Push.FCM != nil {
		d.checkFCM(c.Push.FCM)
	}
	d.checkRADIUS(c)
	d.checkLDAP(c)
	if len(c.RADIUS.Clients) == 0 && len(c.LDAP.Clients) == 0 {
		d.warn("", "nobody may ask: neither radius.clients nor ldap.clients has an entry")
	}
	d.listen("metrics.listen", c.Metrics.Listen)
	d.oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	d.oneOf("log.format", c.Log.Format, "text", "json")
}

func (d *decoder) oneOf(path, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		d.wrong(path, "%s: %q; want %s", path, value, strings.Join(allowed, " or "))
	}
}

func (d *decoder) positive(path string, n int) {
	if n < 1 {
		d.wrong(path, "%s: want a whole number of at least 1", path)
	}
}

func (d *decoder) between(path string, n, low, high int) {
	if n < low || n > high {
		d.wrong(path, "%s: %d; want %d to %d", path, n, low, high)
	}
}

func (d *decoder) someTime(path string, t time.Duration) {
	if t <= 0 {
		d.wrong(path, "%s: want a duration above 0, like 10m", path)
	}
}

// file wants a file that can be read and returns its path made absolute.
func (d *decoder) readable(path string, file *string) {
	if *file == "" {
		return
	}
	*file = d.abs(*file)
	f, err := os.Open(*file)
	if err != nil {
		d.wrong(path, "%s: %v", path, err)
		return
	}
	f.Close()
}

func (d *decoder) listen(path, addr string) {
	host, port, err := net.SplitHostPort(addr)
	if n, perr := strconv.Atoi(port); err != nil || perr != nil || n < 0 || n > 65535 {
		d.wrong(path, "%s: %q; want ADDRESS:PORT, like 127.0.0.1:1812 or \"[::1]:1812\"", path, addr)
		return
	}
	if host != "" && host != "localhost" {
		if _, err := netip.ParseAddr(host); err != nil {
			d.wrong(path, "%s: %q; the address must be numeric, like 127.0.0.1 (\":%s\" listens everywhere)", path, addr, port)
		}
	}
}

func (d *decoder) checkKey(c *Config) {
	const path = "secret_key_file"
	info, err := os.Stat(c.SecretKeyFile)
	if err != nil {
		d.wrong(path, "%s: %v (make one with: vssgate init DIR)", path, err)
		return
	}
	raw, err := os.ReadFile(c.SecretKeyFile)
	if err != nil {
		d.wrong(path, "%s: %v", path, err)
		return
	}
	if _, err := otp.ParseKeys(raw); err != nil {
		d.wrong(path, "%s %s: %v", path, c.SecretKeyFile, err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		d.warn(path, "%s %s may be read by others: chmod 600", path, c.SecretKeyFile)
	}
}

func (d *decoder) checkRedis(r *Redis) {
	if len(r.Addresses) == 0 {
		d.wrong("store.redis.addresses", "store.redis.addresses: want at least one HOST:PORT")
	}
	remote := false
	for i, a := range r.Addresses {
		host, _, err := net.SplitHostPort(a)
		if err != nil {
			d.wrong(fmt.Sprintf("store.redis.addresses[%d]", i), "store.redis.addresses: %q; want HOST:PORT", a)
		}
		remote = remote || !loopback(host)
	}
	if r.Cluster && r.MasterName != "" {
		d.wrong("store.redis.cluster", "store.redis: cluster and master_name (Sentinel) exclude each other")
	}
	if r.TLS == nil {
		if remote {
			d.warn("store.redis", "store.redis: without tls anybody on that network can read and change open logins; add tls: {ca_file: ...}")
		}
		return
	}
	d.readable("store.redis.tls.ca_file", &r.TLS.CAFile)
	d.pair("store.redis.tls", &r.TLS.CertFile, &r.TLS.KeyFile)
}

// pair wants a certificate with its key, both or neither.
func (d *decoder) pair(path string, cert, key *string) {
	if (*cert == "") != (*key == "") {
		d.wrong(path, "%s: cert_file and key_file belong together; give both or neither", path)
		return
	}
	if *cert == "" {
		return
	}
	*cert, *key = d.abs(*cert), d.abs(*key)
	if _, err := tls.LoadX509KeyPair(*cert, *key); err != nil {
		d.wrong(path+".cert_file", "%s: %v", path, err)
	}
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

func (d *decoder) checkFirstFactors(c *Config) {
	if len(c.FirstFactors) == 0 {
		d.wrong("first_factors", "first_factors: want at least one: an ldap directory, or a file of users")
	}
	names := map[string]bool{}
	for i := range c.FirstFactors {
		f, path := &c.FirstFactors[i], fmt.Sprintf("first_factors[%d]", i)
		switch {
		case f.Name == "":
			d.wrong(path, "%s: name is missing", path)
		case names[f.Name]:
			d.wrong(path+".name", "%s: another first factor is called %q too", path, f.Name)
		}
		names[f.Name] = true
		switch {
		case (f.LDAP == nil) == (f.File == ""):
			d.wrong(path, "%s: want exactly one of ldap and file", path)
		case f.LDAP != nil:
			d.checkDirectory(path+".ldap", f.LDAP)
		default:
			d.readable(path+".file", &f.File)
		}
	}
}

func (d *decoder) checkDirectory(path string, l *LDAPDirectory) {
	if l.Kind == "ad" {
		d.wrong(path+".kind", "%s.kind: ad is not available in this version; want openldap", path)
	} else {
		d.oneOf(path+".kind", l.Kind, "openldap")
	}
	d.checkURLs(path, "urls", l.URLs, l.StartTLS, true)
	d.readable(path+".ca_file", &l.CAFile)
	if len(l.BaseDNs) == 0 {
		d.wrong(path, "%s: base_dns is missing: where users are, like [\"ou=people,dc=example,dc=vn\"]", path)
	}
	if strings.Count(l.UserFilter, "{username}") == 0 {
		d.wrong(path+".user_filter", "%s.user_filter: want {username} in it, like (uid={username})", path)
	}
	if l.BindDN == "" {
		d.warn(path, "%s: without bind_dn the directory is searched anonymously", path)
	} else if l.BindPassword == "" {
		d.wrong(path, "%s: bind_dn needs bind_password_file", path)
	}
	if l.Attributes.ID == "" {
		d.wrong(path+".attributes.id", "%s.attributes.id: want an attribute that never changes, like entryUUID", path)
	}
	d.someTime(path+".timeout", l.Timeout)
}

// checkURLs wants ldap or ldaps URLs whose connections are encrypted, unless
// they stay on this machine.
func (d *decoder) checkURLs(path, key string, urls []string, startTLS, required bool) {
	if len(urls) == 0 && required {
		d.wrong(path, "%s: %s is missing: the servers in order, like [ldaps://dc1.example.vn]", path, key)
	}
	for i, raw := range urls {
		at := fmt.Sprintf("%s.%s[%d]", path, key, i)
		u, err := url.Parse(raw)
		switch {
		case err != nil || u.Host == "" || u.Scheme != "ldap" && u.Scheme != "ldaps" || strings.Trim(u.Path, "/") != "":
			d.wrong(at, "%s.%s: %q; want ldaps://HOST or ldap://HOST", path, key, raw)
		case u.Scheme == "ldap" && !startTLS && loopback(u.Hostname()):
			d.warn(at, "%s.%s: %s sends passwords unencrypted; fine on this machine only", path, key, raw)
		case u.Scheme == "ldap" && !startTLS:
			d.wrong(at, "%s.%s: %s would send passwords unencrypted; use ldaps:// or start_tls: true", path, key, raw)
		}
	}
}

func (d *decoder) checkSecondFactor(s *SecondFactor) {
	const path = "second_factor."
	switch {
	case s.ValidFor <= 0 || s.ValidFor > 10*time.Minute:
		d.wrong(path+"valid_for", "second_factor.valid_for: %v; want at most 10m", s.ValidFor)
	case s.ValidFor > 2*time.Minute:
		d.warn(path+"valid_for", "second_factor.valid_for: codes are to be valid for 2 minutes; %v is longer", s.ValidFor)
	}
	d.between(path+"code_digits", s.CodeDigits, otp.MinDigits, otp.MaxDigits)
	d.between(path+"wrong_codes", s.WrongCodes, 1, 10)
	d.between(path+"lockout.after", s.Lockout.After, 1, 100)
	d.someTime(path+"lockout.for", s.Lockout.For)
	d.between(path+"lockout.stop_after", s.Lockout.StopAfter, s.Lockout.After, 100)
	d.oneOf(path+"approval", s.Approval, "number", "simple", "off")
	d.between(path+"number_digits", s.NumberDigits, 2, 6)
	d.positive(path+"push_limit.count", s.PushLimit.Count)
	d.someTime(path+"push_limit.within", s.PushLimit.Within)
	if s.Grace < 0 || s.Grace > 10*time.Minute {
		d.wrong(path+"grace", "second_factor.grace: %v; want at most 10m", s.Grace)
	}
}

func (d *decoder) checkVssID(v *VssID) {
	d.listen("vssid.listen", v.Listen)
	d.pair("vssid.tls", &v.TLS.CertFile, &v.TLS.KeyFile)
	if v.PublicURL == "" {
		v.PublicURL = "http://" + v.Listen
		if d.written("vssid") || !loopback(hostOf(v.Listen)) {
			d.warn("vssid", "vssid.public_url is missing: phones will be told %s", v.PublicURL)
		}
	}
	u, err := url.Parse(v.PublicURL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "":
		d.wrong("vssid.public_url", "vssid.public_url: %q; want https://HOST, with a path if need be", v.PublicURL)
	case u.Scheme == "http" && loopback(u.Hostname()):
		if d.written("vssid.public_url") {
			d.warn("vssid.public_url", "vssid.public_url: http:// is for this machine only")
		}
	case u.Scheme == "http":
		d.wrong("vssid.public_url", "vssid.public_url: phones would send their requests unencrypted; use https://")
	}
	if v.MinVersion == "" {
		d.wrong("vssid.min_version", "vssid.min_version: want a version like 1.6.8")
	}
	if len(v.Platforms) == 0 {
		d.wrong("vssid.platforms", "vssid.platforms: want at least one of ios, android, web")
	}
	for i, p := range v.Platforms {
		d.oneOf(fmt.Sprintf("vssid.platforms[%d]", i), p, "ios", "android", "web")
	}
	d.between("vssid.max_devices", v.MaxDevices, 1, 100)
}

func hostOf(addr string) string { host, _, _ := net.SplitHostPort(addr); return host }

func (d *decoder) checkFCM(f *FCM) {
	if f.CredentialsFile == "" {
		d.wrong("push.fcm", "push.fcm: credentials_file is missing: the service account's key file")
	}
	d.readable("push.fcm.credentials_file", &f.CredentialsFile)
	u, err := url.Parse(f.Endpoint)
	if err != nil || u.Host == "" || !strings.HasSuffix(u.Path, "/v1") || u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())) {
		d.wrong("push.fcm.endpoint", "push.fcm.endpoint: %q; want https://HOST/v1 (http:// on this machine only)", f.Endpoint)
	}
}

// client is what RADIUS and LDAP clients have in common.
type client struct {
	path        string
	name        string
	addresses   []netip.Prefix
	firstFactor *string
	language    *string
	hold        time.Duration
}

func (d *decoder) checkClients(c *Config, all []client) {
	names, prefixes := map[string]bool{}, map[netip.Prefix]string{}
	for _, k := range all {
		switch {
		case k.name == "":
			d.wrong(k.path, "%s: name is missing", k.path)
		case names[k.name]:
			d.wrong(k.path+".name", "%s: another client is called %q too", k.path, k.name)
		}
		names[k.name] = true
		if len(k.addresses) == 0 {
			d.wrong(k.path, "%s: addresses is missing: where %s asks from", k.path, or(k.name, "it"))
		}
		for i, p := range k.addresses {
			if other, twice := prefixes[p]; twice && p.IsValid() {
				d.wrong(fmt.Sprintf("%s.addresses[%d]", k.path, i), "%s: %v belongs to client %s already", k.path, p, other)
			}
			prefixes[p] = k.name
		}
		if *k.language == "" {
			*k.language = c.Language
		}
		d.oneOf(k.path+".language", *k.language, "vi", "en")
		if *k.firstFactor == "" && len(c.FirstFactors) > 0 {
			*k.firstFactor = c.FirstFactors[0].Name
		}
		if !slices.ContainsFunc(c.FirstFactors, func(f FirstFactor) bool { return f.Name == *k.firstFactor }) {
			d.wrong(k.path+".first_factor", "%s: there is no first factor %q", k.path, *k.firstFactor)
		}
		if k.hold > c.SecondFactor.ValidFor {
			d.wrong(k.path+".hold", "%s.hold: %v is longer than a login is valid (%v)", k.path, k.hold, c.SecondFactor.ValidFor)
		}
	}
}

func (d *decoder) checkRADIUS(c *Config) {
	r := &c.RADIUS
	for i, a := range r.Listen {
		d.listen(fmt.Sprintf("radius.listen[%d]", i), a)
	}
	if len(r.Listen) == 0 && len(r.Clients) > 0 {
		d.wrong("radius.listen", "radius.listen: want at least one ADDRESS:PORT")
	}
	d.between("radius.max_held", r.MaxHeld, 1, 10_000_000)
	var all []client
	for i := range r.Clients {
		k, path := &r.Clients[i], fmt.Sprintf("radius.clients[%d]", i)
		d.checkNAS(c, k, path)
		all = append(all, client{path, k.Name, k.Addresses, &k.FirstFactor, &k.Language, k.Hold})
	}
	d.checkClients(c, all)
}

func (d *decoder) checkNAS(c *Config, k *RADIUSClient, path string) {
	d.oneOf(path+".mode", k.Mode, "challenge", "hold", "append")
	d.oneOf(path+".then", k.Then, "reject", "challenge")
	d.oneOf(path+".join", k.Join, "strict", "user")
	if k.Join == "user" {
		d.warn(path+".join", "%s.join: user lets requests of one user name join each other from anywhere; use it only for a NAS that sends no Calling-Station-Id", path)
	}
	switch n := len(k.Secret.Reveal()); {
	case n == 0:
		d.wrong(path, "%s: secret is missing (or secret_file)", path)
	case n < 12:
		d.wrong(path+".secret", "%s.secret: %d characters; want at least 16, made at random", path, n)
	case n < 16:
		d.warn(path+".secret", "%s.secret: %d characters; better at least 16, made at random", path, n)
	}
	if k.Hold == 0 {
		k.Hold = map[string]time.Duration{"challenge": 5 * time.Second, "hold": 55 * time.Second}[k.Mode]
	}
	d.approval(c, path, k.Mode, &k.Approval)
	if k.Then == "challenge" && k.Mode != "hold" {
		d.wrong(path+".then", "%s.then: challenge goes with mode hold", path)
	}
}

// approval takes the general setting over, where the mode can show a number.
func (d *decoder) approval(c *Config, path, mode string, approval *string) {
	written := *approval != ""
	if !written {
		*approval = c.SecondFactor.Approval
	}
	d.oneOf(path+".approval", *approval, "number", "simple", "off")
	switch {
	case mode == "challenge":
	case *approval == "number":
		d.wrong(path+".approval", "%s: mode %s cannot show a number to match; say approval: simple (approve or deny) or off (codes only)", path, mode)
	case !written:
		d.wrong(path, "%s: mode %s needs approval: simple or off written out, because it lets in without a number to match", path, mode)
	}
}

func (d *decoder) checkLDAP(c *Config) {
	l := &c.LDAP
	for i, a := range l.Listen {
		d.listen(fmt.Sprintf("ldap.listen[%d]", i), a)
	}
	for i, a := range l.TLS.Listen {
		d.listen(fmt.Sprintf("ldap.tls.listen[%d]", i), a)
	}
	d.pair("ldap.tls", &l.TLS.CertFile, &l.TLS.KeyFile)
	if len(l.TLS.Listen) > 0 && l.TLS.CertFile == "" {
		d.wrong("ldap.tls.listen", "ldap.tls.listen needs cert_file and key_file")
	}
	if len(l.Clients) > 0 && l.RequireTLS && l.TLS.CertFile == "" {
		d.wrong("ldap", "ldap: passwords are taken over TLS only, and there is no certificate: give ldap.tls.cert_file and key_file, or write require_tls: false")
	}
	if len(l.Clients) > 0 && !l.RequireTLS {
		d.warn("ldap.require_tls", "ldap.require_tls: false lets applications send passwords unencrypted")
	}
	d.checkURLs("ldap.upstream", "urls", l.Upstream.URLs, l.Upstream.StartTLS, false)
	d.readable("ldap.upstream.ca_file", &l.Upstream.CAFile)
	d.between("ldap.max_connections", l.MaxConnections, 1, 1_000_000)
	for i, x := range l.ExemptBinds {
		path := fmt.Sprintf("ldap.exempt_binds[%d]", i)
		if x.DN == "" || !strings.Contains(x.DN, "=") {
			d.wrong(path, "%s.dn: want the DN of one service account, like cn=gitlab,ou=services,dc=example,dc=vn", path)
		}
		if strings.TrimSpace(x.Why) == "" {
			d.wrong(path, "%s: why is missing: who allowed this account to log in without a second factor", path)
		}
	}
	var all []client
	for i := range l.Clients {
		k, path := &l.Clients[i], fmt.Sprintf("ldap.clients[%d]", i)
		d.oneOf(path+".mode", k.Mode, "hold", "append")
		d.approval(c, path, k.Mode, &k.Approval)
		all = append(all, client{path, k.Name, k.Addresses, &k.FirstFactor, &k.Language, k.Hold})
		if f := slices.IndexFunc(c.FirstFactors, func(f FirstFactor) bool { return f.Name == k.FirstFactor || k.FirstFactor == "" }); f >= 0 && c.FirstFactors[f].LDAP == nil {
			d.wrong(path+".first_factor", "%s: applications need an ldap directory behind them; %q is a file", path, c.FirstFactors[f].Name)
		}
	}
	d.checkClients(c, all)
}
