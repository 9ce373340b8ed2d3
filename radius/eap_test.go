package radius

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
	"vssgate/radius/wire"
)

// An eapPeer is a user's device behind a NAS: it answers EAP packets.
type eapPeer struct {
	*nas
	n     int
	state string
	id    byte   // of the last EAP packet that came
	said  string // its data
}

func newEAPPeer(t testing.TB, server netip.AddrPort) *eapPeer {
	return &eapPeer{nas: newNAS(t, server), id: 40}
}

func (p *eapPeer) packet(eap []byte, more ...attr) []byte {
	p.n++
	attrs := []attr{text(1, "an.nv"), text(32, "ikev2-gateway")}
	if p.state != "" {
		attrs = append(attrs, text(24, p.state))
	}
	for len(eap) > 253 {
		attrs, eap = append(attrs, attr{79, eap[:253]}), eap[253:]
	}
	return signed(1, byte(p.n), authOf(p.n), 0, append(append(attrs, attr{79, eap}), more...)...)
}

// reads notes what a challenge asks.
func (p *eapPeer) reads(code byte, attrs []attr) (byte, wire.EAP) {
	p.t.Helper()
	e, err := wire.ParseEAP([]byte(strings.Join(values(attrs, 79), "")))
	require.NoError(p.t, err)
	require.Empty(p.t, values(attrs, 18), "no Reply-Message beside EAP-Message")
	p.id, p.said = e.ID, string(e.Data)
	if code == challenge {
		p.state = values(attrs, 24)[0]
		require.Equal(p.t, byte(wire.EAPRequest), e.Code)
	}
	return code, e
}

// says sends an EAP response to what came last and reads the answer.
func (p *eapPeer) says(kind byte, data string) (byte, wire.EAP) {
	p.t.Helper()
	return p.reads(p.ask(p.packet(eapResponse(p.id, kind, data))))
}

func eapResponse(id, kind byte, data string) []byte {
	return wire.EAP{Code: wire.EAPResponse, ID: id, Type: kind, Data: []byte(data)}.Bytes()
}

// begins tells the name and is asked for the password.
func (p *eapPeer) begins() {
	p.t.Helper()
	before := p.id
	code, e := p.says(wire.EAPIdentity, "an.nv")
	require.Equal(p.t, byte(challenge), code)
	require.Equal(p.t, byte(wire.EAPGTC), e.Type)
	require.Equal(p.t, "Password: ", p.said)
	require.NotEqual(p.t, before, p.id, "a new request has another id")
}

func TestGTCIsAPasswordLikeAnyOther(t *testing.T) {
	b := start(t, nil)
	p := newEAPPeer(t, b.addr)
	p.begins()
	b.idle(t)
	id := p.id
	p.send(p.packet(eapResponse(id, wire.EAPGTC, "mật khẩu,123456")))
	r := b.next(t)
	require.Equal(t, "an.nv", r.Username)
	require.Equal(t, "ikev2-gateway", r.NAS)
	require.Equal(t, "mật khẩu,123456", string(r.Password))
	require.Nil(t, r.State, "the core knows nothing of the conversation")
	require.False(t, r.Conversation || r.NoChallenge)
	r.Reply(login.Reply{Kind: login.Accept})
	code, e := p.reads(read(p))
	require.Equal(t, byte(accept), code)
	require.Equal(t, wire.EAP{Code: wire.EAPSuccess, ID: id}, e)
}

// read is the genuine answer to what p sent last.
func read(p *eapPeer) (byte, []attr) {
	answer := p.receive()
	request := pack(1, byte(p.n), authOf(p.n))
	return answer[0], genuine(p.t, request, answer)
}

func TestGTCChallenges(t *testing.T) {
	b := start(t, nil)
	p := newEAPPeer(t, b.addr)
	p.begins()
	p.send(p.packet(eapResponse(p.id, wire.EAPGTC, "password")))
	state := []byte("twenty-four bytes of it.")
	b.next(t).Reply(login.Reply{Kind: login.Ask, Prompt: login.PromptCode, State: state, Trace: "K7QF2D"})
	code, e := p.reads(read(p))
	require.Equal(t, byte(challenge), code)
	require.Equal(t, byte(wire.EAPGTC), e.Type)
	require.Contains(t, p.said, "prompt.code [K7QF2D]")
	id := p.id
	p.send(p.packet(eapResponse(id, wire.EAPGTC, "123456")))
	r := b.next(t)
	require.Equal(t, "123456", string(r.Password))
	require.Equal(t, state, r.State, "the core's own State")
	r.Reply(login.Reply{Kind: login.Reject, Reason: login.BadCode, Trace: "K7QF2D"})
	code, e = p.reads(read(p))
	require.Equal(t, byte(reject), code)
	require.Equal(t, wire.EAP{Code: wire.EAPFailure, ID: id}, e)
}

