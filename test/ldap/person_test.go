package ldap_test

import (
	"fmt"
	"testing"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
	"vssgate/test/site"
)

// A login at the VPN, in its usual form.
func (w *world) vpn(n int) (nas *site.NAS, asked site.Answer) {
	w.t.Helper()
	nas = w.NAS(vpn)
	asked = nas.Ask(site.Request{User: testenv.UserName(n), Password: password(n), Station: "203.0.113.7"})
	return nas, asked
}

func TestOnePersonByRADIUSAndByLDAP(t *testing.T) {
	w := start(t, options{phones: 1})
	nas, asked := w.vpn(1)
	require.EqualValues(t, site.AccessChallenge, asked.Code)
	code := w.shows(1, 1)[0].Code

	conn := w.connect(wiki)
	b := w.bind(conn, dn(1), password(1))
	open := w.shows(1, 2)
	require.Equal(t, "wiki", open[0].Client)
	require.NotEqual(t, code, open[0].Code, "each login has a code of its own")
	refusal(t, w.connect(wiki).Bind(dn(1), password(1)+","+code))
	b.held()
	_, err := w.phones[1].Approve(t.Context(), open[0].ID, "")
	require.NoError(t, err, "logins at two clients are not mixed up")
	require.NoError(t, b.wait())

	done := nas.Ask(site.Request{User: testenv.UserName(1), Password: code, State: asked.State, Station: "203.0.113.7"})
	require.EqualValues(t, site.AccessAccept, done.Code)
	ended := w.Ended()
	require.Len(t, ended, 2)
	require.Equal(t, ended[0].Account, ended[1].Account)
	require.Equal(t, []string{"ldap", "radius"}, []string{ended[0].FrontEnd, ended[1].FrontEnd})
	require.Equal(t, []string{"approval", "code"}, []string{ended[0].Factor, ended[1].Factor})
	w.Verify()
}

func TestWrongCodesAtTheVPNLockLDAPToo(t *testing.T) {
	w := start(t, options{phones: 2, second: ", lockout: {after: 3}"})
	nas, asked := w.vpn(1)
	for range 3 {
		asked = nas.Ask(site.Request{User: testenv.UserName(1), Password: w.wrong(1), State: asked.State, Station: "203.0.113.7"})
	}
	require.EqualValues(t, site.AccessReject, asked.Code)
	for _, name := range []string{dn(1), "USER0001", spellings[2]} {
		conn := w.connect(wiki)
		require.Contains(t, refusal(t, conn.Bind(name, password(1))), "Too many wrong codes; the account is locked until", name)
		require.Empty(t, whoami(t, conn))
		require.Contains(t, refusal(t, conn.Bind(name, "not it")), "Wrong user name or password.", "only who knows the password is told")
	}
	b := w.bind(w.connect(wiki), dn(2), password(2))
	w.approve(2, accepted)
	require.NoError(t, b.wait(), "nobody else is locked")

	w.Command("account", "unlock", testenv.UserName(1), "--why", "called and proved who he is")
	b = w.bind(w.connect(wiki), dn(1), password(1))
	w.approve(1, accepted)
	require.NoError(t, b.wait())
}

func TestWrongCodesAtAnApplicationLockTheVPNToo(t *testing.T) {
	w := start(t, options{phones: 1, second: ", lockout: {after: 3}"})
	conn := w.connect(mail)
	require.Contains(t, refusal(t, conn.Bind(dn(1), password(1))), "Password correct.")
	for left := 2; left > 0; left-- {
		tries := fmt.Sprintf("Wrong code. %d tries left.", left)
		if left == 1 {
			tries = "Wrong code. 1 try left."
		}
		require.Contains(t, refusal(t, conn.Bind(dn(1), password(1)+","+w.wrong(1))), tries)
	}
	right := w.shows(1, 1)[0].Code
	refusal(t, conn.Bind(dn(1), password(1)+","+w.wrong(1)))
	require.Contains(t, refusal(t, conn.Bind(dn(1), password(1)+","+right)), "Too many wrong codes", "the right one comes too late")
	_, asked := w.vpn(1)
	require.EqualValues(t, site.AccessReject, asked.Code)
	require.Contains(t, asked.Text, "locked")
}

