package ldap_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
	"vssgate/test/site"
)

func TestLdapwhoamiIsHeldUntilThePhoneAnswers(t *testing.T) {
	w := start(t, options{phones: 1})
	ways := map[string][]string{
		"plain":    {"-H", w.url()},
		"StartTLS": {"-ZZ", "-H", w.url()},
		"LDAPS":    {"-H", "ldaps://" + w.LDAPS[0]},
	}
	for name, args := range ways {
		t.Run(name, func(t *testing.T) {
			w := w.of(t)
			ask := func() *program {
				return w.run(wiki, "ldapwhoami", append(args, "-x", "-D", dn(1), "-w", password(1))...)
			}
			p := ask()
			w.approve(1, accepted)
			require.Equal(t, "dn:"+dn(1)+"\n", p.succeeds())
			require.Equal(t, "approval", w.Last().Factor)

			p = ask()
			w.shows(1, 1)
			w.phones[1].No()
			out := p.fails()
			require.Contains(t, out, "Invalid credentials (49)")
			require.Contains(t, out, "This login was denied in VssID")
			last := w.Last()
			require.Contains(t, out, "["+last.Trace+"]", "the trace of the text finds the record of the audit")
			require.Equal(t, "denied", last.Reason)
		})
	}
	w.prompted(1, 2*len(ways))
}

func TestNobodyAnswersOnThePhone(t *testing.T) {
	w := start(t, options{phones: 1})
	begun := time.Now()
	out := w.run(brief, "ldapwhoami", "-x", "-H", w.url(), "-D", dn(1), "-w", password(1)).fails()
	require.GreaterOrEqual(t, time.Since(begun), briefHold)
	require.Contains(t, out, "(49)")
	require.Contains(t, out, "Waiting time is over")
	require.Empty(t, w.Ended(), "the login is still open")

	w.approve(1, later)
	out = w.run(brief, "ldapwhoami", "-x", "-H", w.url(), "-D", dn(1), "-w", password(1)).succeeds()
	require.Equal(t, "dn:"+dn(1)+"\n", out)
	w.prompted(1, 1)
	require.Len(t, w.Ended(), 1)

	p := w.run(brief, "ldapwhoami", "-x", "-H", w.url(), "-D", dn(1), "-w", password(1))
	w.shows(1, 1)
	require.Contains(t, p.fails(), "(49)", "an approval is collected once")
}

func TestAWrongPasswordPromptsNobody(t *testing.T) {
	w := start(t, options{phones: 1})
	for _, name := range []string{dn(1), "uid=nobody," + testenv.SlapdPeople} {
		out := w.run(wiki, "ldapwhoami", "-x", "-H", w.url(), "-D", name, "-w", "not it").fails()
		require.Contains(t, out, "(49)")
		require.Contains(t, out, "Wrong user name or password.")
		require.Equal(t, "bad_password", w.Last().Reason)
	}
	w.shows(1, 0)
	require.Empty(t, w.fcm.Messages())
}

func TestAnApplicationOutsideAllClientsIsNotServed(t *testing.T) {
	w := start(t, options{})
	out := w.run(nowhere, "ldapwhoami", "-x", "-H", w.url(), "-D", dn(1), "-w", password(1)).fails()
	require.Contains(t, out, "Can't contact LDAP server")
	w.eventually("the log does not name it", func() bool { return strings.Contains(w.Output(), `"from":"`+nowhere+`"`) })
}

func TestTheCodeIsAppendedToThePassword(t *testing.T) {
	w := start(t, options{phones: 1})
	whoami := func(password string) *program {
		return w.run(mail, "ldapwhoami", "-x", "-H", w.url(), "-D", dn(1), "-w", password)
	}
	out := whoami(password(1)).fails()
	require.Contains(t, out, "(49)")
	require.Contains(t, out, "Password correct.")
	code := w.shows(1, 1)[0].Code

	out = whoami(password(1) + "," + site.WrongCode(code)).fails()
	require.Contains(t, out, "(49)")
	require.Contains(t, out, "Wrong code. 2 tries left.")
	require.Contains(t, whoami("not it,"+code).fails(), "Wrong user name or password.")
	require.Equal(t, "dn:"+dn(1)+"\n", whoami(password(1)+","+code).succeeds())
	require.Equal(t, "code", w.Last().Factor)
	require.Contains(t, whoami(password(1)+","+code).fails(), "This code has been used.")
	w.prompted(1, 1)

	require.Contains(t, whoami(password(1)).fails(), "Password correct.", "a new login")
	require.Contains(t, whoami(password(1)+","+code).fails(), "Wrong code.", "the code of another login")
	w.approve(1, later)
	require.Equal(t, "dn:"+dn(1)+"\n", whoami(password(1)).succeeds(), "approved, and logged in again with the password alone")
	require.Contains(t, whoami(password(1)).fails(), "Password correct.", "once")
}

