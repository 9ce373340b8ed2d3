package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

// bundleOf is a script that runs any number of these one after the other. Most
// of what a small script takes in Redis is what all of them have to do: to be
// looked up and prepared, to ask for the time, and for the epoch.
func bundleOf(scripts ...luaScript) luaScript {
	var text strings.Builder
	text.WriteString(luaText("prelude"))
	text.WriteString("local steps = {}\n")
	for _, s := range scripts {
		fmt.Fprintf(&text, "steps['%s'] = function(KEYS, ARGV)\n%send\n", s.name, luaText(s.name))
	}
	text.WriteString(luaText("bundle"))
	return luaScript{redis.NewScript(text.String()), "bundle"}
}

// bundleSize is how many scripts are bundled at most: others wait for them.
const bundleSize = 32

// bundled makes one call of several whose keys are in one slot.
func bundled(calls []call) call {
	if len(calls) == 1 {
		return calls[0]
	}
	b := call{script: scriptBundle}
	for _, c := range calls {
		b.keys = append(b.keys, c.keys...)
		b.args = append(append(b.args, c.script.name, len(c.keys), len(c.args)), c.args...)
	}
	return b
}

// send runs scripts: where all keys share a slot in bundles, else one by one.
func (r *Redis) send(ctx context.Context, calls []call) (answers []any, errs []error) {
	if r.slot() == "" || len(calls) == 1 {
		return r.evaluate(ctx, calls)
	}
	chunks := slices.Collect(slices.Chunk(calls, bundleSize))
	bundles := make([]call, len(chunks))
	for i, chunk := range chunks {
		bundles[i] = bundled(chunk)
	}
	all, failed := r.evaluate(ctx, bundles)
	for i, chunk := range chunks {
		if len(chunk) == 1 {
			answers, errs = append(answers, all[i]), append(errs, failed[i])
			continue
		}
		part, bad := unbundled(all[i], failed[i], len(chunk))
		answers, errs = append(answers, part...), append(errs, bad...)
	}
	return answers, errs
}

// unbundled are the answers of n scripts. What befell the bundle befell each.
func unbundled(answer any, err error, n int) (answers []any, errs []error) {
	answers, errs = make([]any, n), make([]error, n)
	list, ok := answer.([]any)
	if err == nil && (!ok || len(list) != n) {
		err = fmt.Errorf("%d scripts answered %T", n, answer)
	}
	for i := range n {
		if err != nil {
			errs[i] = err
			continue
		}
		answers[i] = list[i]
		if said, failed := list[i].(string); failed {
			errs[i] = refusal(said)
		}
	}
	return answers, errs
}

// A refusal is what the server said to one script of a bundle.
type refusal string

func (r refusal) Error() string { return string(r) }

// RedisError makes it a redis.Error.
func (r refusal) RedisError() {}

var _ redis.Error = refusal("")
