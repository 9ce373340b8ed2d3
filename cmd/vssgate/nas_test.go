package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestKindsOfNASesAreListed(t *testing.T) {
	text := vssgate(t, "", "nas", "list")
	require.Equal(t, exitOK, text.code, text.errOut)
	require.Regexp(t, `(?m)^fortigate +challenge +5s +FortiGate`, text.out)
	require.Regexp(t, `(?m)^postgresql +append +- +PostgreSQL`, text.out)
	all := decoded[[]object](t, vssgate(t, "", "nas", "list", "--json"))
	require.Equal(t, "checkpoint", all[0]["kind"])
	require.ElementsMatch(t, []string{"kind", "title", "mode", "hold_ms", "password", "challenge", "waits"}, keys(all[0]))
}

func TestARecipeOfAKind(t *testing.T) {
	text := vssgate(t, "", "nas", "show", "opnsense")
	require.Equal(t, exitOK, text.code, text.errOut)
	require.Contains(t, text.out, "it must wait 30s for an answer")
	require.Contains(t, text.out, "confirm on your version")
	unknown := vssgate(t, "", "nas", "show", "fortigat")
	require.Equal(t, exitError, unknown.code)
	require.Contains(t, unknown.errOut, "for any other: generic")
	require.Equal(t, exitUsage, vssgate(t, "", "nas", "show").code)
}

func TestARecipeForAClientOfTheConfiguration(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "vssgate.yaml")
	write := func(name, content string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	require.Equal(t, exitOK, vssgate(t, "", "init", filepath.Join(dir, "fresh")).code)
	write("vpn.secret", "a-secret-canary-of-the-vpn\n")
	write("vssgate.yaml", `
secret_key_file: fresh/secret.key
first_factors: [{name: local, file: fresh/users.yaml}]
radius:
  listen: ["10.0.0.1:1645", "[2001:db8::1]:1645"]
  clients:
    - {name: hq-vpn, addresses: [192.0.2.10, "2001:db8:1::/64"], secret_file: vpn.secret, nas: fortigate, mode: hold, hold: 85s, approval: simple}
    - {name: inline, addresses: [192.0.2.11], secret: another-canary-of-it, nas: opnsense, approval: off}
`)
	shown := vssgate(t, "", "nas", "show", "fortigate", "--client", "hq-vpn", "--config", file)
	require.Equal(t, exitOK, shown.code, shown.errOut)
	for _, want := range []string{`set server "10.0.0.1"`, `set secondary-server "2001:db8::1"`, "set timeout 90", "set remoteauthtimeout 90", "set radius-port 1645",
		filepath.Join(dir, "vpn.secret"), `addresses: [192.0.2.10, "2001:db8:1::/64"]`, "nas: fortigate", "mode: hold", "hold: 85s", "approval: simple"} {
		require.Contains(t, shown.out, want)
	}
	require.NotContains(t, shown.out, "canary")

	other := decoded[object](t, vssgate(t, "", "nas", "show", "mikrotik", "--client", "inline", "--config", file, "--json"))
	require.Equal(t, "mikrotik", other["kind"])
	require.EqualValues(t, 30_000, other["wait_ms"])
	require.Contains(t, other["warnings"].([]any)[0], "nas: opnsense")
	require.Contains(t, other["secret"], "secret of the client inline")
	require.NotContains(t, other["yaml"], "canary")

	none := vssgate(t, "", "nas", "show", "mikrotik", "--client", "nobody", "--config", file)
	require.Equal(t, exitError, none.code)
	require.Contains(t, none.errOut, `no client "nobody"`)
}

func TestWhatWasSeenOfClients(t *testing.T) {
	d := newDesk(t)
	require.Contains(t, d.admin("nas", "list", "--seen").out, "nothing was measured yet")
	all := decoded[[]object](t, d.admin("nas", "list", "--seen", "--json"))
	require.Len(t, all, 1)
	require.Equal(t, "vpn", all[0]["client"])
	require.Equal(t, "auto", all[0]["require_message_authenticator"])
	require.Equal(t, []any{}, all[0]["timers"])
	forgotten := decoded[object](t, d.admin("nas", "forget", "vpn", "--json"))
	require.Equal(t, object{"client": "vpn", "nases": 0.0}, forgotten)
}
