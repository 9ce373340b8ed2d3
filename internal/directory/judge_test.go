package directory

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
	"vssgate/internal/testenv"
)

func TestWhatADirectorysAnswerSaysOfThePassword(t *testing.T) {
	ad := func(data string) string {
		return "80090308: LdapErr: DSID-0C090439, comment: AcceptSecurityContext error, data " + data + ", v4563\x00"
	}
	for name, c := range map[string]struct {
		code   uint64
		text   string
		policy string
		reason login.Reason // "": right
		detail string
	}{
		"right":                          {0, "", "", "", ""},
		"right, about to expire":         {0, "", "\x30\x05\xa0\x03\x80\x01\x09", "", ""},
		"wrong":                          {49, "", "", login.BadPassword, ""},
		"no such entry":                  {32, "", "", login.BadPassword, "result 32"},
		"AD, no such user":               {49, ad("525"), "", login.BadPassword, "data 525, no such user"},
		"AD, wrong":                      {49, ad("52e"), "", login.BadPassword, "data 52e, wrong password"},
		"AD, in capitals":                {49, ad("52E"), "", login.BadPassword, "data 52e, wrong password"},
		"AD, not now":                    {49, ad("530"), "", login.NotAllowed, "data 530, not permitted to log on at this time"},
		"AD, not here":                   {49, ad("531"), "", login.NotAllowed, "data 531, not permitted to log on at this workstation"},
		"AD, expired":                    {49, ad("532"), "", login.PasswordExpired, "data 532, password expired"},
		"AD, disabled":                   {49, ad("533"), "", login.AccountDisabled, "data 533, account disabled"},
		"AD, account expired":            {49, ad("701"), "", login.AccountDisabled, "data 701, account expired"},
		"AD, must change":                {49, ad("773"), "", login.PasswordExpired, "data 773, password must be changed"},
		"AD, locked":                     {49, ad("775"), "", login.AccountLocked, "data 775, account locked"},
		"AD, something new":              {49, ad("1234"), "", login.BadPassword, "data 1234"},
		"no sub-code but a word with it": {49, "metadata 532 is old", "", login.BadPassword, ""},
		"a sub-code of another result":   {53, ad("532"), "", login.BadPassword, "result 53"},
		"policy, expired":                {49, "", "\x30\x03\x81\x01\x00", login.PasswordExpired, "password policy: password expired"},
		"policy, locked":                 {49, "", "\x30\x03\x81\x01\x01", login.AccountLocked, "password policy: account locked"},
		"policy, must change":            {49, "", "\x30\x08\xa0\x03\x80\x01\x09\x81\x01\x02", login.PasswordExpired, "password policy: password must be changed"},
		"policy, something else":         {49, "", "\x30\x03\x81\x01\x05", login.BadPassword, ""},
		"policy, nothing":                {49, "", "\x30\x00", login.BadPassword, ""},
		"policy, lengths that lie":       {49, "", "\x30\x03\x81\x7f\x00", login.BadPassword, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Judge(c.code, c.text, []byte(c.policy))
			require.NoError(t, err)
			want := login.Checked{First: login.FirstWrong, Reason: c.reason, Detail: c.detail}
			if c.reason == "" {
				want = login.Checked{First: login.FirstRight}
			}
			require.Equal(t, want, got)
		})
	}
	for _, code := range []uint64{1, 2, 8, 10, 13, 14, 51, 52, 80, 206, 1 << 31} {
		_, err := Judge(code, ad("52e"), nil)
		require.Error(t, err, "result %d says nothing of the password", code)
	}
}

// FuzzJudge: whatever a directory writes, only result 0 is a right password.
func FuzzJudge(f *testing.F) {
	f.Add(uint64(49), "data 532", []byte("\x30\x03\x81\x01\x00"))
	f.Add(uint64(0), "", []byte(nil))
	f.Fuzz(func(t *testing.T, code uint64, text string, policy []byte) {
		checked, err := Judge(code, text, policy)
		require.Equal(t, code == 0, err == nil && checked.First == login.FirstRight)
		require.Equal(t, err == nil && code != 0, checked.First == login.FirstWrong && checked.Reason != "")
	})
}

// expired is a user whose password was right once.
var expired = fmt.Sprintf(`dn: uid=cu,%s
objectClass: inetOrgPerson
uid: cu
cn: Cũ
sn: Cũ
userPassword: old-password
pwdChangedTime: %s

`, testenv.SlapdPeople, time.Now().AddDate(0, 0, -30).UTC().Format("20060102150405Z"))

func TestAnExpiredPasswordIsToldAsSuchToWhoeverHasIt(t *testing.T) {
	d := open(t, options(testenv.Slapd(t, testenv.SlapdOptions{PasswordPolicy: true, LDIF: expired})))
	who := resolve(t, d, "cu")
	require.Equal(t, login.PasswordExpired, check(t, d, who, "old-password").Reason)
	require.Equal(t, wrong, check(t, d, who, "not it"))
	for range 6 { // the policy locks after five
		require.Equal(t, wrong, check(t, d, resolve(t, d, "user0001"), "not it"))
	}
	require.Equal(t, wrong, check(t, d, resolve(t, d, "user0001"), testenv.UserPassword(1)), "locked")
	require.Equal(t, right, check(t, d, resolve(t, d, "user0002"), testenv.UserPassword(2)))
}
