package site

import (
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/stretchr/testify/require"
)

// Reload changes the configuration's file, by pairs of what stands there and
// what shall, has the node read it, and waits until it has said what came of it.
func (s *Site) Reload(pairs ...string) (said string) {
	s.t.Helper()
	raw, err := os.ReadFile(s.Config)
	require.NoError(s.t, err)
	for i := 0; i < len(pairs); i += 2 {
		require.Contains(s.t, string(raw), pairs[i])
	}
	require.NoError(s.t, os.WriteFile(s.Config, []byte(strings.NewReplacer(pairs...).Replace(string(raw))), 0o600))
	before := len(s.Output())
	s.Signal(syscall.SIGHUP)
	over := func() bool {
		said = s.Output()[before:]
		return strings.Contains(said, "reload: the configuration is in use") || strings.Contains(said, "reload: nothing changes")
	}
	require.Eventually(s.t, over, Patience, 5*time.Millisecond)
	return said
}
