package radius

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	layeh "layeh.com/radius"

	"vssgate/internal/login"
	"vssgate/radius/wire"
)

// behind is an Upstream that nobody asks: it shows what it was given.
type behind struct {
	login.FirstFactor
	attributes layeh.Attributes
}

func (behind) Asking(list layeh.Attributes) login.FirstFactor { return behind{attributes: list} }

func (behind) Resolve(context.Context, string) (login.Identity, error) { panic("not asked here") }

func startBehind(t *testing.T) *bench {
	return start(t, func(o *Options) { o.Clients[0].Upstream = behind{} })
}

// given are the attributes that the request's first factor got.
func given(t *testing.T, r asking) (all []attr) {
	t.Helper()
	for _, a := range r.First.(behind).attributes {
		all = append(all, attr{byte(a.Type), a.Attribute})
	}
	return all
}

func microsoftsAttr(kind byte, value string) attr {
	return attr{26, append([]byte{0, 0, 1, 55, kind, byte(2 + len(value))}, value...)}
}

func TestWhatAnUpstreamJudgesPasses(t *testing.T) {
	auth := authOf(7)
	chap := text(3, "\x01sixteen bytes...")
	response, asked := microsoftsAttr(25, strings.Repeat("r", 50)), microsoftsAttr(11, "sixteen bytes of")
	identity := []byte{2, 9, 0, 10, 1, 'a', 'n', '.', 'n', 'v'}
	gtc := []byte{2, 9, 0, 7, 6, 'p', 'w'}
	for name, c := range map[string]struct {
		sent        []attr
		goesOn      []attr // besides
		proof       string
		noChallenge bool
		probe       bool
	}{
		"CHAP with its challenge":                             {[]attr{chap, text(60, "challenge")}, nil, string(chap.value) + "challenge", false, true},
		"CHAP, whose challenge was the Request Authenticator": {[]attr{chap}, []attr{{60, auth[:]}}, string(chap.value) + string(auth[:]), false, true},
		"MS-CHAPv2":      {[]attr{asked, response}, nil, string(wire.Pack(layeh.Attributes{{Type: 26, Attribute: asked.value}, {Type: 26, Attribute: response.value}})), true, true},
		"EAP":            {[]attr{{79, identity}}, nil, string(identity), true, false},
		"EAP in parts":   {[]attr{{79, identity[:4]}, {79, identity[4:]}}, nil, string(identity), true, false},
		"EAP that shows": {[]attr{{79, gtc}}, nil, string(gtc), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := startBehind(t)
			n := newNAS(t, b.addr)
			before := []attr{text(1, "an.nv"), text(32, "vpn1"), text(31, "203.0.113.7"), {6, []byte{0, 0, 0, 2}}}
			all := append(append([]attr{}, before...), c.sent...)
			n.send(signed(1, 7, auth, 0, append(append([]attr{}, all...), text(33, "proxy"))...))
			r := b.next(t)
			require.Equal(t, append(all, c.goesOn...), given(t, r), "without Message-Authenticator and Proxy-State, in order")
			require.True(t, r.Conversation)
			require.Equal(t, c.proof, string(r.Password))
			require.Equal(t, c.noChallenge, r.NoChallenge)
			require.Equal(t, c.probe, r.Probe)
			r.Reply(login.Reply{Kind: login.Silence})
		})
	}
	t.Run("a password is a password", func(t *testing.T) {
		b := startBehind(t)
		newNAS(t, b.addr).send(asks(7, 1, "an.nv", "secret", text(24, "state of ours")))
		r := b.next(t)
		require.False(t, r.Conversation || r.NoChallenge || r.Probe)
		require.Equal(t, "secret", string(r.Password))
		require.Equal(t, "state of ours", string(r.State))
		list := given(t, r)
		require.Equal(t, byte(2), list[1].kind, "where the password belongs")
		require.Empty(t, values(list, 24), "our State is not the upstream's")
		r.Reply(login.Reply{Kind: login.Silence})
	})
}

