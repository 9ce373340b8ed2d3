package store

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

//go:embed lua/*.lua
var luaFiles embed.FS

// The scripts. All of them may run twice for one operation: an op, noted with
// what they change, tells them that they have run before.
var (
	scriptSave    = script("save")
	scriptLoad    = script("load")
	scriptFind    = script("find")
	scriptReserve = script("reserve")
	scriptDrop    = script("drop")
	scriptCount   = script("count")
	scriptUncount = script("uncount")
	scriptUse     = script("use")
	scriptSince   = script("since")
	scriptClock   = script("clock")
	scriptSync    = script("sync")
	scriptBundle  = bundleOf(scriptSave, scriptLoad, scriptFind, scriptCount, scriptUncount, scriptUse, scriptSince, scriptClock)
)

// A luaScript is a script and its name.
type luaScript struct {
	*redis.Script
	name string
}

func script(name string) luaScript {
	return luaScript{redis.NewScript(luaText("prelude") + luaText(name)), name}
}

func luaText(name string) string {
	text, err := luaFiles.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(err) // it is part of the program
	}
	return string(text) + "\n"
}

// A call is one run of a script. Its keys are in one slot.
type call struct {
	script luaScript
	keys   []string
	args   []any
}

// Time limits: of one Store method; of one try to reach Redis within it, so that
// a connection that died silently leaves time for another; between tries.
var callLimit = time.Second // tests wait longer, on a machine that has other work to do

const (
	tryLimit = 400 * time.Millisecond
	askAgain = 10 * time.Millisecond
)

// run runs one script, again and again until it is answered or ctx ends.
func (r *Redis) run(ctx context.Context, s luaScript, keys []string, args ...any) (*reply, error) {
	answers, err := r.runAll(ctx, []call{{s, keys, args}})
	if err != nil {
		return nil, err
	}
	return answers[0], nil
}

// runAll runs scripts side by side. They have no order among each other.
func (r *Redis) runAll(ctx context.Context, calls []call) ([]*reply, error) {
	if len(calls) == 0 {
		return nil, nil
	}
	var last error // what was said before the time was up
	for {
		asked := time.Now()
		answers, err := r.try(ctx, calls)
		if err != nil {
			r.clock.forget()
		}
		switch {
		case err == nil:
			return r.read(answers, asked), nil
		case ctx.Err() == nil && !again(err):
			return nil, fmt.Errorf("redis: %w", err)
		case !timeUp(err):
			last = err
		}
		if ctx.Err() != nil || pause(ctx, askAgain) != nil {
			return nil, fmt.Errorf("redis: %w", errors.Join(context.Cause(ctx), last))
		}
	}
}

// timeUp tells errors that say no more than that time was up.
func timeUp(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.Canceled)
}

// pause waits for d, give or take half, so that nodes do not keep in step.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d/2 + rand.N(d))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// again tells errors that pass from those that stay: a lost connection or an
// answer that did not come, and what servers say while they start, fail over
// or move slots. Any other answer is the server's word.
func again(err error) bool {
	var said redis.Error
	if !errors.As(err, &said) {
		return true
	}
	for _, passing := range []string{"LOADING", "READONLY", "CLUSTERDOWN", "TRYAGAIN", "MASTERDOWN", "MOVED", "ASK", "BUSY", "UNBLOCKED"} {
		if strings.HasPrefix(said.Error(), passing) {
			return true
		}
	}
	return false
}

// try sends the scripts once, beside those of others.
func (r *Redis) try(ctx context.Context, calls []call) ([]any, error) {
	ctx, cancel := context.WithTimeout(ctx, tryLimit)
	defer cancel()
	e := &errand{ctx: ctx, calls: calls, done: make(chan struct{})}
	r.convoy.add(e)
	select {
	case <-e.done:
		return e.answers, e.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// read tells the clock what the answers say of it.
func (r *Redis) read(answers []any, asked time.Time) []*reply {
	replies := make([]*reply, len(answers))
	for i, answer := range answers {
		replies[i] = newReply(answer)
		if r.parts == 1 && replies[i].err == nil {
			r.clock.heard(replies[i].at, asked)
		}
	}
	return replies
}

// A reply reads what a script answered, in order; the first thing that is not
// as it should be is remembered. Each begins with the server's time.
type reply struct {
	at   micros
	rest []any
	err  error
}

func newReply(answer any) *reply {
	list, ok := answer.([]any)
	if !ok {
		return &reply{err: fmt.Errorf("redis: a script answered %T", answer)}
	}
	r := &reply{rest: list}
	r.at = micros(r.number())
	return r
}

func next[T any](r *reply) (v T) {
	if r.err != nil {
		return v
	}
	if len(r.rest) == 0 {
		r.err = errors.New("redis: a script's answer is too short")
		return v
	}
	v, ok := r.rest[0].(T)
	if !ok {
		r.err = fmt.Errorf("redis: a script answered %T where %T is due", r.rest[0], v)
	}
	r.rest = r.rest[1:]
	return v
}

func (r *reply) text() string   { return next[string](r) }
func (r *reply) number() int64  { return next[int64](r) }
func (r *reply) list() []any    { return next[[]any](r) }
func (r *reply) micros() micros { return r.parse(r.text()) }

func (r *reply) parse(s string) micros {
	m, err := parseMicros(s)
	if r.err == nil {
		r.err = err
	}
	return m
}

func (r *reply) names() []string {
	packed := r.text()
	if r.err != nil {
		return nil
	}
	names, _, err := cutNames(packed)
	r.err = err
	return names
}
