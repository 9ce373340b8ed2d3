package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	bolt "go.etcd.io/bbolt"

	"vssgate/internal/login"
)

// A Lasting is a store whose durable part can be copied: accounts, devices,
// numbers, lockouts, codes that were used. Open logins are not durable.
type Lasting interface {
	login.Store

	// durable calls record and mark for each record and mark that is to survive,
	// until one of them fails.
	durable(ctx context.Context, record func(login.Record) error, mark func(key string, expires time.Time) error) error

	// forgetVolatile makes the next Since be now or later: what the store that was
	// copied knew of one-time marks is not here.
	forgetVolatile() error
}

var (
	_ Lasting = (*Embedded)(nil)
	_ Lasting = (*Redis)(nil)
)

// ErrNotEmpty: there are records where a copy is to go.
var ErrNotEmpty = errors.New("it is not empty")

// A Copied says how much was copied.
type Copied struct {
	Records int `json:"records"`
	Marks   int `json:"marks"` // codes and activations that were used
}

// Copy puts all that is durable in from into to, which must be empty unless it is
// forced: then what has the same key is replaced and the rest stays. Nobody else
// may use either. After an error some of it may be there; repeat it forced.
func Copy(ctx context.Context, from, to Lasting, force bool) (done Copied, err error) {
	if !force {
		full := func() error { return ErrNotEmpty }
		if err := to.durable(ctx, func(login.Record) error { return full() }, func(string, time.Time) error { return full() }); err != nil {
			return done, err
		}
	}
	err = from.durable(ctx, func(r login.Record) error {
		done.Records++
		return put(ctx, to, r)
	}, func(key string, expires time.Time) error {
		done.Marks++
		_, err := to.UseOnce(ctx, key, expires, true)
		if errors.Is(err, login.ErrLate) {
			return nil
		}
		return err
	})
	return done, errors.Join(err, to.forgetVolatile())
}

// put saves r over whatever is there.
func put(ctx context.Context, to login.Store, r login.Record) error {
	there, err := to.Load(ctx, r.Key)
	if err != nil && !errors.Is(err, login.ErrNotFound) {
		return err
	}
	r.Version = there.Version
	_, err = to.Save(ctx, r, login.Condition{})
	return err
}

func (e *Embedded) durable(ctx context.Context, record func(login.Record) error, mark func(key string, expires time.Time) error) error {
	now := e.clock.now()
	return e.db.View(func(tx *bolt.Tx) error {
		err := tx.Bucket(bucketRecords).ForEach(func(k, v []byte) error {
			rec, err := parseEntry(v)
			if err != nil {
				return fmt.Errorf("record %q: %w", k, err)
			}
			if past(rec.expires, now) {
				return ctx.Err()
			}
			rec.durable = true
			return record(rec.record(now))
		})
		if err != nil {
			return err
		}
		return tx.Bucket(bucketMarks).ForEach(func(k, v []byte) error {
			if len(v) != 8 {
				return fmt.Errorf("mark %q: %w", k, errPacked)
			}
			expires := int64(binary.BigEndian.Uint64(v))
			if past(expires, now) {
				return ctx.Err()
			}
			return mark(string(k), instant(expires))
		})
	})
}

// forgetVolatile: a store that was just made would say that nothing can have been
// forgotten, and its clean stop would keep that.
func (e *Embedded) forgetVolatile() error {
	if err := e.Close(); err != nil {
		return err
	}
	err := os.Remove(e.snapshotPath())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

func (r *Redis) durable(ctx context.Context, record func(login.Record) error, mark func(key string, expires time.Time) error) error {
	for part := range r.parts {
		err := r.scan(ctx, r.name(part, "r:"), func(keys []string) error {
			seen, err := r.peek(ctx, keys)
			for _, s := range seen {
				if s.alive && s.Durable && err == nil {
					err = record(s.Record)
				}
			}
			return err
		})
		if err != nil {
			return err
		}
		err = r.scan(ctx, r.name(part, "m:"), func(keys []string) error {
			for _, key := range keys {
				if err := r.lastingMark(ctx, key, mark); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// lastingMark tells of one mark if it is durable: "expires epoch op", where the
// epoch is "-" (lua/use.lua).
func (r *Redis) lastingMark(ctx context.Context, key string, mark func(key string, expires time.Time) error) error {
	ctx, cancel := limited(ctx)
	defer cancel()
	raw, err := r.client.Get(ctx, r.markKey(key)).Result()
	if err != nil {
		return fmt.Errorf("redis: mark %s: %w", key, err)
	}
	fields := strings.Fields(raw)
	if len(fields) != 3 {
		return fmt.Errorf("redis: mark %s: %w", key, errPacked)
	}
	expires, err := parseMicros(fields[0])
	if err != nil || fields[1] != "-" {
		return err
	}
	return mark(key, expires.time())
}

// Nodes is how many nodes use this Redis now: each of them listens for hints.
func (r *Redis) Nodes(ctx context.Context) (n int, err error) {
	ctx, cancel := limited(ctx)
	defer cancel()
	var all atomic.Int64
	count := func(ctx context.Context, c *redis.Client) error {
		heard, err := c.PubSubNumSub(ctx, channel).Result()
		all.Add(heard[channel])
		return err
	}
	switch c := r.client.(type) {
	case *redis.ClusterClient:
		err = c.ForEachShard(ctx, count)
	case *redis.Client:
		err = count(ctx, c)
	}
	if err != nil {
		return 0, fmt.Errorf("redis: PUBSUB NUMSUB: %w", err)
	}
	return int(all.Load()), nil
}

// forgetVolatile has nothing to do: Since is no earlier than OpenRedis, which came
// after the other store was stopped.
func (r *Redis) forgetVolatile() error { return nil }