func TestEAPThatGoesWrong(t *testing.T) {
	for name, c := range map[string]struct {
		do  func(t *testing.T, b *bench, p *eapPeer) []byte // the request that is refused
		why string
	}{
		"another method than the one asked for": {func(t *testing.T, b *bench, p *eapPeer) []byte {
			p.begins()
			return p.packet(eapResponse(p.id, 26, "\x02"))
		}, "EAP type 26 (MSCHAPv2)"},
		"the device refuses GTC": {func(t *testing.T, b *bench, p *eapPeer) []byte {
			p.begins()
			return p.packet(eapResponse(p.id, wire.EAPNak, "\x19"))
		}, "asks for EAP type 25 (PEAP)"},
		"the device refuses GTC from the start": {func(t *testing.T, b *bench, p *eapPeer) []byte {
			return p.packet(eapResponse(9, wire.EAPNak, "\x15"))
		}, "asks for EAP type 21 (TTLS)"},
		"an answer to another request": {func(t *testing.T, b *bench, p *eapPeer) []byte {
			p.begins()
			return p.packet(eapResponse(p.id+1, wire.EAPGTC, "password"))
		}, "bad_eap"},
		"the password where the name was asked for": {func(t *testing.T, b *bench, p *eapPeer) []byte {
			p.reads(p.ask(p.packet(nil)))
			return p.packet(eapResponse(p.id, wire.EAPGTC, "password"))
		}, "reason=eap"},
		"a State that was changed": {func(t *testing.T, b *bench, p *eapPeer) []byte {
			p.begins()
			p.state = strings.Replace(p.state, p.state[:1], string(p.state[0]^1), 1)
			return p.packet(eapResponse(p.id, wire.EAPGTC, "password"))
		}, "bad_state"},
		"a State of another client": {func(t *testing.T, b *bench, p *eapPeer) []byte {
			p.state = string(b.server.eap.seal("another", eapAsked{stage: askedPassword, id: p.id}, time.Now()))
			return p.packet(eapResponse(p.id, wire.EAPGTC, "password"))
		}, "bad_state"},
		"a State that is too old": {func(t *testing.T, b *bench, p *eapPeer) []byte {
			p.state = string(b.server.eap.seal("hq-vpn", eapAsked{stage: askedPassword, id: p.id}, time.Now().Add(-eapPatience)))
			return p.packet(eapResponse(p.id, wire.EAPGTC, "password"))
		}, "bad_state"},
		"a request instead of a response": {func(t *testing.T, b *bench, p *eapPeer) []byte {
			return p.packet(wire.EAP{Code: wire.EAPRequest, ID: 3, Type: wire.EAPGTC}.Bytes())
		}, "bad_eap"},
		"a length that is not true": {func(t *testing.T, b *bench, p *eapPeer) []byte {
			return p.packet([]byte{2, 9, 0, 50, 1, 'a'})
		}, "bad_eap"},
		"parts that do not follow each other": {func(t *testing.T, b *bench, p *eapPeer) []byte {
			whole := eapResponse(9, wire.EAPIdentity, "an.nv")
			return p.packet(whole[:6], text(32, "between"), attr{79, whole[6:]})
		}, "bad_eap"},
		"a NUL in the password": {func(t *testing.T, b *bench, p *eapPeer) []byte {
			p.begins()
			return p.packet(eapResponse(p.id, wire.EAPGTC, "good\x00,999999"))
		}, "bad_password_attribute"},
		"a password of 129 bytes": {func(t *testing.T, b *bench, p *eapPeer) []byte {
			p.begins()
			return p.packet(eapResponse(p.id, wire.EAPGTC, strings.Repeat("x", 129)))
		}, "bad_password_attribute"},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, nil)
			p := newEAPPeer(t, b.addr)
			request := c.do(t, b, p)
			code, attrs := p.ask(request)
			require.Equal(t, byte(reject), code)
			_, e := p.reads(code, attrs)
			require.Equal(t, byte(wire.EAPFailure), e.Code)
			b.idle(t)
			require.Contains(t, b.String(), c.why)
			require.Contains(t, b.String(), "hint=")
		})
	}
}

