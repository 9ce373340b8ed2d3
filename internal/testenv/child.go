package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a program may take to start, to answer and to end, on a
// machine that has other work to do.
const patience = time.Minute

// A child is a server's process, which a test ends, starts again and freezes.
type child struct {
	t       testing.TB
	process *exec.Cmd     // nil: it does not run
	ended   chan struct{} // closed when process has ended
	log     transcript    // what it wrote, in all its lives
}

// A transcript is what a program has written, which writes it into a file
// itself: what it wrote before it answered is there once it has answered.
type transcript struct {
	once sync.Once
	open *os.File // without a name: it goes when nobody has it open
	err  error
}

func (p *transcript) file(t testing.TB) *os.File {
	t.Helper()
	p.once.Do(func() {
		if p.open, p.err = os.CreateTemp("", "transcript"); p.err == nil {
			p.err = os.Remove(p.open.Name())
		}
	})
	must(t, p.err)
	return p.open
}

func (p *transcript) String() string {
	if p.open == nil {
		return ""
	}
	stat, err := p.open.Stat()
	if err != nil {
		return err.Error()
	}
	text := make([]byte, stat.Size())
	n, _ := p.open.ReadAt(text, 0)
	return string(text[:n])
}

// run starts the process.
func (c *child) run(cmd *exec.Cmd) error {
	cmd.Stdout, cmd.Stderr = c.log.file(c.t), c.log.file(c.t)
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	c.process, c.ended = cmd, ended
	return nil
}

// Stop ends the server and all its connections. Stopping twice is harmless.
func (c *child) Stop() {
	if c.process == nil {
		return
	}
	_ = c.process.Process.Signal(syscall.SIGCONT) // it may be frozen
	_ = c.process.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.ended:
	case <-time.After(10 * time.Second):
		_ = c.process.Process.Kill()
		<-c.ended
	}
	c.process = nil
}

// Freeze stops the server's process without ending it: the kernel takes what
// comes and nobody answers. It returns when all its threads stand still. Thaw
// lets it go on, with what came meanwhile.
func (c *child) Freeze() {
	c.t.Helper()
	must(c.t, c.process.Process.Signal(syscall.SIGSTOP))
	for !frozen(c.t, c.process.Process.Pid) {
		runtime.Gosched()
	}
}

// frozen reads the state of each thread, the field after the name in
// parentheses (proc_pid_stat(5)).
func frozen(t testing.TB, pid int) bool {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	must(t, err)
	for _, file := range files {
		stat, err := os.ReadFile(file)
		must(t, err)
		if _, state, _ := strings.Cut(string(stat), ") "); !strings.HasPrefix(state, "T") {
			return false
		}
	}
	return len(files) > 0
}

// Thaw ends Freeze.
func (c *child) Thaw() {
	c.t.Helper()
	must(c.t, c.process.Process.Signal(syscall.SIGCONT))
}
