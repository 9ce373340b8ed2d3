package ldapproxy

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/nmcclain/ldap"
	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
	"vssgate/internal/testenv"
)

func TestSubCodesOfActiveDirectoryBecomeReasons(t *testing.T) {
	for data, want := range map[string]login.Reason{
		"525": login.BadPassword, "52e": login.BadPassword, "530": login.NotAllowed, "531": login.NotAllowed, "532": login.PasswordExpired,
		"533": login.AccountDisabled, "701": login.AccountDisabled, "773": login.PasswordExpired, "775": login.AccountLocked,
	} {
		tree, desk := newTree(t), newDesk()
		tree.onBind = func(_ *session, h header, _ bindRequest) []byte {
			return encodeResult(h.id, ldap.ApplicationBindResponse, ldap.LDAPResultInvalidCredentials,
				"80090308: LdapErr: DSID-0C090439, comment: AcceptSecurityContext error, data "+data+", v4563")
		}
		a := front(t, tree, desk, nil).connect()
		require.Equal(t, fmt.Sprintf("%s for app [TRACE2]", want), a.wantBind(invalid, "an", password).text)
		require.Contains(t, desk.last().checked.Detail, "data "+data+", ")
	}
}

func policyUser(uid string, age int) string {
	return fmt.Sprintf("dn: uid=%s,%s\nobjectClass: inetOrgPerson\nuid: %s\ncn: x\nsn: x\nuserPassword: %s\npwdChangedTime: %s\n\n",
		uid, testenv.SlapdPeople, uid, password, time.Now().AddDate(0, 0, -age).UTC().Format("20060102150405Z"))
}

func TestAnExpiredPasswordIsTold(t *testing.T) {
	s := newScene(t, testenv.SlapdOptions{PasswordPolicy: true, LDIF: policyUser("cu", 30)}, nil)
	out, err := s.run("ldapwhoami", "-x", "-H", s.url(), "-D", "uid=cu,"+testenv.SlapdPeople, "-w", password)
	require.Error(t, err)
	require.Contains(t, out, "password_expired for app", "though the client did not ask the policy")
	out, err = s.run("ldapwhoami", "-x", "-H", s.url(), "-D", "uid=cu,"+testenv.SlapdPeople, "-w", "not it")
	require.Error(t, err)
	require.Contains(t, out, "bad_password for app")
}

// A client that does not ask for the policy's word gets what it would have got
// from the directory itself; one that asks gets the word.
func TestABindsAnswerIsTheDirectorysWithAndWithoutPolicy(t *testing.T) {
	s := newScene(t, testenv.SlapdOptions{PasswordPolicy: true}, nil)
	for name, r := range map[string]bindRequest{
		"not asked": {id: 1, name: user, password: userPassword},
		"asked":     {id: 70000, name: user, password: userPassword, controls: policyRequest},
	} {
		direct, err := net.Dial("tcp", s.slapd.Addr)
		require.NoError(t, err)
		defer direct.Close()
		_, err = direct.Write(encodeBind(r))
		require.NoError(t, err)
		_, want, err := readFrame(&source{r: direct}, false)
		require.NoError(t, err)

		a := s.connect()
		a.write(encodeBind(r))
		s.desk.next(t).accept()
		_, got, err := readFrame(&a.src, false)
		require.NoError(t, err)
		require.Equal(t, want, got, name)
	}
}
