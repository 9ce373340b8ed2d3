package vpn_test

import (
	"crypto/x509"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
	"vssgate/test/site"
)

// openvpn is gateways with radiusplugin that ask the site, and users' machines
// before them. They have the device "null", which needs nothing of the kernel;
// a gateway with it serves one login.
type openvpn struct {
	t     *testing.T
	ca    *testenv.Authority
	dir   string
	lines string // of server.conf
	both  string // lines of both ends
}

// newOpenVPN has the lines that `vssgate nas show openvpn` tells to type for
// that client.
func newOpenVPN(t *testing.T, s *site.Site, client string) *openvpn {
	t.Helper()
	g := &openvpn{t: t, ca: testenv.CA(t), dir: t.TempDir()}
	lines := s.Recipe("openvpn", client)
	require.Contains(t, lines["radiusplugin.cnf"], "wait=")
	here := strings.NewReplacer("/etc/openvpn/", g.dir+"/")
	write(t, g.dir, "radiusplugin.cnf", here.Replace(lines["radiusplugin.cnf"]))
	g.lines = here.Replace(lines["server.conf"])
	certFile, keyFile := g.ca.IssueAs("gateway", func(*x509.Certificate) {})
	g.both = fmt.Sprintf("proto udp\nca %s\ncert %s\nkey %s\nverb 3\n", g.ca.CAFile, certFile, keyFile)
	return g
}

// start starts a gateway with those lines.
func (g *openvpn) start(lines string) (gateway *terminal, port string) {
	g.t.Helper()
	port = testenv.FreePort(g.t)
	gateway = open(g.t, "openvpn", "--config", write(g.t, g.dir, "server.conf",
		g.both+fmt.Sprintf("cd %s\nlocal 127.0.0.1\nlport %s\ntls-server\ndh none\nstatus status\n%s", g.dir, port, lines)))
	gateway.reads("UDPv4 link local (bound)")
	return gateway, port
}

// machine is a user's at that address, which sends the password.
func (g *openvpn) machine(address, port, password string) *terminal {
	g.t.Helper()
	typed := write(g.t, g.t.TempDir(), "typed", user+"\n"+password+"\n")
	return open(g.t, "openvpn", "--config", write(g.t, g.dir, address+".conf", g.both+fmt.Sprintf(
		"dev null\nlocal %s\nlport 0\nremote 127.0.0.1 %s\ntls-client\npull\nremote-cert-tls server\nauth-user-pass %s\nauth-nocache\n", address, port, typed)))
}

// login is a machine that has sent the password, to a gateway of its own.
// Tokens want a tunnel.
func (g *openvpn) login(password string) *tunnel {
	g.t.Helper()
	gateway, port := g.start("dev null\n" + strings.ReplaceAll(g.lines, "auth-gen-token\n", ""))
	return &tunnel{gateway, g.machine("127.0.0.9", port, password)}
}

// change changes a file of the gateway's.
func (g *openvpn) change(name, what, into string) {
	g.t.Helper()
	raw, err := os.ReadFile(filepath.Join(g.dir, name))
	require.NoError(g.t, err)
	changed := regexp.MustCompile(what).ReplaceAllString(string(raw), into)
	require.NotEqual(g.t, string(raw), changed)
	write(g.t, g.dir, name, changed)
}

// A tunnel has two ends.
type tunnel struct{ gateway, machine *terminal }

// connected: the gateway has told the machine what its tunnel is to be.
func (u *tunnel) connected() {
	u.machine.t.Helper()
	u.machine.reads("Initialization Sequence Completed")
}

// refused: the gateway has sent AUTH_FAILED, and ends.
func (u *tunnel) refused() {
	u.machine.t.Helper()
	require.Contains(u.machine.t, u.gateway.said(), "auth-control-exit")
	require.NotContains(u.machine.t, u.machine.printed(), "Initialization Sequence Completed")
}

func TestOpenVPNHoldsUntilThePhoneAnswers(t *testing.T) {
	t.Parallel()
	s := onShortPort(t, site.Options{Holds: "127.0.0.1", Asks: "127.0.0.2"})
	phone := s.Phone(1)
	g := newOpenVPN(t, s, "holds")
	g.login("not it").refused()
	u := g.login(password)
	require.Equal(t, "rejected", phone.No().Verdict)
	u.refused()
	u = g.login(password)
	require.Equal(t, "accepted", phone.Yes().Verdict)
	u.connected()
	require.Equal(t, "OpenVPN", s.Last().NAS)
	require.Equal(t, "127.0.0.9", s.Last().From)
	require.Len(t, s.Accepted(), 1)
}

func TestOpenVPNTakesAnAppendedCode(t *testing.T) {
	t.Parallel()
	s := onShortPort(t, site.Options{Appends: "127.0.0.1", Asks: "127.0.0.3"})
	phone := s.Phone(1)
	g := newOpenVPN(t, s, "appends")
	g.login(password).refused()
	g.login(password + "," + phone.Wrong()).refused()
	g.login(password + "," + phone.Code()).connected()
	require.Equal(t, "code", s.Last().Factor)
	require.Len(t, s.Accepted(), 1)
}

// radiusplugin sends each try from another port, with another authenticator.
func TestOpenVPNTriesAgainAndIsPromptedOnce(t *testing.T) {
	t.Parallel()
	s := onShortPort(t, site.Options{Holds: "127.0.0.1", Asks: "127.0.0.2"})
	phone := s.Phone(1)
	g := newOpenVPN(t, s, "holds")
	g.change("radiusplugin.cnf", `(retry|wait)=\d+`, "${1}=3")
	u := g.login(password)
	require.Eventually(t, func() bool { return s.Metric("vssgate_joined_total") >= 1 }, site.Patience, 10*time.Millisecond)
	require.Len(t, phone.All(), 1)
	phone.Yes()
	u.connected()
	require.Len(t, s.Ended(), 1)
}

var shortPort atomic.Int32

func init() { shortPort.Store(8000 + rand.Int32N(1000)) }

// onShortPort is onPort with a port of four digits, as radiusplugin can have.
func onShortPort(t *testing.T, o site.Options) *site.Site {
	t.Helper()
	for o.Listen == "" {
		c, err := net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", shortPort.Add(1)))
		if err == nil {
			o.Listen = fmt.Sprintf("%q", c.LocalAddr())
			c.Close()
		}
	}
	return site.Start(t, o)
}
