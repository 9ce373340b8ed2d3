package ldap_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
	"vssgate/test/site"
)

// PostgreSQL binds as a DN that it puts together itself (user0001), or searches
// first with an account of its own (user0002).
func TestPostgresAsksForTheSecondFactorOfItsUsers(t *testing.T) {
	w := start(t, options{phones: 2, requireTLS: true})
	db := w.postgres(wiki)
	for n := 1; n <= 2; n++ {
		p := db.login(n, password(n))
		w.approve(n, accepted)
		require.Equal(t, "42\n", p.succeeds())

		p = db.login(n, password(n))
		w.shows(n, 1)
		w.phones[n].No()
		require.Contains(t, p.fails(), `LDAP authentication failed for user "`+testenv.UserName(n)+`"`)
		trace := w.Last().Trace
		w.eventually("its administrator does not find the reason in its log", func() bool {
			return strings.Contains(db.log.String(), "This login was denied in VssID") && strings.Contains(db.log.String(), "["+trace+"]")
		})
		db.login(n, "not it").fails()
		w.prompted(n, 2)
	}
}

func TestPostgresTakesAnAppendedCode(t *testing.T) {
	w := start(t, options{phones: 1})
	db := w.postgres(mail)
	db.login(1, password(1)).fails()
	code := w.shows(1, 1)[0].Code
	db.login(1, password(1)+","+site.WrongCode(code)).fails()
	require.Equal(t, "42\n", db.login(1, password(1)+","+code).succeeds())
	db.login(1, password(1)+","+code).fails()
	require.Equal(t, "code", w.accepts()[0].Factor)
	require.Len(t, w.accepts(), 1)
}

// accepts are the records of users who were let in.
func (w *world) accepts() (found []site.Record) {
	for _, r := range w.Ended() {
		if r.Verdict == "accepted" && !strings.HasPrefix(r.Factor, "exempt:") {
			found = append(found, r)
		}
	}
	return found
}

// A database is a throw-away PostgreSQL whose users are those of the directory.
type database struct {
	w         *world
	dir, port string
	log       *book
}

// book keeps what a program writes while it is read.
type book struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *book) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// postgres starts a database server that asks vssgate from that address. It
// refuses to run as root, so there it runs as nobody.
func (w *world) postgres(from string) *database {
	w.t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		w.t.Fatal("initdb is missing: run test/packages.sh")
	}
	dir, err := os.MkdirTemp("", "postgres") // other users may not enter t.TempDir
	require.NoError(w.t, err)
	w.t.Cleanup(func() { os.RemoveAll(dir) })
	ca, err := os.ReadFile(w.Slapd.CAFile)
	require.NoError(w.t, err)
	require.NoError(w.t, os.WriteFile(dir+"/ca.pem", ca, 0o644))
	db := &database{w: w, dir: dir, port: testenv.FreePort(w.t), log: &book{}}
	attributes := &syscall.SysProcAttr{}
	if os.Getuid() == 0 {
		const nobody = 65534
		require.NoError(w.t, os.Chown(dir, nobody, nobody))
		attributes.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	begin := func(program string, args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(filepath.Dir(found[0]), program), args...)
		cmd.Dir, cmd.SysProcAttr, cmd.Stdout, cmd.Stderr = dir, attributes, db.log, db.log
		cmd.Env = append(os.Environ(), "LDAPTLS_CACERT="+dir+"/ca.pem", "LDAPSOCKET_BIND_ADDRESSES="+from, "LC_ALL=C")
		require.NoError(w.t, cmd.Start())
		return cmd
	}
	require.NoError(w.t, begin("initdb", "-D", dir+"/data", "-U", "postgres", "--auth=trust", "--no-sync").Wait(), db.log)
	require.NoError(w.t, os.WriteFile(dir+"/data/pg_hba.conf", []byte(w.access()), 0o644))
	server := begin("postgres", "-D", dir+"/data", "-p", db.port, "-h", "127.0.0.1", "-k", dir, "-c", "fsync=off")
	w.t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGINT)
		_ = server.Wait()
	})
	w.eventually("PostgreSQL does not start", func() bool { return db.command("select 1") == nil })
	require.NoError(w.t, db.command("create role user0001 login; create role user0002 login"), db.log)
	return db
}

// access is pg_hba.conf.
func (w *world) access() string {
	host, port, err := net.SplitHostPort(w.LDAP[0])
	require.NoError(w.t, err)
	server := fmt.Sprintf("127.0.0.1/32 ldap ldapserver=%s ldapport=%s ldaptls=1", host, port)
	return "local all postgres trust\n" +
		fmt.Sprintf("host all user0001 %s ldapprefix=\"uid=\" ldapsuffix=\",%s\"\n", server, testenv.SlapdPeople) +
		fmt.Sprintf("host all user0002 %s ldapbasedn=\"%s\" ldapbinddn=\"%s\" ldapbindpasswd=\"%s\" ldapsearchattribute=uid\n",
			server, testenv.SlapdPeople, testenv.SlapdAppDN, testenv.SlapdAppPassword)
}

// command runs SQL as the administrator.
func (db *database) command(sql string) error {
	return exec.Command("psql", "-p", db.port, "-d", "postgres", "-h", db.dir, "-U", "postgres", "-c", sql).Run()
}

// login logs user n in and asks for 42.
func (db *database) login(n int, password string) *program {
	db.w.t.Helper()
	return db.w.run(wiki, "env", "PGPASSWORD="+password,
		"psql", "-p", db.port, "-d", "postgres", "-At", "-h", "127.0.0.1", "-U", testenv.UserName(n), "-c", "select 42")
}
