package ldap_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
	"vssgate/test/site"
)

// An application is a real program that logs user n in with a password, and
// succeeds when it did what it does with such a user.
type application struct {
	login func(w *world, n int, password string) *program
	told  bool // whoever runs it reads why he was refused
	queue bool // one login after the other, so nothing can be typed while one is held
}

// shell runs a line with $URL, $LDAPS, $DN, $PASSWORD, $USER and so on set.
func shell(line string) func(*world, int, string) *program {
	return func(w *world, n int, password string) *program {
		return w.run(wiki, "env", append(w.environment(n, password), "bash", "-c", line)...)
	}
}

func (w *world) environment(n int, password string) []string {
	plain, _, _ := strings.Cut(password, ",")
	return []string{
		"URL=" + w.url(), "LDAPS=ldaps://" + w.LDAPS[0], "BASE=" + testenv.SlapdBase, "PEOPLE=" + testenv.SlapdPeople,
		"APP=" + testenv.SlapdAppDN, "APP_PASSWORD=" + testenv.SlapdAppPassword, "DN=" + dn(n), "LOGIN=" + testenv.UserName(n),
		"PASSWORD=" + password, "PLAIN=" + plain,
	}
}

// applications are those of the machine that the tests run on; PostgreSQL has
// tests of its own.
var applications = map[string]application{
	"ldapwhoami":             {shell(`ldapwhoami -x -H $URL -D $DN -w "$PASSWORD" | tee /dev/stderr | grep -qx "dn:$DN"`), true, false},
	"ldapwhoami, StartTLS":   {shell(`ldapwhoami -x -ZZ -H $URL -D $DN -w "$PASSWORD" | grep -qx "dn:$DN"`), true, false},
	"ldapwhoami, LDAPS":      {shell(`ldapwhoami -x -H $LDAPS -D $DN -w "$PASSWORD" | grep -qx "dn:$DN"`), true, false},
	"ldapcompare":            {shell(`ldapcompare -x -H $URL -D $DN -w "$PASSWORD" $DN uid:$LOGIN | grep -q TRUE`), true, false},
	"ldapmodify":             {shell(`printf 'dn: %s\nchangetype: modify\nreplace: userPassword\nuserPassword: %s\n' $DN "$PLAIN" | ldapmodify -x -H $URL -D $DN -w "$PASSWORD"`), true, false},
	"ldappasswd":             {shell(`ldappasswd -x -H $URL -D $DN -w "$PASSWORD" -a "$PLAIN" -s "$PLAIN"`), true, false},
	"ldapsearch, a referral": {shell(`ldapsearch -x -MM -LLL -H $URL -D $DN -w "$PASSWORD" -b ou=elsewhere,$BASE -s base | grep -q "^ou: elsewhere"`), true, false},
	"ldapsearch, pages":      {shell(`test "$(ldapsearch -x -LLL -H $URL -D $DN -w "$PASSWORD" -b $BASE -E pr=100/noprompt '(uid=*)' dn | grep -c ^dn:)" = 1000`), true, false},
	"ldapsearch, sorted":     {shell(`ldapsearch -x -LLL -H $URL -D $DN -w "$PASSWORD" -b $BASE -E '!sss=cn:2.5.13.3' '(uid=user000*)' uid | grep -q "^uid: user000"`), true, false},
	"ldapsearch, VLV":        {shell(`ldapsearch -x -H $URL -D $DN -w "$PASSWORD" -b $PEOPLE -E '!sss=uid:2.5.13.3' -E '!vlv=0/4/500/0' '(uid=*)' uid </dev/null | grep -qx "uid: user0500"`), true, false},
	"ldapsearch, sync":       {shell(`ldapsearch -x -H $URL -D $DN -w "$PASSWORD" -b $PEOPLE -E '!sync=ro' '(uid=user0007)' uid | grep -qx "uid: user0007"`), true, false},
	"ldapwhoami, policy":     {shell(`ldapwhoami -x -e ppolicy -v -H $URL -D $DN -w "$PASSWORD" 2>&1 | grep -i "expire"`), false, false},
	"squid":                  {shell(`echo "$LOGIN $PASSWORD" | /usr/lib/squid/basic_ldap_auth -v 3 -Z -b $BASE -f uid=%s -D $APP -w $APP_PASSWORD -H $URL | grep -q ^OK`), false, false},
	"Net::LDAP":              {shell("perl -MNet::LDAP -MNet::LDAP::Util=escape_filter_value -e '" + netLDAP + "'"), true, false},
	"python-ldap":            {shell("/usr/bin/python3 -c '" + pythonLDAP + "'"), true, false},
	"Dovecot":                {func(w *world, n int, password string) *program { return w.dovecot(n, password) }, false, true},
}

