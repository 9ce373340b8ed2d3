package radius

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
)

const (
	accept    = 2
	reject    = 3
	challenge = 11
)

func TestAHeldRequestIsAnsweredWhenItIsDecided(t *testing.T) {
	b := start(t, nil)
	n := newNAS(t, b.addr)
	request := asks(7, 1, "an.nv", "mật khẩu,123456", text(31, "203.0.113.7:1024"), text(32, "vpn1"))
	n.send(request)
	r := b.next(t)
	require.Equal(t, login.RADIUS, r.FrontEnd)
	require.Equal(t, "hq-vpn", r.Client.Name)
	require.Equal(t, "an.nv", r.Username)
	require.Equal(t, "mật khẩu,123456", string(r.Password))
	require.Equal(t, "vpn1", r.NAS)
	require.Equal(t, "203.0.113.7", r.Station)
	require.Equal(t, netip.MustParseAddr("127.0.0.1"), r.Source)
	require.Nil(t, r.State)
	require.Equal(t, 1, b.used("hq-vpn"))
	n.hearsNothing()
	r.Reply(login.Reply{Kind: login.Accept})
	answer := n.receive()
	require.Equal(t, byte(accept), answer[0])
	genuine(t, request, answer)
	require.Equal(t, 0, b.used("hq-vpn"))
}

func TestReplies(t *testing.T) {
	state := []byte("twenty-four bytes of it.")
	for name, c := range map[string]struct {
		reply  login.Reply
		code   byte
		text   []string
		state  []string
		prompt []string
	}{
		"accept":               {login.Reply{Kind: login.Accept}, accept, nil, nil, nil},
		"reject with its text": {login.Reply{Kind: login.Reject, Reason: login.Denied, Trace: "K7QF2D"}, reject, []string{"2 denied  [K7QF2D]"}, nil, nil},
		"a challenge has State, text and Prompt": {login.Reply{Kind: login.Ask, Prompt: login.PromptCode, State: state, Trace: "K7QF2D"}, challenge,
			[]string{"3  prompt.code [K7QF2D]"}, []string{string(state)}, []string{"\x00\x00\x00\x00"}},
		"a relayed challenge has State":        {login.Reply{Kind: login.Relay, State: state}, challenge, []string{"4   []"}, []string{string(state)}, nil},
		"a bad answer is a reject":             {login.Reply{Kind: login.BadAnswer, Reason: login.BadState}, reject, []string{"6 bad_state  []"}, nil, nil},
		"a reject carries no State":            {login.Reply{Kind: login.Reject, State: state}, reject, []string{"2   []"}, nil, nil},
		"an unknown kind of reply is a reject": {login.Reply{Kind: 99}, reject, []string{"99   []"}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, nil)
			n := newNAS(t, b.addr)
			proxies := []attr{text(33, strings.Repeat("a", 253)), text(33, strings.Repeat("b", 253)), text(33, "")}
			request := asks(7, 1, "an.nv", "secret", proxies...)
			n.send(request)
			b.next(t).Reply(c.reply)
			answer := n.receive()
			attrs := genuine(t, request, answer)
			require.Equal(t, c.code, answer[0])
			require.Equal(t, c.text, values(attrs, 18))
			require.Equal(t, c.state, values(attrs, 24))
			require.Equal(t, c.prompt, values(attrs, 76))
			require.Equal(t, fmt.Sprint(proxies), fmt.Sprint(attrs[len(attrs)-3:]), "Proxy-State: all, in order, at the end")
		})
	}
}

func TestTheStateAndTheCodeComeToTheHandler(t *testing.T) {
	b := start(t, nil)
	n := newNAS(t, b.addr)
	n.send(asks(1, 1, "an.nv", "secret"))
	b.next(t).Reply(login.Reply{Kind: login.Ask, State: []byte("opaque")})
	given := values(attrsOf(t, n.receive()), 24)[0]
	n.send(asks(2, 2, "an.nv", "123456", text(24, given)))
	r := b.next(t)
	require.Equal(t, "opaque", string(r.State))
	require.Equal(t, "123456", string(r.Password))
	r.Reply(login.Reply{Kind: login.Accept})
	require.Equal(t, byte(accept), n.receive()[0])
}

