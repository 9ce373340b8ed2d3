package testenv

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// RedisServer is a running redis-server that keeps nothing on disk.
type RedisServer struct {
	Addr string // 127.0.0.1:PORT

	child
	dir      string
	args     []string
	sentinel string     // its configuration file, if it is a Sentinel
	ca       *Authority // it speaks TLS only, with a certificate of it; nil: no TLS
	admin    string     // the password without which it says nothing; "": none is needed
}

// RedisUser and RedisPassword are who may ask a secured Redis, for no more than
// docs/operations.md gives him.
const (
	RedisUser     = "vssgate"
	RedisPassword = "password-of-the-node"
)

// RedisRights are the rights of that user.
const RedisRights = "~vssgate:* &vssgate:* +@all -@admin -@dangerous +info"

// StartSecuredRedis starts a redis-server that speaks TLS only, with a certificate
// of the authority, and answers users only.
func StartSecuredRedis(t testing.TB, ca *Authority, args ...string) *RedisServer {
	t.Helper()
	const admin = "password-of-the-administrator"
	user := append([]string{"--user", RedisUser, "on", ">" + RedisPassword}, strings.Fields(RedisRights)...)
	args = append(append(user, "--requirepass", admin, "--masterauth", admin), args...)
	return startRedis(t, &RedisServer{ca: ca, admin: admin, args: args})
}

// Redis starts a redis-server, stops it when the test ends, and returns its
// address.
func Redis(t testing.TB) (addr string) {
	t.Helper()
	return StartRedis(t).Addr
}

// RedisCluster starts a Cluster of one server that has all slots, and returns
// its address. It refuses whatever touches two slots at once.
func RedisCluster(t testing.TB) (addr string) {
	t.Helper()
	return clustered(t, StartRedis(t, clusterArgs(t)...))
}

// SecuredRedisCluster is RedisCluster over TLS, for users only.
func SecuredRedisCluster(t testing.TB, ca *Authority) (addr string) {
	t.Helper()
	return clustered(t, StartSecuredRedis(t, ca, append([]string{"--tls-cluster", "yes"}, clusterArgs(t)...)...))
}

// clusterArgs have a port for the bus, too: the usual one, 10000 above the other, may be anybody's.
func clusterArgs(t testing.TB) []string {
	t.Helper()
	return []string{"--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-port", FreePort(t)}
}

func clustered(t testing.TB, s *RedisServer) (addr string) {
	t.Helper()
	s.Do("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		if strings.Contains(s.Do("CLUSTER", "INFO"), "cluster_state:ok") {
			return s.Addr
		}
		if time.Now().After(deadline) {
			t.Fatal("redis-server: the cluster does not come up")
		}
	}
	return ""
}

// RedisTLS starts a redis-server that speaks TLS only, with a certificate of
// the authority, and returns its address.
func RedisTLS(t testing.TB, ca *Authority) (addr string) {
	t.Helper()
	return startRedis(t, &RedisServer{ca: ca}).Addr
}

// RedisSentinel starts a Sentinel that watches primary under a name, alone, and
// returns its address. It speaks TLS if the primary does.
func RedisSentinel(t testing.TB, primary *RedisServer, name string) (addr string) {
	t.Helper()
	return StartRedisSentinel(t, primary, name).Addr
}

// SentinelRights are what docs/operations.md gives the user of a Sentinel.
const SentinelRights = "resetchannels &+switch-master &+replica-reconf-done +ping +subscribe" +
	" +sentinel|get-master-addr-by-name +sentinel|sentinels +sentinel|ckquorum"

// StartRedisSentinel is RedisSentinel with more lines in its configuration. If
// those have a requirepass, Do says it.
func StartRedisSentinel(t testing.TB, primary *RedisServer, name string, lines ...string) *RedisServer {
	t.Helper()
	host, port, err := net.SplitHostPort(primary.Addr)
	must(t, err)
	s := &RedisServer{dir: t.TempDir(), ca: primary.ca}
	s.sentinel = filepath.Join(s.dir, "sentinel.conf")
	config := fmt.Sprintf("sentinel monitor %s %s %s 1\n", name, host, port)
	if primary.admin != "" {
		config += fmt.Sprintf("sentinel auth-pass %s %s\n", name, primary.admin)
	}
	for _, line := range lines {
		config += line + "\n"
		if password, ok := strings.CutPrefix(line, "requirepass "); ok {
			s.admin = password
		}
	}
	must(t, os.WriteFile(s.sentinel, []byte(config), 0o600))
	return startRedis(t, s)
}