const netLDAP = `my $c = Net::LDAP->new($ENV{URL}) or die $@;
my $r = $c->start_tls(verify => "require", cafile => $ENV{LDAPTLS_CACERT}); die $r->error if $r->code;
my $m = $c->bind($ENV{APP}, password => $ENV{APP_PASSWORD}); die $m->error if $m->code;
my $s = $c->search(base => $ENV{BASE}, filter => "(uid=" . escape_filter_value($ENV{LOGIN}) . ")", attrs => ["uid"]);
die "not one entry" unless $s->count == 1;
$m = $c->bind($s->entry(0)->dn, password => $ENV{PASSWORD});
if ($m->code) { print STDERR $m->code, " ", $m->error, "\n"; exit 1 }`

const pythonLDAP = `
import ldap, os, sys
from ldap.filter import escape_filter_chars
e = os.environ
c = ldap.initialize(e["URL"])
c.start_tls_s()
c.simple_bind_s(e["APP"], e["APP_PASSWORD"])
found = [x for x in c.search_s(e["BASE"], ldap.SCOPE_SUBTREE, "(uid=%s)" % escape_filter_chars(e["LOGIN"]), ["uid"]) if x[0]]
assert len(found) == 1
try:
    c.simple_bind_s(found[0][0], e["PASSWORD"])
except ldap.LDAPError as x:
    sys.exit(str(x))
`

// Each application, each way: approved on the phone, denied there, with the
// code of the login, and with a wrong password. It need not know anything of
// the second factor.
func TestApplicationsLogTheirUsersIn(t *testing.T) {
	w := start(t, options{phones: 1, slapd: testenv.SlapdOptions{Users: 1000, PasswordPolicy: true, LDIF: elsewhere}})
	w.startDovecot()
	for name, a := range applications {
		t.Run(name, func(t *testing.T) {
			w := w.of(t)
			p := a.login(w, 1, password(1))
			w.approve(1, accepted)
			p.succeeds()
			require.Equal(t, "approval", w.lastOf(1).Factor)

			p = a.login(w, 1, password(1))
			w.shows(1, 1)
			w.phones[1].No()
			a.reads(t, p.fails(), "denied in VssID")

			if !a.queue {
				p = a.login(w, 1, password(1))
				a.login(w, 1, password(1)+","+w.shows(1, 1)[0].Code).succeeds()
				p.fails()
				require.Equal(t, "code", w.lastOf(1).Factor)
			}

			a.reads(t, a.login(w, 1, "not it").fails(), "Wrong user name or password.")
			w.shows(1, 0)
		})
	}
	w.prompted(1, 3*len(applications)-1)
}

// lastOf is the newest record of user n. Dovecot binds as itself again once a
// user is let in, whenever it comes to it.
func (w *world) lastOf(n int) (last site.Record) {
	w.t.Helper()
	for _, r := range w.Ended() {
		if r.Username == testenv.UserName(n) {
			last = r
		}
	}
	return last
}

func (a application) reads(t *testing.T, out, why string) {
	t.Helper()
	if a.told {
		require.Contains(t, out, why)
	}
}

