//go:build vpn

package vpn_test

import (
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
	"vssgate/test/site"
)

// gateway is the name in the gateway's certificate.
const gateway = "gateway.example.vn"

// strongswan is an IKEv2 gateway that asks the site, on 127.0.0.1 with ports of
// its own. It makes no CHILD_SA (RFC 6023), for which a kernel may lack ESP.
type strongswan struct {
	t    *testing.T
	ca   *testenv.Authority
	port string
	more string // that its users' machines load
}

// A charon is strongSwan's daemon, and the folder of its configuration.
type charon struct {
	t   *testing.T
	dir string
	log *terminal
}

// startStrongswan starts a gateway with the lines that
// `vssgate nas show strongswan` tells to type for that client.
func startStrongswan(t *testing.T, s *site.Site, client string) *strongswan {
	t.Helper()
	g := &strongswan{t: t, ca: testenv.CA(t), port: testenv.FreePort(t)}
	lines := s.Recipe("strongswan", client)
	c := startCharon(t, "eap-identity eap-radius", "port = "+testenv.FreePort(t)+"\n  port_nat_t = "+g.port+"\n", lines["strongswan.conf"])
	certFile, keyFile := g.ca.IssueAs(gateway, func(form *x509.Certificate) { form.DNSNames = []string{gateway} })
	key, err := os.ReadFile(keyFile)
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(filepath.Join(c.dir, "private"), 0o700))
	write(t, c.dir, "private/gateway.key", string(key))
	c.load(strings.NewReplacer("CERT", certFile, "GATEWAY", gateway, "REMOTE", lines["swanctl.conf, in the connection"]).Replace(`
connections {
  vpn {
    version = 2
    local_addrs = 127.0.0.1
    encap = yes
    childless = force
    send_cert = always
    local {
      auth = pubkey
      certs = CERT
      id = GATEWAY
    }
    REMOTE
    children {
      net {
        local_ts = 192.0.2.0/24
      }
    }
  }
}
`))
	return g
}

// machine is a user's, at that address, which logs in by that method of EAP.
func (g *strongswan) machine(address, eap string) *charon {
	g.t.Helper()
	c := startCharon(g.t, "eap-identity eap-gtc eap-mschapv2 eap-ttls", "port = 0\n  port_nat_t = 0\n", "")
	c.load(strings.NewReplacer("ADDRESS", address, "PORT", g.port, "EAP", eap, "USER", user, "CA", g.ca.CAFile, "GATEWAY", gateway).Replace(`
connections {
  vpn {
    version = 2
    local_addrs = ADDRESS
    remote_addrs = 127.0.0.1
    remote_port = PORT
    encap = yes
    childless = force
    local {
      auth = EAP
      eap_id = USER
      aaa_id = localhost
    }
    remote {
      auth = pubkey
      cacerts = CA
      id = GATEWAY
    }
    children {
      net {
        remote_ts = 192.0.2.0/24
      }
    }
  }
}
`) + g.more)
	return c
}

// startCharon starts a daemon with these plugins, more of its own section, and
// more of strongswan.conf.
func startCharon(t *testing.T, plugins, own, more string) *charon {
	t.Helper()
	c := &charon{t: t, dir: t.TempDir()}
	conf := write(t, c.dir, "strongswan.conf", fmt.Sprintf(`%s
charon-systemd {
  load_modular = no
  load = random nonce kdf hmac openssl pem x509 pubkey pkcs8 constraints kernel-netlink socket-default vici %s
  install_routes = no
  %s
  plugins {
    vici {
      socket = %s
    }
  }
  filelog {
    stderr {
      default = 1
    }
  }
}
swanctl {
  load = random nonce openssl pem x509 pubkey pkcs8
}
`, more, plugins, own, c.socket()))
	c.log = open(t, "env", "STRONGSWAN_CONF="+conf, "charon-systemd")
	c.log.reads("worker threads")
	return c
}

func (c *charon) socket() string { return "unix://" + filepath.Join(c.dir, "vici") }

// load loads connections and secrets in the form of swanctl.conf.
func (c *charon) load(conf string) {
	c.t.Helper()
	out := c.swanctl("--load-all", "--clear", "--file", write(c.t, c.dir, "swanctl.conf", conf)).said()
	require.Contains(c.t, out, "successfully loaded 1 connections")
}

func (c *charon) swanctl(args ...string) *terminal {
	c.t.Helper()
	args = append([]string{"STRONGSWAN_CONF=" + filepath.Join(c.dir, "strongswan.conf"), "swanctl"}, append(args, "--uri", c.socket())...)
	return open(c.t, "env", args...)
}

// login types the password and connects.
func (c *charon) login(password string) *terminal {
	c.t.Helper()
	secrets := write(c.t, c.dir, "secrets.conf", fmt.Sprintf("secrets {\n  eap-user {\n    id = %s\n    secret = %q\n  }\n}\n", user, password))
	require.Contains(c.t, c.swanctl("--load-creds", "--file", secrets).said(), "loaded eap secret")
	return c.swanctl("--initiate", "--ike", "vpn", "--timeout", "100")
}

// leave closes the connection that login made.
func (c *charon) leave() {
	c.t.Helper()
	require.Contains(c.t, c.swanctl("--terminate", "--ike", "vpn").said(), "terminate completed successfully")
}

