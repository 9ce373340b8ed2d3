package chaos_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A process is kept running as a service manager does: one that ends by itself
// is started again.
type process struct {
	name string
	argv []string
	env  []string
	log  string // its file

	mu    sync.Mutex
	cmd   *exec.Cmd
	ended chan struct{} // closed when cmd has
	down  bool          // it is meant to be down
}

// restartAfter is how long a service manager waits.
const restartAfter = 300 * time.Millisecond

// launch starts a process and ends it with the test.
func launch(t testing.TB, dir, name string, env []string, argv ...string) *process {
	t.Helper()
	p := &process{name: name, argv: argv, env: env, log: filepath.Join(dir, name+".log")}
	require.NoError(t, p.start())
	t.Cleanup(func() { p.end(syscall.SIGKILL) })
	return p
}

// start runs it, unless it does.
func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = false
	if p.cmd != nil {
		return nil
	}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(p.argv[0], p.argv[1:]...)
	cmd.Env = append(os.Environ(), p.env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // nothing outlives a test that was killed
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	p.cmd, p.ended = cmd, ended
	go func() {
		_ = cmd.Wait()
		p.mu.Lock()
		p.cmd = nil
		down := p.down
		p.mu.Unlock()
		close(ended)
		if !down {
			time.Sleep(restartAfter)
			p.restart()
		}
	}()
	return nil
}

// restart starts it unless it was ended meanwhile.
func (p *process) restart() {
	p.mu.Lock()
	down := p.down
	p.mu.Unlock()
	if !down {
		_ = p.start()
	}
}

// end ends it and waits. It stays down until start.
func (p *process) end(s syscall.Signal) {
	p.mu.Lock()
	p.down = true
	cmd, ended := p.cmd, p.ended
	p.mu.Unlock()
	if cmd == nil {
		return
	}
	_ = cmd.Process.Signal(syscall.SIGCONT) // it may be stopped
	_ = cmd.Process.Signal(s)
	select {
	case <-ended:
	case <-time.After(15 * time.Second):
		_ = cmd.Process.Kill()
		<-ended
	}
}

func (p *process) signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		_ = p.cmd.Process.Signal(s)
	}
}
