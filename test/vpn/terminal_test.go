package vpn_test

import (
	"context"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/test/site"
)

// A terminal is a program at work and a person who reads what it prints and
// types what it asks for. It ends with the test.
type terminal struct {
	t     *testing.T
	in    io.WriteCloser
	ended chan struct{}

	mu   sync.Mutex
	text strings.Builder
}

// open starts a program.
func open(t *testing.T, name string, args ...string) *terminal {
	t.Helper()
	path, err := exec.LookPath(name)
	require.NoError(t, err, "%s is missing: test/packages.sh installs it", name)
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	p := &terminal{t: t, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p, p
	p.in, err = cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	go func() {
		defer close(p.ended)
		_ = cmd.Wait() // what was printed tells how it ended
	}()
	t.Cleanup(func() {
		stop()
		<-p.ended
		if t.Failed() {
			t.Logf("%s wrote:\n%s", name, p.printed())
		}
	})
	return p
}

func (p *terminal) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

func (p *terminal) printed() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// reads waits until that was printed.
func (p *terminal) reads(text string) {
	p.t.Helper()
	tick, late := time.NewTicker(5*time.Millisecond), time.After(site.Patience)
	defer tick.Stop()
	for !strings.Contains(p.printed(), text) {
		select {
		case <-tick.C:
		case <-p.ended:
			require.Contains(p.t, p.printed(), text, "the program has ended")
		case <-late:
			require.Contains(p.t, p.printed(), text, "not printed in time")
		}
	}
}

// types answers a question.
func (p *terminal) types(line string) {
	p.t.Helper()
	_, err := io.WriteString(p.in, line+"\n")
	require.NoError(p.t, err)
}

// said waits for the program's end and returns what it printed.
func (p *terminal) said() string {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(3 * site.Patience):
		require.FailNow(p.t, "the program does not end", p.printed())
	}
	return p.printed()
}
