package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/app"
	"vssgate/internal/config"
	"vssgate/internal/testenv"
	"vssgate/otp"
)

// nodeEnv makes the test binary a node: the value is its configuration file.
const nodeEnv = "VSSGATE_BENCH_NODE"

// profileEnv names a folder for heap profiles of nodes that are full, and
// processor profiles of nodes that are busy.
const profileEnv = "VSSGATE_BENCH_PROFILES"

func TestMain(m *testing.M) {
	if os.Getenv(echoEnv) != "" {
		echo()
		return
	}
	if file := os.Getenv(nodeEnv); file != "" {
		if err := runNode(file); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// runNode is the program, and answers what is asked on its standard input until
// that ends.
func runNode(file string) error {
	c, err := config.Load(file)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	a, err := app.New(ctx, c, log)
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	return a.Run(ctx, func(at app.Addresses) {
		out.Encode(at)
		go func() {
			defer stop()
			for in := bufio.NewScanner(os.Stdin); in.Scan(); {
				out.Encode(obey(in.Text()))
			}
		}()
	})
}

// obey does what the benchmark asks a node.
func obey(order string) any {
	what, path, _ := strings.Cut(order, " ")
	switch what {
	case "collect":
		debug.FreeOSMemory()
	case "cpu":
		f, err := os.Create(path)
		if err == nil {
			err = pprof.StartCPUProfile(f)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	case "cpu-end":
		pprof.StopCPUProfile()
	case "profile":
		f, err := os.Create(path)
		if err == nil {
			err = pprof.Lookup("heap").WriteTo(f, 0)
			f.Close()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	return weigh()
}

// A weight is what a node's memory is, in bytes.
type weight struct {
	Resident   int // what the kernel counts
	Anonymous  int // the same without the store's file, which the kernel may take back
	Heap       int // live objects, and dead ones not collected yet
	Spans      int // in use by objects: the heap and the holes in it
	Stacks     int
	Runtime    int // what the runtime needs to manage it all
	Goroutines int
	Allocated  int // since the start
}

func weigh() (w weight) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	of := func(name string) int {
		_, rest, _ := strings.Cut(string(status), name+":")
		kib, err := strconv.Atoi(strings.Fields(rest)[0])
		if err != nil {
			panic(err)
		}
		return kib << 10
	}
	return weight{
		Resident: of("VmRSS"), Anonymous: of("RssAnon"), Heap: int(m.HeapAlloc), Spans: int(m.HeapInuse), Stacks: int(m.StackInuse),
		Runtime: int(m.MSpanSys + m.MCacheSys + m.BuckHashSys + m.GCSys + m.OtherSys), Goroutines: runtime.NumGoroutine(), Allocated: int(m.TotalAlloc),
	}
}

const mib = 1 << 20

func (w weight) String() string {
	return fmt.Sprintf("%d MiB resident, %d anonymous: heap %d, spans %d, stacks %d, runtime %d; %d goroutines",
		w.Resident/mib, w.Anonymous/mib, w.Heap/mib, w.Spans/mib, w.Stacks/mib, w.Runtime/mib, w.Goroutines)
}

// A node is the program in a process of its own.
type node struct {
	b    *testing.B
	pid  int
	at   app.Addresses
	in   io.Writer
	out  *json.Decoder
	told *lines // what it has logged, from warnings on
}

// nodeConfig is what a site would write, with limits that let the load in.
const nodeConfig = `
data_dir: {{DIR}}
secret_key_file: {{DIR}}/secret.key
admin: {socket: {{DIR}}/admin.sock}
metrics: {listen: "127.0.0.1:0"}
vssid:
  listen: "127.0.0.1:0"
  public_url: "http://127.0.0.1:1"
  backend_tokens: [{name: vssid, token_files: [{{DIR}}/vssid.token], may: [show], addresses: [127.0.0.0/8]}]
first_factors:
  - name: directory
    ldap:
      kind: openldap
{{DIRECTORY}}
      user_filter: (uid={username})
      attributes: {bhxh_number: employeeNumber}
      timeout: 20s # on a busy machine too
throttle: {per_source: 1000}
# As long as may be: all logins are to be there at once, on a slow machine too.
second_factor: {valid_for: 10m, grace: 1m}
radius:
  listen: ["127.0.0.1:0"]
  clients:
    - {name: vpn, addresses: [127.0.0.1], secret: ` + sharedSecret + `, mode: hold, hold: 10m, approval: simple}
    - {name: asked, addresses: [` + asked + `], secret: ` + sharedSecret + `, mode: challenge}
    - {name: observed, addresses: [` + observed + `], secret: ` + sharedSecret + `, observe: {until: 2999-01-31, why: to measure the first factor alone}}
ldap:
  listen: ["127.0.0.1:0"]
  require_tls: false
  max_connections: 20000
  clients:
    - {name: app, addresses: [127.0.0.1], mode: hold, hold: 10m, approval: simple}
`

const (
	sharedSecret = "a-secret-of-the-benchmark"
	backendToken = "a-token-of-the-benchmark-that-is-long-enough"
)

// Where the NASes of the other clients ask from.
const (
	asked    = "127.0.0.2" // challenges
	observed = "127.0.0.3" // accepts on the first factor
)

// lines passes the first lines of a log on, and counts all.
type lines struct {
	mu sync.Mutex
	n  int
}

func (l *lines) Write(b []byte) (int, error) {
	const shown = 40
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n += bytes.Count(b, []byte{'\n'}); l.n <= shown {
		os.Stderr.Write(b)
	}
	return len(b), nil
}

func (l *lines) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n
}

// startNode runs a node on the data in dir, where the people are enrolled.
func startNode(b *testing.B, dir string, d *tree) *node {
	return startNodeAt(b, dir, d.config())
}

// startNodesOn runs nodes over that Redis, where people are enrolled under the
// keys in the folder.
func startNodesOn(b *testing.B, redis *testenv.RedisServer, keysIn string, d *tree, many int) (all []*node) {
	key, err := os.ReadFile(filepath.Join(keysIn, "secret.key"))
	require.NoError(b, err)
	for range many {
		dir := memoryDir(b)
		require.NoError(b, os.WriteFile(filepath.Join(dir, "secret.key"), key, 0o600))
		all = append(all, startNodeAt(b, dir, d.config(), fmt.Sprintf("store: {redis: {addresses: [%q]}}", redis.Addr)))
	}
	return all
}

// directoryConfig is what differs among directories.
func directoryConfig(url, bindDN, bindPassword, base string) string {
	return fmt.Sprintf("      urls: [%q]\n      bind_dn: %s\n      bind_password: %s\n      base_dns: [%q]", url, bindDN, bindPassword, base)
}

func startNodeAt(b *testing.B, dir, directory string, more ...string) *node {
	require.NoError(b, os.WriteFile(filepath.Join(dir, "vssid.token"), []byte(backendToken), 0o600))
	return startNodeAs(b, dir, strings.ReplaceAll(nodeConfig, "{{DIRECTORY}}", directory)+strings.Join(more, "\n"))
}

// startNodeAs runs a node with that configuration, in which {{DIR}} is dir.
func startNodeAs(b *testing.B, dir, text string) *node {
	file := filepath.Join(dir, "vssgate.yaml")
	text = strings.ReplaceAll(text, "{{DIR}}", dir)
	require.NoError(b, os.WriteFile(file, []byte(text), 0o600))
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), nodeEnv+"="+file)
	told := &lines{}
	cmd.Stderr = told
	in, err := cmd.StdinPipe()
	require.NoError(b, err)
	out, err := cmd.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, cmd.Start())
	b.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	n := &node{b: b, pid: cmd.Process.Pid, in: in, out: json.NewDecoder(out), told: told}
	require.NoError(b, n.out.Decode(&n.at))
	return n
}

