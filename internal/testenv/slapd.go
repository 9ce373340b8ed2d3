package testenv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"text/template"
	"time"
)

// What every Slapd holds. Users are user0001 and on; see UserName and the
// functions after it.
const (
	SlapdBase     = "dc=example,dc=vn"
	SlapdPeople   = "ou=people," + SlapdBase
	SlapdServices = "ou=services," + SlapdBase
	SlapdGroups   = "ou=groups," + SlapdBase
	SlapdStaff    = "cn=staff," + SlapdGroups // every user is a member, by member and memberOf

	SlapdBindDN        = "cn=vssgate," + SlapdServices // may search people and read all but passwords
	SlapdBindPassword  = "vssgate-password"
	SlapdAppDN         = "cn=app," + SlapdServices // an application's own account; same rights, but no social insurance numbers
	SlapdAppPassword   = "app-password"
	SlapdAdminDN       = "cn=admin," + SlapdBase // may do everything
	SlapdAdminPassword = "admin-password"
)

// UserName is the uid of user n, counted from 1: user0001.
func UserName(n int) string { return fmt.Sprintf("user%04d", n) }

// UserPassword is the password of user n: password-0001.
func UserPassword(n int) string { return fmt.Sprintf("password-%04d", n) }

// UserDN is the DN of user n as slapd writes it.
func UserDN(n int) string { return "uid=" + UserName(n) + "," + SlapdPeople }

// UserCN is the display name of user n, with Vietnamese letters in NFC.
func UserCN(n int) string { return fmt.Sprintf("Nguyễn Thị Hương %04d", n) }

// UserNumber is the social insurance number of user n, kept in employeeNumber.
func UserNumber(n int) string { return fmt.Sprintf("79%08d", n) }

// SlapdOptions says what is different from a server with ten users.
type SlapdOptions struct {
	Users          int    // how many; 0: ten
	LDIF           string // more entries, in slapadd's form
	RequireTLS     bool   // simple binds without TLS are refused (13)
	PasswordPolicy bool   // a password policy with a warning on each bind that asks for it, and a lockout after five failures
	Log            bool   // keep slapd's log of operations: see Log
	CA             *Authority
}

// SlapdServer is a running slapd, both ldap:// (with StartTLS) and ldaps://.
// Anonymous clients may read nothing but the root DSE; nobody may read or
// compare userPassword.
type SlapdServer struct {
	URI          string // ldap://127.0.0.1:PORT
	LDAPSURI     string // ldaps://127.0.0.1:PORT
	Addr         string // 127.0.0.1:PORT of URI
	LDAPSAddr    string
	Base         string
	BindDN       string
	BindPassword string
	CA           *Authority // signed the server's certificate
	CAFile       string

	child
	dir    string
	logged bool
}

const slapdConf = `
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload ppolicy
moduleload sssvlv
moduleload memberof
moduleload syncprov
pidfile {{.Dir}}/slapd.pid
loglevel 0
sizelimit unlimited
timelimit unlimited
TLSCACertificateFile {{.CA.CAFile}}
TLSCertificateFile {{.CA.CertFile}}
TLSCertificateKeyFile {{.CA.KeyFile}}
{{if .RequireTLS}}security simple_bind=128{{end}}

database mdb
suffix "` + SlapdBase + `"
rootdn "` + SlapdAdminDN + `"
rootpw ` + SlapdAdminPassword + `
directory {{.Dir}}/data
maxsize 1073741824
envflags nosync nometasync
index objectClass,uid,mail,entryUUID,member eq
access to attrs=userPassword by self =wx by anonymous auth by * none
access to attrs=employeeNumber by dn.exact="` + SlapdBindDN + `" read by * none
access to attrs=description by self write by users read
access to * by users read by anonymous auth
overlay ppolicy
{{if .PasswordPolicy}}ppolicy_default "cn=default,ou=policies,` + SlapdBase + `"{{end}}
overlay sssvlv
overlay memberof
overlay syncprov
`

