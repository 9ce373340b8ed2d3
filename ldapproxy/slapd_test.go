package ldapproxy

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/directory"
	"vssgate/internal/login"
	"vssgate/internal/secret"
	"vssgate/internal/testenv"
)

// The tests of this file are real programs against a real directory.

// scene is slapd behind a Server, with an application's account exempt.
type scene struct {
	*proxy
	slapd *testenv.SlapdServer
	desk  *desk
}

const moreEntries = `dn: uid=lê.hoà,` + testenv.SlapdPeople + `
objectClass: inetOrgPerson
uid: lê.hoà
cn: Lê Hoà
sn: Lê
userPassword: pä,ss

dn: ou=elsewhere,` + testenv.SlapdBase + `
objectClass: referral
objectClass: extensibleObject
ou: elsewhere
ref: ldap://127.0.0.1:1/ou=elsewhere,dc=example,dc=vn

`

func newScene(t testing.TB, o testenv.SlapdOptions, change func(*Options, *limits)) *scene {
	t.Helper()
	o.LDIF += moreEntries
	slapd := testenv.Slapd(t, o)
	d, err := directory.NewLDAP(directory.LDAPOptions{
		Name: "slapd", URLs: []string{slapd.URI}, StartTLS: true, TLS: &tls.Config{RootCAs: slapd.CA.Pool},
		BindDN: slapd.BindDN, BindPassword: secret.Secret(slapd.BindPassword),
		BaseDNs: []string{testenv.SlapdPeople}, UserFilter: "(uid={username})", Domains: map[string]string{"VSS": "vss.vn"},
		Attributes: directory.Attributes{ID: "entryUUID", Username: "uid"},
	})
	require.NoError(t, err)
	t.Cleanup(d.Close)
	desk := newDesk()
	return &scene{slapd: slapd, desk: desk, proxy: front(t, d, desk, func(o *Options, l *limits) {
		o.TLS = &tls.Config{Certificates: []tls.Certificate{slapd.CA.Cert}}
		o.Exempt = []Exempt{{DN: testenv.SlapdAppDN, Why: "searches"}}
		if change != nil {
			change(o, l)
		}
	})}
}

