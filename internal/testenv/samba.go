package testenv

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf16"
)

// What every Samba is.
const (
	SambaBase          = "DC=vss,DC=test"
	SambaDomain        = "VSS"      // as in VSS\user
	SambaRealm         = "vss.test" // as in user@vss.test
	SambaAdminDN       = "CN=Administrator,CN=Users," + SambaBase
	SambaAdminPassword = "Admin-password-1"
)

// Samba is a domain controller of Active Directory with a domain of its own:
// Debian's samba, of which only the LDAP service runs. It takes simple binds
// over TLS only, as domain controllers should.
//
// Its ports cannot be chosen, so it listens on a loopback address that nobody
// else has, at 389 and 636; only root may.
type Samba struct {
	URI      string // ldap://127.x.y.z, with StartTLS
	LDAPSURI string
	Addr     string // of URI, with its port
	CAFile   string // signed the certificate, which is for the address

	t       testing.TB
	dir     string
	process *exec.Cmd
	alive   io.Closer // while it is open: a test that is killed leaves no samba behind
	ended   chan struct{}
	log     transcript
}

// SambaOptions say what the domain holds besides what every domain does.
type SambaOptions struct {
	LDIF string   // changes, as ldbmodify takes them
	Aged []string // DNs of accounts whose password is from 2018: domains let them expire after six weeks
}

// StartSamba provisions a domain, starts the controller and stops it when the
// test ends. It takes some ten seconds: share
// it among subtests.
func StartSamba(t testing.TB, o SambaOptions) *Samba {
	t.Helper()
	for _, name := range []string{"samba", "samba-tool", "ldbmodify"} {
		if _, err := exec.LookPath(sbin(name)); err != nil {
			t.Fatalf("%s is missing: test/packages.sh installs it", name)
		}
	}
	s := &Samba{t: t, dir: t.TempDir()}
	t.Cleanup(s.stop)
	host := freeLoopback(t)
	s.URI, s.LDAPSURI, s.Addr = "ldap://"+host, "ldaps://"+host, net.JoinHostPort(host, "389")
	s.configure(host)
	s.run(nil, "samba-tool", "domain", "provision", "--realm="+strings.ToUpper(SambaRealm), "--domain="+SambaDomain, "--server-role=dc",
		"--dns-backend=NONE", "--host-name=dc1", "--host-ip="+host, "--adminpass="+SambaAdminPassword,
		"--configfile="+s.conf(), "--quiet")
	database := filepath.Join(s.dir, "private", "sam.ldb")
	s.modify(database, o.LDIF)
	if len(o.Aged) > 0 { // below what refuses to set that time
		s.modify(filepath.Join(database+".d", strings.ToUpper(SambaBase)+".ldb"), aged(o.Aged))
	}
	s.start(host)
	return s
}

func (s *Samba) modify(database, ldif string) {
	s.t.Helper()
	s.run(strings.NewReader(ldif), "ldbmodify", "-H", database, "--configfile="+s.conf())
}

func aged(dns []string) string {
	var b strings.Builder
	for _, dn := range dns {
		fmt.Fprintf(&b, "dn: %s\nchangetype: modify\nreplace: pwdLastSet\npwdLastSet: 131592384000000000\n\n", dn)
	}
	return b.String()
}

// SambaPassword is an attribute of LDIF that sets a password.
func SambaPassword(password string) string {
	var raw []byte
	for _, c := range utf16.Encode([]rune(`"` + password + `"`)) {
		raw = append(raw, byte(c), byte(c>>8))
	}
	return "unicodePwd:: " + base64.StdEncoding.EncodeToString(raw)
}

// freeLoopback is an address on which nobody speaks LDAP.
func freeLoopback(t testing.TB) string {
	t.Helper()
	var err error
	for range 20 {
		host := fmt.Sprintf("127.%d.%d.%d", 64+rand.IntN(128), rand.IntN(256), 1+rand.IntN(254))
		var l net.Listener
		if l, err = net.Listen("tcp", host+":389"); err == nil {
			_ = l.Close()
			return host
		}
		if errors.Is(err, os.ErrPermission) {
			t.Fatalf("samba listens on port 389, which only root may: %v", err)
		}
	}
	t.Fatal(err)
	return ""
}

func (s *Samba) conf() string { return filepath.Join(s.dir, "smb.conf") }

// configure writes what provisioning adds to. Everything is below the folder:
// the machine's own samba, if there is one, is not touched.
func (s *Samba) configure(host string) {
	s.t.Helper()
	ca := CA(s.t)
	s.CAFile = ca.CAFile
	cert, key := ca.IssueAs("dc1."+SambaRealm, func(form *x509.Certificate) {
		form.DNSNames, form.IPAddresses = []string{"dc1." + SambaRealm}, []net.IP{net.ParseIP(host)}
	})
	conf := fmt.Sprintf(`[global]
netbios name = DC1
realm = %[3]s
workgroup = %[4]s
server role = active directory domain controller
server services = ldap
interfaces = %[2]s/8
bind interfaces only = yes
private dir = %[1]s/private
lock directory = %[1]s/lock
state directory = %[1]s/state
cache directory = %[1]s/cache
pid directory = %[1]s/pid
ncalrpc dir = %[1]s/ncalrpc
binddns dir = %[1]s/bind-dns
log file = %[1]s/log.%%m
tls certfile = %[5]s
tls keyfile = %[6]s
tls cafile = %[7]s
[sysvol]
path = %[1]s/state/sysvol
[netlogon]
path = %[1]s/state/sysvol/scripts
`, s.dir, host, strings.ToUpper(SambaRealm), SambaDomain, cert, key, ca.CAFile)
	must(s.t, os.WriteFile(s.conf(), []byte(conf), 0o600))
	for _, name := range []string{"private", "lock", "state", "cache", "pid", "ncalrpc"} {
		must(s.t, os.Mkdir(filepath.Join(s.dir, name), 0o755))
	}
}

func (s *Samba) run(stdin *strings.Reader, name string, args ...string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	if stdin != nil {
		cmd.Stdin = stdin
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// start runs the controller until it listens. Its processes are a group of
// their own: it is a master with children that would outlive it.
func (s *Samba) start(host string) {
	s.t.Helper()
	cmd := exec.Command(sbin("samba"), "-i", "-s", s.conf())
	cmd.Stdout, cmd.Stderr = s.log.file(s.t), s.log.file(s.t)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var err error
	s.alive, err = cmd.StdinPipe()
	must(s.t, err)
	must(s.t, cmd.Start())
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	s.process, s.ended = cmd, ended
	if err := listening(ended, s.Addr, net.JoinHostPort(host, "636")); err != nil {
		s.t.Fatalf("samba: %v\n%s", err, s.log.String())
	}
}

func (s *Samba) stop() {
	if s.process == nil {
		return
	}
	group := -s.process.Process.Pid
	_ = s.alive.Close()
	select {
	case <-s.ended:
	case <-time.After(10 * time.Second):
	}
	_ = syscall.Kill(group, syscall.SIGKILL)
	<-s.ended
	s.process = nil
}
