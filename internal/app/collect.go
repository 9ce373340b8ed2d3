package app

import (
	"os"
	"runtime"
	"runtime/debug"
	gauges "runtime/metrics"
)

// How much may be added to the memory in use before the garbage collector runs:
// collectAt percent, for Go's own 100 nearly doubles what held logins take
// (docs/performance.md); but at least leastRoom, or a node with little in memory
// would do nothing but collect.
const (
	collectAt = 25
	leastRoom = 48 << 20
)

// CollectSooner sets that, now and after each collection. The environment
// variable GOGC wins.
func CollectSooner() {
	if os.Getenv("GOGC") == "" {
		afterCollection(nil)
	}
}

// A sentinel is garbage from the start, so that each collection finds one.
type sentinel struct{ _ [16]byte }

func afterCollection(*sentinel) {
	live := []gauges.Sample{{Name: "/gc/heap/live:bytes"}}
	gauges.Read(live)
	debug.SetGCPercent(percentFor(live[0].Value.Uint64()))
	runtime.SetFinalizer(&sentinel{}, afterCollection)
}

// percentFor is what GOGC is to be when that many bytes are live.
func percentFor(live uint64) int {
	return max(collectAt, int(leastRoom*100/max(live, 4<<20)))
}
