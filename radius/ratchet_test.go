package radius

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
)

// bareAsks is an Access-Request without Message-Authenticator.
func bareAsks(id byte, n int, more ...attr) []byte {
	auth := authOf(n)
	return pack(1, id, auth, append([]attr{text(1, "an.nv"), hidden("secret", auth)}, more...)...)
}

func accepting(o *Options) {
	o.Handler.(*scripted).script = func(r *login.Request) func() {
		r.Reply(login.Reply{Kind: login.Accept})
		return nil
	}
}

// ratchet is a server that accepts everything it serves, and what it told of
// NASes that sign.
func ratchet(t *testing.T, require Requirement) (b *bench, signs chan Signer) {
	signs = make(chan Signer, 100)
	return start(t, func(o *Options) {
		accepting(o)
		o.Clients[0].Require = require
		o.Signs = func(_ string, s Signer, done func(bool)) { signs <- s; done(true) }
	}), signs
}

// served sends a request that must be answered; dropped one that must not.
func (n *nas) served(b []byte) {
	n.t.Helper()
	code, _ := n.ask(b)
	require.Equal(n.t, byte(accept), code)
}

var vpn1, vpn2 = text(32, "vpn1"), text(32, "vpn2")

func TestAfterThreeSignedRequestsOneWithoutIsDropped(t *testing.T) {
	b, signs := ratchet(t, RequireAuto)
	n := newNAS(t, b.addr)
	n.served(bareAsks(1, 1, vpn2)) // another NAS behind the same address
	for i := range 3 {
		require.Empty(t, signs)
		n.served(asks(byte(10+i), 10+i, "an.nv", "secret", vpn1))
	}
	require.Equal(t, Signer{netip.MustParseAddr("127.0.0.1"), "vpn1"}, <-signs)
	n.send(bareAsks(20, 20, vpn1))
	b.dropped(t, LostAuthenticator)
	n.hearsNothing()
	require.Contains(t, b.String(), "vssgate nas forget")
	n.served(asks(21, 21, "an.nv", "secret", vpn1))
	n.served(bareAsks(22, 22, vpn2))
	require.Equal(t, 2, b.counted("unsigned hq-vpn"))
	require.Empty(t, signs, "told once")

	b.server.Forget("hq-vpn")
	n.served(bareAsks(23, 23, vpn1))
}

func TestWhatTurnsTheRatchetIsDecidedWhenThatIsSafe(t *testing.T) {
	turned := make(chan func(safe bool), 1)
	b := start(t, func(o *Options) {
		accepting(o)
		o.Signs = func(_ string, _ Signer, done func(bool)) { turned <- done }
	})
	n := newNAS(t, b.addr)
	for i, nas := range []attr{vpn1, vpn2} {
		n.served(asks(1, 10*i+1, "an.nv", "secret", nas))
		n.served(asks(2, 10*i+2, "an.nv", "secret", nas))
		n.send(asks(3, 10*i+3, "an.nv", "secret", nas))
		done := <-turned
		n.served(asks(4, 10*i+4, "an.nv", "secret", nas)) // nobody else waits
		if safe := i == 0; safe {
			go done(safe)
			require.Equal(t, []byte{byte(accept), 3}, n.receive()[:2])
		} else {
			done(safe)
			b.dropped(t, Unavailable)
			n.hearsNothing()
		}
	}
}

func TestWhatDoesNotTurnTheRatchet(t *testing.T) {
	for name, send := range map[string]func(b *bench, n *nas){
		"two signed requests": func(_ *bench, n *nas) {
			n.served(asks(1, 1, "an.nv", "secret", vpn1))
			n.served(asks(2, 2, "an.nv", "secret", vpn1))
		},
		"one signed request, replayed from many ports": func(b *bench, n *nas) {
			for range 5 {
				newNAS(n.t, b.addr).served(asks(1, 1, "an.nv", "secret", vpn1))
			}
		},
		"forged ones": func(b *bench, n *nas) {
			for i := range 5 {
				n.send(with(asks(byte(i), i, "an.nv", "secret", vpn1), func(p []byte) { p[30]++ }))
				b.dropped(n.t, BadAuthenticator)
			}
		},
		"probes, which are always signed": func(_ *bench, n *nas) {
			for i := range 5 {
				n.served(signed(12, byte(i), authOf(i), 0, vpn1))
			}
		},
		"EAP, which is always signed": func(_ *bench, n *nas) {
			for i := range 5 {
				n.ask(signed(1, byte(i), authOf(i), 0, text(1, "an.nv"), attr{79, []byte{2, 9, 0, 5, 1}}, vpn1))
			}
		},
		"signed ones after one without": func(_ *bench, n *nas) {
			n.served(bareAsks(1, 1, vpn1))
			for i := range 5 {
				n.served(asks(byte(10+i), 10+i, "an.nv", "secret", vpn1))
			}
		},
		"signed ones of another NAS": func(_ *bench, n *nas) {
			for i := range 5 {
				n.served(asks(byte(10+i), 10+i, "an.nv", "secret", vpn2))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, _ := ratchet(t, RequireAuto)
			n := newNAS(t, b.addr)
			send(b, n)
			n.served(bareAsks(99, 99, vpn1))
		})
	}
}

