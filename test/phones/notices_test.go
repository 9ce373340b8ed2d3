package phones_test

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
	"vssgate/test/site"
)

// Nobody gets one more phone unseen: the phones there are hear of it, the new
// one does not.
func TestANewPhoneIsAnnouncedToTheOthers(t *testing.T) {
	o := open(t, "")
	o.phone("first")
	o.phone("second")
	o.told("first", "new_device")
	o.phone("third")
	o.told("first", "new_device", "new_device")
	o.told("second", "new_device")
	o.told("third")
	for _, m := range o.fcm.Messages() {
		require.Equal(t, map[string]string{"type": "notice", "notice": "new_device"}, m.Data, "and nothing else")
	}
}

// Who logs in with a printed code or one of the help desk's, the person's phones
// hear of; an authenticator app is a phone itself.
func TestCodesThatNeedNoPhoneAreAnnouncedToThePhones(t *testing.T) {
	o := open(t, "second_factor: {factors: [approve, code, totp, recovery, help], push_limit: {count: 100, within: 10m}}\n")
	his := o.phone("first")
	o.phone("second")
	o.told("first", "new_device")
	var made struct {
		Secret, Code string
		Codes        []string
	}
	for _, args := range [][]string{{"totp", user}, {"recovery-codes", user}, {"help-code", user, "--why", "phone broken"}} {
		require.NoError(t, json.Unmarshal([]byte(o.Command(append(append([]string{"account"}, args...), "--json")...)), &made))
	}
	shown, err := exec.Command("oathtool", "--totp", "--base32", made.Secret).Output()
	require.NoError(t, err, "oathtool (test/packages.sh installs it)")
	first, second := []string{"new_device"}, []string(nil)
	for _, c := range []struct{ factor, code, notice string }{
		{"recovery", made.Codes[0], "recovery_code_used"},
		{"help", made.Code, "help_code_used"},
		{"totp", strings.TrimSpace(string(shown)), ""},
		{"code", "", ""},
	} {
		asked := o.challenged()
		first, second = append(first, "login"), append(second, "login")
		o.told("first", first...)
		o.told("second", second...)
		code := c.code
		if code == "" {
			code = his.Code()
		}
		o.in(code, asked)
		require.Equal(t, c.factor, o.Last().Factor)
		closed := []string{"login.closed"}
		if c.notice != "" {
			closed = append(closed, c.notice)
		}
		first, second = append(first, closed...), append(second, closed...)
		o.told("first", first...)
		o.told("second", second...)
	}
}

// A number that leads to somebody else takes logins from who had it: he hears so.
func TestAChangedNumberIsAnnouncedToWhoHadIt(t *testing.T) {
	o := open(t, "")
	o.phone("his")
	o.Command("account", "set", user, "--bhxh-number", testenv.UserNumber(9999))
	o.told("his", "number_changed")
	require.EqualValues(t, site.AccessReject, o.NAS(site.Asks).Ask(asks).Code, "nobody's phone answers for it")
}
