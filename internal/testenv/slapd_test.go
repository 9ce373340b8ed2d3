package testenv

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

func TestSlapdHoldsWhatItPromises(t *testing.T) {
	began := time.Now()
	s := Slapd(t, SlapdOptions{Users: 1000, Log: true})
	t.Log("1000 users after", time.Since(began))

	conn := dial(t, s.URI)
	require.NoError(t, conn.Bind(s.BindDN, s.BindPassword))
	found, err := conn.Search(user(UserName(1000)))
	require.NoError(t, err)
	require.Len(t, found.Entries, 1)
	entry := found.Entries[0]
	require.Equal(t, UserDN(1000), entry.DN)
	require.NotEmpty(t, entry.GetAttributeValue("entryUUID"))
	require.Equal(t, UserNumber(1000), entry.GetAttributeValue("employeeNumber"))
	require.Equal(t, UserCN(1000), entry.GetAttributeValue("cn"))
	require.Equal(t, []string{SlapdStaff}, entry.GetAttributeValues("memberOf"))
	require.Empty(t, entry.GetAttributeValue("userPassword"))

	require.NoError(t, conn.Bind(UserDN(7), UserPassword(7)))
	require.True(t, ldap.IsErrorWithCode(conn.Bind(UserDN(7), "wrong"), ldap.LDAPResultInvalidCredentials))
	require.NoError(t, conn.Bind(SlapdAppDN, SlapdAppPassword))
	found, err = conn.Search(user(UserName(1)))
	require.NoError(t, err)
	require.Len(t, found.Entries, 1)
	require.Empty(t, found.Entries[0].GetAttributeValue("employeeNumber"))
	require.Contains(t, s.Log(), `BIND dn="`+UserDN(7)+`" method=128`)
}

func TestSlapdShowsPeopleToNobodyAnonymous(t *testing.T) {
	s := Slapd(t, SlapdOptions{})
	conn := dial(t, s.URI)
	found, err := conn.Search(user("*"))
	require.True(t, err != nil || len(found.Entries) == 0)
	_, err = conn.Compare(UserDN(1), "userPassword", UserPassword(1))
	require.Error(t, err)
	require.NoError(t, conn.Bind(s.BindDN, s.BindPassword))
	_, err = conn.Compare(UserDN(1), "userPassword", UserPassword(1))
	require.Error(t, err)
}

func TestSlapdSpeaksTLS(t *testing.T) {
	s := Slapd(t, SlapdOptions{RequireTLS: true})
	plain := dial(t, s.URI)
	require.True(t, ldap.IsErrorWithCode(plain.Bind(s.BindDN, s.BindPassword), ldap.LDAPResultConfidentialityRequired))
	require.NoError(t, plain.StartTLS(&tls.Config{RootCAs: s.CA.Pool, ServerName: "127.0.0.1"}))
	require.NoError(t, plain.Bind(s.BindDN, s.BindPassword))

	secure, err := ldap.DialURL(s.LDAPSURI, ldap.DialWithTLSConfig(&tls.Config{RootCAs: s.CA.Pool}))
	require.NoError(t, err)
	defer secure.Close()
	require.NoError(t, secure.Bind(s.BindDN, s.BindPassword))
}

func TestSlapdStopsAndStartsAgainAtTheSameAddress(t *testing.T) {
	s := Slapd(t, SlapdOptions{})
	s.Stop()
	_, err := ldap.DialURL(s.URI)
	require.Error(t, err)
	s.Start()
	require.NoError(t, dial(t, s.URI).Bind(UserDN(1), UserPassword(1)))
}

func TestSlapdWarnsOfAnExpiringPassword(t *testing.T) {
	s := Slapd(t, SlapdOptions{PasswordPolicy: true})
	conn := dial(t, s.URI)
	request := ldap.NewSimpleBindRequest(UserDN(1), UserPassword(1), []ldap.Control{ldap.NewControlBeheraPasswordPolicy()})
	got, err := conn.SimpleBind(request)
	require.NoError(t, err)
	policy, ok := ldap.FindControl(got.Controls, ldap.ControlTypeBeheraPasswordPolicy).(*ldap.ControlBeheraPasswordPolicy)
	require.True(t, ok)
	require.Positive(t, policy.Expire)
}

func TestSlapdPagesItsAnswers(t *testing.T) {
	s := Slapd(t, SlapdOptions{Users: 25, LDIF: strings.Join([]string{
		"dn: uid=lê.hoà," + SlapdPeople, "objectClass: inetOrgPerson", "uid: lê.hoà", "cn: Lê Hoà", "sn: Lê", "userPassword: mật khẩu", "",
	}, "\n")})
	conn := dial(t, s.URI)
	require.NoError(t, conn.Bind("uid=lê.hoà,"+SlapdPeople, "mật khẩu"))
	found, err := conn.SearchWithPaging(user("*"), 10)
	require.NoError(t, err)
	require.Len(t, found.Entries, 26)
}

func dial(t testing.TB, uri string) *ldap.Conn {
	t.Helper()
	conn, err := ldap.DialURL(uri)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

func user(name string) *ldap.SearchRequest {
	return ldap.NewSearchRequest(SlapdPeople, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false,
		"(uid="+name+")", []string{"*", "+"}, nil)
}
