package radius

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// rotating is a server whose NASes are being given a new secret: those of the
// tests still have the old one.
func rotating(t *testing.T, until time.Time) *bench {
	return start(t, func(o *Options) {
		accepting(o)
		c := &o.Clients[0]
		c.Previous, c.PreviousUntil, c.Secret = c.Secret, until, "the-secret-of-tomorrow"
	})
}

func TestThePreviousSecretIsAnsweredWithItself(t *testing.T) {
	for name, request := range map[string][]byte{
		"with Message-Authenticator":    asks(1, 1, "an.nv", "mật khẩu"),
		"without Message-Authenticator": bareAsks(1, 1),
		"Status-Server":                 signed(12, 1, authOf(1), 0),
	} {
		t.Run(name, func(t *testing.T) {
			b := rotating(t, time.Now().Add(time.Hour))
			n := newNAS(t, b.addr)
			n.served(request) // found genuine by the old secret
			n.send(request)
			n.receive()
			require.Equal(t, 2, b.counted("previous hq-vpn"))
			require.Contains(t, b.String(), "still uses the previous secret")
			require.Contains(t, b.String(), "from=127.0.0.1")
			require.NotContains(t, b.String(), shared)
		})
	}
}

func TestThePasswordReadsWithTheSecretItWasHiddenWith(t *testing.T) {
	b := start(t, func(o *Options) {
		o.Clients[0].Previous, o.Clients[0].PreviousUntil = "the-secret-of-yesterday", time.Now().Add(time.Hour)
	})
	n := newNAS(t, b.addr)
	n.send(bareAsks(1, 1))
	require.Equal(t, "secret", string(b.next(t).Password))
	require.Zero(t, b.counted("previous hq-vpn"))
	rubbish := pack(1, 2, authOf(2), text(1, "an.nv"), attr{2, []byte("\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8\xf7\xf6\xf5\xf4\xf3\xf2\xf1\xf0")})
	n.send(rubbish)
	b.dropped(t, WrongSecret)
	n.send(signed(1, 3, authOf(3), 0, text(1, "an.nv"), hidden("in\x00side", authOf(3))))
	require.Equal(t, byte(reject), n.receive()[0])
}

func TestAPreviousSecretWhoseTimeIsOverIsNamedAndIgnored(t *testing.T) {
	for name, request := range map[string][]byte{
		"with Message-Authenticator": asks(1, 1, "an.nv", "mật khẩu"), "without": bareAsks(1, 1),
	} {
		t.Run(name, func(t *testing.T) {
			b := rotating(t, time.Now())
			n := newNAS(t, b.addr)
			n.send(request)
			b.dropped(t, PreviousExpired)
			require.Contains(t, b.String(), "give the NAS the new secret")
			b.idle(t)
		})
	}
}