// run starts a program that trusts the scene's authority.
func (s *scene) run(name string, args ...string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		s.t.Fatalf("%s is missing: apt-get install ldap-utils python3-ldap", name)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(cmd.Environ(), "LDAPTLS_CACERT="+s.slapd.CAFile, "LDAPTLS_REQCERT=demand")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (s *scene) url() string { return "ldap://" + s.addr }

// binds are the names that slapd saw in simple binds.
func (s *scene) binds() (names []string) {
	for line := range strings.Lines(s.slapd.Log()) {
		if _, rest, ok := strings.Cut(line, `BIND dn="`); ok && strings.Contains(rest, "method=128") {
			name, _, _ := strings.Cut(rest, `"`)
			names = append(names, name)
		}
	}
	return names
}

var user, userPassword = testenv.UserDN(1), testenv.UserPassword(1)

func TestLdapwhoamiIsHeldUntilTheSecondFactor(t *testing.T) {
	s := newScene(t, testenv.SlapdOptions{Log: true}, nil)
	for name, c := range map[string][]string{
		"plain":    {"-H", s.url()},
		"StartTLS": {"-ZZ", "-H", s.url()},
		"LDAPS":    {"-H", "ldaps://" + s.tlsAddr},
	} {
		for _, answer := range []struct {
			decide func(*visit)
			ok     bool
			says   string
		}{
			{(*visit).accept, true, "dn:" + user},
			{func(v *visit) { v.reject(login.Denied) }, false, "denied for app [TRACE2]"},
		} {
			t.Run(name+" "+answer.says, func(t *testing.T) {
				type end struct {
					out string
					err error
				}
				ended := make(chan end, 1)
				go func() {
					out, err := s.run("ldapwhoami", append(c, "-x", "-D", user, "-w", userPassword)...)
					ended <- end{out, err}
				}()
				held := s.desk.next(t)
				require.Equal(t, user, held.identity.DN)
				require.NotEmpty(t, held.identity.ID)
				answer.decide(held)
				got := <-ended
				require.Equal(t, answer.ok, got.err == nil, got.out)
				require.Contains(t, got.out, answer.says)
			})
		}
	}
}

// A login is one search and one bind, once there is a connection that searches.
func TestALoginCostsTheDirectoryOneSearchAndOneBind(t *testing.T) {
	s := newScene(t, testenv.SlapdOptions{Log: true}, nil)
	login := func(n int) (log string) {
		told := len(s.slapd.Log())
		a := s.connect()
		a.write(bindFrame(a.next(), testenv.UserDN(n), testenv.UserPassword(n)))
		s.desk.next(t).accept()
		require.Equal(t, success, a.read().code)
		a.write(unbindFrame(a.next()))
		eventually(t, "its connection to the directory stays", func() bool {
			log = s.slapd.Log()[told:]
			return strings.Contains(log, " closed")
		})
		return log
	}
	login(1)
	cost := login(2)
	require.Equal(t, 1, strings.Count(cost, " SRCH base="), cost)
	require.Equal(t, 1, strings.Count(cost, " method=128"), cost)
}

func TestSpellingsOfAUsersNameAllNeedTheSecondFactorOfTheSameAccount(t *testing.T) {
	s := newScene(t, testenv.SlapdOptions{Log: true}, nil)
	var id string
	for _, name := range []string{
		user, "user0001", "USER0001", `VSS\user0001`, "user0001@vss.vn",
		"uid=user0001, ou=people, dc=example, dc=vn",
		"UID=User0001,OU=People,DC=example,DC=vn",
		"0.9.2342.19200300.100.1.1=user0001,2.5.4.11=people,dc=example,dc=vn",
		"uid=user0001;ou=people;dc=example;dc=vn",
		`uid=user0001,ou=p\65ople,dc=example,dc=vn`,
		`uid=\75ser0001,ou=people,dc=example,dc=vn`,
	} {
		a := s.connect()
		a.wantBind(success, name, userPassword+","+rightCode)
		v := s.desk.last()
		require.Empty(t, v.request.Rule, name)
		require.Equal(t, user, v.identity.DN, name)
		if id == "" {
			id = v.identity.ID
		}
		require.Equal(t, id, v.identity.ID, name)
		a.wantBind(invalid, name, userPassword+",000000")
	}
	for _, name := range []string{"a4ba9f0c-3a4b-4a4c-9d1e-9f0c3a4b4a4c", "S-1-5-21-1-2-3-500", "uid=nobody," + testenv.SlapdPeople, testenv.SlapdPeople, "*", "user0001)(uid=*"} {
		s.connect().wantBind(invalid, name, userPassword+","+rightCode)
	}
	for _, name := range s.binds() {
		ok := name == user || name == testenv.SlapdBindDN || strings.HasPrefix(name, "cn=nobody-")
		require.True(t, ok, "slapd saw a bind as %q, which is not what was judged", name)
	}
}

func TestExemptSpellingsReachTheSameEntry(t *testing.T) {
	s := newScene(t, testenv.SlapdOptions{Log: true}, nil)
	for _, name := range []string{testenv.SlapdAppDN, "2.5.4.3=app,ou=services,dc=example,dc=vn", "CN=App, OU=services, DC=example, DC=vn"} {
		out, err := s.run("ldapwhoami", "-x", "-H", s.url(), "-D", name, "-w", testenv.SlapdAppPassword)
		require.NoError(t, err, out)
		require.Contains(t, out, "dn:"+testenv.SlapdAppDN)
	}
	out, err := s.run("ldapwhoami", "-x", "-H", s.url())
	require.NoError(t, err, out)
	require.Contains(t, out, "anonymous")
}

func TestAPasswordBeyondASCIIReachesTheDirectory(t *testing.T) {
	s := newScene(t, testenv.SlapdOptions{}, nil)
	out, err := s.run("ldapwhoami", "-x", "-H", s.url(), "-D", "uid=lê.hoà,"+testenv.SlapdPeople, "-w", "pä,ss,"+rightCode)
	require.NoError(t, err, out)
	require.Contains(t, out, "dn:uid=l")
}

func TestRequiredTLSIsRequired(t *testing.T) {
	s := newScene(t, testenv.SlapdOptions{Log: true}, func(o *Options, _ *limits) { o.RequireTLS = true })
	out, err := s.run("ldapwhoami", "-x", "-H", s.url(), "-D", user, "-w", userPassword)
	require.Error(t, err)
	require.Contains(t, out, "Confidentiality required (13)")
	require.Empty(t, s.binds())
	out, err = s.run("ldapwhoami", "-x", "-ZZ", "-H", s.url(), "-D", testenv.SlapdAppDN, "-w", testenv.SlapdAppPassword)
	require.NoError(t, err, out)
}

func TestSASLIsRefusedAndNothingOfItReachesTheDirectory(t *testing.T) {
	s := newScene(t, testenv.SlapdOptions{Log: true}, nil)
	for _, mechanism := range []string{"EXTERNAL", "PLAIN", "SCRAM-SHA-256", "DIGEST-MD5", "GSSAPI", "GSS-SPNEGO"} {
		a := s.connect()
		a.write(message(a.next(), bindOp(3, "", authSASL, append([]byte{0x04, byte(len(mechanism))}, mechanism...))).Bytes())
		require.Equal(t, authNotSupported, a.read().code)
	}
	require.NotContains(t, s.slapd.Log(), "BIND")
}

func TestSearchesAreTheSameAsAtTheDirectory(t *testing.T) {
	s := newScene(t, testenv.SlapdOptions{Users: 1001}, nil)
	for name, args := range map[string][]string{
		"all attributes":              {"(uid=user000*)", "*", "+"},
		"pages":                       {"-E", "pr=100/noprompt", "(uid=*)", "uid"},
		"sorted":                      {"-E", "sss=uid", "(uid=user00*)", "uid"},
		"references shown as entries": {"-MM", "-s", "sub", "-b", testenv.SlapdBase, "(objectClass=referral)"},
		"references":                  {"-b", testenv.SlapdBase, "(ou=*)"},
		"a referral":                  {"-b", "ou=elsewhere," + testenv.SlapdBase, "(ou=*)"},
		"a group of 1001":             {"-b", testenv.SlapdGroups, "(cn=staff)"},
		"an unknown critical control": {"-e", "!1.2.3.4", "(uid=*)"},
		"password policy":             {"-e", "ppolicy", "(uid=user0001)"},
		"no such object":              {"-b", "ou=nowhere," + testenv.SlapdBase, "(uid=*)"},
		"a size limit":                {"-z", "3", "(uid=*)", "uid"},
		"an escaped asterisk":         {`(uid=\2a)`, "uid"},
		"an attempted injection":      {`(uid=nosuch\29\28uid=user0002)`, "uid"},
		"several asterisks":           {"(uid=us*0*02)", "uid"},
		"an extensible match":         {"(uid:caseIgnoreMatch:=USER0002)", "uid"},
		"bytes that are not UTF-8":    {`(uid=\ff\fe)`, "uid"},
		"an empty and":                {"(&)", "1.1"},
	} {
		t.Run(name, func(t *testing.T) {
			search := func(url string) (string, string) {
				full := append([]string{"-x", "-LLL", "-o", "ldif-wrap=no", "-H", url, "-D", testenv.SlapdAppDN, "-w", testenv.SlapdAppPassword}, args...)
				if args[0] != "-b" && !strings.Contains(strings.Join(args, " "), " -b ") {
					full = append(full[:8:8], append([]string{"-b", testenv.SlapdPeople}, full[8:]...)...)
				}
				out, err := s.run("ldapsearch", full...)
				return out, fmt.Sprint(err)
			}
			direct, directErr := search(s.slapd.URI)
			through, throughErr := search(s.url())
			require.Equal(t, directErr, throughErr)
			require.True(t, direct == through, "direct:\n%.2000s\nthrough:\n%.2000s", direct, through)
			require.NotEmpty(t, through+throughErr)
		})
	}
}

func TestAHeldBindKeepsThePasswordPolicysWarning(t *testing.T) {
	s := newScene(t, testenv.SlapdOptions{PasswordPolicy: true}, nil)
	out, err := s.run("ldapwhoami", "-x", "-e", "ppolicy", "-H", s.url(), "-D", user, "-w", userPassword+","+rightCode)
	require.NoError(t, err, out)
	require.Contains(t, out, "Password expires")
}

func TestAUserChangesHisPasswordAfterTheSecondFactor(t *testing.T) {
	s := newScene(t, testenv.SlapdOptions{}, nil)
	out, err := s.run("ldappasswd", "-x", "-H", s.url(), "-D", user, "-w", userPassword+","+rightCode)
	require.NoError(t, err, out)
	require.Contains(t, out, "New password: ", "the response value comes through")
	out, err = s.run("ldappasswd", "-x", "-H", s.url(), user)
	require.Error(t, err)
	require.Contains(t, out, "(8)")
}

func TestLdapcompareTestsNoPasswords(t *testing.T) {
	s := newScene(t, testenv.SlapdOptions{}, nil)
	out, err := s.run("ldapcompare", "-x", "-H", s.url(), "-D", user, "-w", userPassword+","+rightCode, user, "userPassword:"+userPassword)
	require.Error(t, err)
	require.Contains(t, out, "(50)")
	out, _ = s.run("ldapcompare", "-x", "-H", s.url(), "-D", user, "-w", userPassword+","+rightCode, user, "uid:user0001")
	require.Contains(t, out, "TRUE")
}

func TestALongModifyThroughStartTLSReadsBackTheSame(t *testing.T) {
	s := newScene(t, testenv.SlapdOptions{}, nil)
	photo := bytes.Repeat([]byte("\xff\xd8\x00photo"), 200000)
	dir := t.TempDir()
	writeFile(t, dir+"/photo", photo)
	ldif := "dn: " + user + "\nchangetype: modify\nreplace: jpegPhoto\njpegPhoto:< file://" + dir + "/photo\n"
	writeFile(t, dir+"/ldif", []byte(ldif))
	out, err := s.run("ldapmodify", "-x", "-ZZ", "-H", s.url(), "-D", testenv.SlapdAdminDN, "-w", testenv.SlapdAdminPassword, "-f", dir+"/ldif")
	require.Error(t, err, "the administrator is no user and not exempt: %s", out)

	s = newScene(t, testenv.SlapdOptions{}, func(o *Options, _ *limits) {
		o.Exempt = []Exempt{{DN: testenv.SlapdAdminDN}}
	})
	out, err = s.run("ldapmodify", "-x", "-ZZ", "-H", s.url(), "-D", testenv.SlapdAdminDN, "-w", testenv.SlapdAdminPassword, "-f", dir+"/ldif")
	require.NoError(t, err, out)
	out, err = s.run("ldapsearch", "-x", "-ZZ", "-LLL", "-T", dir, "-t", "-H", s.url(), "-D", testenv.SlapdAdminDN, "-w", testenv.SlapdAdminPassword, "-b", user, "-s", "base", "jpegPhoto")
	require.NoError(t, err, out)
	require.True(t, bytes.Equal(photo, readTemp(t, dir, "ldapsearch-jpegPhoto-*")))
}

func TestPythonLdapSearchesBindsAndReadsTheReason(t *testing.T) {
	s := newScene(t, testenv.SlapdOptions{}, nil)
	script := `
import ldap, sys
url, app, appPassword, name, password, code, base = sys.argv[1:]
c = ldap.initialize(url)
c.simple_bind_s(app, appPassword)
dn = c.search_s(base, ldap.SCOPE_SUBTREE, "(uid=%s)" % name, ["uid"])[0][0]
c.simple_bind_s(dn, password + "," + code)
print("who", c.whoami_s())
try:
    c.simple_bind_s(dn, password + ",000000")
    print("let in")
except ldap.INVALID_CREDENTIALS as e:
    print("info", e.args[0]["info"])
print("who", repr(c.whoami_s()))
held = c.simple_bind(dn, password)
print("held", c.result(held, timeout=20)[0] == ldap.RES_BIND)
print("who", c.whoami_s())
`
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.desk.next(t).accept()
	}()
	out, err := s.run("/usr/bin/python3", "-c", script, s.url(), testenv.SlapdAppDN, testenv.SlapdAppPassword, "user0001", userPassword, rightCode, testenv.SlapdPeople)
	require.NoError(t, err, out)
	<-done
	require.Equal(t, "who dn:"+user+"\ninfo wrong_code for app [TRACE2]\nwho ''\nheld True\nwho dn:"+user+"\n", out)
}

