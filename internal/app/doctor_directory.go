package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"vssgate/internal/certs"
	"vssgate/internal/config"
	"vssgate/internal/directory"
	"vssgate/internal/login"
)

// surveyed is how many users are looked at.
const surveyed = 200

// errEnough ends a listing of users.
var errEnough = errors.New("enough")

// directory binds as the service account at one server, looks at the base DNs,
// finds a user, and looks whether users have what the configuration names. key
// is that of the directory, i the server's place.
func (d *doctor) directory(ctx context.Context, check, key string, i int, c config.FirstFactor) {
	url, urlKey := c.LDAP.URLs[i], fmt.Sprintf("%s.urls[%d]", key, i)
	dir, err := d.parts.newLDAP(c.Name, c.LDAP, []string{url}, c.LDAP.StartTLS, c.LDAP.CAFile)
	if err != nil {
		d.say(Finding{Check: check, Key: key, Target: url, Result: Failed, Found: err.Error(), Do: "mend it"})
		return
	}
	defer dir.Close()
	advise := directoryAdvice(urlKey, key, url)
	if !d.try(ctx, check, key+".bind_dn", url+" bind", advise, func(ctx context.Context) (string, error) {
		return "the service account may bind and sees base_dns", dir.Ping(ctx)
	}) {
		return
	}
	d.serverCertificate(ctx, check, urlKey, url, dir)
	found := d.try(ctx, check, key+".user_filter", url+" search", searchAdvice(key, advise), func(ctx context.Context) (string, error) {
		return "users are found, and have an id", findsUsers(ctx, dir, c.LDAP)
	})
	bounded, cancel := context.WithTimeout(ctx, examineFor)
	defer cancel()
	s, err := dir.Survey(bounded, surveyed)
	if err != nil {
		if found { // else it was told of
			at, do := advise(err)
			d.say(Finding{Check: check, Key: at, Target: url + " attributes", Result: Warning, Found: err.Error(), Do: do})
		}
		return
	}
	d.attributes(check, key, url, c.LDAP, &s)
	d.directoryClock(check, urlKey, url, &s)
}

// searchAdvice is about users that are not found.
func searchAdvice(key string, other advice) advice {
	return func(err error) (string, string) {
		switch {
		case errors.Is(err, errNobody):
			return key + ".user_filter", "check base_dns and user_filter (are users below another branch, or of another class?), and attributes.id and attributes.username: the service account must be allowed to read them"
		case errors.Is(err, errOtherName):
			return key + ".attributes.username", "user_filter and attributes.username must name the same attribute"
		}
		return other(err)
	}
}

var (
	errNobody    = errors.New("no entry below base_dns matches user_filter and has an id and a user name")
	errOtherName = errors.New("a user that was listed is not found by the name in attributes.username")
)

// findsUsers lists a user and finds that one by name.
func findsUsers(ctx context.Context, dir *directory.LDAP, c *config.LDAPDirectory) error {
	var one login.Identity
	err := dir.Each(ctx, "", func(who login.Identity) error { one = who; return errEnough })
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	if one.ID == "" {
		return fmt.Errorf("%w (attributes.id: %s, attributes.username: %s)", errNobody, c.Attributes.ID, c.Attributes.Username)
	}
	back, err := dir.Resolve(ctx, one.Username)
	if err == nil && back.ID != one.ID {
		err = errOtherName
	}
	return err
}

// attributes finds names that are misspelt: the schema does not know them, or no
// user has them.
func (d *doctor) attributes(check, key, url string, c *config.LDAPDirectory, s *directory.Survey) {
	a := c.Attributes
	fine := true
	say := func(key string, r Result, found, do string) {
		fine = false
		d.say(Finding{Check: check, Key: key, Target: url + " attributes", Result: r, Found: found, Do: do})
	}
	inUse := map[string]bool{}
	for _, at := range []struct{ key, name string }{
		{"id", a.ID}, {"username", a.Username}, {"display_name", a.DisplayName}, {"bhxh_number", a.BHXHNumber}, {"kind", a.Kind}, {"custodian", a.Custodian}, {"groups", a.Groups},
	} {
		inUse[at.name] = true
		path := key + ".attributes." + at.key
		_, written := d.parts.config.Place(path)
		needed := at.key == "id" || at.key == "username"
		has := s.Have[at.name]
		switch {
		case at.name == "":
		case slices.Contains(s.Unknown, at.name) && (written || needed):
			say(path, Failed, fmt.Sprintf("%s: the directory's schema has no such attribute", at.name), "correct the name; leave the key out when the directory has nothing of the kind")
		case slices.Contains(s.Unknown, at.name) && at.key == "groups":
			say(path, Warning, fmt.Sprintf("%s: the directory's schema has no such attribute, so nobody is in a group", at.name), "where policies or replies go by group: switch the memberof overlay on in the directory, or name the attribute that users have")
		case s.Entries == 0 || has == s.Entries:
		case has == 0 && written:
			say(path, Warning, fmt.Sprintf("%s: none of the %d users looked at has it", at.name, s.Entries), "is it misspelt, or may the service account not read it? Where it is new and still empty, nothing is wrong")
		case needed:
			say(path, Warning, fmt.Sprintf("%s: %d of the %d users looked at have none that bind_dn may read; they cannot log in", at.name, s.Entries-has, s.Entries), "give the service account the right to read it, or make user_filter leave out who has none")
		}
	}
	for _, name := range s.Unknown {
		if !inUse[name] {
			say(key+".user_filter", Failed, fmt.Sprintf("%s in user_filter: the directory's schema has no such attribute", name), "correct the name")
		}
	}
	if fine && s.Entries > 0 {
		d.say(Finding{Check: check, Key: key + ".attributes", Target: url + " attributes", Result: Fine, Found: fmt.Sprintf("%d users looked at: the attributes are there", s.Entries)})
	}
}

// serverCertificate warns of one that ends soon: then nobody can log in.
func (d *doctor) serverCertificate(ctx context.Context, check, key, url string, dir *directory.LDAP) {
	chain, err := dir.Certificates(ctx)
	if err != nil || len(chain) == 0 {
		return // it was reached a moment ago, or there is no TLS
	}
	f := Finding{Check: check, Key: key, Target: url + " certificate", Result: Fine, Found: "until " + chain[0].NotAfter.UTC().Format(time.DateOnly)}
	if ends := certs.Expiring(chain, time.Now()); ends != "" {
		f.Result, f.Found, f.Do = Warning, ends, "renew it at the directory before that day: from then on nobody can log in"
	}
	d.say(f)
}

// directoryClock compares clocks where the directory tells its own.
func (d *doctor) directoryClock(check, key, url string, s *directory.Survey) {
	if s.Clock.IsZero() {
		return
	}
	off := s.Clock.Sub(s.Asked).Abs().Round(time.Second)
	f := Finding{Check: check, Key: key, Target: url + " clock", Result: Fine, Found: fmt.Sprintf("%s from this machine's", off)}
	if off > time.Minute {
		f.Result, f.Do = Warning, "run chrony or ntpd on both: one of the two machines has a wrong clock"
	}
	d.say(f)
}
