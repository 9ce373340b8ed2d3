package store

import (
	"sync/atomic"
	"time"
)

// A clock tells wall time that never steps back while the process runs. It
// runs with the monotonic clock and follows the wall clock forward: after the
// machine slept, or when its time was set late, deadlines have passed. A wall
// clock that is set back is not followed: that would give codes a longer life.
type clock struct {
	read func() (wall, mono int64) // nanoseconds
	lead atomic.Int64              // the most that wall was ever ahead of mono
}

// systemClock is the machine's clock.
func systemClock() *clock {
	start := time.Now()
	return newClock(func() (wall, mono int64) {
		t := time.Now()
		return t.UnixNano(), int64(t.Sub(start))
	})
}

func newClock(read func() (wall, mono int64)) *clock {
	c := &clock{read: read}
	wall, mono := read()
	c.lead.Store(wall - mono)
	return c
}

// now is in nanoseconds since 1970.
func (c *clock) now() int64 {
	wall, mono := c.read()
	for {
		lead := c.lead.Load()
		if wall-mono <= lead {
			return mono + lead
		}
		if c.lead.CompareAndSwap(lead, wall-mono) {
			return wall
		}
	}
}

// nanos is how instants are kept: 0 is never.
func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func instant(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns)
}

// past tells whether an expiry has been reached.
func past(expires, now int64) bool { return expires != 0 && now >= expires }