func TestSlapdStoppedDuringAHoldIsUnavailable(t *testing.T) {
	s := newScene(t, testenv.SlapdOptions{}, nil)
	a := s.connect()
	a.write(bindFrame(a.next(), user, userPassword))
	held := s.desk.next(t)
	s.slapd.Stop()
	// slapd says good-bye itself; whatever comes first, nothing is a success.
	for {
		h, frame, err := readFrame(&a.src, false)
		if err != nil {
			break
		}
		require.NotEqual(t, successWithControl(1), frame)
		require.False(t, h.op == opBindResponse && frame[len(frame)-1] == 0 && bytes.Contains(frame, []byte("\x0a\x01\x00")))
	}
	held.wantLeft(t)
	held.accept()
	b := s.connect()
	b.wantBind(unavailable, user, userPassword)
	s.slapd.Start()
	eventually(t, "the directory is not tried again", func() bool {
		c := s.connect()
		return c.bind(user, userPassword+","+rightCode).code == success
	})
}

func TestAFrozenDirectoryAnswersUnavailableInTime(t *testing.T) {
	s := newScene(t, testenv.SlapdOptions{}, func(_ *Options, l *limits) { l.answer = time.Second })
	a := s.connect()
	a.wantBind(success, user, userPassword+","+rightCode)
	s.slapd.Freeze()
	defer s.slapd.Thaw()
	a.wantBind(unavailable, user, userPassword)
}

