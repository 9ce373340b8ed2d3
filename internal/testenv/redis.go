package testenv

import (
	"bufio"
	"bytes"
	"fmt"
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
	sentinel string // its configuration file, if it is a Sentinel
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
	s := StartRedis(t, "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf")
	s.Do("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
	deadline := time.Now().Add(20 * time.Second)
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
	var err error
	for range 5 {
		addr = freeAddr(t)
		_, port, _ := net.SplitHostPort(addr)
		s := &RedisServer{child: child{t: t}, dir: t.TempDir(), Addr: addr, args: []string{
			"--port", "0", "--tls-port", port, "--tls-auth-clients", "no",
			"--tls-cert-file", ca.CertFile, "--tls-key-file", ca.KeyFile, "--tls-ca-cert-file", ca.CAFile,
		}}
		if err = s.start(); err == nil {
			t.Cleanup(s.Stop)
			return addr
		}
	}
	t.Fatal(err)
	return ""
}

// RedisSentinel starts a Sentinel that watches primary under a name, alone, and
// returns its address.
func RedisSentinel(t testing.TB, primary *RedisServer, name string) (addr string) {
	t.Helper()
	host, port, err := net.SplitHostPort(primary.Addr)
	must(t, err)
	for range 5 {
		s := &RedisServer{child: child{t: t}, dir: t.TempDir(), Addr: freeAddr(t)}
		s.sentinel = filepath.Join(s.dir, "sentinel.conf")
		must(t, os.WriteFile(s.sentinel, fmt.Appendf(nil, "sentinel monitor %s %s %s 1\n", name, host, port), 0o600))
		if err = s.start(); err == nil {
			t.Cleanup(s.Stop)
			return s.Addr
		}
	}
	t.Fatal(err)
	return ""
}

// StartRedis starts a redis-server with more arguments, and stops it when the
// test ends. It returns when the server answers.
func StartRedis(t testing.TB, args ...string) *RedisServer {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Fatal("redis-server is missing: apt-get install redis-server")
	}
	s := &RedisServer{child: child{t: t}, dir: t.TempDir(), args: args}
	var err error
	for range 5 { // somebody else may take the port meanwhile
		s.Addr = freeAddr(t)
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
	args := append([]string{"--port", port, "--bind", "127.0.0.1", "--dir", s.dir, "--save", "", "--appendonly", "no"}, s.args...)
	if s.sentinel != "" {
		args = []string{s.sentinel, "--sentinel", "--port", port, "--bind", "127.0.0.1", "--dir", s.dir}
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
	defer conn.Close()
	must(s.t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	var b bytes.Buffer
	fmt.Fprintf(&b, "*%d\r\n", len(words))
	for _, word := range words {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(word), word)
	}
	_, err = conn.Write(b.Bytes())
	must(s.t, err)
	r := bufio.NewReader(conn)
	line, err := r.ReadString('\n')
	must(s.t, err)
	var size int
	if _, err := fmt.Sscanf(line, "$%d\r\n", &size); err != nil || size < 0 {
		return strings.TrimSuffix(line, "\r\n")
	}
	text := make([]byte, size)
	for read := 0; read < size; {
		n, err := r.Read(text[read:])
		must(s.t, err)
		read += n
	}
	return string(text)
}

// Dump is what SAVE has written to disk, as it stands there.
func (s *RedisServer) Dump() string {
	s.t.Helper()
	raw, err := os.ReadFile(filepath.Join(s.dir, "dump.rdb"))
	must(s.t, err)
	return string(raw)
}