func TestALoginThatIsReportedLocksEveryWayIn(t *testing.T) {
	w := start(t, options{phones: 1})
	_, asked := w.vpn(1)
	require.EqualValues(t, site.AccessChallenge, asked.Code)
	b := w.bind(w.connect(wiki), dn(1), password(1))
	_, err := w.phones[1].Deny(t.Context(), w.shows(1, 2)[0].ID, true)
	require.NoError(t, err)
	require.Contains(t, refusal(t, b.wait()), "reported as not the owner's")
	require.Equal(t, "reported", w.Last().Reason)
	refusal(t, w.connect(mail).Bind(dn(1), password(1)))
	require.Equal(t, "locked_out", w.Last().Reason)

	nas := w.NAS(vpn)
	done := nas.Ask(site.Request{User: testenv.UserName(1), Password: w.shows(1, 1)[0].Code, State: asked.State, Station: "203.0.113.7"})
	require.EqualValues(t, site.AccessReject, done.Code, "what was open before is locked too")
}

// admin is a connection to slapd that may do everything.
func (w *world) admin() *ldap.Conn {
	w.t.Helper()
	conn, err := ldap.DialURL(w.Slapd.URI)
	require.NoError(w.t, err)
	w.t.Cleanup(func() { conn.Close() })
	require.NoError(w.t, conn.Bind(testenv.SlapdAdminDN, testenv.SlapdAdminPassword))
	return conn
}

func TestARenamedUserIsTheSamePerson(t *testing.T) {
	w := start(t, options{phones: 1})
	b := w.bind(w.connect(wiki), dn(1), password(1))
	w.approve(1, accepted)
	require.NoError(t, b.wait())
	account := w.Last().Account

	require.NoError(t, w.admin().ModifyDN(ldap.NewModifyDNRequest(dn(1), "uid=an.nv", true, "")))
	refusal(t, w.connect(wiki).Bind(dn(1), password(1)))
	conn := w.connect(wiki)
	b = w.bind(conn, "an.nv", password(1))
	require.Equal(t, "an.nv", w.shows(1, 1)[0].Username)
	w.approve(1, accepted)
	require.NoError(t, b.wait())
	require.Equal(t, "dn:uid=an.nv,"+testenv.SlapdPeople, whoami(t, conn))
	require.Equal(t, account, w.Last().Account)
}

func TestANewEntryUnderAnOldNameIsSomebodyElse(t *testing.T) {
	w := start(t, options{phones: 1})
	b := w.bind(w.connect(wiki), dn(1), password(1))
	w.approve(1, accepted)
	require.NoError(t, b.wait())

	admin := w.admin()
	require.NoError(t, admin.Del(ldap.NewDelRequest(dn(1), nil)))
	add := ldap.NewAddRequest(dn(1), nil)
	for name, value := range map[string]string{"objectClass": "inetOrgPerson", "uid": "user0001", "cn": "Another", "sn": "Another", "userPassword": password(1), "employeeNumber": "0987654321"} {
		add.Attribute(name, []string{value})
	}
	require.NoError(t, admin.Add(add))
	require.Contains(t, refusal(t, w.connect(wiki).Bind(dn(1), password(1))), "No phone is activated for this account.")
	w.shows(1, 0)
	require.NotEqual(t, w.accepts()[0].Account, w.Last().Account)
}

// Who may write the number in the directory must not make his own phone the
// second factor of somebody else.
func TestAnotherNumberInTheDirectoryIsNotBelieved(t *testing.T) {
	w := start(t, options{phones: 2})
	change := ldap.NewModifyRequest(dn(1), nil)
	change.Replace("employeeNumber", []string{testenv.UserNumber(2)})
	require.NoError(t, w.admin().Modify(change))
	require.Contains(t, refusal(t, w.connect(wiki).Bind(dn(1), password(1))), "has changed and is not confirmed yet")
	_, asked := w.vpn(1)
	require.EqualValues(t, site.AccessReject, asked.Code)
	w.shows(2, 0)
	require.Equal(t, "number_changed", w.Last().Reason)
}

// wrong is a code that is not the one of user n's only login.
func (w *world) wrong(n int) string {
	w.t.Helper()
	return site.WrongCode(w.shows(n, 1)[0].Code)
}
