package app

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A group of the same name in another part of the directory is another group:
// who may make one there is let in by no policy and no emergency.
func TestGroupsOfPoliciesAreDNs(t *testing.T) {
	const duty = "cn=duty,ou=groups,dc=example,dc=vn"
	for has, want := range map[string]bool{
		duty:                                      true,
		"CN=Duty, OU=Groups,DC=example,DC=vn":     true,
		"cn=duty,ou=others,dc=example,dc=vn":      false,
		"cn=duty,ou=x,ou=groups,dc=example,dc=vn": false,
		"cn=duty,dc=example,dc=vn":                false,
		`cn=duty\,ou\=groups,dc=example,dc=vn`:    false,
		"ou=groups,dc=example,dc=vn":              false,
		"duty":                                    false,
		"":                                        false,
	} {
		require.Equal(t, want, inGroup([]string{"cn=other,dc=vn", has}, duty), has)
	}
	require.True(t, inGroup([]string{"Duty"}, "duty"), "in a users file groups have names")
	require.False(t, inGroup([]string{duty}, "duty"))
	require.False(t, inGroup(nil, duty))
}
