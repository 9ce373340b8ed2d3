package radius

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
	"vssgate/internal/testenv"
)

const radsec = "radsec"

// A secured is a bench that is served over TLS.
type secured struct {
	*bench
	ca *testenv.Authority
}

// secure runs a server over TLS whose only client is known as nas.example.vn.
func secure(t testing.TB, change func(*Options), also ...func(*Server)) *secured {
	s := &secured{&bench{
		scripted: &scripted{asked: make(chan asking, 100_000)}, counter: newCounter(), journal: &journal{}, ended: make(chan error, 1),
	}, testenv.CA(t)}
	o := options()
	o.Clients[0].CertificateNames = []string{"NAS.example.vn"}
	s.options(&o)
	if change != nil {
		change(&o)
	}
	var err error
	s.server, err = New(o)
	require.NoError(t, err)
	for _, f := range also {
		f(s.server)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.addr = l.Addr().(*net.TCPAddr).AddrPort()
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	creds := Credentials{Certificate: func() *tls.Certificate { return &s.ca.Cert }, Authorities: func() *x509.CertPool { return s.ca.Pool }}
	go func() { s.ended <- s.server.ServeTLS(ctx, l, creds) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-s.ended)
		s.ended <- nil
	})
	return s
}

// names issues a certificate for these DNS names.
func (s *secured) names(t testing.TB, dns ...string) tls.Certificate {
	cert, err := tls.LoadX509KeyPair(s.ca.IssueAs("nobody in particular", func(form *x509.Certificate) {
		form.DNSNames, form.IPAddresses = dns, nil
	}))
	require.NoError(t, err)
	return cert
}

// config is the NAS's side.
func (s *secured) config(t testing.TB, protocols ...string) *tls.Config {
	return &tls.Config{RootCAs: s.ca.Pool, Certificates: []tls.Certificate{s.names(t, "other.example.vn", "nas.example.vn")}, NextProtos: protocols}
}

// A stream is a NAS's connection over TLS.
type stream struct {
	t    testing.TB
	conn *tls.Conn
	in   *bufio.Reader
}

func (s *secured) dial(t testing.TB, config *tls.Config) *stream {
	conn, err := tls.Dial("tcp", s.addr.String(), config)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return &stream{t, conn, bufio.NewReader(conn)}
}

// from connects from that loopback address.
func (s *secured) from(addr string, config *tls.Config) (*tls.Conn, error) {
	d := &net.Dialer{}
	if addr != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(addr)}
	}
	return tls.DialWithDialer(d, "tcp", s.addr.String(), config)
}

func (n *stream) send(b ...[]byte) {
	for _, b := range b {
		_, err := n.conn.Write(b)
		require.NoError(n.t, err)
	}
}

func (n *stream) receive() []byte {
	n.conn.SetReadDeadline(time.Now().Add(patience))
	b := make([]byte, 4)
	_, err := io.ReadFull(n.in, b)
	require.NoError(n.t, err, "no answer")
	b = append(b, make([]byte, binary.BigEndian.Uint16(b[2:])-4)...)
	_, err = io.ReadFull(n.in, b[4:])
	require.NoError(n.t, err)
	return b
}

// isClosed requires that the server closes the connection, and says nothing.
func (n *stream) isClosed() {
	n.conn.SetReadDeadline(time.Now().Add(patience))
	rest, err := io.ReadAll(n.in)
	require.NotErrorIs(n.t, err, context.DeadlineExceeded)
	if err, ok := err.(net.Error); ok {
		require.False(n.t, err.Timeout(), "the connection stays open")
	}
	require.Empty(n.t, rest)
}

func (n *stream) probe() {
	probe := signedBy(radsec, 12, 255, authOf(1<<40), 0)
	n.send(probe)
	answer := n.receive()
	require.Equal(n.t, byte(accept), answer[0])
	genuineBy(n.t, radsec, probe, answer)
}

