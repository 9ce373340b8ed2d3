package radius_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
	"vssgate/radius"
	"vssgate/test/site"
)

// radsecUp is a site that takes RADIUS over TLS, from clients in both modes
// that are known by their certificates.
type radsecUp struct {
	*site.Site
	ca  *testenv.Authority
	dir string // with the server's certificate, in server.pem and server.key
}

func startRadsec(t *testing.T) *radsecUp {
	r := &radsecUp{ca: testenv.CA(t), dir: t.TempDir()}
	r.serves(t, "first")
	r.Site = site.Start(t, site.Options{More: fmt.Sprintf(`    - {name: asks-radsec, certificate_names: [asks.example.vn]}
    - {name: holds-radsec, certificate_names: [holds.example.vn], addresses: [127.0.0.1], mode: hold, hold: 20s, approval: simple}
    - {name: freeradius, certificate_names: [freeradius.example.vn], mode: hold, hold: 1s, then: challenge, approval: simple}
  tls: {listen: ["127.0.0.1:0"], cert_file: %[1]s/server.pem, key_file: %[1]s/server.key, ca_file: %[2]s}
`, r.dir, r.ca.CAFile), Asks: "127.0.0.4"})
	return r
}

// serves puts a new certificate there for the node.
func (r *radsecUp) serves(t *testing.T, name string) {
	certFile, keyFile := r.ca.Issue(name)
	for from, to := range map[string]string{certFile: "server.pem", keyFile: "server.key"} {
		b, err := os.ReadFile(from)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(r.dir, to), b, 0o600))
	}
}

// client issues a certificate for that DNS name.
func (r *radsecUp) client(name string) (certFile, keyFile string) {
	return r.ca.IssueAs(name, func(form *x509.Certificate) { form.DNSNames, form.IPAddresses = []string{name}, nil })
}

const proxySecret = "between-nas-and-proxy"

// through is a NAS behind radsecproxy, which is that client of the node's and
// has connected.
func (r *radsecUp) through(t *testing.T, name string) *site.NAS {
	t.Helper()
	certFile, keyFile := r.client(name)
	host, port, err := net.SplitHostPort(r.RADIUSTLS[0])
	require.NoError(t, err)
	before := r.Metric("vssgate_radius_tls_connections")
	p := testenv.StartRadsecproxy(t, fmt.Sprintf(`
ListenUDP ADDR
tls default {
  CACertificateFile %s
  CertificateFile %s
  CertificateKeyFile %s
}
client nas {
  host 127.0.0.1
  type udp
  secret %s
}
server node {
  host %s
  port %s
  type tls
  secret radsec
  tls default
  StatusServer on
}
realm * {
  server node
}
`, r.ca.CAFile, certFile, keyFile, proxySecret, host, port))
	require.Eventually(t, func() bool { return r.Metric("vssgate_radius_tls_connections") > before }, site.Patience, tick)
	warm := site.DialNAS(t, "127.0.0.1", p.Addr, proxySecret) // the proxy drops what comes before it knows of its connection
	require.Eventually(t, func() bool {
		packet := warm.Packet(asks.Saying("anybody there?", "no state"))
		warm.Send(packet)
		_, answered := warm.Maybe(packet, 250*time.Millisecond)
		return answered
	}, site.Patience, tick)
	return site.DialNAS(t, "127.0.0.1", p.Addr, proxySecret)
}

// Acceptance case 48.
func TestRadsecproxyIsHeldUntilThePhoneAnswers(t *testing.T) {
	r := startRadsec(t)
	phone := r.Phone(1)
	nas := r.through(t, "holds.example.vn")
	packet := nas.Packet(asks)
	nas.Send(packet)
	require.Equal(t, "accepted", phone.Yes().Verdict)
	require.EqualValues(t, site.AccessAccept, nas.Answer(packet).Code)
	require.Equal(t, "holds-radsec", r.Last().Client)
	again := asks
	again.Station = "203.0.113.8"
	packet = nas.Packet(again)
	nas.Send(packet)
	require.Equal(t, "rejected", phone.No().Verdict)
	require.EqualValues(t, site.AccessReject, nas.Answer(packet).Code)
}