const slapdTree = `dn: ` + SlapdBase + `
objectClass: dcObject
objectClass: organization
dc: example
o: Example

dn: ` + SlapdPeople + `
objectClass: organizationalUnit
ou: people

dn: ` + SlapdServices + `
objectClass: organizationalUnit
ou: services

dn: ` + SlapdGroups + `
objectClass: organizationalUnit
ou: groups

dn: ` + SlapdBindDN + `
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: vssgate
userPassword: ` + SlapdBindPassword + `

dn: ` + SlapdAppDN + `
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: app
userPassword: ` + SlapdAppPassword + `

`

const slapdPolicy = `dn: ou=policies,` + SlapdBase + `
objectClass: organizationalUnit
ou: policies

dn: cn=default,ou=policies,` + SlapdBase + `
objectClass: device
objectClass: pwdPolicy
cn: default
pwdAttribute: userPassword
pwdMaxAge: 864000
pwdExpireWarning: 864001
pwdLockout: TRUE
pwdMaxFailure: 5
pwdLockoutDuration: 600

`

// Slapd starts Debian's slapd and stops it when the test ends. It returns when
// the server answers.
func Slapd(t testing.TB, o SlapdOptions) *SlapdServer {
	t.Helper()
	needSlapd(t)
	if o.Users == 0 {
		o.Users = 10
	}
	if o.CA == nil {
		o.CA = CA(t)
	}
	s := &SlapdServer{
		Base: SlapdBase, BindDN: SlapdBindDN, BindPassword: SlapdBindPassword,
		CA: o.CA, CAFile: o.CA.CAFile, child: child{t: t}, dir: t.TempDir(), logged: o.Log,
	}
	s.configure(o)
	s.load(o)
	s.startOnFreePorts()
	t.Cleanup(s.Stop)
	return s
}

const slapdProxyConf = `
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_ldap
pidfile {{.Dir}}/slapd.pid
loglevel 0
sizelimit unlimited
TLSCACertificateFile {{.CA.CAFile}}
TLSCertificateFile {{.CA.CertFile}}
TLSCertificateKeyFile {{.CA.KeyFile}}

database ldap
suffix "` + SlapdBase + `"
uri {{.URI}}
rebind-as-user yes
`

// SlapdProxy is OpenLDAP's own proxy before a server: back-ldap, binding
// upstream as whoever binds to it.
func SlapdProxy(t testing.TB, upstream *SlapdServer) *SlapdServer {
	t.Helper()
	s := &SlapdServer{Base: SlapdBase, CA: upstream.CA, CAFile: upstream.CAFile, child: child{t: t}, dir: t.TempDir()}
	var conf bytes.Buffer
	must(t, template.Must(template.New("slapd.conf").Parse(slapdProxyConf)).Execute(&conf, struct {
		CA       *Authority
		Dir, URI string
	}{s.CA, s.dir, upstream.URI}))
	must(t, os.WriteFile(s.conf(), conf.Bytes(), 0o600))
	s.startOnFreePorts()
	t.Cleanup(s.Stop)
	return s
}

func needSlapd(t testing.TB) {
	t.Helper()
	for _, name := range []string{"slapd", "slapadd"} {
		if _, err := exec.LookPath(sbin(name)); err != nil {
			t.Fatalf("%s is missing: apt-get install slapd", name)
		}
	}
}

// sbin finds programs that Debian keeps out of a user's PATH.
func sbin(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	return "/usr/sbin/" + name
}

func (s *SlapdServer) configure(o SlapdOptions) {
	s.t.Helper()
	must(s.t, os.Mkdir(filepath.Join(s.dir, "data"), 0o700))
	var conf bytes.Buffer
	must(s.t, template.Must(template.New("slapd.conf").Parse(slapdConf)).Execute(&conf, struct {
		SlapdOptions
		Dir string
	}{o, s.dir}))
	must(s.t, os.WriteFile(s.conf(), conf.Bytes(), 0o600))
}

func (s *SlapdServer) conf() string { return filepath.Join(s.dir, "slapd.conf") }

// load writes the entries straight into the database: a thousand users in a
// fraction of a second.
func (s *SlapdServer) load(o SlapdOptions) {
	s.t.Helper()
	slapadd := exec.Command(sbin("slapadd"), "-q", "-f", s.conf())
	slapadd.Stdin = strings.NewReader(ldif(o))
	if out, err := slapadd.CombinedOutput(); err != nil {
		s.t.Fatalf("slapadd: %v\n%s", err, out)
	}
}