func TestWhatTheHandlerShedsIsCountedAndTold(t *testing.T) {
	b := start(t, nil)
	n := newNAS(t, b.addr)
	n.send(asks(1, 1, "an.nv", "secret"))
	b.next(t).Reply(login.Reply{Kind: login.NoAnswer, Reason: login.Shed})
	b.dropped(t, Shed)
	n.hearsNothing()
	require.Contains(t, b.String(), "more logins come than can be decided at once")
}

func TestSilenceAndNoAnswerSendNothing(t *testing.T) {
	b := start(t, nil)
	n := newNAS(t, b.addr)
	silent := asks(1, 1, "an.nv", "secret")
	n.send(silent)
	b.next(t).Reply(login.Reply{Kind: login.Silence})
	n.hearsNothing()
	n.send(silent)
	b.dropped(t, Retransmission)
	b.idle(t)

	down := asks(2, 2, "an.nv", "secret")
	n.send(down)
	b.next(t).Reply(login.Reply{Kind: login.NoAnswer, Reason: login.Unavailable})
	n.hearsNothing()
	n.send(down)
	b.next(t).Reply(login.Reply{Kind: login.Accept}) // what was down is up again
	genuine(t, down, n.receive())
	require.Equal(t, 0, b.used("hq-vpn"))
}

func TestRetransmissions(t *testing.T) {
	b := start(t, nil)
	n := newNAS(t, b.addr)
	request := asks(7, 1, "an.nv", "secret")
	for range 20 {
		n.send(request)
	}
	for range 19 {
		b.dropped(t, Retransmission)
	}
	r := b.next(t)
	b.idle(t)
	r.Reply(login.Reply{Kind: login.Reject, Reason: login.Denied, Trace: "K7QF2D"})
	first := n.receive()
	n.hearsNothing()
	for range 3 { // the answer was lost
		n.send(request)
		require.Equal(t, first, n.receive(), "the same bytes again")
		<-b.resent
	}
	b.idle(t)
}

func TestAReplyIsSentOnce(t *testing.T) {
	b := start(t, nil)
	n := newNAS(t, b.addr)
	request := asks(7, 1, "an.nv", "secret")
	n.send(request)
	r := b.next(t)
	r.Reply(login.Reply{Kind: login.Reject})
	r.Reply(login.Reply{Kind: login.Accept})
	require.Equal(t, byte(reject), n.receive()[0])
	n.hearsNothing()
	n.send(request)
	require.Equal(t, byte(reject), n.receive()[0])
}

func TestAnIdentifierUsedAgainSupersedesTheHeldRequest(t *testing.T) {
	b := start(t, nil)
	n := newNAS(t, b.addr)
	n.send(asks(7, 1, "slow", "secret"))
	slow := b.next(t)
	bob := asks(7, 2, "bob", "secret")
	n.send(bob)
	r := b.next(t)
	require.Equal(t, "bob", r.Username)
	slow.hasLeft(t)
	b.dropped(t, Superseded)
	require.Equal(t, 1, b.used("hq-vpn"))
	slow.Reply(login.Reply{Kind: login.Accept}) // too late: was on its way
	n.hearsNothing()
	r.Reply(login.Reply{Kind: login.Accept})
	genuine(t, bob, n.receive())
}

func TestAnIdentifierUsedAgainAfterTheAnswerIsANewRequest(t *testing.T) {
	b := start(t, nil)
	n := newNAS(t, b.addr)
	for i := range 1000 { // a restarted NAS begins at 0 again, more than once
		request := asks(byte(i), i, "an.nv", "secret")
		n.send(request)
		r := b.next(t)
		r.Reply(login.Reply{Kind: login.Accept})
		genuine(t, request, n.receive())
		select {
		case <-r.left:
			require.Fail(t, "an answered request was told that its NAS has left")
		default:
		}
	}
}

