package config

import (
	"net"
	"slices"
	"strconv"
	"time"

	"vssgate/radius/dictionary"
)

// checkServers checks upstream RADIUS servers as first factor.
func (d *decoder) checkServers(c *Config, path string, r *RADIUSServers) {
	if len(r.Servers) == 0 {
		d.wrong(path+".servers", "want the servers in order, like [{address: 10.0.0.5:1812, secret_file: upstream.secret}]")
	}
	for i := range r.Servers {
		s := &r.Servers[i]
		at := position(path+".servers", i)
		d.server(at+".address", s.Address)
		first := slices.IndexFunc(r.Servers, func(o RADIUSServer) bool { return o.Address == s.Address })
		if first < i {
			d.wrong(at+".address", "%s stands here a second time; take it out", s.Address)
		}
		if d.clientTLS(at+".tls", &s.TLS); s.TLS == nil {
			d.sharedSecret(at+".secret", s.Secret)
		}
	}
	d.checkIdentifier(c, path+".identify_with", r.IdentifyWith)
	d.checkPassed(path+".pass_attributes", &r.PassAttributes)
	d.lasts(path+".timeout", r.Timeout, 100*time.Millisecond, time.Minute)
}

// server wants a host and a port to ask.
func (d *decoder) server(path, addr string) {
	host, port, err := net.SplitHostPort(addr)
	if n, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil || n == 0 || host == "" {
		d.wrong(path, `%q; want HOST:PORT, like "10.0.0.5:1812" or "[2001:db8::5]:1812"`, addr)
	}
}

// checkIdentifier wants a first factor that knows users, which RADIUS servers
// do not: an id that never changes, groups, a number.
func (d *decoder) checkIdentifier(c *Config, path, name string) {
	i := slices.IndexFunc(c.FirstFactors, func(f FirstFactor) bool { return f.Name == name && name != "" })
	switch {
	case name == "":
		d.wrong(path, "is missing: name the ldap directory, or the file, that says who users are; a RADIUS server tells no id, groups or number")
	case i < 0:
		d.wrong(path, "there is no first factor %q; see first_factors", name)
	case c.FirstFactors[i].RADIUS != nil:
		d.wrong(path, "%q is RADIUS servers too; name an ldap directory or a file", name)
	}
}

// checkPassed reads none as nothing.
func (d *decoder) checkPassed(path string, words *Words) {
	if slices.Equal(*words, Words{"none"}) {
		*words = nil
	}
	for i, word := range *words {
		at := position(path, i)
		if !d.written(at) {
			at = path
		}
		switch {
		case word == "all" && len(*words) == 1:
		case word == "all" || word == "none":
			d.wrong(at, "%s stands alone or not at all", word)
		case dictionary.Lookup(word) == nil:
			d.wrong(at, "there is no attribute %q; want all, none, or names like [Class, Filter-Id, Cisco-AVPair]; %s", word, mayBe(word))
		}
	}
}

// checkUpstreamClient warns of what MS-CHAP and EAP cannot do: nobody sees a
// challenge there.
func (d *decoder) checkUpstreamClient(c *Config, k *RADIUSClient, path string) {
	i := slices.IndexFunc(c.FirstFactors, func(f FirstFactor) bool { return f.Name == k.FirstFactor })
	if i < 0 || c.FirstFactors[i].RADIUS == nil {
		return
	}
	switch {
	case k.Mode == "challenge" && k.Approval == "number":
		d.warn(path+".approval", "behind %q a client may ask by MS-CHAP or EAP, which cannot show a number to match: such a login is held and then rejected; if it does, say here: simple (approve or deny) or off (codes only), best with mode: hold", k.FirstFactor)
	case k.Mode == "hold" && k.Then == "challenge":
		d.warn(path+".then", "MS-CHAP and EAP cannot be challenged: for them it acts as reject")
	}
}