func TestLdapsearchAsAUserWhoWasApproved(t *testing.T) {
	w := start(t, options{phones: 1, slapd: testenv.SlapdOptions{Users: 250, PasswordPolicy: true, LDIF: elsewhere}})
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"one entry":      {[]string{"(uid=user0007)"}, []string{"dn: " + dn(7), "mail: user0007@example.vn"}},
		"over StartTLS":  {[]string{"-ZZ", "(uid=user0007)", "uid"}, []string{"uid: user0007"}},
		"in pages":       {[]string{"-E", "pr=100/noprompt", "(uid=*)", "uid"}, []string{"dn: " + dn(250), "# numEntries: 250", "cookie="}},
		"sorted":         {[]string{"-E", "sss=-uid:2.5.13.3", "(uid=user000*)", "uid"}, []string{"# numEntries: 9", "dn: " + dn(9)}},
		"ManageDsaIT":    {[]string{"-MM", "-b", "ou=elsewhere," + testenv.SlapdBase, "-s", "base"}, []string{"ou: elsewhere"}},
		"ppolicy":        {[]string{"-e", "ppolicy", "(uid=user0001)", "uid"}, []string{"uid: user0001"}},
		"no such object": {[]string{"-b", "ou=nowhere," + testenv.SlapdBase}, []string{"result: 32 No such object"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := w.of(t)
			args := append([]string{"-x", "-H", w.url(), "-D", dn(1), "-w", password(1), "-b", testenv.SlapdPeople}, c.args...)
			p := w.run(wiki, "ldapsearch", args...)
			w.approve(1, accepted)
			<-p.ended
			for _, want := range c.want {
				require.Contains(t, p.out, want)
			}
		})
	}
	p := w.run(wiki, "ldapwhoami", "-x", "-e", "ppolicy", "-H", w.url(), "-D", dn(1), "-w", password(1))
	w.approve(1, accepted)
	require.Contains(t, p.succeeds(), "Password expires", "the directory's own answer came through the hold")
}

const elsewhere = `dn: ou=elsewhere,` + testenv.SlapdBase + `
objectClass: referral
objectClass: extensibleObject
ou: elsewhere
ref: ldap://127.0.0.1:1/ou=elsewhere,dc=example,dc=vn

`

// searchAndBind is what most applications do: they look the user up with an
// account of their own, and bind as whom they found.
const searchAndBind = `
import ldap, sys
url, app, appPassword, name, password, base = sys.argv[1:]
c = ldap.initialize(url)
c.simple_bind_s(app, appPassword)
found = c.search_s(base, ldap.SCOPE_SUBTREE, "(uid=%s)" % name, ["uid", "memberOf"])
print(len(found), found[0][1]["uid"][0].decode())
u = ldap.initialize(url)
try:
    u.simple_bind_s(found[0][0], password)
    print(u.whoami_s())
except ldap.INVALID_CREDENTIALS as e:
    print(e.args[0]["info"])
`

func TestPythonLooksTheUserUpAndBinds(t *testing.T) {
	w := start(t, options{phones: 1})
	script := func(password string) *program {
		return w.run(wiki, "/usr/bin/python3", "-c", searchAndBind, w.url(), testenv.SlapdAppDN, testenv.SlapdAppPassword, testenv.UserName(1), password, testenv.SlapdPeople)
	}
	p := script(password(1))
	w.approve(1, accepted)
	require.Equal(t, "1 user0001\ndn:"+dn(1)+"\n", p.succeeds())

	p = script(password(1))
	w.shows(1, 1)
	w.phones[1].No()
	require.Contains(t, p.succeeds(), "1 user0001\nThis login was denied in VssID.")
	require.Contains(t, script("not it").succeeds(), "Wrong user name or password.")
	w.prompted(1, 2)

	var rules, users int
	for _, r := range w.Ended() {
		if strings.HasPrefix(r.Factor, "exempt:") {
			require.Equal(t, "exempt:"+testenv.SlapdAppDN, r.Factor)
			require.Equal(t, "accepted", r.Verdict)
			require.Zero(t, r.Pushes)
			rules++
		} else {
			users++
		}
	}
	require.Equal(t, 3, rules)
	require.Equal(t, 3, users)
}
