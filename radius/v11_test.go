package radius

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	layeh "layeh.com/radius"

	"vssgate/internal/login"
	"vssgate/internal/secret"
)

// pack11 writes a packet of RADIUS/1.1 as it is told to.
func pack11(code byte, token uint32, attrs ...attr) []byte {
	var field [16]byte
	binary.BigEndian.PutUint32(field[:], token)
	return pack(code, 0, field, attrs...)
}

// asks11 is an ordinary Access-Request.
func asks11(token uint32, user, password string, more ...attr) []byte {
	return pack11(1, token, append([]attr{text(1, user), text(2, password)}, more...)...)
}

// genuine11 requires b to answer token as RFC 9765 says, and returns its
// attributes.
func genuine11(t testing.TB, token uint32, b []byte) []attr {
	require.Equal(t, len(b), int(binary.BigEndian.Uint16(b[2:])), "Length")
	require.Zero(t, b[1], "Reserved-1")
	require.Equal(t, token, binary.BigEndian.Uint32(b[4:]), "Token")
	require.Equal(t, make([]byte, 12), b[8:20], "Reserved-2")
	all := attrsOf(t, b)
	require.Empty(t, values(all, 80), "no Message-Authenticator in RADIUS/1.1")
	return all
}

func (s *secured) dial11(t testing.TB) *stream {
	n := s.dial(t, s.config(t, "radius/1.1", "radius/1.0"))
	require.Equal(t, "radius/1.1", n.conn.ConnectionState().NegotiatedProtocol)
	return n
}

func (n *stream) probe11() {
	n.send(pack11(12, 1<<31))
	answer := n.receive()
	require.Equal(n.t, byte(accept), answer[0])
	genuine11(n.t, 1<<31, answer)
}

func TestWhichVersionIsSpoken(t *testing.T) {
	s := secure(t, nil)
	for name, c := range map[string]struct {
		offered []string
		highest uint16
		want    string
	}{
		"both: the newer one":                {[]string{"radius/1.0", "radius/1.1"}, 0, "radius/1.1"},
		"only the new":                       {[]string{"radius/1.1"}, 0, "radius/1.1"},
		"only the old":                       {[]string{"radius/1.0"}, 0, "radius/1.0"},
		"nothing said: the old":              {nil, 0, ""},
		"both, but TLS 1.2: the old":         {[]string{"radius/1.1", "radius/1.0"}, tls.VersionTLS12, "radius/1.0"},
		"TLS 1.2, and nothing said: the old": {nil, tls.VersionTLS12, ""},
	} {
		t.Run(name, func(t *testing.T) {
			config := s.config(t, c.offered...)
			config.MaxVersion = c.highest
			n := s.dial(t, config)
			require.Equal(t, c.want, n.conn.ConnectionState().NegotiatedProtocol)
			if c.want == "radius/1.1" {
				n.probe11()
			} else {
				n.probe()
			}
		})
	}
	for name, c := range map[string]struct {
		offered string
		highest uint16
	}{"something else": {"h2", 0}, "RADIUS/1.1 in TLS 1.2": {"radius/1.1", tls.VersionTLS12}} {
		t.Run(name, func(t *testing.T) {
			config := s.config(t, c.offered)
			config.MaxVersion = c.highest
			_, err := tls.Dial("tcp", s.addr.String(), config)
			require.ErrorContains(t, err, "no application protocol")
			s.closed(t, BadHandshake)
		})
	}
}

func TestALoginInRADIUS11(t *testing.T) {
	s := secure(t, nil)
	n := s.dial11(t)
	password := strings.Repeat("mật khẩu ", 7) // 91 bytes: no multiple of 16
	n.send(asks11(0xfedcba98, "an.nv", password, text(33, "proxy"), attr{80, make([]byte, 16)}, text(31, "203.0.113.7")))
	r := s.next(t)
	require.Equal(t, "an.nv", r.Username)
	require.Equal(t, password, string(r.Password), "as it is; the Message-Authenticator is not looked at")
	require.Equal(t, "203.0.113.7", r.Station)
	r.Reply(login.Reply{Kind: login.Ask, State: []byte("opaque"), Prompt: login.PromptCode, Trace: "K7QF2D"})
	answer := n.receive()
	require.Equal(t, byte(challenge), answer[0])
	attrs := genuine11(t, 0xfedcba98, answer)
	require.Equal(t, []string{"opaque"}, values(attrs, 24))
	require.Equal(t, []string{"3  prompt.code [K7QF2D]"}, values(attrs, 18))
	require.Equal(t, []string{"proxy"}, values(attrs, 33))
	n.send(pack11(1, 2, text(1, "an.nv"), text(24, "opaque"))) // the user pressed OK: no password at all
	r = s.next(t)
	require.Equal(t, "opaque", string(r.State))
	require.Empty(t, r.Password)
	r.Reply(login.Reply{Kind: login.Accept})
	answer = n.receive()
	require.Equal(t, byte(accept), answer[0])
	genuine11(t, 2, answer)
}

// What needs a Message-Authenticator elsewhere needs none here.
func TestRADIUS11NeedsNoMessageAuthenticator(t *testing.T) {
	s := secure(t, nil)
	n := s.dial11(t)
	n.send(pack11(1, 1, text(1, "an.nv"), text(79, "\x02\x07\x00\x06\x03\x19")))
	answer := n.receive()
	require.Equal(t, byte(reject), answer[0])
	require.Equal(t, []string{"\x04\x07\x00\x04"}, values(genuine11(t, 1, answer), 79))
	n.probe11()
}

