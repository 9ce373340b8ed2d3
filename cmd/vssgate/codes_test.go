package main

import (
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// withFactors is a desk where those factors count.
func withFactors(t *testing.T, factors string) *desk {
	t.Helper()
	d := newDesk(t)
	d.Stop()
	config, err := os.ReadFile(d.Config)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(d.Config, append(config, "\nsecond_factor: {factors: ["+factors+"]}\n"...), 0o600))
	d.Start()
	return d
}

// typing logs an.nv in as a NAS would, and types that code when challenged.
func (d *desk) typing(pass, code, station string) object {
	d.t.Helper()
	return decodedAny(d.t, vssgate(d.t, "", "try", "radius", "--server", d.RADIUS[0], "--secret", sharedSecret, "--user", "an.nv",
		"--password", pass, "--station", station, "--code", code, "--json"))
}

// oathtool is somebody else's authenticator app.
func oathtool(t *testing.T, secret string, later string) string {
	t.Helper()
	out, err := exec.Command("oathtool", "--totp", "--base32", "--now", later, secret).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return strings.TrimSpace(string(out))
}

// A user without any phone logs in by an authenticator app, by a printed code
// and with the help desk's: each once, told apart in the audit, and shown never.
func TestAUserWithoutAPhoneHasCodesOfHisOwn(t *testing.T) {
	d := withFactors(t, "approve, code, totp, recovery, help")
	require.Contains(t, d.typing(password, "000000", "203.0.113.1")["text"], "No phone is activated")

	app := decoded[object](t, d.admin("account", "totp", "an.nv", "--why", "no smartphone", "--json"))
	secret := app["secret"].(string)
	u, err := url.Parse(app["url"].(string))
	require.NoError(t, err)
	require.Equal(t, secret, u.Query().Get("secret"))
	require.True(t, strings.HasSuffix(u.Path, ":an.nv"), u.Path)
	require.Equal(t, "unconfirmed", d.own()["totp"])

	code := oathtool(t, secret, "now")
	first := d.typing(password, code, "203.0.113.2")
	require.Equal(t, true, first["accepted"], first)
	require.Equal(t, "confirmed", d.own()["totp"])
	require.Contains(t, d.typing(password+","+code, "", "203.0.113.2")["text"], "Wrong code, or one that was used. Log in again with the 6-digit code of your authenticator app.")
	next := oathtool(t, secret, "30 seconds")
	require.Equal(t, true, d.typing(password+","+next, "", "203.0.113.4")["accepted"], "behind the password")

	printed := decoded[object](t, d.admin("account", "recovery-codes", "an.nv", "--json"))["codes"].([]any)
	require.Len(t, printed, 10)
	recovery := strings.ToLower(printed[3].(string))
	require.Equal(t, true, d.typing(password, recovery, "203.0.113.5")["accepted"])
	require.Equal(t, float64(9), d.own()["recovery"])

	o := d.admin("account", "help-code", "an.nv", "--valid", "25h", "--why", "called")
	require.Equal(t, exitError, o.code)
	require.Contains(t, o.errOut, "want 1m to 24h")
	require.Equal(t, exitUsage, d.admin("account", "help-code", "an.nv", "--valid", "4h").code)
	given := decoded[object](t, d.admin("account", "help-code", "an.nv", "--valid", "4h", "--why", "phone broken", "--json"))
	help := given["code"].(string)
	require.Regexp(t, `^[0-9]{8}$`, help)
	require.Contains(t, d.own(), "help_code")
	require.Equal(t, true, d.typing(password, help, "203.0.113.6")["accepted"])
	require.NotContains(t, d.own(), "help_code")

	audit := d.audit()
	for _, want := range []string{`"factor":"totp"`, `"factor":"recovery"`, `"factor":"help"`, `"action":"account totp"`, `"action":"account help-code"`, `"why":"phone broken"`} {
		require.Contains(t, audit, want)
	}
	written := audit + d.Output() + d.admin("account", "show", "an.nv").out + d.admin("account", "list", "--json").out
	for _, never := range []string{secret, code, help, recovery, printed[0].(string)} {
		require.NotContains(t, written, never)
	}

}

// own is what account show says of an.nv's own codes.
func (d *desk) own() object {
	d.t.Helper()
	return decoded[object](d.t, d.admin("account", "show", "an.nv", "--json"))["fallbacks"].(object)
}

func TestCodesOfAnAccountsOwnGoWithIt(t *testing.T) {
	d := withFactors(t, "approve, code, totp, recovery, help")
	o := d.admin("account", "totp", "binh.tt")
	require.Equal(t, exitError, o.code)
	require.Contains(t, o.errOut, "vssgate account set binh.tt --bhxh-number N")
	o = d.admin("account", "recovery-codes", "an.nv", "--remove")
	require.Equal(t, exitError, o.code)
	require.Contains(t, o.errOut, "an.nv has none")

	o = d.admin("account", "totp", "an.nv")
	require.Equal(t, exitOK, o.code, o.errOut)
	require.Contains(t, o.out, "otpauth://totp/")
	require.Contains(t, o.out, "▄", "a QR code")
	require.Equal(t, exitOK, d.admin("account", "recovery-codes", "an.nv").code)
	o = d.admin("account", "show", "an.nv")
	require.Contains(t, o.out, "authenticator app: unconfirmed")
	require.Contains(t, o.out, "recovery codes: 10 unused")
	require.Contains(t, o.out, "by its own codes")
	report := decoded[object](t, d.admin("rollout", "report", "--json"))
	require.Equal(t, float64(1), report["would_be_refused"], "binh.tt alone")

	require.Equal(t, exitOK, d.admin("account", "totp", "an.nv", "--remove").code)
	require.NotContains(t, d.own(), "totp")
	require.Contains(t, d.admin("account", "remove", "an.nv", "--why", "left").out, "the codes of its own")
	require.NotContains(t, decoded[object](t, d.admin("account", "show", "an.nv", "--json")), "fallbacks")
}