// A NAS that restarts begins again at Identifier 0, from the same port, and
// knows nothing of what it asked before.
func TestANASThatRestartsIsServed(t *testing.T) {
	b := start(t, nil)
	n := newNAS(t, b.addr)
	const logins = 100
	var before []asking
	for i := range logins {
		n.send(asks(byte(i), i, fmt.Sprint("before", i), "secret"))
		before = append(before, b.next(t))
	}
	for i := range logins {
		request := asks(byte(i), logins+i, fmt.Sprint("after", i), "secret")
		n.send(request)
		r := b.next(t)
		require.Equal(t, fmt.Sprint("after", i), r.Username)
		before[i].hasLeft(t)
		r.Reply(login.Reply{Kind: login.Accept})
		genuine(t, request, n.receive())
	}
	require.Equal(t, 0, b.used("hq-vpn"))
}

// Whether the node can decide is answered as soon as when nobody waits, however many do.
func TestStatusIsAnsweredBesideTenThousandHeld(t *testing.T) {
	b := start(t, nil)
	alone := quartile(t, b)
	const each = 250
	for range 40 {
		n := newNAS(t, b.addr)
		for i := range each {
			n.send(asks(byte(i), i, "an.nv", "secret"))
			b.next(t)
		}
	}
	require.Equal(t, 40*each, b.used("hq-vpn"))
	require.Less(t, quartile(t, b), max(10*time.Millisecond, 20*alone))
}

// quartile is in what time a quarter of the answers to Status-Server comes: what
// holds up some of them is the machine's other work.
func quartile(t *testing.T, b *bench) time.Duration {
	t.Helper()
	n := newNAS(t, b.addr)
	var took []time.Duration
	for i := range 40 {
		began := time.Now()
		code, _ := n.ask(signed(12, byte(i), authOf(i), 0))
		took = append(took, time.Since(began))
		require.Equal(t, byte(accept), code)
	}
	slices.Sort(took)
	return took[len(took)/4]
}

func TestThe257thLoginOfOnePortIsServed(t *testing.T) {
	b := start(t, nil)
	n := newNAS(t, b.addr)
	var first asking
	for i := range 256 {
		n.send(asks(byte(i), i, fmt.Sprint("user", i), "secret"))
		if r := b.next(t); i == 0 {
			first = r
		}
	}
	require.Equal(t, 256, b.used("hq-vpn"))
	request := asks(0, 256, "user256", "secret")
	n.send(request)
	r := b.next(t)
	first.hasLeft(t)
	r.Reply(login.Reply{Kind: login.Accept})
	genuine(t, request, n.receive())
	require.Equal(t, 255, b.used("hq-vpn"))
}

func TestTheSamePacketFromAnotherPortIsAnotherRequest(t *testing.T) {
	b := start(t, nil)
	one, two := newNAS(t, b.addr), newNAS(t, b.addr)
	request := asks(7, 1, "an.nv", "secret")
	one.send(request)
	r1 := b.next(t)
	two.send(request)
	r2 := b.next(t)
	require.NotEqual(t, r1.Packet, r2.Packet)
	r1.Reply(login.Reply{Kind: login.Silence})
	r2.Reply(login.Reply{Kind: login.Accept})
	genuine(t, request, two.receive())
	one.hearsNothing()
}

func TestThePacketIsKnownAgain(t *testing.T) {
	b := start(t, nil)
	n := newNAS(t, b.addr)
	seen := map[string]bool{}
	for _, request := range [][]byte{asks(1, 1, "a", "s"), asks(2, 1, "a", "s"), asks(1, 2, "a", "s")} {
		n.send(request)
		seen[string(b.next(t).Packet)] = true
	}
	require.Len(t, seen, 3)
}

func TestTheHandlerMayReplyAtOnceAndFromAnywhere(t *testing.T) {
	b := start(t, func(o *Options) {
		o.Handler.(*scripted).script = func(r *login.Request) func() {
			r.Reply(login.Reply{Kind: login.Accept})
			return nil
		}
	})
	n := newNAS(t, b.addr)
	code, _ := n.ask(asks(1, 1, "an.nv", "secret"))
	require.Equal(t, byte(accept), code)
}

