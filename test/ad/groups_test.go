package ad_test

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"vssgate/internal/directory"
	"vssgate/internal/testenv"
)

// An is in team, team in staff, staff in all. Binh is in one of two groups that
// are in each other.
const (
	team  = "CN=team," + groups
	staff = "CN=Cán bộ (tất cả)," + groups
	all   = "CN=all," + groups
	ring1 = "CN=ring1," + groups
	ring2 = "CN=ring2," + groups
	vpn   = "CN=vpn," + groups // in all
	many  = 25                 // groups that chi is in

	domainUsers = "CN=Domain Users,CN=Users," + base
	builtin     = "CN=Users,CN=Builtin," + base // domainUsers is in it
)

func groupsLDIF() string {
	var b strings.Builder
	account := 0
	group := func(dn string, members ...string) {
		account++
		fmt.Fprintf(&b, "dn: %s\nchangetype: add\nobjectClass: group\nsAMAccountName: group-%d\n", dn, account)
		for _, m := range members {
			fmt.Fprintf(&b, "member: %s\n", m)
		}
		b.WriteString("\n")
	}
	group(team, an.dn())
	group(staff, team)
	group(vpn, dung.dn())
	group(all, staff, vpn)
	group(ring1, binh.dn())
	group(ring2, ring1)
	fmt.Fprintf(&b, "dn: %s\nchangetype: modify\nadd: member\nmember: %s\n\n", ring1, ring2)
	for n := range many {
		group(fmt.Sprintf("CN=many%02d,%s", n, groups), chi.dn())
	}
	return b.String()
}

// groupsOf are all groups of a user, as one who logs in has them.
func groupsOf(t *testing.T, f *directory.LDAP, u user) []string {
	t.Helper()
	who := resolve(t, f, u.sam)
	require.NotEmpty(t, who.ID)
	require.NoError(t, who.Complete(t.Context()))
	slices.Sort(who.Groups)
	return who.Groups
}

func nested(o *directory.LDAPOptions) { o.NestedGroups = true }

// upward walks from group to group, as in directories without a rule for that.
func upward(o *directory.LDAPOptions) { o.NestedGroups, o.AD = true, false }

func groupsAreNested(t *testing.T, d *domain) {
	direct, chain, walk := d.directory(t, nil), d.directory(t, nested), d.directory(t, upward)
	require.Equal(t, []string{team}, resolve(t, chain, an.sam).Groups, "strangers cannot make the directory work")
	require.Equal(t, []string{team}, groupsOf(t, direct, an))
	require.ElementsMatch(t, []string{team, staff, all, domainUsers, builtin}, groupsOf(t, chain, an))
	require.ElementsMatch(t, []string{ring1, ring2, domainUsers, builtin}, groupsOf(t, chain, binh), "a ring ends")
	require.ElementsMatch(t, []string{domainUsers, builtin}, groupsOf(t, chain, em), "a comma in the DN")
	require.ElementsMatch(t, []string{team, staff, all}, groupsOf(t, walk, an))
	require.ElementsMatch(t, []string{ring1, ring2}, groupsOf(t, walk, binh))
	require.Empty(t, groupsOf(t, walk, em))
	require.Nil(t, resolve(t, chain, "nobody").AllGroups)
}

func primaryGroupCounts(t *testing.T, d *domain) {
	conn := d.dial(t)
	require.NoError(t, conn.Bind(testenv.SambaAdminDN, testenv.SambaAdminPassword))
	found, err := conn.Search(ldap.NewSearchRequest(vpn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", []string{"objectSid"}, nil))
	require.NoError(t, err)
	sid := found.Entries[0].GetRawAttributeValue("objectSid")
	change := ldap.NewModifyRequest(dung.dn(), nil)
	change.Replace("primaryGroupID", []string{strconv.Itoa(int(binary.LittleEndian.Uint32(sid[len(sid)-4:])))})
	require.NoError(t, conn.Modify(change))

	f := d.directory(t, nested)
	require.NotContains(t, resolve(t, f, dung.sam).Groups, vpn, "it has left the list")
	require.ElementsMatch(t, []string{vpn, all, domainUsers, builtin}, groupsOf(t, f, dung))
}

func partsAreRead(t *testing.T, d *domain) {
	f := d.directory(t, func(o *directory.LDAPOptions) { o.Attributes.Groups = "memberOf;range=0-9" })
	require.Len(t, resolve(t, f, chi.sam).Groups, 10)
	require.Len(t, slices.Compact(groupsOf(t, f, chi)), many)
	require.Equal(t, []string{team}, groupsOf(t, f, an))
	require.Equal(t, groupsOf(t, d.directory(t, nil), chi), groupsOf(t, f, chi))
}

func unknownGroupsAreAnError(t *testing.T, d *domain) {
	f := d.directory(t, nested)
	who := resolve(t, f, an.sam)
	f.Close()
	require.ErrorContains(t, who.Complete(t.Context()), "groups of account "+who.ID)
}
