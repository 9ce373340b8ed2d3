package directory

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
)

// tower is groups in groups, the last one in the first one; user 2 is in the
// first.
func tower(height int) string {
	var b strings.Builder
	for n := range height {
		member := floor(n - 1)
		if n == 0 {
			member = testenv.UserDN(2)
		}
		fmt.Fprintf(&b, "dn: %s\nobjectClass: groupOfNames\ncn: floor%d\nmember: %s\nmemberOf: %s\n\n", floor(n), n, member, floor((n+1)%height))
	}
	fmt.Fprintf(&b, "dn: uid=deep,%s\nobjectClass: inetOrgPerson\nuid: deep\ncn: Deep\nsn: D\nmemberOf: %s\nmemberOf: cn=gone,%s\n\n",
		testenv.SlapdPeople, floor(0), testenv.SlapdGroups)
	return b.String()
}

func floor(n int) string { return fmt.Sprintf("cn=floor%d,%s", n, testenv.SlapdGroups) }

func TestWhetherAGroupIsThere(t *testing.T) {
	slapd := testenv.Slapd(t, testenv.SlapdOptions{})
	d := open(t, options(slapd))
	for group, want := range map[string]bool{
		testenv.SlapdStaff: true, strings.ToUpper(testenv.SlapdStaff): true, "cn=stuff," + testenv.SlapdGroups: false, "cn=staff,dc=elsewhere": false, "staff": false,
	} {
		has, err := d.HasGroup(t.Context(), group)
		require.NoError(t, err, group)
		require.Equal(t, want, has, group)
	}
	slapd.Stop()
	_, err := d.HasGroup(t.Context(), testenv.SlapdStaff)
	require.ErrorContains(t, err, "look for group "+testenv.SlapdStaff)
}

func TestGroupsOfGroupsAreFollowedUpToTheirEnd(t *testing.T) {
	slapd := testenv.Slapd(t, testenv.SlapdOptions{LDIF: tower(20), Log: true})
	o := options(slapd)
	who := resolve(t, open(t, o), "deep")
	require.Nil(t, who.AllGroups, "what nobody asked for is not asked")
	require.Len(t, who.Groups, 2)

	o.NestedGroups = true
	d := open(t, o)
	who = resolve(t, d, "deep")
	require.NoError(t, who.Complete(t.Context()))
	require.Len(t, who.Groups, 21, "a ring ends, and a group that is gone has no groups")
	require.Contains(t, who.Groups, floor(19))

	marks := 0
	searches := func() int { // once all that came before a mark is in slapd's log
		marks++
		mark := fmt.Sprintf("mark-%d", marks)
		resolve(t, d, mark)
		require.Eventually(t, func() bool { return strings.Contains(slapd.Log(), mark) }, 10*time.Second, 10*time.Millisecond)
		return strings.Count(slapd.Log(), `SRCH base="cn=`)
	}
	for most, wrong := range map[int]bool{21: false, 20: true, 3: true} {
		d.maxGroups = most
		who = resolve(t, d, "deep")
		before := searches()
		err := who.Complete(t.Context())
		require.Equal(t, wrong, err != nil)
		if wrong {
			require.ErrorContains(t, err, fmt.Sprintf("more than %d groups", most))
		}
		require.LessOrEqual(t, searches()-before, most, "no more are asked about")
	}
	require.Nil(t, resolve(t, d, "nobody").AllGroups)
}