func (c *counter) closed(t testing.TB, why Drop) {
	select {
	case got := <-c.closes:
		require.Equal(t, why, got)
	case <-time.After(patience):
		require.Fail(t, "nothing was closed", "want %s", why)
	}
}

func TestAnswersOverTLSComeInAnyOrder(t *testing.T) {
	s := secure(t, nil)
	n := s.dial(t, s.config(t))
	first, second := asksBy(radsec, 1, 1, "an.nv", "mật khẩu"), asksBy(radsec, 2, 2, "binh.tt", "secret")
	n.send(first, second)
	a, b := s.next(t), s.next(t)
	require.Equal(t, "mật khẩu", string(a.Password))
	require.Equal(t, "hq-vpn", a.Client.Name)
	require.Equal(t, netip.MustParseAddr("127.0.0.1"), a.Source)
	require.Equal(t, 2, s.used("hq-vpn"))
	require.Equal(t, 1, s.used("connections"))
	n.probe() // the watchdog is answered between the two
	b.Reply(login.Reply{Kind: login.Accept})
	genuineBy(t, radsec, second, n.receive())
	a.Reply(login.Reply{Kind: login.Ask, State: []byte("opaque"), Prompt: login.PromptCode})
	answer := n.receive()
	require.Equal(t, byte(challenge), answer[0])
	genuineBy(t, radsec, first, answer)
	n.send(first)
	require.Equal(t, answer, n.receive(), "sent again, it gets the same bytes")
	n.conn.Close()
	require.Eventually(t, func() bool { return s.used("connections") == 0 }, patience, time.Millisecond)
}

func TestEachConnectionHasIdentifiersOfItsOwn(t *testing.T) {
	s := secure(t, nil)
	one, two := s.dial(t, s.config(t)), s.dial(t, s.config(t))
	request := asksBy(radsec, 7, 1, "an.nv", "secret")
	one.send(request)
	a := s.next(t)
	two.send(request)
	b := s.next(t)
	other := asksBy(radsec, 7, 2, "binh.tt", "secret")
	two.send(other) // gives up its own request, not the first connection's
	c := s.next(t)
	b.hasLeft(t)
	s.dropped(t, Superseded)
	b.Reply(login.Reply{Kind: login.Accept})
	c.Reply(login.Reply{Kind: login.Reject})
	answer := two.receive()
	require.Equal(t, byte(reject), answer[0])
	genuineBy(t, radsec, other, answer)
	a.Reply(login.Reply{Kind: login.Accept})
	answer = one.receive()
	require.Equal(t, byte(accept), answer[0])
	genuineBy(t, radsec, request, answer)
}

// Acceptance case 50.
func TestAConnectionThatClosesDuringAHoldGetsNoAnswerAndNobodyElseDoes(t *testing.T) {
	s := secure(t, nil)
	gone, stays := s.dial(t, s.config(t)), s.dial(t, s.config(t))
	request := asksBy(radsec, 7, 1, "an.nv", "secret")
	gone.send(request)
	a := s.next(t)
	gone.conn.Close()
	a.hasLeft(t) // the Handler keeps the attempt open for a retry
	require.Zero(t, s.used("hq-vpn"))
	a.Reply(login.Reply{Kind: login.Accept})
	stays.probe()
	stays.send(request) // the retry
	b := s.next(t)
	b.Reply(login.Reply{Kind: login.Accept})
	genuineBy(t, radsec, request, stays.receive())
}