func TestWhatAnUpstreamSaysGoesOn(t *testing.T) {
	key := layeh.Attributes{{Type: 26, Attribute: microsoftsAttr(16, "the key itself").value}, {Type: 18, Attribute: layeh.Attribute("hello")}, {Type: 25, Attribute: layeh.Attribute("class")}}
	b := startBehind(t)
	n := newNAS(t, b.addr)

	request := asks(7, 1, "an.nv", "secret", text(33, "proxy"))
	n.send(request)
	b.next(t).Reply(login.Reply{Kind: login.Accept, Keep: wire.Pack(key)})
	all := genuine(t, request, n.receive())
	var kinds []byte
	for _, a := range all {
		kinds = append(kinds, a.kind)
	}
	require.Equal(t, []byte{80, 26, 18, 25, 33}, kinds)
	plain, _, err := layeh.TunnelPassword(all[1].value[6:], []byte(shared), request[4:20])
	require.NoError(t, err)
	require.Equal(t, "the key itself", string(plain), "hidden for this NAS and this request")

	code, attrs := n.askWith(b, asks(8, 2, "an.nv", "secret"), login.Reply{Kind: login.Relay, State: []byte("ours"), Data: wire.Pack(key[1:2])})
	require.Equal(t, byte(challenge), code)
	require.Equal(t, []string{"ours"}, values(attrs, 24))
	require.Contains(t, values(attrs, 18), "hello")

	code, attrs = n.askWith(b, asks(9, 3, "an.nv", "secret"), login.Reply{Kind: login.Reject, Reason: login.BadPassword, Trace: "K7QF2D", Data: wire.Pack(key[1:2])})
	require.Equal(t, byte(reject), code)
	require.Equal(t, []string{"2 bad_password  [K7QF2D]", "hello"}, values(attrs, 18))
}

// askWith sends b, has the handler reply so, and reads the answer.
func (n *nas) askWith(b *bench, request []byte, r login.Reply) (code byte, attrs []attr) {
	n.t.Helper()
	n.send(request)
	b.next(n.t).Reply(r)
	answer := n.receive()
	return answer[0], genuine(n.t, request, answer)
}

// A second factor that is missing ends an EAP login with EAP-Failure, whatever
// the upstream had said; texts do not come beside EAP.
func TestEAPEndsWithTheVerdict(t *testing.T) {
	success := layeh.Attributes{{Type: 79, Attribute: layeh.Attribute{3, 9, 0, 4}}, {Type: 18, Attribute: layeh.Attribute("hello")}}
	response := attr{79, []byte{2, 42, 0, 6, 13, 0}}
	for name, c := range map[string]struct {
		reply login.Reply
		code  byte
		eap   string
	}{
		"accepted":        {login.Reply{Kind: login.Accept, Keep: wire.Pack(success)}, accept, "\x03\x2a\x00\x04"},
		"denied":          {login.Reply{Kind: login.Reject, Reason: login.Denied, Trace: "K7QF2D"}, reject, "\x04\x2a\x00\x04"},
		"a State unknown": {login.Reply{Kind: login.BadAnswer, Reason: login.BadState}, reject, "\x04\x2a\x00\x04"},
	} {
		t.Run(name, func(t *testing.T) {
			b := startBehind(t)
			code, attrs := newNAS(t, b.addr).askWith(b, signed(1, 7, authOf(7), 0, text(1, "anonymous"), response), c.reply)
			require.Equal(t, c.code, code)
			require.Equal(t, []string{c.eap}, values(attrs, 79))
			require.Empty(t, values(attrs, 18))
		})
	}
	t.Run("a round in parts", func(t *testing.T) {
		b := startBehind(t)
		long := wire.EAP{Code: wire.EAPRequest, ID: 43, Type: 13, Data: make([]byte, 1000)}.Bytes()
		code, attrs := newNAS(t, b.addr).askWith(b, signed(1, 7, authOf(7), 0, text(1, "anonymous"), response),
			login.Reply{Kind: login.Relay, State: []byte("ours"), Data: wire.Pack(wire.Split(79, long))})
		require.Equal(t, byte(challenge), code)
		require.Equal(t, string(long), strings.Join(values(attrs, 79), ""))
		require.Equal(t, []string{"ours"}, values(attrs, 24))
	})
}
