package app

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTheCollectorLeavesRoomButNotMuch(t *testing.T) {
	require.Equal(t, collectAt, percentFor(1<<30))
	require.Equal(t, collectAt, percentFor(leastRoom*100/collectAt))
	require.Equal(t, 2*collectAt, percentFor(leastRoom*100/collectAt/2))
	require.LessOrEqual(t, percentFor(0), 1200)
}

func TestTheCollectorIsSetAnewAfterEachCollection(t *testing.T) {
	t.Setenv("GOGC", "")
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	CollectSooner()
	for range 3 {
		debug.SetGCPercent(77)
		require.Eventually(t, func() bool {
			runtime.GC()
			return debug.SetGCPercent(77) != 77
		}, 10*time.Second, time.Millisecond)
	}
}