// Acceptance case 49, of connections that are open.
func TestWhatBreaksTheRulesClosesItsConnectionAndNoOther(t *testing.T) {
	long := asksBy(radsec, 1, 1, "an.nv", "secret")
	binary.BigEndian.PutUint16(long[2:], 4097)
	forged := asksBy(radsec, 1, 1, "an.nv", "secret")
	forged[25]++
	for name, c := range map[string]struct {
		sent []byte
		why  Drop
	}{
		"Length 19":                  {append([]byte{1, 1, 0, 19}, make([]byte, 15)...), BadLength},
		"Length 0":                   {make([]byte, 20), BadLength},
		"Length 4097":                {long, BadLength},
		"another secret than radsec": {asksBy("not-the-usual-one", 1, 1, "an.nv", "secret"), BadAuthenticator},
		"a secret that was the client's over UDP": {asksBy("the-one-of-last-year", 1, 1, "an.nv", "secret"), BadAuthenticator},
		"a forged Message-Authenticator":          {forged, BadAuthenticator},
		"an attribute that does not fit":          {pack(1, 1, authOf(1), attr{1, nil})[:20:20], BadAttributes},
		"a second try to speak TLS, as text":      {[]byte(strings.Repeat("GET / HTTP/1.1\r\n", 2)), BadLength},
	} {
		t.Run(name, func(t *testing.T) {
			s := secure(t, func(o *Options) {
				o.Clients[0].Previous, o.Clients[0].PreviousUntil = "the-one-of-last-year", time.Now().Add(time.Hour)
			})
			bad, good := s.dial(t, s.config(t)), s.dial(t, s.config(t))
			bad.send(asksBy(radsec, 8, 1, "binh.tt", "secret"))
			lost := s.next(t)
			request := asksBy(radsec, 7, 1, "an.nv", "secret")
			good.send(request)
			held := s.next(t)
			sent := c.sent
			if c.why == BadAttributes {
				sent = append([]byte{1, 1, 0, 22}, make([]byte, 16)...)
				sent = append(sent, 1, 1)
			}
			bad.send(sent)
			bad.isClosed()
			s.dropped(t, c.why)
			s.closed(t, c.why)
			s.idle(t)
			lost.hasLeft(t) // what it asked before is given up
			held.Reply(login.Reply{Kind: login.Accept})
			genuineBy(t, radsec, request, good.receive())
		})
	}
}

func TestWhatIsOnlyNotServedLeavesTheConnectionOpen(t *testing.T) {
	for name, c := range map[string]struct {
		sent []byte
		why  Drop
	}{
		"Protocol-Error":                           {pack(52, 1, authOf(1)), BadCode},
		"Access-Accept":                            {pack(2, 1, authOf(1)), BadCode},
		"two States":                               {asksBy(radsec, 1, 1, "an.nv", "secret", text(24, "a"), text(24, "b")), RepeatedAttribute},
		"EAP without Message-Authenticator":        {pack(1, 1, authOf(1), text(1, "an.nv"), text(79, "eap")), NoAuthenticator},
		"an unreadable password, and no signature": {pack(1, 1, authOf(1), text(1, "an.nv"), hiddenBy("not-the-usual-one", "secret", authOf(1))), WrongSecret},
	} {
		t.Run(name, func(t *testing.T) {
			s := secure(t, nil)
			n := s.dial(t, s.config(t))
			n.send(c.sent)
			s.dropped(t, c.why)
			n.probe()
			s.idle(t)
			require.Empty(t, s.closes)
		})
	}
}

