package chaos_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A skew is how far the wall clock of all Redis servers is off.
type skew struct {
	library, file string
}

// newSkew builds skew/clock.c.
func newSkew(t testing.TB, dir string) *skew {
	t.Helper()
	s := &skew{library: filepath.Join(dir, "clock.so"), file: filepath.Join(dir, "clock")}
	out, err := exec.Command("gcc", "-shared", "-fPIC", "-O2", "-o", s.library, filepath.Join("skew", "clock.c")).CombinedOutput()
	require.NoError(t, err, string(out))
	s.set(t, 0)
	return s
}

func (s *skew) set(t testing.TB, off time.Duration) {
	f, err := os.OpenFile(s.file, os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteAt(binary.LittleEndian.AppendUint64(nil, uint64(off.Microseconds())), 0)
		f.Close()
	}
	if err != nil {
		t.Errorf("clock: %v", err)
	}
}

func (s *skew) env() []string { return []string{"LD_PRELOAD=" + s.library, "CHAOS_CLOCK=" + s.file} }

// redisSettings are those that docs/operations.md asks for.
const redisSettings = `
save ""
appendonly yes
maxmemory-policy noeviction
min-replicas-to-write 1
min-replicas-max-lag 3
repl-ping-replica-period 1
repl-diskless-sync-delay 0
protected-mode no
`

// launchRedis starts a redis-server with its own configuration file, which it and
// a Sentinel may rewrite.
func launchRedis(t testing.TB, dir, name string, env, wrap []string, config string) *process {
	t.Helper()
	home := filepath.Join(dir, name)
	require.NoError(t, os.MkdirAll(home, 0o700))
	file := filepath.Join(home, "redis.conf")
	require.NoError(t, os.WriteFile(file, []byte("dir "+home+"\n"+config), 0o600))
	argv := append(append([]string{}, wrap...), "redis-server", file)
	if strings.Contains(config, "sentinel ") {
		argv = append(argv, "--sentinel")
	}
	return launch(t, dir, name, env, argv...)
}

// tell sends Redis one command and returns what it says, if that is one text.
func tell(addr string, words ...string) (string, error) {
	conn, err := net.DialTimeout("tcp", addr, 2*time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
	fmt.Fprintf(conn, "*%d\r\n", len(words))
	for _, word := range words {
		fmt.Fprintf(conn, "$%d\r\n%s\r\n", len(word), word)
	}
	r := bufio.NewReader(conn)
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	var size int
	if _, err := fmt.Sscanf(line, "$%d\r\n", &size); err != nil || size < 0 {
		return strings.TrimSpace(line), nil
	}
	text := make([]byte, size)
	_, err = io.ReadFull(r, text)
	return string(text), err
}

// field is one line of what INFO says.
func field(info, name string) string {
	_, rest, _ := strings.Cut(info, name+":")
	value, _, _ := strings.Cut(rest, "\r\n")
	return value
}

// await asks until it is so.
func await(t testing.TB, what string, within time.Duration, so func() bool) {
	t.Helper()
	require.Eventually(t, so, within, 50*time.Millisecond, what)
}

// An epochWatch notes when a primary that was not known appears: what was open
// before may be lost.
type epochWatch struct {
	run  *run
	done chan struct{}
	wg   sync.WaitGroup
}

func (r *run) watchEpochs() (stop func()) {
	w := &epochWatch{run: r, done: make(chan struct{})}
	w.wg.Go(w.watch)
	return func() {
		close(w.done)
		w.wg.Wait()
	}
}

func (w *epochWatch) watch() {
	known := map[string]bool{}
	seen := time.Now() // when all was as it had been
	for {
		select {
		case <-w.done:
			return
		case <-time.After(100 * time.Millisecond):
		}
		looked := time.Now()
		fresh, alive := false, false
		for _, addr := range w.run.net.primaries() {
			info, err := tell(addr, "INFO")
			if err != nil {
				continue
			}
			alive = true
			epoch := field(info, "run_id") + " " + field(info, "master_replid")
			if len(known) > 0 && !known[epoch] {
				fresh = true
			}
			known[epoch] = true
		}
		if fresh {
			w.run.faults.write(faultLine{At: seen, Until: time.Now(), What: "the store changed hands", Loses: true})
			w.run.epochs.Add(1)
		}
		if alive {
			seen = looked
		}
	}
}
