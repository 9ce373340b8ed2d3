package directory

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBelow(t *testing.T) {
	const base = "ou=Hà Nội, dc=vss,DC=vn"
	for dn, want := range map[string]bool{
		"uid=an,ou=Hà Nội,dc=vss,dc=vn":           true,
		"uid=an,ou=x,OU=Hà Nội;dc=VSS,dc=vn":      true,
		"ou=Hà Nội,dc=vss,dc=vn":                  true,
		"uid=an,ou=Huế,dc=vss,dc=vn":              false,
		"dc=vss,dc=vn":                            false,
		`uid=an\,ou=Hà Nội,dc=vss,dc=vn`:          false,
		`cn=x\,ou\=Hà Nội\,dc\=vss\,dc\=vn,dc=de`: false,
		"uid=an,ou=Xhà Nội,dc=vss,dc=vn":          false,
		"":                                        false,
		"an":                                      false,
	} {
		require.Equal(t, want, Below(dn, base), dn)
	}
	require.False(t, Below("uid=an,dc=vn", ""), "nothing is everything")
}
