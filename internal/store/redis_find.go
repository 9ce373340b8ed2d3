package store

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

	"vssgate/internal/login"
)

// Find implements login.Store. Each member of the index is looked up, and
// counts only if its record says so itself. It is not a snapshot: a record
// saved meanwhile may be in it or not.
func (r *Redis) Find(ctx context.Context, index, after string, limit int) (found []login.Record, err error) {
	for {
		size := page
		if limit > 0 {
			size = min(page, limit-len(found))
		}
		members, err := r.findPage(ctx, &found, index, after, size)
		if err != nil {
			return nil, err
		}
		if len(members) < size || limit > 0 && len(found) == limit {
			return found, nil
		}
		after = members[len(members)-1]
	}
}

// findPage appends the records of one page. Each page has a time limit of its
// own: Find of everything may take longer than a call.
func (r *Redis) findPage(ctx context.Context, found *[]login.Record, index, after string, size int) (members []string, err error) {
	ctx, cancel := limited(ctx)
	defer cancel()
	if members, err = r.members(ctx, index, after, size); err != nil || len(members) == 0 {
		return nil, err
	}
	seen, err := r.peek(ctx, members)
	if err != nil {
		return nil, err
	}
	var stale []sighting
	for _, s := range seen {
		if s.lists(index) {
			*found = append(*found, s.Record)
		} else {
			stale = append(stale, s)
		}
	}
	r.clean(ctx, index, stale)
	return members, nil
}

// members are the keys in an index, in ascending order.
func (r *Redis) members(ctx context.Context, index, after string, size int) (members []string, err error) {
	from := "-"
	if after != "" {
		from = "(" + after
	}
	for {
		members, err = r.client.ZRangeByLex(ctx, r.indexKey(index), &redis.ZRangeBy{Min: from, Max: "+", Count: int64(size)}).Result()
		if err == nil {
			return members, nil
		}
		if ctx.Err() != nil || !again(err) || pause(ctx, askAgain) != nil {
			return nil, fmt.Errorf("redis: list %s: %w", index, err)
		}
	}
}
