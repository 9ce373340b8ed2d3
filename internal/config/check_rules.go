package config

import (
	"strings"
	"time"
)

// maxRemember is how long a second factor may do for later logins.
const maxRemember = 24 * time.Hour

// checkRemember checks remember and says what it gives away: that differs with
// what the front end shows of where a user is.
func (d *decoder) checkRemember(path string, remember time.Duration, gives string) {
	path += ".remember"
	switch {
	case remember > maxRemember:
		d.wrong(path, "%s; want a duration up to %s, or 0s: never", short(remember), short(maxRemember))
	case remember > 0:
		d.warn(path, gives, short(remember))
	}
}

// What a remembered second factor gives away.
const (
	remembersStation     = "for %s after a confirmation the password alone lets in from the same Calling-Station-Id; behind one address others can do that too. Logins without Calling-Station-Id, and those by MS-CHAP or EAP, are never remembered"
	remembersApplication = "for %s after a user's confirmation that user's password alone lets in through this application: all its users come from its one address. Seconds are enough for applications that bind twice"
)

// checkObserve: a client that asks nobody has a reason and an end.
func (d *decoder) checkObserve(o *Observe, path string, zone *time.Location, now time.Time) {
	path += ".observe"
	if o.Until == "" && o.Why == "" {
		return
	}
	if strings.TrimSpace(o.Why) == "" {
		d.wrong(path+".why", "is missing: why this client may let in on the password alone, and who allowed it")
	}
	if o.Until == "" {
		d.wrong(path+".until", "is missing; write until when nobody is asked, like 2027-01-31")
		return
	}
	if o.Ends = d.moment(path+".until", o.Until, zone); o.Ends.IsZero() {
		return
	}
	if now.Before(o.Ends) {
		d.warn(path, "until %s the password alone lets in here, and nobody is asked (%s)", o.Until, o.Why)
	} else {
		d.warn(path, "%s has passed: the second factor is needed here again; take observe out", o.Until)
	}
}
