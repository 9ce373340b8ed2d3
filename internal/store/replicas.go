package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// waitLimit is how long one WAIT blocks its connection.
const waitLimit = 300 * time.Millisecond

// errEpoch: the server that wrote it is gone, perhaps with what it wrote.
var errEpoch = errors.New("redis: another server took over before the replicas confirmed")

// confirm returns when most of the replicas that were connected have what was
// written to a part before, in the given epoch. Without replicas there is
// nothing to wait for. After an error nobody knows whether it will last.
func (r *Redis) confirm(ctx context.Context, part int, epoch string, replicas int64) error {
	if replicas == 0 {
		return nil
	}
	most := int(replicas)/2 + 1
	var last error
	for {
		got, now, err := r.wait(ctx, part, most)
		switch {
		case err == nil && now != epoch:
			return errEpoch
		case err == nil && got >= most:
			return nil
		case err == nil:
			last = fmt.Errorf("%d of %d replicas confirmed", got, replicas)
		case !again(err):
			return fmt.Errorf("redis: %w", err)
		case !timeUp(err):
			last = err
		}
		if ctx.Err() != nil || pause(ctx, askAgain) != nil {
			return fmt.Errorf("redis: %w", errors.Join(context.Cause(ctx), last))
		}
	}
}

// wait asks on one connection, because WAIT speaks of that connection's writes.
func (r *Redis) wait(ctx context.Context, part, most int) (got int, epoch string, err error) {
	key := r.name(part, "sync")
	primary, err := r.primary(ctx, key)
	if err != nil {
		return 0, "", err
	}
	conn := primary.Conn()
	defer conn.Close()
	epoch, err = scriptSync.Run(ctx, conn, []string{key}).Text()
	if err != nil {
		return 0, "", err
	}
	n, err := conn.Wait(ctx, most, waitLimit).Result()
	return int(n), epoch, err
}

// primary is the server that has a key.
func (r *Redis) primary(ctx context.Context, key string) (*redis.Client, error) {
	switch c := r.client.(type) {
	case *redis.ClusterClient:
		return c.MasterForKey(ctx, key)
	case *redis.Client:
		return c, nil
	}
	return nil, errors.New("redis: unknown kind of client")
}
