// Package ldap_test logs real applications in through the whole program: real
// clients in front, slapd behind, users' phones beside it, and a strict fake of
// FCM that knows how often somebody was prompted.
//
//	world_test.go     the site: addresses of the applications, phones, binds
//	wire_test.go      LDAP by hand, frame by frame
//	programs_test.go  ldap-utils and python-ldap, in every mode
//	applications_test.go  programs that people log in to: Dovecot, Squid, Perl, Python
//	postgres_test.go  PostgreSQL's ldap method
//	told_test.go      what users read, and what the log has of it
//	reload_test.go    certificates that change
//	hold_test.go      connections: pipelined, left, denied, lost, restarted
//	remember_test.go  an application that binds twice
//	names_test.go     how users and service accounts may be spelt
//	person_test.go    one person, by RADIUS and by LDAP
//	nodes_test.go     two nodes with one store
//	death_test.go     a node that dies, stops or stands still while a bind is held
//	secrets_test.go   what must not be found in logs, audit and metrics
//	attack_test.go    somebody who knows the password, and nothing else
package ldap_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"vssgate/internal/phone"
	"vssgate/internal/testenv"
	"vssgate/test/fakefcm"
	"vssgate/test/site"
)

// Where applications are. Programs of libldap come from there by their
// environment.
const (
	wiki    = "127.0.0.1" // mode hold, longer than any test
	brief   = "127.0.0.2" // mode hold, for a second
	mail    = "127.0.0.3" // mode append
	codes   = "127.0.0.4" // mode hold, approval off: codes only
	twice   = "127.0.0.5" // mode hold, remembers for a minute
	hanoi   = "127.0.0.6" // mode append, in Vietnamese
	nowhere = "127.0.0.9" // no application

	vpn = "127.0.0.1" // a NAS: challenge, approval off
)

// briefHold is how long brief is held.
const briefHold = time.Second

// patience is how long anything may take on a busy machine.
const patience = 40 * time.Second

// options say what is different from the usual world.
type options struct {
	slapd      testenv.SlapdOptions
	requireTLS bool
	phones     int    // users 1 to phones have one
	second     string // of second_factor, after what is there
	hold       string // of the wiki; longer than any test
	redis      string // address of the store; embedded
	beside     *world // another node of the same installation
}

// A world is a directory, a running vssgate, phones and FCM.
type world struct {
	*site.Site
	t      *testing.T
	fcm    *fakefcm.Server
	phones []*site.Phone // by user, 0 is nobody
	imap   string        // Dovecot's port, once it is started
	tls    [2]string     // certificate and key that applications see
}

func start(t *testing.T, o options) *world {
	t.Helper()
	if o.hold == "" {
		o.hold = "50s"
	}
	w := &world{t: t, fcm: fakefcm.Run(t), phones: make([]*site.Phone, o.phones+1)}
	var same site.Options
	if b := o.beside; b != nil {
		w.fcm, w.phones = b.fcm, b.phones
		same = site.Options{Slapd: b.Slapd, Secret: b.Secret, Before: site.ShareKey(t, b.Node)}
	} else {
		same.Slapd = testenv.Slapd(t, o.slapd)
	}
	slapd := same.Slapd
	credentials := filepath.Join(t.TempDir(), "fcm.json")
	require.NoError(t, os.WriteFile(credentials, w.fcm.CredentialsJSON(), 0o600))
	w.Site = site.New(t, same)
	dir := t.TempDir()
	w.tls = [2]string{dir + "/cert.pem", dir + "/key.pem"}
	w.certify(slapd.CA)
	text := fmt.Sprintf(config, slapd.URI, slapd.CAFile, slapd.BindDN, slapd.BindPassword, testenv.SlapdPeople,
		credentials, w.fcm.Endpoint(), w.Secret, w.tls[0], w.tls[1], o.requireTLS, testenv.SlapdAppDN, o.second, o.hold)
	if o.redis != "" {
		text += fmt.Sprintf("store: {redis: {addresses: [%q]}}\n", o.redis)
	}
	w.Configure(text)
	w.Start()
	for n := 1; n <= o.phones; n++ {
		w.phones[n] = w.Enrol(testenv.UserName(n), phone.Enrolment{PushToken: "token of " + testenv.UserName(n), Notifications: "allowed"})
	}
	return w
}