// startDovecot starts an IMAP server that looks users up and binds as them,
// all on one connection of its own.
func (w *world) startDovecot() {
	w.t.Helper()
	dir, err := os.MkdirTemp("", "dovecot") // its processes have other users
	require.NoError(w.t, err)
	w.t.Cleanup(func() { os.RemoveAll(dir) })
	require.NoError(w.t, os.Chmod(dir, 0o755))
	ca, err := os.ReadFile(w.Slapd.CAFile)
	require.NoError(w.t, err)
	w.imap = testenv.FreePort(w.t)
	mailUser := os.Getuid()
	if mailUser == 0 { // whose mail it refuses to read
		mailUser = 65534
	}
	require.NoError(w.t, os.Mkdir(dir+"/mail", 0o700))
	require.NoError(w.t, os.Chown(dir+"/mail", mailUser, -1))
	for name, text := range map[string]string{
		"ca.pem":       string(ca),
		"ldap.conf":    fmt.Sprintf(dovecotLDAP, w.url(), dir, testenv.SlapdBase, testenv.SlapdAppDN, testenv.SlapdAppPassword),
		"dovecot.conf": fmt.Sprintf(dovecotConf, dir, w.imap, mailUser),
	} {
		require.NoError(w.t, os.WriteFile(dir+"/"+name, []byte(text), 0o644))
	}
	path, err := exec.LookPath("dovecot")
	if err != nil {
		w.t.Fatal("dovecot is missing: run test/packages.sh")
	}
	server := exec.Command(path, "-F", "-c", dir+"/dovecot.conf")
	require.NoError(w.t, server.Start())
	w.t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGTERM)
		_ = server.Wait()
	})
	w.eventually("Dovecot does not start", func() bool {
		conn, err := new(net.Dialer).DialContext(context.Background(), "tcp", "127.0.0.1:"+w.imap)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

const dovecotLDAP = `uris = %s
tls = yes
tls_ca_cert_file = %s/ca.pem
base = %s
ldap_version = 3
dn = %s
dnpass = %s
auth_bind = yes
pass_filter = (uid=%%u)
pass_attrs = uid=user
`

const dovecotConf = `base_dir = %[1]s/run
state_dir = %[1]s/run
log_path = %[1]s/log
ssl = no
protocols = imap
listen = 127.0.0.1
default_login_user = nobody
default_internal_user = nobody
default_internal_group = nogroup
disable_plaintext_auth = no
auth_failure_delay = 0
auth_cache_size = 0
mail_location = maildir:%[1]s/mail
first_valid_uid = 0
first_valid_gid = 0
passdb {
  driver = ldap
  args = %[1]s/ldap.conf
}
userdb {
  driver = static
  args = uid=%[3]d gid=%[3]d home=%[1]s/mail
}
service imap-login {
  chroot =
  inet_listener imap {
    port = %[2]s
  }
  inet_listener imaps {
    port = 0
  }
}
`

// dovecot reads user n's mail.
func (w *world) dovecot(n int, password string) *program {
	return w.run(wiki, "curl", "-sS", "imap://127.0.0.1:"+w.imap+"/", "-u", testenv.UserName(n)+":"+password)
}

// A directory of 100,000: what applications ask of it arrives, whole and not
// one byte different.
func TestADirectoryOfManyThousands(t *testing.T) {
	const users = 100000
	w := start(t, options{phones: 1, slapd: testenv.SlapdOptions{Users: users}})
	count := `ldapsearch -x -LLL -o ldif-wrap=no -H %s -D $APP -w $APP_PASSWORD -b $PEOPLE %s "(uid=*)" uid mail | sha256sum`
	direct := func(line string) string {
		out, err := exec.Command("env", append(w.environment(1, ""), "bash", "-c", line)...).CombinedOutput()
		require.NoError(t, err, string(out))
		return string(out)
	}
	for _, pages := range []string{"", "-E pr=5000/noprompt"} {
		through := shell(fmt.Sprintf(count, "$URL", pages))(w, 1, "").succeeds()
		require.Equal(t, direct(fmt.Sprintf(count, w.Slapd.URI, pages)), through)
	}
	for _, name := range []string{"python-ldap", "squid"} {
		p := applications[name].login(w, 1, password(1))
		w.approve(1, accepted)
		p.succeeds()
	}
	group := shell(`ldapsearch -x -LLL -H $URL -D $APP -w $APP_PASSWORD -b `+testenv.SlapdGroups+` "(cn=staff)" member | grep -c ^member:`)(w, 1, "")
	require.Equal(t, fmt.Sprintln(users), group.succeeds(), "one entry of several megabytes")
}
