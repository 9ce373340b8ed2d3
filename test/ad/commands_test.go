package ad_test

import (
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
	"vssgate/test/site"
)

func commandsSeeTheDomain(t *testing.T, d *domain) {
	w := d.world(t, "      nested_groups: true")
	stdout, _, _ := w.Run("doctor")
	require.Contains(t, stdout, "users are found, and have an id")
	report := strings.Split(w.Command("rollout", "report", "--csv"), "\n")
	require.Len(t, report, 1+len(everyone)+1, "a line for each user, and one above")
	require.Contains(t, report, `binh,"OU=Phòng CNTT,DC=vss,DC=test",no_bhxh_number,exempt:policies[0],false`)
	require.Contains(t, report, `chi,"OU=Phòng CNTT,DC=vss,DC=test",no_bhxh_number,,true`)
	require.Contains(t, w.Command("account", "show", "AN.NV@vss.test"), resolve(t, d.directory(t, nil), an.sam).ID)
}

// A policy for a group is for who is in it through another group, where the
// configuration says so.
func policiesSeeGroupsOfGroups(t *testing.T, d *domain) {
	for more, want := range map[string]string{"      nested_groups: true": "accepted", "": "no_bhxh_number"} {
		w := d.world(t, more)
		w.NAS(gate).Ask(site.Request{User: binh.upn, Password: "wrong"})
		require.Equal(t, "bad_password", w.Last().Reason)
		w.NAS(gate).Ask(site.Request{User: binh.upn, Password: binh.password()})
		require.Equal(t, want, w.Last().Reason)
	}
}

func renamedIsTheSame(t *testing.T, d *domain) {
	f := d.directory(t, nil)
	before := resolve(t, f, phuc.sam)
	conn := d.dial(t)
	require.NoError(t, conn.Bind(testenv.SambaAdminDN, testenv.SambaAdminPassword))
	change := ldap.NewModifyRequest(phuc.dn(), nil)
	change.Replace("sAMAccountName", []string{"phuc.new"})
	change.Replace("userPrincipalName", []string{"phuc.new@vss.test"})
	require.NoError(t, conn.Modify(change))
	require.NoError(t, conn.ModifyDN(ldap.NewModifyDNRequest(phuc.dn(), "CN=Phuc New", true, "")))
	after := resolve(t, f, "phuc.new")
	require.Equal(t, before.ID, after.ID)
	require.NotEqual(t, before.DN, after.DN)
	require.Empty(t, resolve(t, f, phuc.sam), "the old name is free")
	require.NoError(t, conn.Add(&ldap.AddRequest{DN: phuc.dn(), Attributes: []ldap.Attribute{{Type: "objectClass", Vals: []string{"user"}}, {Type: "sAMAccountName", Vals: []string{phuc.sam}}}}))
	other := resolve(t, f, phuc.sam)
	require.NotEmpty(t, other.ID)
	require.NotEqual(t, before.ID, other.ID, "a new account with an old name is somebody else")
}