// Of two servers the first hangs: the one application that finds that out is
// told that the directory is unavailable, the next one is served by the other.
func TestAServerThatHangsIsLeftForTheNext(t *testing.T) {
	first, second := testenv.Slapd(t, testenv.SlapdOptions{}), testenv.Slapd(t, testenv.SlapdOptions{Log: true})
	d, err := directory.NewLDAP(directory.LDAPOptions{
		Name: "two", URLs: []string{first.URI, second.URI}, BindDN: first.BindDN, BindPassword: secret.Secret(first.BindPassword),
		BaseDNs: []string{testenv.SlapdPeople}, UserFilter: "(uid={username})", Attributes: directory.Attributes{ID: "entryUUID", Username: "uid"},
	})
	require.NoError(t, err)
	t.Cleanup(d.Close)
	p := front(t, d, newDesk(), func(o *Options, l *limits) {
		l.answer = 1500 * time.Millisecond
		o.Exempt = []Exempt{{DN: testenv.SlapdAppDN}}
	})
	p.connect().wantBind(success, testenv.SlapdAppDN, testenv.SlapdAppPassword)
	require.NotContains(t, second.Log(), "BIND")
	first.Freeze()
	p.connect().wantBind(unavailable, testenv.SlapdAppDN, testenv.SlapdAppPassword)
	a := p.connect()
	a.wantBind(success, testenv.SlapdAppDN, testenv.SlapdAppPassword)
	require.Equal(t, success, a.bind("user0001", userPassword+","+rightCode).code)
	first.Thaw()
}

