package push

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// How the breaker decides. A fault of the configuration opens it at once,
// anything else after so many failures in a row; it stays open for the first
// pause, twice as long after each trial that fails, and no longer than the last.
const (
	failuresInARow = 5
	firstPause     = 30 * time.Second
	lastPause      = 5 * time.Minute
)

// breaker keeps calls from a service that does not work. When its pause is
// over it lets one call through and waits for what comes of it.
type breaker struct {
	mu       sync.Mutex
	failures int
	pause    time.Duration // 0: closed
	until    time.Time     // no call before
}

// ready tells whether a call would be let through.
func (b *breaker) ready(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !now.Before(b.until)
}

// allow is ready for one who calls now: while the breaker is not closed, the
// next is let through only when this call had time to end.
func (b *breaker) allow(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Before(b.until) {
		return false
	}
	if b.pause > 0 {
		b.until = now.Add(CallTimeout)
	}
	return true
}

// works closes the breaker and tells whether it was open.
func (b *breaker) works() (was bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	was = b.pause > 0
	b.failures, b.pause, b.until = 0, 0, time.Time{}
	return was
}

// fails counts a failure and tells whether it opened the breaker, and for how
// long.
func (b *breaker) fails(now time.Time, atOnce bool) (pause time.Duration, opened bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures++
	if b.pause == 0 && !atOnce && b.failures < failuresInARow {
		return 0, false
	}
	b.pause = min(lastPause, max(firstPause, 2*b.pause))
	b.until = now.Add(b.pause)
	return b.pause, true
}

// A guard makes the calls to one service: each within its time, and none while
// there is no hope.
type guard struct {
	breaker breaker
	log     *slog.Logger
}

// Ready tells whether a message would be tried now.
func (g *guard) Ready() bool { return g.breaker.ready(time.Now()) }

// send makes one call, unless it is too late for it or the breaker is open.
func (g *guard) send(ctx context.Context, m Message, call func(context.Context) Outcome) Outcome {
	now := time.Now()
	if m.Kind == Login && !now.Before(m.Until) {
		return Outcome{Result: TooLate}
	}
	if !g.breaker.allow(now) {
		return Outcome{Result: BreakerOpen}
	}
	bounded, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	o := call(bounded)
	if ctx.Err() == nil { // otherwise it was the caller who had no time
		g.note(o)
	}
	return o
}

// note tells the breaker and, when that opens or closes it, the log.
func (g *guard) note(o Outcome) {
	switch o.Result {
	case Throttled: // the service works, and we are too many: neither good nor bad
	case Misconfigured, Unavailable, Unreachable, Timeout, Malformed:
		if pause, opened := g.breaker.fails(time.Now(), o.Result == Misconfigured); opened {
			g.log.Error("nothing is pushed for a while: users are told to open VssID", "alert", "push", "why", o.Result, "pause", pause, "error", o.Err)
		}
	default:
		if g.breaker.works() {
			g.log.Info("pushing again")
		}
		if o.Result == SenderMismatch {
			g.log.Error("a device's push token belongs to another Firebase project: check push.fcm against the VssID app", "alert", "push", "error", o.Err)
		}
	}
}
