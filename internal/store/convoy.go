package store

import (
	"context"
	"slices"
	"sync"

	"github.com/redis/go-redis/v9"
)

// A convoy takes the scripts of many callers to Redis together: what is asked
// while others are under way goes with the next pipeline. A busy node and its
// Redis spend less on the network then than on the scripts. Who asks alone
// waits for nobody.
type convoy struct {
	send func(ctx context.Context, calls []call) ([]any, []error)

	mu      sync.Mutex
	waiting []*errand
	lanes   int // pipelines under way
}

// lanes is how many pipelines are under way at once: with more of them fewer
// scripts share one, with one a connection that died silently would hold up all.
const lanes = 2

// An errand is what one caller wants run.
type errand struct {
	ctx     context.Context
	calls   []call
	answers []any
	err     error         // of the first call that failed
	done    chan struct{} // closed when the above are there
}

func (v *convoy) add(e *errand) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.waiting = append(v.waiting, e)
	if v.lanes < lanes {
		v.lanes++
		go v.drive()
	}
}

// drive sends what waits, until nothing does.
func (v *convoy) drive() {
	for {
		v.mu.Lock()
		all := v.waiting
		v.waiting = nil
		if len(all) == 0 {
			v.lanes--
		}
		v.mu.Unlock()
		if len(all) == 0 {
			return
		}
		v.deliver(all)
	}
}

func (v *convoy) deliver(all []*errand) {
	ctx, cancel := context.WithTimeout(context.Background(), tryLimit)
	defer cancel()
	all = slices.DeleteFunc(all, (*errand).gaveUp)
	var calls []call
	for _, e := range all {
		calls = append(calls, e.calls...)
	}
	answers, errs := v.send(ctx, calls)
	for _, e := range all {
		n := len(e.calls)
		e.answers = answers[:n:n]
		for _, err := range errs[:n] {
			if e.err == nil {
				e.err = err
			}
		}
		answers, errs = answers[n:], errs[n:]
		close(e.done)
	}
}

// gaveUp tells whether the caller is gone: then nothing is done for him any more.
func (e *errand) gaveUp() bool {
	if e.err = e.ctx.Err(); e.err != nil {
		close(e.done)
	}
	return e.err != nil
}

// evaluate runs scripts once by their hashes, and with their text where the server
// does not know them, as after its restart.
func (r *Redis) evaluate(ctx context.Context, calls []call) (answers []any, errs []error) {
	answers, errs = r.pipeline(ctx, calls, func(p redis.Pipeliner, c call) *redis.Cmd {
		return p.EvalSha(ctx, c.script.Hash(), c.keys, c.args...)
	})
	var unknown []call
	var places []int
	for i, err := range errs {
		if err != nil && redis.HasErrorPrefix(err, "NOSCRIPT") {
			unknown, places = append(unknown, calls[i]), append(places, i)
		}
	}
	if len(unknown) == 0 {
		return answers, errs
	}
	again, failed := r.pipeline(ctx, unknown, func(p redis.Pipeliner, c call) *redis.Cmd { return c.script.Eval(ctx, p, c.keys, c.args...) })
	for i, at := range places {
		answers[at], errs[at] = again[i], failed[i]
	}
	return answers, errs
}

func (r *Redis) pipeline(ctx context.Context, calls []call, eval func(redis.Pipeliner, call) *redis.Cmd) (answers []any, errs []error) {
	p := r.client.Pipeline()
	cmds := make([]*redis.Cmd, len(calls))
	for i, c := range calls {
		cmds[i] = eval(p, c)
	}
	_, failed := p.Exec(ctx)
	answers, errs = make([]any, len(calls)), make([]error, len(calls))
	for i, cmd := range cmds {
		if answers[i], errs[i] = cmd.Result(); answers[i] == nil && errs[i] == nil {
			errs[i] = failed // before it was sent
		}
	}
	return answers, errs
}