// A request whose NAS left while Handle was still running.
func TestLeaveIsCalledAlsoIfTheHandlerWasNotDone(t *testing.T) {
	entered, goOn, left := make(chan struct{}), make(chan struct{}), make(chan struct{})
	b := start(t, func(o *Options) {
		h := o.Handler.(*scripted)
		h.script = func(r *login.Request) func() {
			if r.Username != "slow" {
				r.Reply(login.Reply{Kind: login.Accept})
				return nil
			}
			close(entered)
			<-goOn
			return func() { close(left) }
		}
	})
	n := newNAS(t, b.addr)
	n.send(asks(7, 1, "slow", "secret"))
	<-entered
	code, _ := n.ask(asks(7, 2, "bob", "secret")) // by the other reader
	require.Equal(t, byte(accept), code)
	close(goOn)
	<-left
}

func TestWhatIsRefusedWithoutAsking(t *testing.T) {
	auth := authOf(1)
	user := text(1, "an.nv")
	for name, c := range map[string]struct {
		attrs []attr
		log   string
	}{
		"no password":            {[]attr{user}, "neither a password nor a State"},
		"an empty name":          {[]attr{text(1, ""), hidden("secret", auth)}, "User-Name"},
		"a NUL in the name":      {[]attr{text(1, "a\x00b"), hidden("secret", auth)}, "User-Name"},
		"a NUL in the password":  {[]attr{user, hidden("good\x00,1", auth)}, "User-Password"},
		"a password of 15 bytes": {[]attr{user, text(2, "fifteen bytes..")}, "User-Password"},
		"an access list":         {[]attr{text(1, "#ACSACL#-IP-vpn-5f3a"), hidden("", auth)}, "as Cisco-AVPair ip:inacl#1=..., or its name as Filter-Id"},
		"MAC authentication":     {[]attr{text(1, "001b638445e6"), text(31, "00-1B-63-84-45-E6"), hidden("001b638445e6", auth)}, "MAC authentication is no login"},
		"an empty State":         {[]attr{user, text(24, ""), hidden("123456", auth)}, "State came empty"},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, nil)
			n := newNAS(t, b.addr)
			request := signed(1, 7, auth, 0, c.attrs...)
			code, _ := n.ask(request)
			require.Equal(t, byte(reject), code)
			b.idle(t)
			require.Contains(t, b.String(), c.log)
			require.Contains(t, b.String(), "client=hq-vpn")
			require.NotEmpty(t, <-b.refused)
			n.send(request)
			n.receive() // a retransmission gets the same
			<-b.resent
			require.Empty(t, b.refused, "and is not counted again")
		})
	}
}

// FortiGate tries PAP, MS-CHAPv2 and CHAP in turn: the core says whether its
// login by PAP is still open.
func TestCHAPIsRefusedOrDroppedAsAProbe(t *testing.T) {
	auth := authOf(1)
	for name, proof := range map[string]attr{
		"CHAP":      text(3, "seventeen bytes.."),
		"MS-CHAP":   {26, []byte{0, 0, 1, 55, 1, 2}},
		"MS-CHAPv2": {26, []byte{0, 0, 1, 55, 25, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, nil)
			n := newNAS(t, b.addr)
			request := signed(1, 7, auth, 0, text(1, "an.nv"), text(31, "203.0.113.7"), proof)
			n.send(request)
			r := b.next(t)
			require.True(t, r.Probe && r.Conversation)
			require.Nil(t, r.First, "nobody can check it")
			require.Nil(t, r.Password)
			require.Equal(t, "203.0.113.7", r.Station)
			r.Reply(login.Reply{Kind: login.Silence, Reason: login.Probed})
			n.hearsNothing()
			b.dropped(t, Probe)
			require.Contains(t, b.String(), "set it to PAP alone")

			n.send(signed(1, 8, auth, 0, text(1, "an.nv"), proof))
			b.next(t).Reply(login.Reply{Kind: login.BadAnswer, Reason: login.Probed})
			require.Equal(t, byte(reject), n.receive()[0])
			require.Contains(t, b.String(), "cannot be checked against a directory; set the NAS to PAP")
			require.NotEmpty(t, <-b.refused)
		})
	}
}

