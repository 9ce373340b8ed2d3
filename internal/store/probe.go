package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Ping tells whether every primary takes writes now: without that no login can be
// begun or let in, though what is there can be read. What to do about one that
// does not, Refusal says.
func (r *Redis) Ping(ctx context.Context) error {
	ctx, cancel := limited(ctx)
	defer cancel()
	probed := map[*redis.Client]bool{}
	for part := range r.parts {
		primary, err := r.primary(ctx, r.name(part, "sync"))
		if err == nil && !probed[primary] {
			probed[primary] = true
			err = r.probe(ctx, part)
		}
		if err != nil {
			return fmt.Errorf("redis: %w", err)
		}
	}
	return nil
}

// probe writes a little to the primary of a part, which may be another one from
// one try to the next.
func (r *Redis) probe(ctx context.Context, part int) error {
	key := r.name(part, "sync")
	var last error // what was said before the time was up
	for {
		primary, err := r.primary(ctx, key)
		if err == nil {
			tried, cancel := context.WithTimeout(ctx, tryLimit)
			err = scriptSync.Run(tried, primary, []string{key}).Err()
			cancel()
		}
		if err == nil || !again(err) {
			return err
		}
		if !timeUp(err) {
			last = err
		}
		if pause(ctx, askAgain) != nil {
			return errors.Join(context.Cause(ctx), last)
		}
	}
}

// refusals are what a server says that answers and yet takes no writes, and what
// to do about it.
var refusals = []struct{ word, do string }{
	{"OOM", "Redis has no memory left: raise maxmemory there, or find out what fills it (redis-cli info memory)"},
	{"NOREPLICAS", "fewer replicas of Redis are connected than min-replicas-to-write asks for: start them, and look why they are behind (redis-cli info replication)"},
	{"MISCONF", "Redis cannot write to its disk: look at its disk and its log"},
	{"READONLY", "this Redis is a replica: name the primary in store.redis.addresses, or the Sentinels with master_name; in a failover it passes by itself"},
	{"LOADING", "Redis is still reading its file: wait"},
}

// Refusal is what to do about an error by which Redis refuses to write; "": it is
// another error.
func Refusal(err error) string {
	says := err.Error()
	for _, r := range refusals {
		if strings.Contains(says, r.word+" ") {
			return r.do
		}
	}
	return ""
}