const (
	established = "initiate completed successfully"
	refused     = "received EAP_FAILURE"
)

func TestStrongswanHoldsUntilThePhoneAnswers(t *testing.T) {
	s := site.OnPort(t, site.Options{Holds: "127.0.0.1", Asks: "127.0.0.2"})
	phone := s.Phone(1)
	g := startStrongswan(t, s, "holds")
	m := g.machine("127.0.0.9", "eap")
	require.Contains(t, m.login("not it").said(), refused)
	p := m.login(password)
	require.Equal(t, "rejected", phone.No().Verdict)
	require.Contains(t, p.said(), refused)
	p = m.login(password)
	require.Equal(t, "accepted", phone.Yes().Verdict)
	require.Contains(t, p.said(), established)
	require.Equal(t, "strongSwan", s.Last().NAS)
	require.Equal(t, "127.0.0.9", s.Last().From, "strongSwan tells the port too, which is another one each time")
	require.Len(t, s.Accepted(), 1)
	t.Run("a held login keeps nobody else waiting", func(t *testing.T) {
		held := g.machine("127.0.0.10", "eap").login(password)
		phone.Login()
		require.Contains(t, g.machine("127.0.0.11", "eap").login("not it").said(), refused)
		phone.Yes()
		require.Contains(t, held.said(), established)
	})
}

// The one EAP that ends in an accept without keys of its own: what is derived
// of the password's answer is enough for strongSwan.
func TestStrongswanTakesAnAppendedCode(t *testing.T) {
	s := site.OnPort(t, site.Options{Appends: "127.0.0.1", Asks: "127.0.0.3"})
	phone := s.Phone(1)
	m := startStrongswan(t, s, "appends").machine("127.0.0.9", "eap")
	require.Contains(t, m.login(password).said(), refused)
	require.Contains(t, m.login(password+","+phone.Wrong()).said(), refused)
	require.Contains(t, m.login(password+","+phone.Code()).said(), established)
	require.Equal(t, "code", s.Last().Factor)
	require.Len(t, s.Accepted(), 1)
}

func TestStrongswanCollectsALateApproval(t *testing.T) {
	s := site.OnPort(t, site.Options{Holds: "127.0.0.1", Asks: "127.0.0.2", Hold: "1s"})
	phone := s.Phone(1)
	g := startStrongswan(t, s, "holds")
	require.Contains(t, g.machine("127.0.0.9", "eap").login(password).said(), refused)
	require.Equal(t, "waiting_for_retry", phone.Yes().Verdict)
	again := g.machine("127.0.0.9", "eap") // from another port
	require.Contains(t, again.login(password).said(), established)
	require.Len(t, s.Ended(), 1)
}

// FreeRADIUS judges the password and makes the keys, without which there is no
// IKE_SA.
func TestStrongswanBeforeAnUpstream(t *testing.T) {
	f := testenv.StartFreeRADIUS(t, testenv.FreeRADIUSOptions{})
	s := site.OnPort(t, site.Options{
		FirstFactors: fmt.Sprintf("  - {name: radius, radius: {servers: [{address: %q, secret: %q}], identify_with: directory}}", f.Addr, testenv.FreeRADIUSSecret),
		Clients:      `    - {name: up, addresses: [127.0.0.1], secret: "{{SECRET}}", first_factor: radius, nas: strongswan, hold: 20s, approval: simple}`,
		Asks:         "127.0.0.2", Holds: "127.0.0.3", Appends: "127.0.0.4",
	})
	phone := s.Phone(1)
	g := startStrongswan(t, s, "up")
	g.more = "authorities {\n  up {\n    cacert = " + f.CAFile + "\n  }\n}\n"
	for i, eap := range []string{"eap-mschapv2", "eap-ttls"} {
		t.Run(eap, func(t *testing.T) {
			m := g.machine(fmt.Sprintf("127.0.0.%d", 20+i), eap)
			require.Contains(t, m.login("not it").said(), refused)
			p := m.login(password)
			phone.No()
			require.Contains(t, p.said(), refused)
			p = m.login(password)
			phone.Yes()
			require.Contains(t, p.said(), established)
			require.Equal(t, "approval", s.Last().Factor)
		})
	}
}

// With the preset's hold; charon deletes half-open IKE_SAs after 30 s unless it
// is told otherwise.
func TestStrongswanWaitsAsLongAsThePresetHolds(t *testing.T) {
	s := site.OnPort(t, site.Options{Clients: `    - {name: preset, addresses: [127.0.0.1], secret: "{{SECRET}}", nas: strongswan, approval: simple}`,
		Asks: "127.0.0.2", Holds: "127.0.0.3", Appends: "127.0.0.4"})
	phone := s.Phone(1)
	p := startStrongswan(t, s, "preset").machine("127.0.0.9", "eap").login(password)
	phone.Login()
	time.Sleep(42 * time.Second)
	require.Equal(t, "accepted", phone.Yes().Verdict)
	require.Contains(t, p.said(), established)
	require.EqualValues(t, 3, s.Metric(`vssgate_packets_dropped_total{reason="retransmission"}`), "the same packet four times")
	require.Len(t, s.Ended(), 1)
}
