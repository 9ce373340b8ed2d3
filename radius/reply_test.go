package radius

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
	"vssgate/radius/dictionary"
)

// told is what the NAS of these tests is told of whom the login says.
func told(all ...dictionary.AVP) func(*Options) {
	return func(o *Options) {
		o.Clients[0].Reply = func(who login.Identity) []dictionary.AVP {
			return append([]dictionary.AVP{{Type: 11, Value: []byte("filter of " + who.Username)}}, all...)
		}
	}
}

func TestReplyAttributesAreInAnAcceptOnly(t *testing.T) {
	class, group := dictionary.AVP{Type: 25, Value: []byte("OU=staff;")}, dictionary.AVP{Type: 26, Value: []byte("\x00\x00\x30\x44\x01\x07staff")}
	b := start(t, told(class, group, class))
	n := newNAS(t, b.addr)
	who := login.Identity{Username: "an.nv"}
	for i, kind := range []login.ReplyKind{login.Accept, login.Reject, login.Ask, login.Relay, login.BadAnswer, 99} {
		request := asks(byte(i), i, "AN.NV", "secret", text(33, "proxy"))
		n.send(request)
		b.next(t).Reply(login.Reply{Kind: kind, Identity: who, State: []byte("state")})
		answer := n.receive()
		attrs := genuine(t, request, answer)
		if kind != login.Accept {
			require.NotEqual(t, byte(accept), answer[0])
			for _, kind := range []byte{11, 25, 26} {
				require.Empty(t, values(attrs, kind), "code %d", answer[0])
			}
			continue
		}
		require.Equal(t, byte(accept), answer[0])
		var kinds []byte
		for _, a := range attrs {
			kinds = append(kinds, a.kind)
		}
		require.Equal(t, []byte{80, 11, 25, 26, 25, 33}, kinds, "in the order of the configuration, before Proxy-State")
		require.Equal(t, []string{"filter of an.nv"}, values(attrs, 11))
		require.Equal(t, []string{"OU=staff;", "OU=staff;"}, values(attrs, 25))
		require.Equal(t, []string{string(group.Value)}, values(attrs, 26))
	}
	code, attrs := n.ask(signed(12, 99, authOf(99), 0))
	require.Equal(t, byte(accept), code)
	require.Len(t, attrs, 1, "Status-Server is nobody's login")
}

// An Access-Accept without what restricts the user would let in to more than
// was meant: it is whole, or there is none.
func TestAnAcceptWithoutRoomForItsAttributesIsNotSent(t *testing.T) {
	long := dictionary.AVP{Type: 11, Value: []byte(strings.Repeat("x", 253))}
	b := start(t, told(long, long, long, long, long, long, long, long))
	n := newNAS(t, b.addr)
	var proxies []attr
	for range 8 {
		proxies = append(proxies, text(33, strings.Repeat("p", 253)))
	}
	n.send(asks(1, 1, "an.nv", "secret", proxies...))
	b.next(t).Reply(login.Reply{Kind: login.Accept})
	b.dropped(t, NotSent)
	n.hearsNothing()
	n.send(asks(2, 2, "an.nv", "secret", proxies[1:]...))
	b.next(t).Reply(login.Reply{Kind: login.Accept})
	answer := n.receive()
	require.Equal(t, byte(accept), answer[0])
	require.LessOrEqual(t, len(answer), 4096)
	require.Len(t, values(attrsOf(t, answer), 11), 9)
}
