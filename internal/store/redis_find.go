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
	look, most := r.findPage, page
	if r.slot() != "" {
		look, most = r.findHere, peekAtOnce
	}
	for {
		size := most
		if limit > 0 {
			size = min(most, limit-len(found))
		}
		n, last, err := look(ctx, &found, index, after, size)
		if err != nil {
			return nil, err
		}
		if n < size || limit > 0 && len(found) == limit {
			return found, nil
		}
		after = last
	}
}

// findHere appends the records of one page, where one script can read them. It
// tells how many members the page had, and the last of them.
func (r *Redis) findHere(ctx context.Context, found *[]login.Record, index, after string, size int) (n int, last string, err error) {
	ctx, cancel := limited(ctx)
	defer cancel()
	read, err := r.run(ctx, scriptFind, []string{r.indexKey(index)}, r.slot(), index, behind(after), size)
	if err != nil {
		return 0, "", err
	}
	now, n, last := read.at, int(read.number()), read.text()
	for read.err == nil && len(read.rest) > 0 {
		key, raw := read.text(), read.text()
		s, err := parseStored(raw)
		if err != nil {
			return 0, "", fmt.Errorf("redis: record %s: %w", key, err)
		}
		s.Key, s.Read = key, now.time()
		*found = append(*found, s.Record)
	}
	return n, last, read.err
}

// findPage does the same where the index and its records may be in different
// slots. Each page has a time limit of its own: Find of everything may take
// longer than a call.
func (r *Redis) findPage(ctx context.Context, found *[]login.Record, index, after string, size int) (n int, last string, err error) {
	ctx, cancel := limited(ctx)
	defer cancel()
	members, err := r.members(ctx, index, after, size)
	if err != nil || len(members) == 0 {
		return 0, "", err
	}
	seen, err := r.peek(ctx, members)
	if err != nil {
		return 0, "", err
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
	return len(members), members[len(members)-1], nil
}

// behind is where a page begins that comes after a key; "" is before all.
func behind(after string) string {
	if after == "" {
		return "-"
	}
	return "(" + after
}

// members are the keys in an index, in ascending order.
func (r *Redis) members(ctx context.Context, index, after string, size int) (members []string, err error) {
	for {
		members, err = r.client.ZRangeByLex(ctx, r.indexKey(index), &redis.ZRangeBy{Min: behind(after), Max: "+", Count: int64(size)}).Result()
		if err == nil {
			return members, nil
		}
		if ctx.Err() != nil || !again(err) || pause(ctx, askAgain) != nil {
			return nil, fmt.Errorf("redis: list %s: %w", index, err)
		}
	}
}
