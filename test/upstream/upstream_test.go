package upstream_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
	"vssgate/test/site"
)

// Where the NASes are whose logins the upstream judges.
const (
	holds = "127.0.0.11" // mode hold
	asks  = "127.0.0.12" // mode challenge, codes only
)

var (
	user     = testenv.UserName(1)
	password = testenv.UserPassword(1)
)

// reply is what the upstream grants.
const reply = `Class = 0x6f6e65, Filter-Id = "staff", Class += 0x74776f, Tunnel-Password:1 = "within the tunnel", Cisco-AVPair = "shell:priv-lvl=7"`

// behind starts a node whose logins those servers judge.
func behind(t *testing.T, more string, servers ...*testenv.FreeRADIUS) *site.Site {
	t.Helper()
	var list []string
	for _, f := range servers {
		list = append(list, fmt.Sprintf("{address: %q, secret: %q}", f.Addr, testenv.FreeRADIUSSecret))
	}
	return site.Start(t, options(strings.Join(list, ", "), more))
}

func options(servers, more string) site.Options {
	return site.Options{
		FirstFactors: fmt.Sprintf("  - {name: radius, radius: {servers: [%s], identify_with: directory, %s}}", servers, more),
		Clients: fmt.Sprintf(`    - {name: up-holds, addresses: [%s], secret: "{{SECRET}}", first_factor: radius, mode: hold, hold: 20s, approval: simple}
    - {name: up-asks, addresses: [%s], secret: "{{SECRET}}", first_factor: radius, mode: challenge, hold: 3s, approval: "off"}`, holds, asks),
	}
}

// A program is somebody else's RADIUS client at work.
type program struct{ done chan string }

func begin(t *testing.T, stdin, name string, args ...string) program {
	t.Helper()
	path, err := exec.LookPath(name)
	require.NoError(t, err, "%s is missing: test/packages.sh installs it", name)
	ctx, cancel := context.WithTimeout(t.Context(), 3*site.Patience)
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdin = strings.NewReader(stdin)
	p := program{make(chan string, 1)}
	go func() {
		defer cancel()
		out, _ := cmd.CombinedOutput() // a reject is an exit code too; what was printed tells
		p.done <- string(out)
	}()
	return p
}

// said waits for the program's end and returns what it printed.
func (p program) said() string { return <-p.done }

// radclient asks from that address.
func radclient(t *testing.T, s *site.Site, from string, attributes ...string) program {
	t.Helper()
	attributes = append(attributes, "Message-Authenticator = 0x00", "Packet-Src-IP-Address = "+from)
	return begin(t, strings.Join(attributes, "\n")+"\n", "radclient", "-x", "-t", "30", "-r", "1", s.RADIUS[0], "auth", s.Secret)
}

// by is a login of the user: with User-Password, CHAP-Password or MS-CHAP-Password.
func by(method, typed string, more ...string) []string {
	return append(from(user, "203.0.113.7", method, typed), more...)
}

// from is a login of that user, from that station.
func from(user, station, method, typed string) []string {
	return []string{"User-Name = " + user, fmt.Sprintf("%s = %q", method, typed), `NAS-Identifier = "vpn1"`, fmt.Sprintf("Calling-Station-Id = %q", station)}
}

// answer is what came back to radclient.
func answer(out string) string {
	_, got, _ := strings.Cut(out, "Received ")
	return got
}

// eapol logs in as wpa_supplicant does.
func eapol(t *testing.T, server, secret, from, network string, args ...string) program {
	t.Helper()
	file := filepath.Join(t.TempDir(), "network.conf")
	require.NoError(t, os.WriteFile(file, []byte("network={\n ssid=\"x\"\n key_mgmt=WPA-EAP\n "+network+"\n}\n"), 0o600))
	host, port, err := net.SplitHostPort(server)
	require.NoError(t, err)
	args = append([]string{"-c", file, "-a", host, "-p", port, "-s", secret, "-A", from, "-t", "30", "-N32:s:wifi"}, args...)
	return begin(t, "", "eapol_test", args...)
}

func identity(name, typed, eap string) string {
	return fmt.Sprintf("identity=%q\n password=%q\n eap=%s", name, typed, strings.ReplaceAll(eap, ";", "\n "))
}

// methods are what eapol_test can do. Those that make no keys are told so.
var methods = []struct {
	name, eap string
	args      []string
}{
	{"EAP-MD5", "MD5", []string{"-n"}},
	{"EAP-GTC", "GTC", []string{"-n"}},
	{"EAP-MSCHAPv2", "MSCHAPV2", []string{"-n"}},
	{"EAP-TTLS/PAP", `TTLS;anonymous_identity="anonymous";phase2="auth=PAP"`, nil},
	{"EAP-TTLS/MSCHAPv2", `TTLS;anonymous_identity="anonymous";phase2="auth=MSCHAPV2"`, nil},
	{"PEAP-MSCHAPv2", `PEAP;anonymous_identity="anonymous";phase2="auth=MSCHAPV2"`, nil},
	{"PEAP-GTC", `PEAP;anonymous_identity="anonymous";phase2="auth=GTC"`, nil},
}

func TestEAPPassesAndEndsAfterTheSecondFactor(t *testing.T) {
	f := testenv.StartFreeRADIUS(t, testenv.FreeRADIUSOptions{Reply: reply})
	s := behind(t, "timeout: 5s", f)
	phone := s.Phone(1)
	for _, m := range methods {
		t.Run(m.name, func(t *testing.T) {
			p := eapol(t, s.RADIUS[0], s.Secret, holds, identity(user, password, m.eap), m.args...)
			phone.Yes()
			out := p.said()
			require.True(t, strings.HasSuffix(out, "SUCCESS\n"), out)
			if m.args == nil {
				require.Contains(t, out, "MPPE keys OK: 1  mismatch: 0")
			}
			require.Equal(t, "approval", s.Last().Factor)
			require.Equal(t, user, s.Last().Username)
		})
	}
}
