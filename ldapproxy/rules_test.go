package ldapproxy

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
)

// With other rules a bind that is held is answered as it came; the next one on
// its connection is judged anew, and who is no client any more is left.
func TestRulesThatChangeWhileABindIsHeld(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	p := front(t, tree, desk, exempting())
	use := func(name, from string) {
		t.Helper()
		f, err := p.server.Prepare(Rules{Clients: []Client{{Login: &login.Client{Name: name}, Prefixes: []netip.Prefix{netip.MustParsePrefix(from)}, Directory: tree}}})
		require.NoError(t, err)
		f()
	}
	a, idle := p.connect(), p.connect()
	idle.wantBind(success, serviceDN, password)
	bind := func() *visit {
		a.write(bindFrame(a.next(), "an", password))
		return desk.next(t)
	}
	held := bind()
	use("renamed", "127.0.0.0/8")
	require.Equal(t, "app", held.request.Client.Name)
	held.accept()
	require.Equal(t, success, a.read().code)
	held = bind()
	require.Equal(t, "renamed", held.request.Client.Name)

	idle.wantBind(invalid, serviceDN, password) // exempt no more, and nobody with a second factor

	use("other", "192.0.2.0/24")
	idle.wantNotice(unwilling)
	held.accept()
	require.Equal(t, success, a.read().code, "what was held is answered before the connection ends")
	a.wantNotice(unwilling)
}

func TestRulesWithAMistakeChangeNothing(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	p := front(t, tree, desk, nil)
	one := Client{Login: &login.Client{Name: "one"}, Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Directory: tree}
	_, err := p.server.Prepare(Rules{Clients: []Client{one, one}})
	require.ErrorContains(t, err, "two LDAP clients have the addresses")
	a := p.connect()
	a.write(bindFrame(a.next(), "an", password))
	desk.next(t).accept()
	require.Equal(t, success, a.read().code)
}