func TestRadsecproxyRelaysTheChallenge(t *testing.T) {
	r := startRadsec(t)
	phone := r.Phone(1)
	nas := r.through(t, "asks.example.vn")
	asked := nas.Ask(asks)
	require.EqualValues(t, site.AccessChallenge, asked.Code, asked.Text)
	done := nas.Ask(asks.Saying(phone.Code(), asked.State))
	require.EqualValues(t, site.AccessAccept, done.Code, done.Text)
	require.Equal(t, "asks-radsec", r.Last().Client)
	require.EqualValues(t, site.AccessReject, nas.Ask(asks.Saying("not it", "")).Code)
}

// FreeRADIUS asks over TLS for NASes that speak UDP.
func TestFreeRADIUSAsksOverTLS(t *testing.T) {
	r := startRadsec(t)
	phone := r.Phone(1)
	f := testenv.StartFreeRADIUS(t, testenv.FreeRADIUSOptions{Proxy: r.RADIUSTLS[0], TLS: r.ca})
	ask := func(attributes ...string) *program {
		return begin(t, "freeradius-utils", strings.Join(append(attributes, signed), "\n")+"\n", nil,
			"radclient", "-x", "-t", "30", "-r", "1", f.Addr, "auth", testenv.FreeRADIUSSecret)
	}
	require.Contains(t, ask(typed("not it")...).said(), "Received Access-Reject")
	out := ask(typed(password)...).said()
	state := stateShown.FindStringSubmatch(out)
	require.NotNil(t, state, out)
	require.Contains(t, out, "Received Access-Challenge")
	phone.Yes()
	require.Contains(t, ask(typed("ok", "State = "+state[1])...).said(), "Received Access-Accept")
	require.Equal(t, "freeradius", r.Last().Client)
	require.EqualValues(t, 1, r.Metric("vssgate_radius_tls_connections"))
}

// Acceptance case 50: the retry over another connection is the same login.
func TestALoginOutlivesItsConnection(t *testing.T) {
	r := startRadsec(t)
	phone := r.Phone(1)
	cert, err := tls.LoadX509KeyPair(r.client("holds.example.vn"))
	require.NoError(t, err)
	nas := &site.NAS{Secret: "radsec", Name: "nas-of-the-test"}
	send := func() *tls.Conn {
		conn, err := tls.Dial("tcp", r.RADIUSTLS[0], &tls.Config{RootCAs: r.ca.Pool, Certificates: []tls.Certificate{cert}})
		require.NoError(t, err)
		_, err = conn.Write(nas.Packet(asks))
		require.NoError(t, err)
		return conn
	}
	gone := send()
	opened := phone.Login()
	gone.Close()
	require.Eventually(t, func() bool { return r.Metric("vssgate_radius_tls_connections") == 0 }, site.Patience, tick)
	stays := send()
	defer stays.Close()
	require.Eventually(t, func() bool { return r.Metric("vssgate_joined_total") == 1 }, site.Patience, tick)
	require.Len(t, phone.All(), 1)
	require.Equal(t, opened.ID, phone.Login().ID)
	require.Equal(t, "accepted", phone.Yes().Verdict)
	stays.SetReadDeadline(time.Now().Add(site.Patience))
	answer := make([]byte, 4096)
	n, err := stays.Read(answer)
	require.NoError(t, err)
	require.NotZero(t, n)
	require.EqualValues(t, site.AccessAccept, answer[0])
	require.Len(t, r.Ended(), 1)
}

