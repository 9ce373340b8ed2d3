package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"

	"vssgate/internal/audit"
	"vssgate/internal/config"
	"vssgate/internal/store"
)

// CopyStore copies what lasts from the embedded store to Redis, or back. No daemon
// may run on either. It is in the audit before it begins.
func CopyStore(ctx context.Context, c *config.Config, toRedis, force bool) (done store.Copied, err error) {
	if c.Store.Redis == nil {
		return done, errors.New("the configuration names no Redis: write store.redis before copying there, and leave it there until you have copied back")
	}
	log := slog.New(slog.DiscardHandler)
	a := &App{log: log}
	s := &settings{config: c, log: log}
	a.now.Store(s)
	path := filepath.Join(c.DataDir, "vssgate.db")
	if _, err := os.Stat(path); toRedis && err != nil {
		return done, fmt.Errorf("there is no embedded store to copy: %w", err)
	}
	embedded, err := store.OpenEmbedded(path, log)
	if err != nil {
		return done, err
	}
	defer embedded.Close()
	redis, err := s.openRedis(ctx)
	if err != nil {
		return done, err
	}
	defer redis.Close()
	switch nodes, err := redis.Nodes(ctx); {
	case err != nil:
		return done, err
	case nodes > 0:
		return done, fmt.Errorf("%d vssgate running on this Redis: stop all daemons first, or accounts and devices would change under them", nodes)
	}
	if err := a.buildKeys(ctx); err != nil {
		return done, err
	}
	if a.audit, err = audit.Open(c.Audit.File, a.keys, log); err != nil {
		return done, err
	}
	defer a.audit.Close()
	from, to, target := store.Lasting(redis), store.Lasting(embedded), "embedded"
	if toRedis {
		from, to, target = embedded, redis, "redis"
	}
	if err := a.record("uid "+strconv.Itoa(os.Getuid()), "store copy", target, ""); err != nil {
		return done, err
	}
	done, err = store.Copy(ctx, from, to, force)
	if errors.Is(err, store.ErrNotEmpty) {
		err = fmt.Errorf("there are records in the %s store already; --force replaces those with the same key", target)
	}
	return done, err
}