func ldif(o SlapdOptions) string {
	var b strings.Builder
	b.WriteString(slapdTree)
	if o.PasswordPolicy {
		b.WriteString(slapdPolicy)
	}
	fmt.Fprintf(&b, "dn: %s\nobjectClass: groupOfNames\ncn: staff\n", SlapdStaff)
	for n := 1; n <= o.Users; n++ {
		fmt.Fprintf(&b, "member: %s\n", UserDN(n))
	}
	b.WriteString("\n")
	for n := 1; n <= o.Users; n++ {
		writeUser(&b, n, o.PasswordPolicy)
	}
	b.WriteString(o.LDIF)
	return b.String()
}

func writeUser(b *strings.Builder, n int, policy bool) {
	fmt.Fprintf(b, "dn: %s\nobjectClass: inetOrgPerson\nuid: %s\ncn: %s\nsn: Nguyễn\nmail: %s@example.vn\nemployeeNumber: %s\nuserPassword: %s\nmemberOf: %s\n",
		UserDN(n), UserName(n), UserCN(n), UserName(n), UserNumber(n), UserPassword(n), SlapdStaff)
	if policy {
		fmt.Fprintf(b, "pwdChangedTime: %s\n", time.Now().Add(-time.Hour).UTC().Format("20060102150405Z"))
	}
	b.WriteString("\n")
}

// startOnFreePorts tries again when somebody else took a port meanwhile.
func (s *SlapdServer) startOnFreePorts() {
	s.t.Helper()
	var err error
	for range 5 {
		s.Addr, s.LDAPSAddr = FreeAddr(s.t), FreeAddr(s.t)
		if err = s.start(); err == nil {
			s.URI, s.LDAPSURI = "ldap://"+s.Addr, "ldaps://"+s.LDAPSAddr
			return
		}
	}
	s.t.Fatal(err)
}

// Start starts a stopped server again, at the same addresses with the same
// entries.
func (s *SlapdServer) Start() {
	s.t.Helper()
	must(s.t, s.start())
}

// Log returns what slapd logged of its operations so far; SlapdOptions.Log
// switches it on. One line for each, like `BIND dn="..." method=128`.
func (s *SlapdServer) Log() string { return s.log.String() }

func (s *SlapdServer) start() error {
	level := "0" // even 0 keeps slapd in the foreground
	if s.logged {
		level = "stats"
	}
	err := s.run(exec.Command(sbin("slapd"), "-f", s.conf(), "-d", level,
		"-h", "ldap://"+s.Addr+"/ ldaps://"+s.LDAPSAddr+"/"))
	if err != nil {
		return err
	}
	if err = listening(s.ended, s.Addr, s.LDAPSAddr); err == nil {
		err = s.answers()
	}
	if err != nil {
		s.Stop()
		return fmt.Errorf("slapd: %w\n%s", err, s.Log())
	}
	return nil
}

// answers waits until slapd hangs up on a message of two gigabytes: before it has all of its ports it
// reads none, and it ends when somebody else, who may be the one that listens, has one.
func (s *SlapdServer) answers() error {
	conn, err := net.Dial("tcp", s.Addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	must(s.t, conn.SetDeadline(time.Now().Add(patience)))
	if _, err = conn.Write([]byte("\x30\x84\x7f\xff\xff\xff")); err != nil {
		return err
	}
	if _, err = conn.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	select {
	case <-s.ended:
		return errors.New("it ended at once")
	default:
		return nil
	}
}

// output keeps what a program prints, to be read while it runs.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// listening waits until all addresses accept connections, or the process that
// should listen there has ended.
func listening(ended <-chan struct{}, addrs ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(3 * time.Millisecond)
	defer tick.Stop()
	for len(addrs) > 0 {
		select {
		case <-ended:
			return errors.New("it ended at once")
		case <-ctx.Done():
			return fmt.Errorf("nothing listens on %s", addrs[0])
		case <-tick.C:
		}
		if conn, err := net.Dial("tcp", addrs[0]); err == nil {
			_ = conn.Close()
			addrs = addrs[1:]
		}
	}
	return nil
}
