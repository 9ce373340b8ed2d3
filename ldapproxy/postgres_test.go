package ldapproxy

import (
	"fmt"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
	"vssgate/internal/testenv"
)

// TestPostgresLogsInByItsLdapMethod tries both ways of PostgreSQL: binding as a
// DN that it puts together itself, and searching first.
func TestPostgresLogsInByItsLdapMethod(t *testing.T) {
	s := newScene(t, testenv.SlapdOptions{}, func(o *Options, _ *limits) { o.RequireTLS = true })
	host, port, err := net.SplitHostPort(s.addr)
	require.NoError(t, err)
	common := fmt.Sprintf("127.0.0.1/32 ldap ldapserver=%s ldapport=%s ldaptls=1", host, port)
	db := testenv.Postgres(t, fmt.Sprintf("host all user0001 %s ldapprefix=\"uid=\" ldapsuffix=\",%s\"\n", common, testenv.SlapdPeople)+
		fmt.Sprintf("host all user0002 %s ldapbasedn=\"%s\" ldapbinddn=\"%s\" ldapbindpasswd=\"%s\" ldapsearchattribute=uid\n",
			common, testenv.SlapdPeople, testenv.SlapdAppDN, testenv.SlapdAppPassword), s.slapd.CAFile)
	for n := 1; n <= 2; n++ {
		db.Role(testenv.UserName(n))
		for _, answer := range []struct {
			decide func(*visit)
			ok     bool
		}{{(*visit).accept, true}, {func(v *visit) { v.reject(login.Denied) }, false}} {
			held := make(chan login.Identity, 1)
			go func() {
				v := <-s.desk.held
				held <- v.identity
				answer.decide(v)
			}()
			out, err := db.Ask(testenv.UserName(n), testenv.UserPassword(n))
			require.Equal(t, answer.ok, err == nil, "%s\n%s", out, db.Log())
			require.Equal(t, testenv.UserDN(n), (<-held).DN)
		}
		out, err := db.Ask(testenv.UserName(n), testenv.UserPassword(n)+","+rightCode)
		require.NoError(t, err, "%s\n%s", out, db.Log())
		require.Equal(t, testenv.UserName(n)+"\n", out)
	}
	require.Contains(t, db.Log(), "denied for app [TRACE2]", "the reason is in its log")
}