// StartRedis starts a redis-server with more arguments, and stops it when the
// test ends. It returns when the server answers.
func StartRedis(t testing.TB, args ...string) *RedisServer {
	t.Helper()
	return startRedis(t, &RedisServer{args: args})
}

func startRedis(t testing.TB, s *RedisServer) *RedisServer {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Fatal("redis-server is missing: apt-get install redis-server")
	}
	s.t = t
	if s.dir == "" {
		s.dir = t.TempDir()
	}
	var err error
	for range 5 { // somebody else may take the port meanwhile
		s.Addr = FreeAddr(t)
		if err = s.start(); err == nil {
			t.Cleanup(s.Stop)
			return s
		}
	}
	t.Fatal(err)
	return nil
}

// Start starts a stopped server again at the same address, empty.
func (s *RedisServer) Start() {
	s.t.Helper()
	must(s.t, s.start())
}

func (s *RedisServer) start() error {
	_, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		return err
	}
	args := append([]string{"--save", "", "--appendonly", "no"}, s.args...)
	if s.sentinel != "" {
		args = []string{s.sentinel, "--sentinel"}
	}
	args = append(args, "--bind", "127.0.0.1", "--dir", s.dir, "--port", port)
	if s.ca != nil {
		args = append(args, "--port", "0", "--tls-port", port, "--tls-auth-clients", "no", "--tls-replication", "yes",
			"--tls-cert-file", s.ca.CertFile, "--tls-key-file", s.ca.KeyFile, "--tls-ca-cert-file", s.ca.CAFile)
	}
	if err := s.run(exec.Command("redis-server", args...)); err != nil {
		return err
	}
	if err := listening(s.ended, s.Addr); err != nil {
		s.Stop()
		return fmt.Errorf("redis-server: %w\n%s", err, s.log.String())
	}
	return nil
}

// Do runs one command and returns what the server said, as it said it.
func (s *RedisServer) Do(words ...string) string {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.Addr)
	must(s.t, err)
	if s.ca != nil {
		conn = tls.Client(conn, &tls.Config{RootCAs: s.ca.Pool, ServerName: "127.0.0.1"})
	}
	defer conn.Close()
	must(s.t, conn.SetDeadline(time.Now().Add(patience)))
	r := bufio.NewReader(conn)
	if s.admin != "" {
		s.say(conn, r, "AUTH", s.admin)
	}
	return s.say(conn, r, words...)
}

func (s *RedisServer) say(conn net.Conn, r *bufio.Reader, words ...string) string {
	s.t.Helper()
	var b bytes.Buffer
	fmt.Fprintf(&b, "*%d\r\n", len(words))
	for _, word := range words {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(word), word)
	}
	_, err := conn.Write(b.Bytes())
	must(s.t, err)
	line, err := r.ReadString('\n')
	must(s.t, err)
	var size int
	if _, err := fmt.Sscanf(line, "$%d\r\n", &size); err != nil || size < 0 {
		return strings.TrimSuffix(line, "\r\n")
	}
	text := make([]byte, size+2) // and the end of the line
	_, err = io.ReadFull(r, text)
	must(s.t, err)
	return string(text[:size])
}

// Dump is what SAVE has written to disk, as it stands there.
func (s *RedisServer) Dump() string {
	s.t.Helper()
	raw, err := os.ReadFile(filepath.Join(s.dir, "dump.rdb"))
	must(s.t, err)
	return string(raw)
}

// Require sets the password without which the running server says nothing to new
// connections; "": none is needed.
func (s *RedisServer) Require(password string) {
	s.t.Helper()
	rule := "nopass"
	if password != "" {
		rule = ">" + password
	}
	if said := s.Do("ACL", "SETUSER", "default", "resetpass", rule); said != "+OK" {
		s.t.Fatalf("redis-server: %s", said)
	}
	s.admin = password
}
