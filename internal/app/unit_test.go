package app

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/config"
)

// The unit in configs agrees with what the program does by itself.
func TestTheSystemdUnitFits(t *testing.T) {
	raw, err := os.ReadFile("../../configs/vssgate.service")
	require.NoError(t, err)
	unit := map[string]string{}
	for line := range strings.Lines(string(raw)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(line, "#") {
			unit[key] = value
		}
	}
	c := config.Default()
	require.Equal(t, "/usr/local/bin/vssgate serve --config /etc/vssgate/vssgate.yaml", unit["ExecStart"])
	require.Equal(t, strings.Replace(unit["ExecStart"], "serve", "check", 1), unit["ExecStartPre"])
	require.Equal(t, c.DataDir, "/var/lib/"+unit["StateDirectory"])
	require.Equal(t, c.Admin.Socket, "/run/"+unit["RuntimeDirectory"]+"/admin.sock")
	require.Equal(t, "notify", unit["Type"])
	stop, err := time.ParseDuration(unit["TimeoutStopSec"] + "s")
	require.NoError(t, err)
	require.Greater(t, stop, 3*drainFor, "held requests and what is kept need time")
	require.Equal(t, []string{"always", "0"}, []string{unit["Restart"], unit["StartLimitIntervalSec"]}, "Redis may be away at the start")
}