func TestOneWithoutHoldsTheRatchetForTenMinutes(t *testing.T) {
	c := testClient()
	source := netip.MustParseAddr("192.0.2.1")
	now := time.Now()
	admit := func(b []byte, at time.Duration) (Drop, *Signer) {
		p, drop := open(b, c, takesLogins)
		require.Empty(t, drop)
		return c.admit(&p, source, now.Add(at))
	}
	admit(bareAsks(1, 1), 0)
	for i := range 5 {
		_, turned := admit(asks(2, 2+i, "an.nv", "s"), bareFor-time.Second)
		require.Nil(t, turned)
	}
	_, turned := admit(asks(3, 100, "an.nv", "s"), bareFor)
	require.Equal(t, &Signer{Source: source}, turned)
	drop, _ := admit(bareAsks(4, 4), 1000*time.Hour)
	require.Equal(t, LostAuthenticator, drop, "it never turns back by itself")
}

func TestRequirements(t *testing.T) {
	proxy := text(33, "proxy")
	for name, c := range map[string]struct {
		require    Requirement
		without    Drop
		withProxy  Drop
		afterThree Drop // without, after three with
	}{
		"auto":      {RequireAuto, "", BareProxyState, LostAuthenticator},
		"not said":  {"", "", BareProxyState, LostAuthenticator},
		"yes":       {RequireYes, RequiredAuthenticator, RequiredAuthenticator, RequiredAuthenticator},
		"no":        {RequireNo, "", "", ""},
		"not known": {"maybe", "", BareProxyState, LostAuthenticator},
	} {
		t.Run(name, func(t *testing.T) {
			b, _ := ratchet(t, c.require)
			n := newNAS(t, b.addr)
			want := func(packet []byte, drop Drop) {
				t.Helper()
				if drop == "" {
					n.served(packet)
					return
				}
				n.send(packet)
				b.dropped(t, drop)
				n.hearsNothing()
				require.Contains(t, b.String(), "reason="+string(drop))
				require.Contains(t, b.String(), wayOut[string(drop)][:20])
			}
			want(bareAsks(1, 1), c.without)
			want(bareAsks(2, 2, proxy), c.withProxy)
			for i := range 3 {
				want(asks(byte(10+i), 10+i, "an.nv", "secret", vpn1, proxy), "")
			}
			want(bareAsks(20, 20, vpn1), c.afterThree)
		})
	}
}

func TestWhatIsRememberedOfNASes(t *testing.T) {
	b, _ := ratchet(t, RequireAuto)
	n := newNAS(t, b.addr)
	here := netip.MustParseAddr("127.0.0.1")
	b.server.Remember("hq-vpn", []Signer{{here, "vpn1"}, {here, "vpn2"}})
	b.server.Remember("no such client", []Signer{{here, "vpn1"}})
	n.send(bareAsks(1, 1, vpn1))
	b.dropped(t, LostAuthenticator)
	for i := range 3 { // turns here, and is not saved yet
		n.served(asks(byte(10+i), 10+i, "an.nv", "secret", text(32, "vpn3")))
	}
	b.server.Remember("hq-vpn", []Signer{{here, "vpn2"}}) // forgotten elsewhere
	n.served(bareAsks(2, 2, vpn1))
	n.send(bareAsks(3, 3, vpn2))
	b.dropped(t, LostAuthenticator)
	n.send(bareAsks(4, 4, text(32, "vpn3")))
	b.dropped(t, LostAuthenticator)
}

func TestNASesAreBounded(t *testing.T) {
	c, now := testClient(), time.Now()
	bare := func(name string) *conduct {
		return c.nases.of(netip.MustParseAddr("192.0.2.1"), []byte(name), now)
	}
	for i := range 2 * maxNASes {
		bare(fmt.Sprint("forged", i))
	}
	require.Len(t, c.nases.known, maxNASes)
	require.Nil(t, bare("late"))
	now = now.Add(bareFor + time.Second)
	require.NotNil(t, bare("late"))
	require.Len(t, c.nases.known, 1)
}

func TestRepliesWithoutMessageAuthenticator(t *testing.T) {
	b := start(t, func(o *Options) { accepting(o); o.Clients[0].BareReplies = true })
	n := newNAS(t, b.addr)
	n.send(asks(1, 1, "an.nv", "secret", text(33, "proxy")))
	answer := n.receive()
	require.Equal(t, byte(accept), answer[0])
	require.Equal(t, fmt.Sprint([]attr{text(33, "proxy")}), fmt.Sprint(attrsOf(t, answer)))
	n.ask(signed(1, 2, authOf(2), 0, text(1, "an.nv"), attr{79, []byte{2, 9, 0, 5, 1}})) // EAP has it always
}

func TestAdmittingAKnownNASLeavesNoGarbage(t *testing.T) {
	c, source, now := testClient(), netip.MustParseAddr("192.0.2.1"), time.Now()
	for _, b := range [][]byte{asks(1, 1, "an.nv", "secret", vpn1), bareAsks(1, 1, vpn2)} {
		p, drop := open(b, c, takesLogins)
		require.Empty(t, drop)
		c.admit(&p, source, now)
		require.Zero(t, testing.AllocsPerRun(100, func() { c.admit(&p, source, now) }))
	}
}