// A peer that vanishes without a word is found out: both connections of a
// client have keep-alive on.
func TestBothConnectionsAreKeptAlive(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	p := front(t, tree, desk, nil)
	d, err := directory.NewLDAP(directory.LDAPOptions{Name: "x", URLs: []string{"ldap://" + tree.addr}, BaseDNs: []string{testenv.SlapdBase},
		UserFilter: "(uid={username})", Attributes: directory.Attributes{ID: "entryUUID", Username: "uid"}})
	require.NoError(t, err)
	t.Cleanup(d.Close)
	upstream, err := d.Dial(t.Context())
	require.NoError(t, err)
	defer upstream.Close()
	p.connect().whoAmI()
	p.server.mu.Lock()
	defer p.server.mu.Unlock()
	require.True(t, keptAlive(t, upstream.LocalAddr(), upstream.RemoteAddr()))
	for c := range p.server.conns {
		require.True(t, keptAlive(t, c.raw.LocalAddr(), c.raw.RemoteAddr()))
	}
}

// keptAlive reads the timer of a connection, the sixth column of proc_net_tcp:
// 02 is keep-alive.
func keptAlive(t *testing.T, local, remote net.Addr) bool {
	hex := func(a net.Addr) string {
		ip := a.(*net.TCPAddr).IP.To4()
		return fmt.Sprintf("%02X%02X%02X%02X:%04X", ip[3], ip[2], ip[1], ip[0], a.(*net.TCPAddr).Port)
	}
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		table, err := os.ReadFile(file)
		require.NoError(t, err)
		for line := range strings.Lines(string(table)) {
			f := strings.Fields(line)
			if len(f) > 5 && strings.HasSuffix(f[1], hex(local)) && strings.HasSuffix(f[2], hex(remote)) {
				return strings.HasPrefix(f[5], "02:")
			}
		}
	}
	return false
}

func writeFile(t testing.TB, path string, b []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, b, 0o600))
}

func readTemp(t testing.TB, dir, pattern string) []byte {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	require.NoError(t, err)
	require.Len(t, found, 1)
	b, err := os.ReadFile(found[0])
	require.NoError(t, err)
	return b
}
