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

func TestOnlyAQuietNodeWithMuchToGiveBackIsCollected(t *testing.T) {
	before := memory{allocated: 1 << 30}
	for name, c := range map[string]struct {
		allocated, spare uint64
		due              bool
	}{
		"quiet, with much":     {quietBelow - 1, worthIt + 1, true},
		"quiet, with little":   {quietBelow - 1, worthIt, false},
		"in a rush, with much": {quietBelow, worthIt + 1, false},
	} {
		require.Equal(t, c.due, memory{before.allocated + c.allocated, c.spare}.due(before), name)
	}
}

var rush []byte

func TestAQuietNodeGivesBackWhatARushHasLeft(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // or at leastRoom, where another test has set that
	debug.FreeOSMemory()
	for range 40 {
		rush = make([]byte, 1<<20)
	}
	rush = nil
	require.Greater(t, use().spare, uint64(worthIt))
	giveBackSince(use())
	require.Less(t, use().spare, uint64(worthIt))
}
