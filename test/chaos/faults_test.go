package chaos_test

import (
	"context"
	"fmt"
	"syscall"
	"time"
	"vssgate/internal/testenv"
)

// A fault is something that breaks, and is mended again.
type fault struct {
	name  string
	loses bool          // what is open may be lost by it
	extra time.Duration // it lasts so much longer than others
	clock time.Duration // so far Redis's clock is off
	node  *string       // whom alone it struck last; nil: all of them
	begin func() (end func())
}

// onNode is a fault that happens to one of the nodes.
func (r *run) onNode(what string, begin func(i int) func()) fault {
	node := new(string)
	return fault{name: "a node: " + what, node: node, begin: func() func() {
		i := r.chance(nodes)
		*node = nodeName(i)
		return begin(i)
	}}
}

func (f fault) lasting(longer time.Duration) fault {
	f.extra = longer
	return f
}

// allFaults are those of every network.
func (r *run) allFaults() []fault {
	all := []fault{
		r.onNode("killed", func(i int) func() {
			r.nodes[i].end(syscall.SIGKILL)
			return func() { r.startAgain(i) }
		}),
		r.onNode("killed and started again at once", func(i int) func() {
			r.nodes[i].signal(syscall.SIGKILL) // its service manager starts it
			return func() {}
		}),
		r.onNode("stands still", func(i int) func() {
			r.nodes[i].signal(syscall.SIGSTOP)
			return func() { r.nodes[i].signal(syscall.SIGCONT) }
		}),
		r.onNode("stands still until what it held is over", func(i int) func() {
			r.nodes[i].signal(syscall.SIGSTOP)
			return func() { r.nodes[i].signal(syscall.SIGCONT) }
		}).lasting(r.size.still),
		r.onNode("stopped by its administrator", func(i int) func() {
			r.nodes[i].end(syscall.SIGTERM)
			return func() { r.startAgain(i) }
		}),
		r.onNode("cut from the directory", func(i int) func() { return silence(r.nodes[i].directory) }),
		r.onNode("cut from FCM", func(i int) func() { return lose(r.nodes[i].fcm) }),
		r.step(r.size.clock), r.step(-r.size.clock),
	}
	return append(all, r.net.faults(r)...)
}

// step is a clock that is wrong for a while.
func (r *run) step(off time.Duration) fault {
	return fault{name: fmt.Sprintf("redis: the clock steps by %v, and back", off), clock: off, begin: func() func() {
		r.clock.set(r.t, off)
		return func() { r.clock.set(r.t, 0) }
	}}
}

// silence lets nothing pass, as a network that is cut, until heal is called: then
// what was written meanwhile arrives.
func silence(link *testenv.Relay) (heal func()) {
	link.Part()
	return link.Mend
}

// lose is silence whose bytes never arrive: connections have ended when it heals.
func lose(link *testenv.Relay) (heal func()) {
	link.Part()
	return func() {
		link.Cut()
		link.Mend()
	}
}

// refuse ends all connections and takes none, until heal is called.
func refuse(link *testenv.Relay) (heal func()) {
	link.Refuse()
	return link.Mend
}

func (r *run) startAgain(i int) {
	if err := r.nodes[i].start(); err != nil {
		r.t.Errorf("node: %v", err)
	}
}

// storm breaks one thing after the other, now and then two at once, until ctx
// ends; then all is mended.
func (r *run) storm(ctx context.Context) {
	all := r.allFaults()
	for ctx.Err() == nil {
		first := r.strike(all[r.chance(len(all))])
		var second *struck
		if r.chance(4) == 0 {
			pause(ctx, r.between(r.size.least/2, r.size.least))
			if f := all[r.chance(len(all))]; f.name != first.name && (f.clock == 0 || first.clock == 0) {
				second = r.strike(f)
			}
		}
		lasts := r.between(r.size.least, r.size.most) + first.extra
		pause(ctx, lasts)
		second.mend()
		first.mend()
		pause(ctx, r.between(r.size.least/2, r.size.most/2))
	}
}

// struck is a fault that has begun.
type struck struct {
	fault
	run   *run
	began time.Time
	end   func()
}

func (r *run) strike(f fault) *struck {
	r.t.Logf("%6.1f s  %s", time.Since(r.began).Seconds(), f.name)
	s := &struck{fault: f, run: r, began: time.Now()}
	s.end = f.begin()
	r.struck.Add(1)
	return s
}

func (s *struck) mend() {
	if s == nil {
		return
	}
	s.end()
	line := faultLine{At: s.began, Until: time.Now(), What: s.name, Loses: s.loses, ClockMS: s.clock.Milliseconds()}
	if s.node != nil {
		line.Node = *s.node
	}
	s.run.faults.write(line)
}

// chance is below n; between is a time. Only the storm draws from this source:
// so it depends on the seed alone.
func (r *run) chance(n int) int { return r.dice.IntN(n) }

func (r *run) between(least, most time.Duration) time.Duration {
	return least + time.Duration(r.dice.Int64N(int64(most-least)+1))
}