// Acceptance case 49, of connections that are not to be opened.
func TestOnlyKnownCertificatesAreServed(t *testing.T) {
	branch := func(o *Options) {
		o.Clients = append(o.Clients, Client{Login: &login.Client{Name: "branch"}, Prefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.9/32")},
			CertificateNames: []string{"branch.example.vn", "127.0.0.9"}})
	}
	for name, c := range map[string]struct {
		names  []string // of the certificate; nil: it is another's
		change func(c *tls.Config)
		from   string
		why    Drop
		told   string
	}{
		"no certificate":                             {nil, func(c *tls.Config) { c.Certificates = nil }, "", BadHandshake, "ca_file"},
		"one of an authority that is not ours":       {nil, func(c *tls.Config) { c.Certificates = []tls.Certificate{testenv.CA(t).Cert} }, "", BadHandshake, "ca_file"},
		"one with a name that nobody has":            {[]string{"nas.example.com"}, nil, "", UnknownCertificate, "certificate=nas.example.com"},
		"one with a longer name":                     {[]string{"x.nas.example.vn"}, nil, "", UnknownCertificate, "certificate_names"},
		"one from another address than its client's": {[]string{"branch.example.vn"}, nil, "127.0.0.8", UnknownCertificate, "certificate=branch.example.vn"},
		"TLS 1.1": {[]string{"nas.example.vn"}, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, "", BadHandshake, "TLS 1.2"},
	} {
		t.Run(name, func(t *testing.T) {
			s := secure(t, branch)
			good := s.dial(t, s.config(t))
			config := s.config(t)
			if c.names != nil {
				config.Certificates = []tls.Certificate{s.names(t, c.names...)}
			}
			if c.change != nil {
				c.change(config)
			}
			conn, err := s.from(c.from, config)
			if err == nil { // TLS 1.3 tells the NAS with its first read
				defer conn.Close()
				(&stream{t, conn, bufio.NewReader(conn)}).isClosed()
			}
			s.closed(t, c.why)
			require.Contains(t, s.String(), c.told)
			good.probe()
		})
	}
	t.Run("from its own address it is served, as the client with the longest prefix", func(t *testing.T) {
		s := secure(t, branch)
		config := s.config(t)
		config.Certificates = []tls.Certificate{s.names(t, "nas.example.vn", "branch.example.vn")}
		conn, err := s.from("127.0.0.9", config)
		require.NoError(t, err)
		defer conn.Close()
		n := &stream{t, conn, bufio.NewReader(conn)}
		n.send(asksBy(radsec, 1, 1, "an.nv", "secret"))
		r := s.next(t)
		require.Equal(t, "branch", r.Client.Name)
		r.Reply(login.Reply{Kind: login.Reject})
		n.receive()
	})
}

func TestAnAddressThatNoClientHasIsNotEvenShownACertificate(t *testing.T) {
	s := secure(t, func(o *Options) { o.Clients[0].Prefixes = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} })
	_, err := tls.Dial("tcp", s.addr.String(), s.config(t))
	require.Error(t, err)
	s.closed(t, NoTLSClient)
}

// Acceptance case 49: 1,000 handshakes that are never finished.
func TestHandshakesThatStopHalfwayKeepNobodyOut(t *testing.T) {
	require.Equal(t, 10*time.Second, defaultLimits.handshake)
	s := secure(t, nil, func(s *Server) { s.limits.handshake = 3 * time.Second })
	var half []net.Conn
	for range 1000 {
		c, err := net.Dial("tcp", s.addr.String())
		require.NoError(t, err)
		defer c.Close()
		half = append(half, c)
	}
	n := s.dial(t, s.config(t))
	n.probe()
	for _, c := range half {
		c.SetReadDeadline(time.Now().Add(patience))
		_, err := c.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF)
		s.closed(t, NoHandshake)
	}
	n.probe()
	require.Zero(t, s.server.handshakes.all.Len())
}

func TestOneHandshakeTooManyEndsTheOldest(t *testing.T) {
	s := secure(t, nil, func(s *Server) { s.limits.handshakes = 2 })
	var half []net.Conn
	for range 2 {
		c, err := net.Dial("tcp", s.addr.String())
		require.NoError(t, err)
		defer c.Close()
		half = append(half, c)
		require.Eventually(t, func() bool {
			s.server.handshakes.mu.Lock()
			defer s.server.handshakes.mu.Unlock()
			return s.server.handshakes.all.Len() == len(half)
		}, patience, time.Millisecond)
	}
	s.dial(t, s.config(t)).probe()
	_, err := half[0].Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	s.closed(t, NoHandshake)
}