// A NAS may begin with a method of its own choice, or with nothing at all (RFC
// 3579 section 2.1).
func TestAnyBeginningLeadsToGTC(t *testing.T) {
	b := start(t, nil)
	for name, begins := range map[string][]byte{
		"MD5":              eapResponse(7, 4, "\x10"),
		"a Nak with GTC":   eapResponse(7, wire.EAPNak, "\x19\x06"),
		"the name at once": eapResponse(7, wire.EAPIdentity, "an.nv"),
	} {
		t.Run(name, func(t *testing.T) {
			p := newEAPPeer(t, b.addr)
			code, e := p.reads(p.ask(p.packet(begins)))
			require.Equal(t, byte(challenge), code)
			require.Equal(t, byte(wire.EAPGTC), e.Type)
			require.NotEqual(t, byte(7), e.ID)
		})
	}
	t.Run("EAP-Start", func(t *testing.T) {
		p := newEAPPeer(t, b.addr)
		code, e := p.reads(p.ask(p.packet(nil)))
		require.Equal(t, byte(challenge), code)
		require.Equal(t, byte(wire.EAPIdentity), e.Type)
		p.begins()
	})
}

// Two nodes with the same key: the second one goes on.
func TestAnyNodeGoesOnWithAConversation(t *testing.T) {
	key := bytes.Repeat([]byte{7}, 32)
	with := func(o *Options) { o.EAPKey = key }
	one, two := start(t, with), start(t, with)
	p := newEAPPeer(t, one.addr)
	p.begins()
	p.nas = newNAS(t, two.addr)
	p.send(p.packet(eapResponse(p.id, wire.EAPGTC, "password")))
	require.Equal(t, "password", string(two.next(t).Password))
}

func FuzzEAPState(f *testing.F) {
	s := newEAPStates([]byte("key"))
	now := time.Unix(1_800_000_000, 0)
	f.Add(s.seal("hq-vpn", eapAsked{stage: askedCode, id: 7, state: []byte("state")}, now))
	f.Fuzz(func(t *testing.T, state []byte) {
		a, ok := s.open("hq-vpn", state, now)
		if ok && a.stage != askedCode {
			t.Fatalf("opened what was not made: %x", state)
		}
		made := s.seal("hq-vpn", eapAsked{stage: askedPassword, id: 1, state: state}, now)
		back, ok := s.open("hq-vpn", made, now.Add(eapPatience-time.Second))
		require.True(t, ok)
		require.Equal(t, string(state), string(back.state))
		made[len(state)%len(made)] ^= 1
		_, ok = s.open("hq-vpn", made, now)
		require.False(t, ok, "one flipped bit")
	})
}

// eapolTest logs in as wpa_supplicant would, by EAP method, and returns what
// eapol_test printed.
func eapolTest(t *testing.T, addr netip.AddrPort, user, password, network string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("eapol_test")
	require.NoError(t, err, "eapol_test is missing: test/packages.sh installs it")
	file := filepath.Join(t.TempDir(), "network.conf")
	conf := fmt.Sprintf("network={\n ssid=\"x\"\n key_mgmt=WPA-EAP\n identity=%q\n password=%q\n %s\n}\n", user, password, network)
	require.NoError(t, os.WriteFile(file, []byte(conf), 0o600))
	args = append([]string{"-c", file, "-a", addr.Addr().String(), "-p", fmt.Sprint(addr.Port()), "-s", shared, "-t", "10"}, args...)
	out, _ := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
	return string(out)
}

func TestEAPOLTestWithGTC(t *testing.T) {
	addr := start(t, func(o *Options) {
		o.Handler.(*scripted).script = func(r *login.Request) func() {
			if r.Username != "an.nv" || string(r.Password) != "right" {
				r.Reply(login.Reply{Kind: login.Reject, Reason: login.BadPassword})
				return nil
			}
			r.Reply(login.Reply{Kind: login.Accept})
			return nil
		}
	}).addr
	out := eapolTest(t, addr, "an.nv", "right", "eap=GTC", "-n")
	require.True(t, strings.HasSuffix(out, "SUCCESS\n"), out)
	out = eapolTest(t, addr, "an.nv", "wrong", "eap=GTC", "-n")
	require.True(t, strings.HasSuffix(out, "FAILURE\n"), out)
	require.Contains(t, out, "EAP: Status notification: completion (param=failure)", "told, not timed out")
	out = eapolTest(t, addr, "an.nv", "right", "eap=MD5", "-n")
	require.Contains(t, out, "EAP: Received EAP-Failure")
}