func TestStatusServer(t *testing.T) {
	var ready atomic.Bool
	b := start(t, func(o *Options) { o.Ready = ready.Load })
	n := newNAS(t, b.addr)
	n.send(signed(12, 7, authOf(1), 0))
	b.dropped(t, NotReady)
	n.send(pack(12, 7, authOf(1)))
	b.dropped(t, NoAuthenticator)
	ready.Store(true)
	code, _ := n.ask(signed(12, 8, authOf(2), 0))
	require.Equal(t, byte(accept), code)
	b.idle(t)
}

func TestWhatIsDropped(t *testing.T) {
	auth := authOf(1)
	user := text(1, "an.nv")
	for name, c := range map[string]struct {
		in   []byte
		want Drop
		log  string
	}{
		"a short datagram":         {[]byte{1, 2, 3}, BadLength, ""},
		"an empty datagram":        {[]byte{}, BadLength, ""},
		"a datagram of 64 KB":      {make([]byte, 65507), BadLength, ""},
		"another code":             {signed(3, 7, auth, 0), BadCode, ""},
		"a wrong signature":        {with(asks(7, 1, "an.nv", "s"), func(b []byte) { b[30]++ }), BadAuthenticator, "bad Message-Authenticator: the shared secret of this client differs, or the packet was forged"},
		"a wrong secret, no MA":    {pack(1, 7, auth, user, attr{2, []byte("\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8\xf7\xf6\xf5\xf4\xf3\xf2\xf1\xf0")}), WrongSecret, "wrong shared secret?"},
		"Proxy-State without MA":   {pack(1, 7, auth, user, hidden("s", auth), text(33, "x")), BareProxyState, "CVE-2024-3596"},
		"EAP without MA":           {pack(1, 7, auth, user, attr{79, []byte{2, 9, 0, 5, 1}}), NoAuthenticator, ""},
		"two names":                {signed(1, 7, auth, 0, user, user, hidden("s", auth)), RepeatedAttribute, ""},
		"two kinds of passwords":   {signed(1, 7, auth, 0, user, text(3, "chap"), hidden("s", auth)), TwoPasswords, ""},
		"attributes that are none": {with(asks(7, 1, "an.nv", "s"), func(b []byte) { b[21] = 0 }), BadAttributes, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, nil)
			n := newNAS(t, b.addr)
			n.send(c.in)
			b.dropped(t, c.want)
			n.hearsNothing()
			b.idle(t)
			require.Contains(t, b.String(), c.log)
			require.Contains(t, b.String(), "reason="+string(c.want))
			require.Contains(t, b.String(), n.conn.LocalAddr().String())
		})
	}
}