func TestConnectionsAreBounded(t *testing.T) {
	s := secure(t, func(o *Options) { o.MaxConnections = 2 })
	one, two := s.dial(t, s.config(t)), s.dial(t, s.config(t))
	one.probe()
	two.probe()
	s.dial(t, s.config(t)).isClosed()
	s.closed(t, TooManyConnections)
	one.conn.Close()
	require.Eventually(t, func() bool { return s.used("connections") == 1 }, patience, time.Millisecond)
	s.dial(t, s.config(t)).probe()
}

func TestASilentConnectionIsClosed(t *testing.T) {
	s := secure(t, nil, func(s *Server) { s.limits.idle = 50 * time.Millisecond })
	n := s.dial(t, s.config(t))
	n.isClosed()
	s.closed(t, Idle)
}

// Whoever answers is never kept waiting by a NAS that does not read.
func TestANASThatDoesNotReadIsClosed(t *testing.T) {
	s := secure(t, func(o *Options) {
		o.Text = func(*login.Client, login.Reply) string { return strings.Repeat("x", 3000) }
		o.Handler.(*scripted).script = func(r *login.Request) func() { r.Reply(login.Reply{Kind: login.Reject}); return nil }
	})
	n := s.dial(t, s.config(t))
	n.conn.SetWriteDeadline(time.Now().Add(patience))
	var err error
	for i := 0; err == nil && i < 100_000; i++ {
		_, err = n.conn.Write(asksBy(radsec, byte(i), i, "an.nv", "secret"))
	}
	require.Error(t, err, "the connection stays open")
	require.Eventually(t, func() bool { return s.used("connections") == 0 }, patience, time.Millisecond)
	require.Contains(t, s.String(), errSlow.Error())
}

// Acceptance case 20, over TLS.
func TestHeldRequestsOverTLSAreAnsweredDuringTheDrain(t *testing.T) {
	s := secure(t, func(o *Options) { o.DrainFor = patience })
	n, other := s.dial(t, s.config(t)), s.dial(t, s.config(t))
	other.probe()
	request := asksBy(radsec, 7, 1, "an.nv", "secret")
	n.send(request)
	r := s.next(t)
	s.stop()
	other.isClosed() // nothing is held there
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", s.addr.String())
		if err == nil {
			c.Close()
		}
		return err != nil
	}, patience, time.Millisecond, "nobody else is let in")
	r.Reply(login.Reply{Kind: login.Accept})
	genuineBy(t, radsec, request, n.receive())
	n.isClosed()
	s.hasEnded(t)
}

func TestWhatIsHeldAfterTheDrainIsGivenUp(t *testing.T) {
	s := secure(t, nil)
	n := s.dial(t, s.config(t))
	n.send(asksBy(radsec, 7, 1, "an.nv", "secret"))
	r := s.next(t)
	s.stop()
	r.hasLeft(t)
	n.isClosed()
	s.hasEnded(t)
}

func FuzzStream(f *testing.F) {
	one := asksBy(radsec, 1, 1, "an.nv", "secret")
	f.Add(one)
	f.Add(append(append([]byte{}, one...), one...))
	f.Add(append(append([]byte{}, one...), 1, 2, 0, 19))
	f.Fuzz(func(t *testing.T, in []byte) {
		r, buf := strings.NewReader(string(in)), make([]byte, 4096)
		var read []byte
		for {
			b, err := readPacket(r, buf)
			if err != nil {
				rest := in[len(read):]
				whole := len(rest) >= 4 && len(rest) >= int(binary.BigEndian.Uint16(rest[2:]))
				if err == errLength {
					n := int(binary.BigEndian.Uint16(rest[2:]))
					require.True(t, n < 20 || n > 4096, fmt.Sprint(n))
				} else {
					require.False(t, whole, "a whole packet was not read")
				}
				return
			}
			require.GreaterOrEqual(t, len(b), 20)
			require.Equal(t, len(b), int(binary.BigEndian.Uint16(b[2:])))
			read = append(read, b...)
			require.Equal(t, string(in[:len(read)]), string(read), "every byte once, in order")
		}
	})
}
