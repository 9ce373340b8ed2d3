package directory

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMembership(t *testing.T) {
	in := NewMembership([]string{"CN=VPN Admins,OU=Groups,DC=example,DC=vn", "cn=kế toán,dc=example,dc=vn", `cn=a\,b+ou=c,dc=vn`, "staff", "cn=#0401,dc=vn", ""})
	for name, want := range map[string]bool{
		"cn=vpn admins,ou=groups,dc=example,dc=vn":           true,
		"commonName=VPN  Admins, ou=Groups,dc=EXAMPLE,dc=vn": true,
		"VPN Admins":  true,
		"vpn  admins": true,
		"kế toán":     true,
		"a,b":         true,
		"c":           true,
		"Staff":       true,
		"cn=vpn admins,ou=others,dc=example,dc=vn": false,
		"cn=staff,dc=example,dc=vn":                false,
		"ou=groups,dc=example,dc=vn":               false,
		"vpn":                                      false,
		"groups":                                   false,
		"vn":                                       false,
		"#0401":                                    false,
	} {
		g, err := ParseGroup(name)
		require.NoError(t, err, name)
		require.Equal(t, want, in.In(g), name)
	}
	admins, err := ParseGroup("vpn admins")
	require.NoError(t, err)
	staff, err := ParseGroup("staff")
	require.NoError(t, err)
	all := []string{"cn=x,dc=vn", "CN=VPN Admins,DC=vn", "cn=vpn admins,ou=y,dc=vn", "Staff", "not=\\a,dn"}
	require.Equal(t, []string{"CN=VPN Admins,DC=vn", "cn=vpn admins,ou=y,dc=vn", "Staff"}, Among([]Group{admins, staff}, all), "as the directory writes them")
	require.Empty(t, Among(nil, all))
	for _, none := range []string{"", "  ", "=", "cn=", "cn=#04"} {
		_, err := ParseGroup(none)
		require.Error(t, err, none)
	}
}
