package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// openTerminal makes a terminal: what is written to the keyboard is typed.
func openTerminal(t *testing.T) (keyboard, terminal *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	require.NoError(t, err)
	t.Cleanup(func() { keyboard.Close() })
	require.NoError(t, unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { terminal.Close() })
	return keyboard, terminal
}

func echoes(t *testing.T, f *os.File) bool {
	t.Helper()
	now, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	require.NoError(t, err)
	return now.Lflag&unix.ECHO != 0
}

// asking calls try at a server that is not there, and f once it asks.
type asking struct {
	bytes.Buffer
	f func()
}

func (a *asking) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte("Password: ")) {
		a.f()
	}
	return a.Buffer.Write(b)
}

func TestATypedPasswordIsNotShown(t *testing.T) {
	keyboard, terminal := openTerminal(t)
	require.True(t, echoes(t, terminal))
	var hid bool
	out := &asking{f: func() {
		hid = !echoes(t, terminal)
		fmt.Fprintf(keyboard, "%s\n", password)
	}}
	code := run(t.Context(), []string{"try", "ldap", "--server", "ldap://127.0.0.1:1", "--user", "an.nv"}, terminal, out, out)
	require.Equal(t, exitError, code)
	require.Contains(t, out.String(), "BindRequest", "the password was read")
	require.True(t, hid)
	require.True(t, echoes(t, terminal), "the terminal is as it was")
}

func TestAskingEndsWithAnInterrupt(t *testing.T) {
	_, terminal := openTerminal(t)
	ctx, interrupt := context.WithCancel(t.Context())
	out := &asking{f: interrupt}
	code := run(ctx, []string{"try", "ldap", "--user", "an.nv"}, terminal, out, out)
	require.Equal(t, exitError, code)
	require.Contains(t, out.String(), "interrupted")
	require.True(t, echoes(t, terminal), "the terminal is as it was")
}