func TestAnUnknownSourceHearsNothingAndIsNamed(t *testing.T) {
	b := start(t, func(o *Options) { o.Clients[0].Prefixes = []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")} })
	n := newNAS(t, b.addr)
	for i := range 1000 {
		n.send(asks(byte(i), i, "an.nv", "secret"))
		b.dropped(t, UnknownSource)
	}
	b.idle(t)
	require.Contains(t, b.String(), n.conn.LocalAddr().String())
	require.Contains(t, b.String(), "add it to radius.clients")
	require.Less(t, strings.Count(b.String(), "\n"), 20, "the log is no victim of a flood")
}

func TestNothingConfidentialIsLogged(t *testing.T) {
	b := start(t, nil)
	n := newNAS(t, b.addr)
	auth := authOf(1)
	n.send(signed(1, 1, auth, 0, text(1, "name-canary"), hidden("canary\x00canary", auth)))
	n.receive()
	n.send(with(asks(2, 1, "name-canary", "canary"), func(b []byte) { b[30]++ }))
	b.dropped(t, BadAuthenticator)
	require.NotContains(t, b.String(), "canary")
	require.NotContains(t, b.String(), shared)
}

func TestAPanicEndsNobodyElsesLogin(t *testing.T) {
	var texts atomic.Int32
	b := start(t, func(o *Options) {
		o.Handler.(*scripted).script = func(r *login.Request) func() {
			switch r.Username {
			case "panics":
				panic("canary of a password")
			case "runtime":
				_ = r.Password[len(r.Password)]
			}
			r.Reply(login.Reply{Kind: login.Accept})
			return nil
		}
		o.Text = func(_ *login.Client, r login.Reply) string {
			if texts.Add(1) == 1 {
				panic("in the text")
			}
			return ""
		}
	})
	n := newNAS(t, b.addr)
	for i, user := range []string{"panics", "runtime", "text"} {
		n.send(asks(byte(i), i, user, "secret"))
		b.dropped(t, Broken)
	}
	code, _ := n.ask(asks(9, 9, "an.nv", "secret"))
	require.Equal(t, byte(accept), code)
	require.Equal(t, 0, b.used("hq-vpn"))
	require.Contains(t, b.String(), "reason=internal_error")
	require.NotContains(t, b.String(), "canary")
}

func TestWhatIsBeyondTheLimitIsShed(t *testing.T) {
	b := start(t, func(o *Options) { o.MaxHeld = 3 })
	n := newNAS(t, b.addr)
	var held []asking
	for i := range 3 {
		n.send(asks(byte(i), i, "an.nv", "secret"))
		held = append(held, b.next(t))
	}
	over := asks(9, 9, "an.nv", "secret")
	n.send(over)
	b.dropped(t, TooManyHeld)
	require.Contains(t, b.String(), "radius.max_held")
	n.hearsNothing()
	held[0].Reply(login.Reply{Kind: login.Accept})
	n.receive()
	n.send(over) // the retransmission finds room
	b.next(t)
}

func TestALongTextIsSplitBetweenCharacters(t *testing.T) {
	long := strings.Repeat("Đăng nhập ", 60)
	b := start(t, func(o *Options) { o.Text = func(*login.Client, login.Reply) string { return long } })
	n := newNAS(t, b.addr)
	n.send(asks(1, 1, "an.nv", "secret"))
	b.next(t).Reply(login.Reply{Kind: login.Reject})
	parts := values(attrsOf(t, n.receive()), 18)
	require.Greater(t, len(parts), 1)
	for _, p := range parts {
		require.LessOrEqual(t, len(p), 253)
		require.Equal(t, p, strings.ToValidUTF8(p, ""), "cut inside a character")
	}
	require.Equal(t, long, strings.Join(parts, ""))
}

func TestAnAnswerThatWouldBeTooLongLosesItsText(t *testing.T) {
	b := start(t, nil)
	n := newNAS(t, b.addr)
	var proxies []attr
	for range 15 {
		proxies = append(proxies, text(33, strings.Repeat("p", 253)))
	}
	request := signed(1, 1, authOf(1), 0, append([]attr{text(1, "an.nv"), hidden("s", authOf(1)), text(33, strings.Repeat("q", 195))}, proxies...)...)
	require.Greater(t, len(request), 4000)
	n.send(request)
	b.next(t).Reply(login.Reply{Kind: login.Ask, State: make([]byte, 24)})
	attrs := genuine(t, request, n.receive())
	require.Len(t, values(attrs, 33), 16)
	require.Len(t, values(attrs, 24), 1)
	require.Empty(t, values(attrs, 18))
}

func TestSeveralSocketsShareOneTable(t *testing.T) {
	b := start(t, func(o *Options) { o.MaxHeld = 1 })
	second := listen(t, "udp4", "127.0.0.1:0")
	ended := make(chan error, 1)
	go func() { ended <- b.server.Serve(t.Context(), second) }()
	newNAS(t, b.addr).send(asks(1, 1, "an.nv", "secret"))
	b.next(t)
	newNAS(t, second.LocalAddr().(interface{ AddrPort() netip.AddrPort }).AddrPort()).send(asks(1, 1, "an.nv", "secret"))
	b.dropped(t, TooManyHeld)
	require.NoError(t, second.Close())
	require.Error(t, <-ended, "a socket that broke is told of")
}

func TestDraining(t *testing.T) {
	b := start(t, func(o *Options) { o.DrainFor = patience })
	n := newNAS(t, b.addr)
	var requests [][]byte
	var held []asking
	for i := range 100 {
		requests = append(requests, asks(byte(i), i, "an.nv", "secret"))
		n.send(requests[i])
		held = append(held, b.next(t))
	}
	b.stop()
	for i, r := range held {
		r.Reply(login.Reply{Kind: login.Accept})
		genuine(t, requests[i], n.receive())
	}
	b.hasEnded(t) // long before the limit: nobody is left
}

func TestDrainingEndsAtItsLimitWithoutAnswer(t *testing.T) {
	b := start(t, func(o *Options) { o.DrainFor = 50 * time.Millisecond })
	n := newNAS(t, b.addr)
	n.send(asks(1, 1, "an.nv", "secret"))
	r := b.next(t)
	b.stop()
	b.hasEnded(t)
	r.hasLeft(t)
	r.Reply(login.Reply{Kind: login.Accept}) // nowhere to go, and no harm
	require.Empty(t, b.drops)
	require.Equal(t, 0, b.used("hq-vpn"))
}

func TestAnswersLeaveFromTheAddressThatWasAsked(t *testing.T) {
	for name, c := range map[string]struct{ network, bind, asked string }{
		"IPv4, wildcard":            {"udp4", "0.0.0.0:0", "127.0.0.2"},
		"IPv4, wildcard, another":   {"udp4", "0.0.0.0:0", "127.0.0.1"},
		"IPv4 on a socket for both": {"udp", "[::]:0", "127.0.0.2"},
		"IPv6 on a socket for both": {"udp", "[::]:0", "::1"},
		"IPv6, wildcard":            {"udp6", "[::]:0", "::1"},
		"one IPv4 address":          {"udp4", "127.0.0.2:0", "127.0.0.2"},
		"one IPv6 address":          {"udp6", "[::1]:0", "::1"},
	} {
		t.Run(name, func(t *testing.T) {
			b := startOn(t, listen(t, c.network, c.bind), nil)
			n := newNAS(t, netip.AddrPortFrom(netip.MustParseAddr(c.asked), b.addr.Port())) // hears this address only
			request := asks(1, 1, "an.nv", "secret")
			n.send(request)
			r := b.next(t)
			require.False(t, r.Source.Is4In6())
			r.Reply(login.Reply{Kind: login.Accept})
			genuine(t, request, n.receive())
			n.send(request)
			genuine(t, request, n.receive())
		})
	}
}

// Two addresses of one socket are two servers to a NAS.
func TestTheAddressThatWasAskedTellsRequestsApart(t *testing.T) {
	b := startOn(t, listen(t, "udp4", "0.0.0.0:0"), nil)
	from := listen(t, "udp4", "127.0.0.1:0")
	t.Cleanup(func() { from.Close() })
	for i, asked := range []string{"127.0.0.1", "127.0.0.2"} {
		_, err := from.WriteToUDPAddrPort(asks(1, i, "an.nv", "secret"), netip.AddrPortFrom(netip.MustParseAddr(asked), b.addr.Port()))
		require.NoError(t, err)
		b.next(t)
	}
	require.Equal(t, 2, b.used("hq-vpn"))
}

func TestNewNeedsAHandlerAndTexts(t *testing.T) {
	o := options()
	_, err := New(o)
	require.Error(t, err)
	o.Handler, o.Text = &scripted{}, nil
	_, err = New(o)
	require.Error(t, err)
	o.Text = words
	_, err = New(o)
	require.NoError(t, err)
}