func TestRadsecproxyWithACertificateThatNobodyHasIsTurnedAway(t *testing.T) {
	r := startRadsec(t)
	certFile, keyFile := r.client("stranger.example.vn")
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	require.NoError(t, err)
	conn, err := tls.Dial("tcp", r.RADIUSTLS[0], &tls.Config{RootCAs: r.ca.Pool, Certificates: []tls.Certificate{cert}})
	if err == nil {
		conn.SetReadDeadline(time.Now().Add(site.Patience))
		_, err = conn.Read(make([]byte, 1))
		conn.Close()
	}
	require.Error(t, err)
	r.Logged("certificate_names") // the way out
	require.EqualValues(t, 1, r.Metric(`vssgate_radius_tls_closed_total{reason="unknown_certificate"}`))
}

func TestTryLogsInOverTLS(t *testing.T) {
	r := startRadsec(t)
	phone := r.Phone(1)
	certFile, keyFile := r.client("holds.example.vn")
	try := func(typed string) *program {
		return begin(t, "", "", nil, testenv.Binary(t), "try", "radius", "--server", r.RADIUSTLS[0], "--tls", "--ca", r.ca.CAFile,
			"--cert", certFile, "--key", keyFile, "--user", user, "--password", typed)
	}
	held := try(password)
	phone.Yes()
	require.Contains(t, held.said(), "ACCEPTED after")
	require.Contains(t, try("not it").said(), "NOT ACCEPTED after")
}

func TestTheNodeShowsANewCertificateWithoutARestart(t *testing.T) {
	r := startRadsec(t)
	phone := r.Phone(1)
	nas := r.through(t, "asks.example.vn")
	cert, err := tls.LoadX509KeyPair(r.client("asks.example.vn"))
	require.NoError(t, err)
	shown := func() string {
		conn, err := tls.Dial("tcp", r.RADIUSTLS[0], &tls.Config{RootCAs: r.ca.Pool, Certificates: []tls.Certificate{cert}})
		require.NoError(t, err)
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	require.Equal(t, "first", shown())
	r.serves(t, "second")
	require.Eventually(t, func() bool { return shown() == "second" }, site.Patience, tick)
	asked := nas.Ask(asks) // over the connection that was open before
	require.EqualValues(t, site.AccessChallenge, asked.Code, asked.Text)
	require.EqualValues(t, site.AccessAccept, nas.Ask(asks.Saying(phone.Code(), asked.State)).Code)
	require.Eventually(t, func() bool { return r.Metric("vssgate_radius_tls_connections") == 1 }, site.Patience, tick)
}

// The asking side, at somebody else's server.
func TestALinkAsksThroughRadsecproxy(t *testing.T) {
	s := site.Start(t, site.Options{Holds: "127.0.0.1", Asks: "127.0.0.2"})
	ca := testenv.CA(t)
	p := testenv.StartRadsecproxy(t, testenv.RadsecproxyBefore(ca, s.RADIUS[0], s.Secret))
	link, err := radius.NewLink(radius.LinkOptions{Address: p.Addr, Credentials: radius.Credentials{
		Certificate: func() *tls.Certificate { return &ca.Cert }, Authorities: func() *x509.CertPool { return ca.Pool },
	}})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- link.Run(ctx) }()
	defer func() { stop(); require.NoError(t, <-ended) }()
	require.Eventually(t, func() bool { return link.Up() == nil }, site.Patience, tick)

	nas := &site.NAS{Secret: "radsec", Name: "nas-of-the-test"}
	ask := func(password string) byte {
		r := asks
		r.Password = password
		b, err := link.Ask(ctx, func(id uint32, v11 bool) ([]byte, error) {
			require.False(t, v11)
			r.Identifier = byte(id)
			return nas.Packet(r), nil
		})
		require.NoError(t, err)
		return b[0]
	}
	require.EqualValues(t, site.AccessReject, ask("not it"))
	phone := s.Phone(1)
	code := make(chan byte)
	go func() { code <- ask(password) }()
	phone.Yes()
	require.EqualValues(t, site.AccessAccept, <-code)
}
