package radius

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
	"vssgate/internal/secret"
)

func dial(t *testing.T, addr netip.AddrPort) *Asker {
	a, err := Dial(addr.String(), secret.Secret(shared))
	require.NoError(t, err)
	t.Cleanup(func() { a.Close() })
	return a
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func TestAskerLogsInWithAChallenge(t *testing.T) {
	b := start(t, func(o *Options) {
		o.Handler.(*scripted).script = func(r *login.Request) func() {
			switch {
			case r.State == nil && string(r.Password) == "mật khẩu" && r.NAS == "vpn1" && r.Station == "203.0.113.7":
				r.Reply(login.Reply{Kind: login.Ask, State: []byte("opaque"), Prompt: login.PromptCode, Trace: "K7QF2D"})
			case string(r.State) == "opaque" && string(r.Password) == "123456":
				r.Reply(login.Reply{Kind: login.Accept})
			default:
				r.Reply(login.Reply{Kind: login.Reject, Reason: login.BadPassword})
			}
			return nil
		}
	})
	a := dial(t, b.addr)
	var lines []string
	a.Trace = func(p Traced) { lines = append(lines, p.String()) }
	q := Question{Username: "an.nv", Password: []byte("mật khẩu"), NAS: "vpn1", Station: "203.0.113.7:99",
		NASAddress: netip.MustParseAddr("192.0.2.1"), ProxyState: [][]byte{[]byte("p")}}
	first, err := a.Ask(soon(t), q)
	require.NoError(t, err)
	require.Equal(t, Challenge, first.Code)
	require.Equal(t, "3  prompt.code [K7QF2D]", first.Text)
	q.Password, q.State = []byte("123456"), first.State
	second, err := a.Ask(soon(t), q)
	require.NoError(t, err)
	require.Equal(t, Accept, second.Code)
	require.Equal(t, 1, second.Sent)
	require.Len(t, lines, 4)
	require.Regexp(t, `^-> Access-Request \d+ Message-Authenticator User-Name="an.nv" User-Password=\[16 bytes\] NAS-Identifier="vpn1" NAS-IP-Address=192.0.2.1 Calling-Station-Id="203.0.113.7:99" Proxy-State=\[1 bytes\]$`, lines[0])
	require.Regexp(t, `^<- Access-Challenge \d+ Message-Authenticator Reply-Message="3  prompt.code \[K7QF2D\]" State=\[6 bytes\] Prompt=No-Echo Proxy-State=\[1 bytes\]$`, lines[1])
	require.NotContains(t, strings.Join(lines, "\n"), "123456")
}

func TestAskerProbes(t *testing.T) {
	b := start(t, nil)
	answer, err := dial(t, b.addr).Probe(soon(t))
	require.NoError(t, err)
	require.Equal(t, Accept, answer.Code)
}

func TestAskerSendsTheSameBytesAgain(t *testing.T) {
	server := listen(t, "udp4", "127.0.0.1:0")
	t.Cleanup(func() { server.Close() })
	a := dial(t, server.LocalAddr().(*net.UDPAddr).AddrPort())
	a.Resend, a.Tries = time.Millisecond, 3
	done := make(chan Answer, 1)
	go func() {
		answer, _ := a.Ask(soon(t), Question{Username: "an.nv", Password: []byte("secret")})
		done <- answer
	}()
	buf := make([]byte, 4096)
	var first []byte
	var from netip.AddrPort
	for range 3 {
		n, source, err := server.ReadFromUDPAddrPort(buf)
		require.NoError(t, err)
		if first == nil {
			first, from = bytes.Clone(buf[:n]), source
		}
		require.Equal(t, first, buf[:n])
	}
	server.WriteToUDPAddrPort(response(t, first, Reject, true), from)
	answer := <-done
	require.Equal(t, Reject, answer.Code)
	require.Equal(t, 3, answer.Sent)
}

// response answers request, with Message-Authenticator or without.
func response(t *testing.T, request []byte, code Code, ma bool) []byte {
	var auth [16]byte
	copy(auth[:], request[4:20])
	b, err := answer{code: code, text: "text"}.encode(testClient(), uint32(request[1]), auth, nil)
	require.NoError(t, err)
	if !ma {
		bare := pack(byte(code), request[1], auth, text(18, "text"))
		sum := md5Of(bare, []byte(shared))
		copy(bare[4:], sum[:])
		return bare
	}
	return b
}

func TestAskerPassesOverWhatIsNoAnswer(t *testing.T) {
	server := listen(t, "udp4", "127.0.0.1:0")
	t.Cleanup(func() { server.Close() })
	a := dial(t, server.LocalAddr().(*net.UDPAddr).AddrPort())
	done := make(chan Answer, 1)
	go func() {
		answer, _ := a.Ask(soon(t), Question{Username: "an.nv"})
		done <- answer
	}()
	buf := make([]byte, 4096)
	n, from, err := server.ReadFromUDPAddrPort(buf)
	require.NoError(t, err)
	request := buf[:n]
	right := response(t, request, Accept, true)
	for _, junk := range [][]byte{
		{}, {2}, make([]byte, 20), make([]byte, 4097),
		response(t, request, Accept, false), // no Message-Authenticator
		with(right, func(b []byte) { b[1]++ }),
		with(right, func(b []byte) { b[0] = 3 }),
		with(right, func(b []byte) { b[4]++ }),
		with(right, func(b []byte) { b[len(b)-1]++ }),
		with(right, func(b []byte) { b[3]++ }),
		forged(right, request),
		response(t, with(request, func(b []byte) { b[1]++ }), Accept, true), // right, of another Identifier
		twiceSigned(request),
		response(t, request, 5, true),
		request,
	} {
		for range 2 { // more than the receive buffer holds would prove nothing
			server.WriteToUDPAddrPort(junk, from)
		}
	}
	server.WriteToUDPAddrPort(append(response(t, request, Reject, true), "padding"...), from)
	require.Equal(t, Reject, (<-done).Code)
}

// forged has a right Response Authenticator over a wrong Message-Authenticator:
// what a collision of MD5 could make.
func forged(right, request []byte) []byte {
	return with(right, func(b []byte) {
		b[25]++
		copy(b[4:20], request[4:20])
		sum := md5Of(b, []byte(shared))
		copy(b[4:], sum[:])
	})
}

// twiceSigned is an Accept with two Message-Authenticators, the last one right.
func twiceSigned(request []byte) []byte {
	var auth [16]byte
	copy(auth[:], request[4:20])
	b := signed(2, request[1], auth, 1, attr{80, make([]byte, 16)})
	sum := md5Of(b, []byte(shared))
	copy(b[4:], sum[:])
	return b
}

func TestAskerGivesUpWithItsContext(t *testing.T) {
	closed := listen(t, "udp4", "127.0.0.1:0")
	addr := closed.LocalAddr().(*net.UDPAddr).AddrPort()
	closed.Close() // ICMP says that nobody listens; somebody may soon
	a := dial(t, addr)
	a.Resend, a.Tries = time.Millisecond, 2
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	_, err := a.Ask(ctx, Question{Username: "an.nv", Password: []byte("canary")})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "2 tries")
	require.NotContains(t, err.Error(), "canary")
}

func TestAskerRefusesWhatDoesNotFit(t *testing.T) {
	a := dial(t, netip.MustParseAddrPort("127.0.0.1:1"))
	_, err := a.Ask(soon(t), Question{Password: make([]byte, 129)})
	require.ErrorContains(t, err, "password")
	_, err = a.Ask(soon(t), Question{Username: strings.Repeat("a", 254)})
	require.Error(t, err)
	_, err = Dial("no port", secret.Secret(shared))
	require.Error(t, err)
}
