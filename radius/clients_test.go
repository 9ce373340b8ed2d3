package radius

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
)

func clientAt(name string, prefixes ...string) Client {
	c := Client{Login: &login.Client{Name: name}, Secret: "a-secret-of-the-test"}
	for _, p := range prefixes {
		c.Prefixes = append(c.Prefixes, netip.MustParsePrefix(p))
	}
	return c
}

func TestTheLongestPrefixPicksTheClient(t *testing.T) {
	table, err := newClients([]Client{
		clientAt("site", "192.0.2.0/24", "2001:db8::/32"),
		clientAt("vpn", "192.0.2.10/32", "2001:db8:1::/48"),
		clientAt("half", "192.0.2.128/25"),
		clientAt("mapped", "::ffff:198.51.100.0/120"),
	})
	require.NoError(t, err)
	for source, want := range map[string]string{
		"192.0.2.10":          "vpn",
		"192.0.2.11":          "site",
		"192.0.2.130":         "half",
		"::ffff:192.0.2.10":   "vpn",
		"198.51.100.7":        "mapped",
		"2001:db8::1":         "site",
		"2001:db8:1::1":       "vpn",
		"2001:db8:1::1%eth0":  "vpn",
		"2001:db9::1":         "",
		"192.0.3.1":           "",
		"0.0.0.0":             "",
		"::":                  "",
		"::ffff:198.51.101.1": "",
	} {
		got := ""
		if c := table.find(netip.MustParseAddr(source)); c != nil {
			got = c.name()
		}
		require.Equal(t, want, got, source)
	}
	require.Nil(t, table.find(netip.Addr{}))
}

func TestTheDefaultRouteIsAPrefixToo(t *testing.T) {
	table, err := newClients([]Client{clientAt("all", "0.0.0.0/0")})
	require.NoError(t, err)
	require.NotNil(t, table.find(netip.MustParseAddr("203.0.113.1")))
	require.Nil(t, table.find(netip.MustParseAddr("2001:db8::1")))
}

func TestTwoClientsWithOneAddressAreAMistake(t *testing.T) {
	for name, list := range map[string][]Client{
		"the same prefix":         {clientAt("a", "192.0.2.0/24"), clientAt("b", "192.0.2.0/24")},
		"host bits do not differ": {clientAt("a", "192.0.2.1/24"), clientAt("b", "192.0.2.2/24")},
		"IPv4 in IPv6 is IPv4":    {clientAt("a", "192.0.2.0/24"), clientAt("b", "::ffff:192.0.2.0/120")},
		"twice in one client":     {clientAt("a", "192.0.2.0/24", "192.0.2.0/24")},
	} {
		t.Run(name, func(t *testing.T) {
			o := options()
			o.Handler, o.Clients = &scripted{}, list
			_, err := New(o)
			require.ErrorContains(t, err, "192.0.2.0/24")
			require.NotContains(t, err.Error(), "a-secret")
		})
	}
}

func TestAClientNeedsASecret(t *testing.T) {
	c := clientAt("a", "192.0.2.0/24")
	c.Secret = ""
	_, err := newClients([]Client{c})
	require.Error(t, err)
}