// ask has the node do something and returns what it weighs then.
func (n *node) ask(order string) (w weight) {
	fmt.Fprintln(n.in, order)
	require.NoError(n.b, n.out.Decode(&w), "the node has ended")
	return w
}

// profile keeps a heap profile, where one is wanted.
func (n *node) profile(name string) {
	if dir := os.Getenv(profileEnv); dir != "" {
		n.ask("profile " + filepath.Join(dir, name+".pprof"))
	}
}

// profiled keeps a processor profile of what the node does meanwhile, where one
// is wanted.
func (n *node) profiled(name string, do func() float64) func() float64 {
	dir := os.Getenv(profileEnv)
	if dir == "" {
		return do
	}
	return func() float64 {
		n.ask("cpu " + filepath.Join(dir, name+".cpu.pprof"))
		defer n.ask("cpu-end")
		return do()
	}
}

var openLogins = regexp.MustCompile(`(?m)^vssgate_logins_open (\S+)$`)

// open is how many logins are open, by the node's own metrics.
func (n *node) open() int {
	answer, err := http.Get("http://" + n.at.Metrics + "/metrics")
	require.NoError(n.b, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	require.NoError(n.b, err)
	found := openLogins.FindSubmatch(text)
	require.NotNil(n.b, found, "no vssgate_logins_open")
	open, err := strconv.ParseFloat(string(bytes.TrimSpace(found[1])), 64)
	require.NoError(n.b, err)
	return int(open)
}

// wait returns when at least want logins are open, or when none was added for
// so long that something must have been lost.
func (n *node) wait(want int) (open int) {
	const patience = 10 * time.Second
	for changed := time.Now(); time.Since(changed) < patience; {
		before := open
		if open = n.open(); open >= want {
			return open
		}
		if open != before {
			changed = time.Now()
		}
		time.Sleep(5 * time.Millisecond) // the node needs the processor more
	}
	return open
}

func writeKeys(b *testing.B, dir string) *otp.Keys {
	line := otp.NewKeyLine()
	require.NoError(b, os.WriteFile(filepath.Join(dir, "secret.key"), []byte(line), 0o600))
	keys, err := otp.ParseKeys([]byte(line))
	require.NoError(b, err)
	return keys
}
