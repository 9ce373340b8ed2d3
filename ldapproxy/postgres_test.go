package ldapproxy

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
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
	db := startPostgres(t, s.slapd.CAFile, fmt.Sprintf("host all user0001 %s ldapprefix=\"uid=\" ldapsuffix=\",%s\"\n", common, testenv.SlapdPeople)+
		fmt.Sprintf("host all user0002 %s ldapbasedn=\"%s\" ldapbinddn=\"%s\" ldapbindpasswd=\"%s\" ldapsearchattribute=uid\n",
			common, testenv.SlapdPeople, testenv.SlapdAppDN, testenv.SlapdAppPassword))
	for n := 1; n <= 2; n++ {
		db.role(testenv.UserName(n))
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
			out, err := db.ask(testenv.UserName(n), testenv.UserPassword(n))
			require.Equal(t, answer.ok, err == nil, "%s\n%s", out, db.log)
			require.Equal(t, testenv.UserDN(n), (<-held).DN)
		}
		out, err := db.ask(testenv.UserName(n), testenv.UserPassword(n)+","+rightCode)
		require.NoError(t, err, "%s\n%s", out, db.log)
		require.Equal(t, "42\n", out)
	}
	require.Contains(t, db.log.String(), "denied for app [TRACE2]", "the reason is in its log")
}

// postgres is a database server that lets its administrator in at its socket.
type postgres struct {
	t         testing.TB
	dir, port string
	log       *logBook
}

func startPostgres(t testing.TB, caFile, access string) *postgres {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		t.Fatal("initdb is missing: apt-get install postgresql")
	}
	dir, err := os.MkdirTemp("", "postgres") // t.TempDir is closed to other users, and PostgreSQL refuses to run as root
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	ca, err := os.ReadFile(caFile)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(dir+"/ca.pem", ca, 0o644))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	ln.Close()

	db := &postgres{t: t, dir: dir, port: port, log: &logBook{}}
	unprivileged := &syscall.SysProcAttr{}
	if os.Getuid() == 0 {
		const nobody = 65534
		require.NoError(t, os.Chown(dir, nobody, nobody))
		unprivileged.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	start := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(filepath.Dir(found[0]), name), args...)
		cmd.Dir, cmd.SysProcAttr, cmd.Stdout, cmd.Stderr = dir, unprivileged, db.log, db.log
		cmd.Env = append(os.Environ(), "LDAPTLS_CACERT="+dir+"/ca.pem", "LC_ALL=C")
		require.NoError(t, cmd.Start())
		return cmd
	}
	require.NoError(t, start("initdb", "-D", dir+"/data", "-U", "postgres", "--auth=trust", "--no-sync").Wait(), db.log)
	require.NoError(t, os.WriteFile(dir+"/data/pg_hba.conf", []byte("local all postgres trust\n"+access), 0o644))
	server := start("postgres", "-D", dir+"/data", "-p", port, "-h", "127.0.0.1", "-k", dir)
	t.Cleanup(func() { server.Process.Signal(syscall.SIGINT); server.Wait() })
	eventually(t, "PostgreSQL does not start: "+db.log.String(), func() bool {
		return db.psql(nil, "-h", dir, "-U", "postgres", "-c", "select 1") == nil
	})
	return db
}

func (db *postgres) psql(out *string, args ...string) error {
	b, err := exec.Command("psql", append([]string{"-p", db.port, "-d", "postgres", "-At"}, args...)...).CombinedOutput()
	if out != nil {
		*out = string(b)
	}
	return err
}

func (db *postgres) role(name string) {
	db.t.Helper()
	var out string
	require.NoError(db.t, db.psql(&out, "-h", db.dir, "-U", "postgres", "-c", "create role "+name+" login"), out)
}

func (db *postgres) ask(user, password string) (out string, err error) {
	cmd := exec.Command("psql", "-p", db.port, "-d", "postgres", "-At", "-h", "127.0.0.1", "-U", user, "-c", "select 42")
	cmd.Env = append(os.Environ(), "PGPASSWORD="+password)
	b, err := cmd.CombinedOutput()
	return string(b), err
}
