package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

// introduce tells a Sentinel who we are when it asks, on each new connection: one
// may want a password and the next one none, and both may change while we run. It
// is offered the user and password of Redis, then the password alone, which is what
// requirepass wants. The library itself can only insist on a password, and is
// refused where none is set.
func (o RedisOptions) introduce(ctx context.Context, c *redis.Conn) error {
	address := strings.TrimSuffix(strings.TrimPrefix(c.String(), "Redis<"), " db:0>")
	if address == "FailoverClient" {
		return nil // the primary: the library has told it
	}
	asks := c.Ping(ctx).Err()
	if !redis.IsAuthError(asks) {
		return nil // whatever else is wrong is told by the next command
	}
	if o.Password == "" {
		return named("Sentinel %s wants a password: %w", address, asks)
	}
	var refused error
	if o.Username != "" {
		if refused = c.AuthACL(ctx, o.Username, o.Password.Reveal()).Err(); refused == nil {
			return nil
		}
	}
	err := c.Auth(ctx, o.Password.Reveal()).Err()
	if err == nil {
		return nil
	}
	if refused == nil {
		refused = err
	}
	return named("Sentinel %s refuses the user and password of store.redis: %w", address, refused)
}

// named is an error whose text outlives the library, which takes one wrapping off.
func named(format string, args ...any) error { return errors.Join(fmt.Errorf(format, args...)) }

// surveySentinels asks each of them whether it could have a failover.
func (r *Redis) surveySentinels(ctx context.Context) (all []Fault) {
	if r.options.MasterName == "" {
		return nil
	}
	if n := len(r.options.Addresses); n < 3 {
		all = append(all, Fault{Server: r.options.MasterName, What: fmt.Sprintf("%d Sentinels are named: when one is lost, the others may not agree on a failover", n),
			Do: "run three, on three machines, and name all"})
	}
	for _, address := range r.options.Addresses {
		o := &redis.Options{
			Addr: address, TLSConfig: r.options.TLS, DialTimeout: tryLimit, ReadTimeout: tryLimit,
			MaxRetries: -1, DialerRetries: 1, DisableIdentity: true, OnConnect: r.options.introduce,
		}
		s := redis.NewSentinelClient(o)
		if err := s.CkQuorum(ctx, r.options.MasterName).Err(); err != nil {
			all = append(all, Fault{Server: "Sentinel " + address, What: fmt.Sprintf("no failover by it: %v", err), Do: sentinelAdvice(err)})
		}
		_ = s.Close()
	}
	return all
}

func sentinelAdvice(err error) string {
	switch {
	case redis.IsAuthError(err):
		return SentinelPassword
	case redis.IsPermissionError(err):
		return "give its user the rights in docs/operations.md, \"Several nodes\" (ACL SETUSER at that Sentinel)"
	}
	return "start it, and see that it knows the others and the primary"
}

// SentinelPassword is the way out when a Sentinel refuses us.
const SentinelPassword = "a Sentinel gets the username and the password of store.redis, then that password alone: set requirepass there to this password, or give it the same user (docs/operations.md, \"Several nodes\")"
