package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// PostgresServer is a throw-away cluster that lets its administrator in at its
// socket, and others as its pg_hba.conf says.
type PostgresServer struct {
	t         testing.TB
	dir, port string
	log       transcript
}

// Postgres starts PostgreSQL with these lines of pg_hba.conf, a certificate
// authority for its LDAP ("": none) and more environment, and stops it when
// the test ends. It returns when the server answers.
func Postgres(t testing.TB, access, caFile string, env ...string) *PostgresServer {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		t.Fatal("initdb is missing: apt-get install postgresql")
	}
	dir, err := os.MkdirTemp("", "postgres") // t.TempDir is closed to other users, and PostgreSQL refuses to run as root
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	port := FreePort(t)
	db := &PostgresServer{t: t, dir: dir, port: port}
	if caFile != "" {
		ca, err := os.ReadFile(caFile)
		must(t, err)
		must(t, os.WriteFile(dir+"/ca.pem", ca, 0o644))
		env = append(env, "LDAPTLS_CACERT="+dir+"/ca.pem")
	}
	unprivileged := &syscall.SysProcAttr{}
	if os.Getuid() == 0 {
		const nobody = 65534
		must(t, os.Chown(dir, nobody, nobody))
		unprivileged.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	start := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(filepath.Dir(found[0]), name), args...)
		cmd.Dir, cmd.SysProcAttr, cmd.Stdout, cmd.Stderr = dir, unprivileged, db.log.file(t), db.log.file(t)
		cmd.Env = append(append(os.Environ(), "LC_ALL=C"), env...)
		must(t, cmd.Start())
		return cmd
	}
	if err := start("initdb", "-D", dir+"/data", "-U", "postgres", "--auth=trust", "--no-sync").Wait(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, db.Log())
	}
	must(t, os.WriteFile(dir+"/data/pg_hba.conf", []byte("local all postgres trust\n"+access), 0o644))
	server := start("postgres", "-D", dir+"/data", "-p", port, "-h", "127.0.0.1", "-k", dir)
	t.Cleanup(func() { server.Process.Signal(syscall.SIGINT); server.Wait() })
	db.await()
	return db
}

func (db *PostgresServer) await() {
	db.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(patience)
	for range tick.C {
		if _, err := db.administer("select 1"); err == nil {
			return
		}
		if time.Now().After(deadline) {
			db.t.Fatalf("PostgreSQL does not start:\n%s", db.Log())
		}
	}
}

func (db *PostgresServer) administer(sql string) (out string, err error) {
	b, err := exec.Command("psql", "-p", db.port, "-d", "postgres", "-At", "-h", db.dir, "-U", "postgres", "-c", sql).CombinedOutput()
	return string(b), err
}

// Role makes a user of the database.
func (db *PostgresServer) Role(name string) {
	db.t.Helper()
	if out, err := db.administer("create role " + name + " login"); err != nil {
		db.t.Fatalf("create role: %v\n%s", err, out)
	}
}

// Ask logs in with psql and asks who that is.
func (db *PostgresServer) Ask(user, password string) (out string, err error) {
	cmd := exec.Command("psql", "-w", "-p", db.port, "-d", "postgres", "-At", "-h", "127.0.0.1", "-U", user, "-c", "select current_user")
	cmd.Env = append(os.Environ(), "PGPASSWORD="+password)
	b, err := cmd.CombinedOutput()
	return string(b), err
}

// Log is what the server has logged.
func (db *PostgresServer) Log() string { return db.log.String() }
