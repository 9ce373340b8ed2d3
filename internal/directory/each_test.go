package directory

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
	"vssgate/internal/testenv"
)

func TestEachVisitsEveryUserPageByPage(t *testing.T) {
	ldif := "dn: ou=hue," + testenv.SlapdPeople + "\nobjectClass: organizationalUnit\nou: hue\n\n"
	for i := range 2*eachPage + 7 {
		ldif += fmt.Sprintf("dn: uid=u%d,ou=hue,%s\nobjectClass: inetOrgPerson\nuid: u%d\ncn: U\nsn: U\n\n", i, testenv.SlapdPeople, i)
	}
	slapd := testenv.Slapd(t, testenv.SlapdOptions{LDIF: ldif})
	d := open(t, options(slapd))
	visited := func(d *LDAP, under string) map[string]bool {
		t.Helper()
		seen := map[string]bool{}
		require.NoError(t, d.Each(t.Context(), under, func(who login.Identity) error {
			require.False(t, seen[who.Username], who.Username)
			seen[who.Username] = true
			return nil
		}))
		return seen
	}
	all, hue := visited(d, ""), visited(d, "OU=Hue, "+testenv.SlapdPeople)
	require.Len(t, hue, 2*eachPage+7)
	require.Greater(t, len(all), len(hue), "those of the sample are not in that part")
	require.Empty(t, visited(d, "dc=elsewhere"))
	suffix := testenv.SlapdPeople[strings.Index(testenv.SlapdPeople, ",")+1:]
	require.Equal(t, all, visited(d, suffix), "above the base DN it is all of it, and no more")

	stop := fmt.Errorf("enough")
	require.ErrorIs(t, d.Each(t.Context(), "", func(login.Identity) error { return stop }), stop)
	require.Equal(t, hue, visited(d, "ou=hue,"+testenv.SlapdPeople), "its connection is fit for use")
}
