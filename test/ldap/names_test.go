package ldap_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
	"vssgate/test/site"
)

// spellings are what directories take for the DN of user 1.
var spellings = []string{
	"uid=user0001, ou=people, dc=example, dc=vn",
	"UID=User0001,OU=People,DC=example,DC=vn",
	"0.9.2342.19200300.100.1.1=user0001,2.5.4.11=people,dc=example,dc=vn",
	"userid=user0001,organizationalUnitName=people,dc=example,dc=vn",
	"uid=user0001;ou=people;dc=example;dc=vn",
	`uid=user0001,ou=p\65ople,dc=example,dc=vn`,
	`uid=\75ser0001,ou=people,dc=example,dc=vn`,
	"user0001", "USER0001", `VSS\user0001`, "user0001@vss.vn", "user0001@VSS",
}

func TestEverySpellingOfAUserNeedsThePhoneOfTheSameAccount(t *testing.T) {
	w := start(t, options{phones: 1, slapd: testenv.SlapdOptions{Log: true}})
	for i, name := range spellings {
		conn := w.connect(wiki)
		b := w.bind(conn, name, password(1))
		open := w.shows(1, 1)[0]
		require.Equal(t, testenv.UserName(1), open.Username, "the phone shows the directory's spelling of %s", name)
		b.held()
		w.prompted(1, i+1) // before it ends: a push that is still on its way then is given up
		w.approve(1, accepted)
		require.NoError(t, b.wait(), name)
		require.Equal(t, "dn:"+dn(1), whoami(t, conn))
	}
	account := w.Last().Account
	require.NotEmpty(t, account)
	for _, r := range w.Ended() {
		require.Equal(t, account, r.Account)
		require.Equal(t, "approval", r.Factor)
	}
	for _, bound := range w.binds() {
		require.Equal(t, dn(1), bound, "what was judged is what was bound")
	}
}

func TestNamesThatAreNobodys(t *testing.T) {
	w := start(t, options{phones: 1})
	for _, name := range []string{
		"*", "user0001)(uid=*", "user000*", `OTHER\user0001`, "user0001@other.vn", testenv.SlapdPeople, testenv.SlapdStaff,
		"uid=user0001," + testenv.SlapdServices, "user0001,ou=people", "uid=#0408757365723030303031," + testenv.SlapdPeople,
	} {
		conn := w.connect(wiki)
		require.Contains(t, refusal(t, conn.Bind(name, password(1))), "Wrong user name or password.", name)
		require.Empty(t, whoami(t, conn))
	}
	w.shows(1, 0)
	w.prompted(1, 0)
}

func TestTheServiceAccountIsExemptHoweverItIsSpelt(t *testing.T) {
	w := start(t, options{phones: 1, slapd: testenv.SlapdOptions{Log: true}})
	names := []string{
		testenv.SlapdAppDN, "CN=App, OU=Services, DC=example, DC=vn", "2.5.4.3=app,ou=services,dc=example,dc=vn",
		`cn=\61pp,ou=services,dc=example,dc=vn`, "commonName=app;ou=services;dc=example;dc=vn",
	}
	for _, name := range names {
		conn := w.connect(wiki)
		require.NoError(t, conn.Bind(name, testenv.SlapdAppPassword), name)
		require.Equal(t, "dn:"+testenv.SlapdAppDN, whoami(t, conn))
		last := w.Last()
		require.Equal(t, "exempt:"+testenv.SlapdAppDN, last.Factor)
		require.Equal(t, "accepted", last.Verdict)
	}
	for _, bound := range w.binds() {
		require.Equal(t, testenv.SlapdAppDN, bound)
	}
	w.prompted(1, 0)
}

func TestTheRuleIsForThatAccountFromThatPlaceOnly(t *testing.T) {
	w := start(t, options{phones: 1})
	for _, c := range []struct{ from, name, password string }{
		{brief, testenv.SlapdAppDN, testenv.SlapdAppPassword}, // the rule says from where
		{wiki, testenv.SlapdBindDN, testenv.SlapdBindPassword},
		{wiki, testenv.SlapdAdminDN, testenv.SlapdAdminPassword},
		{wiki, testenv.SlapdAppDN, password(1)},
		{wiki, "app", testenv.SlapdAppPassword},
		{wiki, "cn=app+ou=x," + testenv.SlapdServices, testenv.SlapdAppPassword},
	} {
		conn := w.connect(c.from)
		refusal(t, conn.Bind(c.name, c.password))
		require.Empty(t, whoami(t, conn))
		require.Equal(t, "rejected", w.Last().Verdict)
	}
	w.prompted(1, 0)
}

func TestAServiceAccountAndAUserTakeTurnsOnOneConnection(t *testing.T) {
	w := start(t, options{phones: 1})
	conn := w.connect(wiki)
	for range 2 {
		require.NoError(t, conn.Bind(testenv.SlapdAppDN, testenv.SlapdAppPassword))
		b := w.bind(conn, dn(1), password(1))
		w.shows(1, 1)
		b.held()
		w.approve(1, accepted)
		require.NoError(t, b.wait())
		require.Equal(t, "dn:"+dn(1), whoami(t, conn))
	}
	w.prompted(1, 2)
}

// The code is of the account's login, however the name is spelt that comes with
// it, and never a part of a password for the directory.
func TestACodeIsAppendedUnderAnySpelling(t *testing.T) {
	w := start(t, options{phones: 1, slapd: testenv.SlapdOptions{Log: true}})
	for i, name := range []string{dn(1), spellings[1], "USER0001", `VSS\user0001`, "user0001@vss.vn", "user0001 "} {
		begun := spellings[2*i]
		require.Contains(t, refusal(t, w.connect(mail).Bind(begun, password(1))), "Password correct.")
		code := w.shows(1, 1)[0].Code
		require.Contains(t, refusal(t, w.connect(mail).Bind(name, password(1)+","+site.WrongCode(code))), "Wrong code. 2 tries left.", name)
		conn := w.connect(mail)
		require.NoError(t, conn.Bind(name, password(1)+","+code), "%s after %s", name, begun)
		require.Equal(t, "dn:"+dn(1), whoami(t, conn))
		require.Contains(t, refusal(t, w.connect(mail).Bind(begun, password(1)+","+code)), "This code has been used.")
	}
	for _, name := range []string{"user0001@vss.vn", `vss\USER0001`} { // by RADIUS too
		nas, _ := w.vpn(1)
		code := w.shows(1, 1)[0].Code
		done := nas.Ask(site.Request{User: name, Password: password(1) + "," + code, Station: "203.0.113.7"})
		require.EqualValues(t, site.AccessAccept, done.Code, "%s: %s", name, done.Text)
	}
	require.NotContains(t, w.Slapd.Log(), "err=49", "the directory has seen no wrong password")
}
