package app

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	gauges "runtime/metrics"
	"time"
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

// A node that allocates less than quietBelow in quietFor is quiet. Then the
// collector's rule of thumb does not help: what a rush has left would stay until
// the next one. Where it is more than worthIt, it is collected and given back to
// the system.
const (
	quietFor   = time.Second
	quietBelow = 8 << 20
	worthIt    = 24 << 20
)

// giveBackWhenQuiet does that until ctx ends.
func giveBackWhenQuiet(ctx context.Context) {
	tick := time.NewTicker(quietFor)
	defer tick.Stop()
	for before := use(); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		before = giveBackSince(before)
	}
}

// giveBackSince looks at what happened since it was looked last.
func giveBackSince(before memory) (now memory) {
	if now = use(); now.due(before) {
		debug.FreeOSMemory()
	}
	return now
}

// A memory is what the runtime says of the heap.
type memory struct {
	allocated uint64 // since the start
	spare     uint64 // added since the last collection, or free but not given back
}

func (m memory) due(before memory) bool {
	return m.allocated-before.allocated < quietBelow && m.spare > worthIt
}

func use() memory {
	s := []gauges.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/free:bytes"}}
	gauges.Read(s)
	objects, live, free := s[1].Value.Uint64(), s[2].Value.Uint64(), s[3].Value.Uint64()
	return memory{allocated: s[0].Value.Uint64(), spare: objects - min(live, objects) + free}
}
