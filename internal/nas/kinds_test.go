package nas

import (
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// All that an administrator may have, and the words that must be in its recipe.
var wanted = map[string][]string{
	"fortigate":        {"set timeout 60", "set remoteauthtimeout 60", "set auth-type pap", "set login-timeout 180", `set server "10.0.0.1"`, `set secondary-server "10.0.0.2"`},
	"cisco-asa":        {"host 10.0.0.1", "timeout 60", "<AuthenticationTimeout>60"},
	"paloalto":         {"10.0.0.2", "portal"},
	"opnsense":         {"10.0.0.1", "CN=group"},
	"pfsense":          {"Authentication Timeout     60"},
	"openvpn":          {"wait=60", "auth-gen-token"},
	"ocserv":           {"radius_timeout 30", "10.0.0.2:1645"},
	"strongswan":       {"retransmit_timeout = 15", "half_open_timeout = 60", "address = 10.0.0.2"},
	"mikrotik":         {"timeout=60s", "require-message-auth"},
	"juniper":          {"timeout 60", "port 1645"},
	"ivanti":           {"60 seconds"},
	"netscaler":        {"-authTimeout 60", "NewConnIdleTimeOut 60"},
	"checkpoint":       {"radius_retrant_timeout    60", "sk182516"},
	"windows-rras":     {"-Timeout 60", "PAP"},
	"unifi":            {"10.0.0.1, port 1645"},
	"pam-radius":       {"10.0.0.1:1645 SECRET 60"},
	"postgresql":       {`radiusservers="10.0.0.1,10.0.0.2"`},
	"freeradius-proxy": {"response_window = 60", "ipaddr = 10.0.0.2"},
	"generic":          {"60 seconds for one try, or 20 seconds with 3 tries"},
}

func TestEveryKindHasARecipeThatFitsTheClient(t *testing.T) {
	require.ElementsMatch(t, Names(), keys(wanted))
	c := Client{Name: "hq-vpn", Servers: []string{"10.0.0.1", "10.0.0.2"}, Port: "1645", SecretFile: "/etc/vssgate/hq-vpn.secret",
		Mode: "hold", Hold: 55 * time.Second, Addresses: []string{"192.0.2.10"}, Approval: "simple"}
	for _, k := range Kinds() {
		t.Run(k.Name, func(t *testing.T) {
			r := k.Recipe(c)
			var b strings.Builder
			r.Print(&b)
			text := b.String()
			for _, want := range wanted[k.Name] {
				require.Contains(t, text, want)
			}
			require.NotContains(t, text, "{{")
			require.NotContains(t, text, "<no value>")
			require.Contains(t, text, "must wait 1m")
			require.Contains(t, text, "/etc/vssgate/hq-vpn.secret")
			require.Contains(t, r.YAML, "nas: "+k.Name)
			require.NotEmpty(t, r.Steps)
			for _, filled := range []string{k.Title, k.Password, k.Challenge, k.Waits} {
				require.NotEmpty(t, filled)
			}
			if k.LongestHold > 0 && time.Duration(k.LongestHold) < c.Hold {
				require.Contains(t, text, "Warning: hold: 55s is longer than this NAS ever waits")
			}
		})
	}
}

func keys[V any](m map[string]V) (all []string) {
	for k := range m {
		all = append(all, k)
	}
	return all
}

func TestPresetsAreWhatAClientMayHave(t *testing.T) {
	for _, k := range Kinds() {
		require.Contains(t, []string{"challenge", "hold", "append"}, k.Mode, k.Name)
		require.Contains(t, []string{"", "reject", "challenge"}, k.Then, k.Name)
		require.Contains(t, []string{"", "strict"}, k.Join, "%s: from anywhere is for the administrator to say", k.Name)
		if k.LongestHold > 0 {
			require.LessOrEqual(t, k.Hold, k.LongestHold, k.Name)
		}
	}
}

// What is only general knowledge says so. Whoever has seen a line work may take
// the mark away here and there.
func TestWhatWasNotSeenIsMarked(t *testing.T) {
	seen := regexp.MustCompile(`^(fortigate/CLI|cisco-asa/AnyConnect profile \(XML\)|openvpn/(radiusplugin.cnf|server.conf)|ocserv/.*|strongswan/.*|pam-radius/.*|` +
		`postgresql/.*|freeradius-proxy/.*|netscaler/CLI, where UDP goes through its NAT)$`)
	for _, k := range Kinds() {
		for _, s := range k.Steps {
			require.Equal(t, !seen.MatchString(k.Name+"/"+s.Where), s.Confirm, "%s: %s", k.Name, s.Where)
		}
	}
}

func TestWithoutAClientTheRecipeIsAnExample(t *testing.T) {
	k, known := Find("opnsense")
	require.True(t, known)
	var b strings.Builder
	k.Recipe(Unnamed(k)).Print(&b)
	require.Contains(t, b.String(), "mode hold and hold 25s it must wait 30s")
	require.Contains(t, b.String(), "approval: simple")
	_, known = Find("fortigat")
	require.False(t, known)
}

var update = flag.Bool("update", false, "write docs/nas.md anew")

func TestThePageIsMadeFromTheKinds(t *testing.T) {
	const file, mark = "../../docs/nas.md", "<!-- from here on: go test ./internal/nas -run Page -update -->\n\n"
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	head, rest, found := strings.Cut(string(raw), mark)
	require.True(t, found, "docs/nas.md has lost its mark")
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(head+mark+Page()), 0o644))
		return
	}
	require.Equal(t, Page(), rest, "docs/nas.md is old: go test ./internal/nas -run Page -update")
}