const config = `
language: en
second_factor: {push_limit: {count: 1000, within: 10m}%[13]s}
throttle: {per_account: 1000, per_source: 1000}
first_factors:
  - name: directory
    ldap:
      urls: [%[1]q]
      start_tls: true
      ca_file: %[2]q
      bind_dn: %[3]q
      bind_password: %[4]q
      base_dns: [%[5]q]
      domains: {VSS: vss.vn}
      attributes: {bhxh_number: employeeNumber}
push: {fcm: {credentials_file: %[6]q, endpoint: %[7]q}}
radius:
  listen: ["127.0.0.1:0"]
  clients: [{name: vpn, addresses: [` + vpn + `], secret: %[8]q, approval: off}]
ldap:
  listen: ["127.0.0.1:0"]
  tls: {listen: ["127.0.0.1:0"], cert_file: %[9]q, key_file: %[10]q}
  require_tls: %[11]t
  exempt_binds: [{dn: %[12]q, from: [` + wiki + `], why: "the wiki looks people up"}]
  clients:
    - {name: wiki, addresses: [` + wiki + `], hold: %[14]s}
    - {name: brief, addresses: [` + brief + `], hold: 1s}
    - {name: mail, addresses: [` + mail + `], mode: append}
    - {name: twice, addresses: [` + twice + `], hold: 50s, remember: 1m}
    - {name: codes, addresses: [` + codes + `], hold: 1s, approval: off}
    - {name: hanoi, addresses: [` + hanoi + `], mode: append, language: vi}
`

// certify puts the certificate of an authority where vssgate finds its own.
func (w *world) certify(ca *testenv.Authority) {
	w.t.Helper()
	for i, from := range []string{ca.CertFile, ca.KeyFile} {
		pem, err := os.ReadFile(from)
		require.NoError(w.t, err)
		require.NoError(w.t, os.WriteFile(w.tls[i]+".new", pem, 0o600))
		require.NoError(w.t, os.Rename(w.tls[i]+".new", w.tls[i]))
	}
}

// of is the same world in a subtest.
func (w *world) of(t *testing.T) *world {
	same := *w
	same.t = t
	return &same
}

// url is where LDAP is spoken, in plain at first.
func (w *world) url() string { return "ldap://" + w.LDAP[0] }

func (w *world) address() *net.TCPAddr {
	w.t.Helper()
	to, err := net.ResolveTCPAddr("tcp", w.LDAP[0])
	require.NoError(w.t, err)
	return to
}

// connect is an application's connection.
func (w *world) connect(from string) *ldap.Conn {
	w.t.Helper()
	conn, err := ldap.DialURL(w.url(), ldap.DialWithDialer(&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}))
	require.NoError(w.t, err)
	w.t.Cleanup(func() { conn.Close() })
	return conn
}

// A binding is a bind that may be held.
type binding struct {
	t     *testing.T
	ended chan error
}

// bind starts a bind on a connection.
func (w *world) bind(conn *ldap.Conn, name, password string) *binding {
	b := &binding{t: w.t, ended: make(chan error, 1)}
	go func() { b.ended <- conn.Bind(name, password) }()
	return b
}

// wait returns how it ended.
func (b *binding) wait() error {
	b.t.Helper()
	select {
	case err := <-b.ended:
		return err
	case <-time.After(patience):
		b.t.Fatal("the bind was not answered")
		return nil
	}
}

// held wants that it is still held.
func (b *binding) held() {
	b.t.Helper()
	select {
	case err := <-b.ended:
		b.t.Fatalf("the bind is answered: %v", err)
	default:
	}
}

// refusal wants result 49, and returns its text.
func refusal(t *testing.T, err error) string {
	t.Helper()
	require.True(t, ldap.IsErrorWithCode(err, ldap.LDAPResultInvalidCredentials), "want 49, got %v", err)
	text := err.(*ldap.Error).Err.Error()
	require.Regexp(t, `\[[A-HJKMNP-Z2-9]{6}\]$`, text, "every text ends with the trace id")
	return text
}

// whoami asks the directory who the connection is.
func whoami(t *testing.T, conn *ldap.Conn) string {
	t.Helper()
	who, err := conn.WhoAmI(nil)
	require.NoError(t, err)
	return who.AuthzID
}

// pushed waits for the prompts of these logins: one that is still on its way when
// its login ends is given up, and was not seen. Of several there may be fewer: the
// second one at an application is prompted when the first has ended.
func (w *world) pushed(n int, logins []phone.Login) {
	w.t.Helper()
	await := patience
	if len(logins) > 1 {
		await = time.Second
	}
	for last := time.Now().Add(await); time.Now().Before(last); time.Sleep(5 * time.Millisecond) {
		told := 0
		for _, l := range logins {
			if slices.ContainsFunc(w.fcm.Messages(), func(m fakefcm.Message) bool {
				return m.Token == "token of "+testenv.UserName(n) && m.Data["type"] == "login" && m.Data["login_id"] == l.ID
			}) {
				told++
			}
		}
		if told == len(logins) {
			return
		}
	}
	require.Greater(w.t, len(logins), 1, "the login of user %d is not prompted", n)
}