func TestPasswordsThatRADIUS11DoesNotTake(t *testing.T) {
	for name, attrs := range map[string][]attr{
		"none":                        {text(1, "an.nv")},
		"an empty one":                {text(1, "an.nv"), text(2, "")},
		"129 bytes":                   {text(1, "an.nv"), text(2, strings.Repeat("x", 129))},
		"padded as in RADIUS/1.0":     {text(1, "an.nv"), text(2, "secret\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")},
		"a NUL in it":                 {text(1, "an.nv"), text(2, "secret\x00,123456")},
		"CHAP without CHAP-Challenge": {text(1, "an.nv"), text(3, "\x01"+strings.Repeat("x", 16))},
	} {
		t.Run(name, func(t *testing.T) {
			s := secure(t, nil)
			n := s.dial11(t)
			n.send(pack11(1, 7, attrs...))
			answer := n.receive()
			require.Equal(t, byte(reject), answer[0])
			genuine11(t, 7, answer)
			s.idle(t)
			require.Equal(t, strings.Contains(name, "without"), strings.Contains(s.String(), rejectedChallenge))
		})
	}
}

// A Token is all there is to tell requests apart by; it may come again.
func TestATokenThatComesAgain(t *testing.T) {
	s := secure(t, nil)
	n := s.dial11(t)
	n.send(asks11(7, "an.nv", "secret"), asks11(7, "an.nv", "secret"))
	first := s.next(t)
	s.dropped(t, Retransmission)
	n.send(asks11(7, "binh.tt", "secret"))
	second := s.next(t)
	s.dropped(t, Superseded)
	first.hasLeft(t)
	second.Reply(login.Reply{Kind: login.Accept})
	answer := n.receive()
	n.send(asks11(7, "binh.tt", "secret"))
	require.Equal(t, answer, n.receive(), "the same bytes again")
	n.send(asks11(7, "chi.lt", "secret")) // an answer that is remembered is nobody else's
	third := s.next(t)
	require.Equal(t, "chi.lt", third.Username)
	third.Reply(login.Reply{Kind: login.Reject})
	require.Equal(t, byte(reject), n.receive()[0])
}

// Acceptance case 48, past the 256 of RADIUS/1.0.
func TestAThousandLoginsAreHeldOnOneConnection(t *testing.T) {
	s := secure(t, nil)
	n := s.dial11(t)
	const logins = 1000
	var all []byte
	for i := range logins {
		all = append(all, asks11(uint32(i)<<16, fmt.Sprint("user", i), "secret")...)
	}
	n.send(all)
	held := make([]asking, logins)
	for i := range held {
		held[i] = s.next(t)
		require.Equal(t, fmt.Sprint("user", i), held[i].Username)
	}
	require.Equal(t, logins, s.used("hq-vpn"))
	n.probe11()
	for i := range held { // the last first, every third accepted
		kind := login.Reject
		if (logins-1-i)%3 == 0 {
			kind = login.Accept
		}
		held[logins-1-i].Reply(login.Reply{Kind: kind})
	}
	for i := range held {
		token, answer := uint32(logins-1-i)<<16, n.receive()
		genuine11(t, token, answer)
		require.Equal(t, (logins-1-i)%3 == 0, answer[0] == accept)
	}
	require.Zero(t, s.used("hq-vpn"))
}

// And 256 at once in RADIUS/1.0.
func TestAllIdentifiersOfAConnectionAreHeldAtOnce(t *testing.T) {
	s := secure(t, nil)
	n := s.dial(t, s.config(t, "radius/1.0"))
	requests, held := make([][]byte, 256), make([]asking, 256)
	for i := range requests {
		requests[i] = asksBy(radsec, byte(i), i, fmt.Sprint("user", i), "secret")
	}
	n.send(bytes.Join(requests, nil))
	for i := range held {
		held[i] = s.next(t)
	}
	for i := range held {
		held[255-i].Reply(login.Reply{Kind: login.Accept})
	}
	for i := range held {
		genuineBy(t, radsec, requests[255-i], n.receive())
	}
}

// A password in clear text is taken in RADIUS/1.1 only.
func TestRADIUS10NeedsHiddenPasswords(t *testing.T) {
	s := secure(t, nil)
	n := s.dial(t, s.config(t))
	n.send(asks11(7, "an.nv", "secret"))
	require.Equal(t, byte(reject), n.receive()[0])
	s.idle(t)
	require.Contains(t, s.String(), rejectedPassword)
}

// What a packet of RADIUS/1.1 says can be said again in the same bytes.
func FuzzRADIUS11(f *testing.F) {
	f.Add(asks11(7, "an.nv", "secret", text(24, "opaque"), text(33, "")))
	f.Add(pack11(12, 1<<31))
	c := newClient(Client{Login: &login.Client{Name: "hq-vpn"}, Secret: secret.Secret(radsec)}, overV11)
	f.Fuzz(func(t *testing.T, in []byte) {
		p, drop := open(in, c, takesLogins)
		if drop != "" {
			return
		}
		framed := in[:binary.BigEndian.Uint16(in[2:])]
		require.Equal(t, framed[4:8], binary.BigEndian.AppendUint32(nil, p.id))
		again := layeh.Packet{Code: p.Code, Identifier: framed[1], Authenticator: tokenField(p.id), Attributes: p.Attributes}
		copy(again.Authenticator[4:], framed[8:20])
		b, err := again.MarshalBinary()
		require.NoError(t, err)
		require.Equal(t, framed, b)

		answered, err := answer{code: layeh.CodeAccessReject, text: "text"}.encode(c, p.id, p.Authenticator, p.proxyState())
		if err != nil {
			return // the Proxy-States fill it
		}
		genuine11(t, p.id, answered)
		if r, drop := p.read(c, source); drop == "" && r.request != nil && len(r.request.Password) > 0 {
			require.Contains(t, [][]byte{p.Get(2), []byte(latin1(p.Get(2)))}, r.request.Password)
		}
	})
}
