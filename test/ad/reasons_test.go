package ad_test

import (
	"testing"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"vssgate/test/site"
)

const (
	wrongText    = "Wrong user name or password."
	disabledText = "The account is disabled, locked or expired in the directory. Contact your administrator."
	expiredText  = "Your password has expired or must be changed. Change it, then log in again."
	notHereText  = "This account may not log in here. Contact your administrator."
)

func reasonsAreToldApart(t *testing.T, d *domain) {
	w := d.world(t, "")
	nas := w.NAS(gate)
	for range 2 {
		nas.Ask(site.Request{User: clumsy.sam, Password: "not it"})
		refusal(t, d.dial(t).Bind(clumsy.dn(), "not it"), ldap.LDAPResultInvalidCredentials)
	}
	for _, c := range []struct {
		user                 user
		password             string
		reason, detail, text string
	}{
		{off, off.password(), "account_disabled", "data 533, account disabled", disabledText},
		{gone, gone.password(), "account_disabled", "data 701, account expired", disabledText},
		{fresh, fresh.password(), "password_expired", "data 773, password must be changed", expiredText},
		{stale, stale.password(), "password_expired", "data 532, password expired", expiredText},
		{sleeper, sleeper.password(), "not_allowed", "data 530, not permitted to log on at this time", notHereText},
		{guest, guest.password(), "not_allowed", "data 531, not permitted to log on at this workstation", notHereText},
		{clumsy, clumsy.password(), "account_locked", "data 775, account locked", wrongText},
		{an, "wrong", "bad_password", "data 52e, wrong password", wrongText},
		{off, "wrong", "bad_password", "data 52e, wrong password", wrongText}, // only who knows the password learns more
		{gone, "wrong", "bad_password", "data 52e, wrong password", wrongText},
		{fresh, "wrong", "bad_password", "data 52e, wrong password", wrongText},
		{stale, "wrong", "bad_password", "data 52e, wrong password", wrongText},
	} {
		t.Run(c.user.sam+" "+c.reason, func(t *testing.T) {
			answer := nas.Ask(site.Request{User: c.user.sam, Password: c.password})
			require.EqualValues(t, site.AccessReject, answer.Code)
			require.Regexp(t, "^"+c.text+` \[[A-Z2-9]{6}\]$`, answer.Text)
			last := w.Last()
			require.Equal(t, []string{c.reason, "rejected", "radius"}, []string{last.Reason, last.Verdict, last.FrontEnd})
			require.Equal(t, c.user.sam, last.Username)
			w.Logged(`"trace":"` + last.Trace + `","client":"gate","account":"` + last.Account + `","reason":"` + c.reason + `","detail":"` + c.detail + `"`)

			text := refusal(t, w.connect().Bind(c.user.dn(), c.password), ldap.LDAPResultInvalidCredentials)
			require.Regexp(t, "^"+c.text+` \[[A-Z2-9]{6}\]$`, text)
			last = w.Last()
			require.Equal(t, []string{c.reason, "rejected", "ldap"}, []string{last.Reason, last.Verdict, last.FrontEnd})
			w.Logged(`"trace":"` + last.Trace + `","client":"wiki","account":"` + last.Account + `","reason":"` + c.reason + `","detail":"` + c.detail + `"`)
		})
	}
	require.Empty(t, w.Accepted())
}
