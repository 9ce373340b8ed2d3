package config

import (
	"net/url"
	"strings"
	"time"

	"vssgate/internal/directory"
)

func (d *decoder) checkFirstFactors(c *Config) {
	if len(c.FirstFactors) == 0 {
		d.wrong("first_factors", "want at least one: an ldap directory, radius servers, or a file of users")
	}
	names := map[string]bool{}
	for i := range c.FirstFactors {
		f, path := &c.FirstFactors[i], position("first_factors", i)
		switch {
		case f.Name == "":
			d.wrong(path+".name", "is missing; clients choose a first factor by its name")
		case names[f.Name]:
			d.wrong(path+".name", "another first factor is called %q too; choose another name", f.Name)
		}
		names[f.Name] = true
		switch {
		case d.isBroken(path + ".ldap"), d.isBroken(path + ".radius"), d.isBroken(path + ".file"):
		case f.kinds() != 1:
			d.wrong(path, "want exactly one of ldap, radius and file")
		case f.LDAP != nil:
			d.checkDirectory(path+".ldap", f.LDAP)
		case f.RADIUS != nil:
			d.checkServers(c, path+".radius", f.RADIUS)
		default:
			d.checkUsers(path+".file", &f.File)
		}
	}
}

// kinds counts what f is: one, if it is right.
func (f *FirstFactor) kinds() (n int) {
	for _, is := range []bool{f.LDAP != nil, f.RADIUS != nil, f.File != ""} {
		if is {
			n++
		}
	}
	return n
}

// checkUsers wants a file that the first factor can be made from.
func (d *decoder) checkUsers(path string, file *string) {
	if _, ok := d.content(path, file); !ok {
		return
	}
	if _, err := directory.NewFile(*file, nil); err != nil {
		d.wrong(path, "%s", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
}

func (d *decoder) checkDirectory(path string, l *LDAPDirectory) {
	before := len(d.problems)
	if d.oneOf(path+".kind", l.Kind, "openldap", ActiveDirectory); l.Kind == ActiveDirectory {
		d.presetAD(path, l)
	}
	if len(l.URLs) == 0 {
		d.wrong(path+".urls", "want the servers in order, like [ldaps://dc1.example.vn]")
	}
	d.ldapURLs(path+".urls", l.URLs, l.StartTLS)
	d.authorities(path+".ca_file", &l.CAFile)
	if len(l.BaseDNs) == 0 {
		d.wrong(path+".base_dns", `want where users are, like ["ou=people,dc=example,dc=vn"]`)
	}
	for i, dn := range l.BaseDNs {
		d.dn(position(path+".base_dns", i), dn)
	}
	d.checkServiceAccount(path, l)
	if l.Attributes.ID == "" {
		d.wrong(path+".attributes.id", "want an attribute that never changes, like entryUUID")
	}
	if l.Attributes.Username == "" {
		d.wrong(path+".attributes.username", "want the attribute of the user's name, like uid")
	}
	if l.NestedGroups && l.Attributes.Groups == "" {
		d.wrong(path+".nested_groups", "no groups are asked for; write attributes.groups, or false here")
	}
	d.lasts(path+".timeout", l.Timeout, 100*time.Millisecond, time.Minute)
	if !strings.Contains(l.UserFilter, "{username}") {
		d.wrong(path+".user_filter", "want {username} in it, like (uid={username})")
	} else if !d.problems[before:].Mistaken() && !d.brokenBelow(path) {
		d.asDirectory(path, l)
	}
}

// presetAD fills in what Active Directory calls things. What is written wins.
func (d *decoder) presetAD(path string, l *LDAPDirectory) {
	a, names := &l.Attributes, directory.ADAttributes
	for key, preset := range map[string]struct {
		into  *string
		value string
	}{
		"user_filter": {&l.UserFilter, directory.ADUserFilter}, "attributes.id": {&a.ID, names.ID},
		"attributes.username": {&a.Username, names.Username}, "attributes.display_name": {&a.DisplayName, names.DisplayName},
		"attributes.groups": {&a.Groups, names.Groups},
	} {
		if !d.written(path + "." + key) {
			*preset.into = preset.value
		}
	}
	if strings.EqualFold(a.ID, "entryUUID") {
		d.warn(path+".attributes.id", "Active Directory has no entryUUID, so nobody is found; write objectGUID, or leave it out")
	}
}

// asDirectory lets the first factor judge what is left: the filter.
func (d *decoder) asDirectory(path string, l *LDAPDirectory) {
	made, err := directory.NewLDAP(directory.LDAPOptions{
		URLs: l.URLs, StartTLS: l.StartTLS, BaseDNs: l.BaseDNs, UserFilter: l.UserFilter,
		Attributes: directory.Attributes{ID: l.Attributes.ID, Username: l.Attributes.Username},
	})
	if err != nil {
		_, why, _ := strings.Cut(err.Error(), "user filter: ")
		d.wrong(path+".user_filter", "is no filter: %s", or(why, err.Error()))
		return
	}
	made.Close()
}

func (d *decoder) checkServiceAccount(path string, l *LDAPDirectory) {
	switch {
	case l.BindDN == "" && l.BindPassword != "":
		d.wrong(path+".bind_dn", "is missing: whose password is bind_password?")
	case l.BindDN == "":
		d.warn(path+".bind_dn", "is missing: the directory is searched anonymously, which most do not allow")
	case l.BindPassword == "":
		d.wrong(path+".bind_password", "is missing; give it, or bind_password_file")
	default:
		d.dn(path+".bind_dn", l.BindDN)
	}
}

// dn wants a DN and returns its one spelling, "" if it is none.
func (d *decoder) dn(path, dn string) string {
	normal, err := directory.NormalizeDN(dn)
	if err != nil || normal == "" {
		d.wrong(path, "%q is no DN; want one like cn=gitlab,ou=services,dc=example,dc=vn", dn)
		return ""
	}
	return normal
}

// ldapURLs wants ldap or ldaps URLs whose connections are encrypted, unless
// they stay on this machine.
func (d *decoder) ldapURLs(path string, urls []string, startTLS bool) {
	for i, raw := range urls {
		at := position(path, i)
		u, err := url.Parse(raw)
		switch {
		case err != nil || u.Hostname() == "" || u.Scheme != "ldap" && u.Scheme != "ldaps" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "":
			d.wrong(at, "want ldaps://HOST or ldap://HOST, with a port if need be")
		case u.Scheme == "ldaps" && startTLS:
			d.wrong(at, "start_tls is for ldap:// URLs; %s has TLS from the beginning", raw)
		case u.Scheme == "ldaps" || startTLS:
		case loopback(u.Hostname()):
			d.warn(at, "%s takes passwords unencrypted; use it on this machine only", raw)
		default:
			d.wrong(at, "%s would take passwords unencrypted; use ldaps:// or start_tls: true", raw)
		}
	}
}
