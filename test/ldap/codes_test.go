package ldap_test

import (
	"encoding/json"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
	"vssgate/test/site"
)

// authenticator is somebody else's program for time-based codes.
func authenticator(t *testing.T, secret, when string) string {
	t.Helper()
	out, err := exec.Command("oathtool", "--totp", "--base32", "--now", when, secret).CombinedOutput()
	require.NoError(t, err, "oathtool (test/packages.sh installs it): %s", out)
	return strings.TrimSpace(string(out))
}

// given is what an `account` command printed as JSON.
func (w *world) given(args ...string) (out struct {
	Secret, Code string
	Codes        []string
}) {
	w.t.Helper()
	require.NoError(w.t, json.Unmarshal([]byte(w.Command(append(args, "--json")...)), &out))
	return out
}

// User 1 has no phone. What he logs in with at one node is used up at the
// other, for binds and at the VPN, and whoever else types it learns nothing.
func TestAUserWithoutAPhoneOnTwoNodes(t *testing.T) {
	one, two := pair(t, options{second: ", factors: [approve, code, totp, recovery, help], lockout: {after: 50}, wrong_codes: 50"})
	who := testenv.UserName(1)
	require.Contains(t, refusal(t, one.connect(wiki).Bind(dn(1), password(1))), "No phone")
	secret := one.given("account", "totp", who).Secret
	require.Contains(t, refusal(t, one.connect(wiki).Bind(dn(1), password(1))), "authenticator app", "he is not held: no phone can answer")

	code := authenticator(t, secret, "now")
	require.Equal(t, 1, both(one, two, mail, password(1)+","+code))
	for _, w := range []*world{one, two} {
		require.Contains(t, refusal(t, w.connect(mail).Bind(dn(1), password(1)+","+code)), "used")
		refusal(t, w.connect(mail).Bind(dn(2), password(2)+","+code))
	}
	conn := two.connect(wiki)
	require.NoError(t, conn.Bind(dn(1), password(1)+","+authenticator(t, secret, "30 seconds")))
	require.Equal(t, "dn:"+dn(1), whoami(t, conn))

	printed := one.given("account", "recovery-codes", who).Codes
	require.NoError(t, one.connect(wiki).Bind(dn(1), password(1)+","+strings.ToLower(printed[0])))
	refusal(t, two.connect(wiki).Bind(dn(1), password(1)+","+printed[0]))

	help := two.given("account", "help-code", who, "--valid", "4h", "--why", "phone broken").Code
	nas, asked := one.vpn(1)
	require.EqualValues(t, site.AccessChallenge, asked.Code)
	require.Contains(t, asked.Text, "help desk")
	at := site.Request{User: who, Station: "203.0.113.7"}
	done := nas.Ask(at.Saying(help[:4]+" "+help[4:], asked.State))
	require.EqualValues(t, site.AccessAccept, done.Code, done.Text)
	refusal(t, two.connect(mail).Bind(dn(1), password(1)+","+help))

	var factors []string
	for _, r := range append(one.accepts(), two.accepts()...) {
		factors = append(factors, r.Factor)
	}
	require.ElementsMatch(t, []string{"totp", "totp", "recovery", "help"}, factors)
}

// Guesses at a code of the account's own are counted across nodes, and one that
// came with a wrong password is none.
func TestGuessesAtOwnCodesAreCountedAmongNodes(t *testing.T) {
	one, two := pair(t, options{second: ", factors: [approve, code, totp], lockout: {after: 4}"})
	secret := one.given("account", "totp", testenv.UserName(1)).Secret
	code := authenticator(t, secret, "now")
	for range 6 {
		refusal(t, one.connect(mail).Bind(dn(1), "wrong,"+site.WrongCode(code)))
	}
	var all sync.WaitGroup
	for range 2 {
		for _, w := range []*world{one, two} {
			all.Go(func() { refusal(t, w.connect(mail).Bind(dn(1), password(1)+","+site.WrongCode(code))) })
		}
	}
	all.Wait()
	for _, w := range []*world{one, two} {
		require.Contains(t, refusal(t, w.connect(mail).Bind(dn(1), password(1)+","+code)), "locked")
	}
}
