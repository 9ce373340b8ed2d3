package store

import (
	"context"
	"sync"
	"time"
)

// A farClock is the clock of a server, as its last answer showed it. All but a
// few of the questions what time it is come within milliseconds of an answer
// that said so.
//
// It is never ahead of the server's: it goes on from the instant at which the
// answer was read, and the server had looked at its clock before. It is behind
// by at most what that answer took, and never before anything that this node has
// heard: neither before what another node wrote, nor back. So it is what the
// server would answer if the question were asked now and the answer took as long
// as an answer may. Whoever must not be late says so in Condition.Before, which
// the server compares with its own clock when it writes.
type farClock struct {
	mu    sync.Mutex
	there micros
	here  time.Time // when there was read; zero: not known
}

// fresh is how long an answer counts, and how long it may have taken. A server
// whose clock is set back, or that another one takes over from, is followed
// after that at the latest.
const fresh = 50 * time.Millisecond

// heard notes an answer to what was asked then, unless more is known already.
func (c *farClock) heard(there micros, asked time.Time) {
	here := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if known, ok := c.at(here); ok && known >= there {
		return
	}
	c.there, c.here = there, here
	if !counts(asked, here) {
		c.here = time.Time{}
	}
}

// forget is called when a question fails: who answers next may be another.
func (c *farClock) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.here = time.Time{}
}

func (c *farClock) now() (micros, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at(time.Now())
}

// at tells what time it is there. The caller holds c.mu.
func (c *farClock) at(here time.Time) (micros, bool) {
	return c.there + micros(here.Sub(c.here)/time.Microsecond), counts(c.here, here)
}

// counts tells whether little time has passed, by both of the machine's clocks:
// one of them stands still while the machine sleeps.
func counts(begun, now time.Time) bool {
	return !begun.IsZero() && short(now.Sub(begun)) && short(now.Round(0).Sub(begun.Round(0)))
}

func short(d time.Duration) bool { return d.Abs() < fresh }

// Now implements login.Store. In a Cluster it is one node's clock, and asked
// for each time.
func (r *Redis) Now(ctx context.Context) (time.Time, error) {
	if err := context.Cause(ctx); err != nil {
		return time.Time{}, err
	}
	if now, ok := r.clock.now(); ok {
		return now.time(), nil
	}
	ctx, cancel := limited(ctx)
	defer cancel()
	read, err := r.run(ctx, scriptClock, []string{r.name(0, "since")})
	if err != nil {
		return time.Time{}, err
	}
	return read.at.time(), read.err
}
