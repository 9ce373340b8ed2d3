package testenv

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The program is built once for a test binary.
var build = sync.OnceValues(func() (string, error) {
	reap()
	dir, err := os.MkdirTemp("", fmt.Sprintf("%s%d-", builtBy, os.Getpid()))
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "vssgate")
	cmd := exec.Command("go", "build", "-tags", "disable_grpc_modules,grpcnotrace", "-o", binary, "vssgate/cmd/vssgate")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build vssgate: %w\n%s", err, out)
	}
	return binary, nil
})

// builtBy begins the name of each folder with a built program; the process id
// of the test binary follows.
const builtBy = "vssgate-built-by-"

// reap removes what test binaries have built that run no more: nothing tells a
// package that its process ends.
func reap() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), builtBy+"*"))
	for _, dir := range dirs {
		var pid int
		if _, err := fmt.Sscanf(filepath.Base(dir), builtBy+"%d-", &pid); err != nil {
			continue
		}
		if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			_ = os.RemoveAll(dir)
		}
	}
}

// Binary is the path of a freshly built vssgate.
func Binary(t testing.TB) string {
	t.Helper()
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

// A Node is a running `vssgate serve`, as a process of its own.
type Node struct {
	Dir    string // holds vssgate.yaml, secret.key, data and the admin socket
	Config string // path of vssgate.yaml

	// Where it listens, told by its own log.
	RADIUS, RADIUSTLS, LDAP, LDAPS []string
	Accounting                     []string
	Phones, Metrics                string

	t    testing.TB
	cmd  *exec.Cmd
	out  *output
	done chan struct{}
}

// NodeConfig is put before what the test adds: everything on loopback, in a
// folder of the node's own. {{DIR}} and {{HTTP}} stand for that folder and for
// a free address of the phone API, also in what the test adds. Who needs more of
// vssid writes all of it: this one is left out then.
const NodeConfig = `
data_dir: {{DIR}}/data
secret_key_file: {{DIR}}/secret.key
admin: {socket: {{DIR}}/admin.sock}
metrics: {listen: "127.0.0.1:0"}
log: {level: debug, format: json}
`

const nodeVssID = `vssid: {listen: "{{HTTP}}", public_url: "http://{{HTTP}}"}
`

// StartNode writes NodeConfig and more into a folder, runs `vssgate serve`
// there and waits until it is ready. It is stopped when the test ends.
func StartNode(t testing.TB, more string) *Node {
	t.Helper()
	n := NewNode(t, more)
	n.Start()
	return n
}

// NewNode writes the configuration and starts nothing.
func NewNode(t testing.TB, more string) *Node {
	t.Helper()
	dir := t.TempDir()
	n := &Node{t: t, Dir: dir, Config: filepath.Join(dir, "vssgate.yaml"), Phones: FreeAddr(t)}
	key := make([]byte, 32)
	rand.Read(key)
	n.write("secret.key", base64.StdEncoding.EncodeToString(key)+"\n")
	n.Configure(more)
	t.Cleanup(func() {
		n.Kill()
		if t.Failed() && n.out != nil {
			t.Logf("what vssgate wrote:\n%s", n.Output())
		}
	})
	return n
}

// Configure writes another configuration, for the next start.
func (n *Node) Configure(more string) {
	n.t.Helper()
	config := NodeConfig
	if !strings.Contains("\n"+more, "\nvssid:") {
		config += nodeVssID
	}
	n.write("vssgate.yaml", strings.NewReplacer("{{DIR}}", n.Dir, "{{HTTP}}", n.Phones).Replace(config+more))
}

func (n *Node) write(name, content string) {
	n.t.Helper()
	if err := os.WriteFile(filepath.Join(n.Dir, name), []byte(content), 0o600); err != nil {
		n.t.Fatal(err)
	}
}

// Start runs the node until it is ready.
func (n *Node) Start() {
	n.t.Helper()
	n.cmd = exec.Command(Binary(n.t), "serve", "--config", n.Config)
	if n.out == nil {
		n.out = &output{}
	}
	r, w := io.Pipe()
	n.cmd.Stderr = io.MultiWriter(n.out, w)
	n.cmd.Stdout = n.out
	if err := n.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.done = make(chan struct{})
	go func() { n.cmd.Wait(); w.Close(); close(n.done) }()
	ready := make(chan bool, 1)
	go n.read(r, ready)
	select {
	case ok := <-ready:
		if !ok {
			n.t.Fatalf("vssgate ended before it was ready:\n%s", n.Output())
		}
	case <-time.After(patience):
		n.t.Fatalf("vssgate is not ready after %v:\n%s", patience, n.Output())
	}
}

// read finds the record that says where the node listens.
func (n *Node) read(r *io.PipeReader, ready chan<- bool) {
	defer io.Copy(io.Discard, r)
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var rec struct {
			Msg                 string
			RADIUS, LDAP, LDAPS []string
			Accounting          []string
			RADIUSTLS           []string `json:"radius_tls"`
			PhoneAPI            string   `json:"phone_api"`
			Metrics             string
		}
		if json.Unmarshal(lines.Bytes(), &rec) == nil && rec.Msg == "vssgate ready" {
			n.Accounting = rec.Accounting
			n.RADIUS, n.RADIUSTLS, n.LDAP, n.LDAPS, n.Metrics = rec.RADIUS, rec.RADIUSTLS, rec.LDAP, rec.LDAPS, rec.Metrics
			ready <- true
			return
		}
	}
	ready <- false
}

// Stop ends the node as a service manager does, and waits.
func (n *Node) Stop() { n.end(syscall.SIGTERM) }

// Kill ends it as a crash would.
func (n *Node) Kill() { n.end(syscall.SIGKILL) }

// Signal sends a signal to the process.
func (n *Node) Signal(s syscall.Signal) { n.cmd.Process.Signal(s) }

func (n *Node) end(s syscall.Signal) {
	if n.done == nil {
		return
	}
	n.cmd.Process.Signal(s)
	select {
	case <-n.done:
	case <-time.After(patience):
		n.cmd.Process.Kill()
		<-n.done
		n.t.Errorf("vssgate did not end within %v of %v", patience, s)
	}
	n.done = nil
}

// Running tells whether the process lives.
func (n *Node) Running() bool {
	if n.done == nil {
		return false
	}
	select {
	case <-n.done:
		return false
	default:
		return true
	}
}

// PID is the process's id.
func (n *Node) PID() int { return n.cmd.Process.Pid }

// Output is all that the node has written to its standard output and error.
func (n *Node) Output() string { return n.out.String() }

// Audit is the audit file as it is now.
func (n *Node) Audit() string {
	raw, _ := os.ReadFile(filepath.Join(n.Dir, "data", "audit.jsonl"))
	return string(raw)
}

// Run calls vssgate with these arguments and --config, and returns what it
// printed and its exit code.
func (n *Node) Run(args ...string) (stdout, stderr string, code int) {
	n.t.Helper()
	cmd := exec.Command(Binary(n.t), append(args, "--config", n.Config)...)
	var out, err bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &err
	if e := cmd.Run(); e != nil && cmd.ProcessState == nil {
		n.t.Fatal(e)
	}
	return out.String(), err.String(), cmd.ProcessState.ExitCode()
}