// shows waits until the phone of user n shows that many logins.
func (w *world) shows(n, many int) []phone.Login {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	since := ""
	for {
		wait := patience
		if since == "" && many == 0 {
			wait = 0
		}
		list, err := w.phones[n].Logins(ctx, wait, since)
		require.NoError(w.t, err, "the phone of user %d does not show %d logins", n, many)
		if len(list.Logins) == many {
			w.pushed(n, list.Logins)
			return list.Logins
		}
		since = list.Version
	}
}

// asked waits until that many requests asked in the name of user n's only login.
func (w *world) asked(n, requests int) {
	w.t.Helper()
	w.eventually("not as many asked as wanted", func() bool { return w.shows(n, 1)[0].Waiting == requests })
}

// changes does something, and waits until the open logins of user n are not
// what they were: that a client has left, say.
func (w *world) changes(n int, something func()) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	before, err := w.phones[n].Logins(ctx, 0, "")
	require.NoError(w.t, err)
	something()
	after, err := w.phones[n].Logins(ctx, patience, before.Version)
	require.NoError(w.t, err)
	require.NotEqual(w.t, before.Version, after.Version, "nothing has changed")
}

// approve approves the only login of user n, and wants that outcome.
func (w *world) approve(n int, outcome string) {
	w.t.Helper()
	done, err := w.phones[n].Approve(w.t.Context(), w.shows(n, 1)[0].ID, "")
	require.NoError(w.t, err)
	require.Equal(w.t, outcome, done.Verdict)
}

// What an approval leads to.
const (
	accepted = "accepted"
	later    = "waiting_for_retry"
)

// prompted is how often user n was prompted. Prompts are sent beside the login,
// so the one for want is waited for.
func (w *world) prompted(n, want int) {
	w.t.Helper()
	count := func() (prompts int) {
		for _, m := range w.fcm.Messages() {
			if m.Token == "token of "+testenv.UserName(n) && m.Data["type"] == "login" {
				prompts++
			}
		}
		return prompts
	}
	w.eventually("not as many prompts as wanted", func() bool { return count() >= want })
	require.Equal(w.t, want, count(), "prompts of user %d", n)
	require.Empty(w.t, w.fcm.Refusals())
}

func (w *world) eventually(why string, is func() bool) {
	w.t.Helper()
	require.Eventually(w.t, is, patience, 5*time.Millisecond, why)
}

// A program that is under way.
type program struct {
	t     *testing.T
	ended chan struct{}
	out   string
	err   error
}

// run starts a program that uses libldap, at the address of an application.
func (w *world) run(from, name string, args ...string) *program {
	w.t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		w.t.Fatalf("%s is missing: run test/packages.sh", name)
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), "LDAPSOCKET_BIND_ADDRESSES="+from, "LDAPTLS_CACERT="+w.Slapd.CAFile, "LDAPTLS_REQCERT=demand", "LC_ALL=C.UTF-8")
	p := &program{t: w.t, ended: make(chan struct{})}
	go func() {
		defer cancel()
		defer close(p.ended)
		out, err := cmd.CombinedOutput()
		p.out, p.err = string(out), err
	}()
	return p
}

// succeeds waits for the program's end and returns what it printed.
func (p *program) succeeds() string {
	p.t.Helper()
	<-p.ended
	require.NoError(p.t, p.err, p.out)
	return p.out
}

// fails wants it to fail, and returns what it printed.
func (p *program) fails() string {
	p.t.Helper()
	<-p.ended
	require.Error(p.t, p.err, p.out)
	return p.out
}

// binds are the names that slapd was asked to bind users as, in their order.
func (w *world) binds() (names []string) {
	for line := range strings.Lines(w.Slapd.Log()) {
		_, rest, ok := strings.Cut(line, `BIND dn="`)
		name, method, _ := strings.Cut(rest, `"`)
		if ok && strings.Contains(method, "method=128") && name != w.Slapd.BindDN {
			names = append(names, name)
		}
	}
	return names
}

func dn(n int) string       { return testenv.UserDN(n) }
func password(n int) string { return testenv.UserPassword(n) }
