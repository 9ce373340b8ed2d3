package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// A Fault is what a server of Redis should be told otherwise.
type Fault struct {
	Server string // HOST:PORT
	What   string // and what comes of it
	Do     string // the way out
	Unsafe bool   // guarantees do not hold; otherwise it is only less than it could be
}

func (f Fault) String() string { return fmt.Sprintf("redis at %s: %s; %s", f.Server, f.What, f.Do) }

// Survey asks all primaries, and all Sentinels, for the settings that safety
// and survival need. It needs no right beyond INFO.
func (r *Redis) Survey(ctx context.Context) (all []Fault, err error) {
	var mu sync.Mutex
	look := func(ctx context.Context, c *redis.Client) error {
		info, err := c.Info(ctx).Result()
		if err != nil {
			return fmt.Errorf("redis at %s: INFO: %w", c.Options().Addr, err)
		}
		address := c.Options().Addr
		if r.options.MasterName != "" {
			address = "the primary of " + r.options.MasterName
		}
		mu.Lock()
		defer mu.Unlock()
		all = append(all, judge(address, infoOf(info))...)
		return nil
	}
	switch c := r.client.(type) {
	case *redis.ClusterClient:
		err = c.ForEachMaster(ctx, look)
	case *redis.Client:
		err = look(ctx, c)
	}
	if err != nil {
		return nil, err
	}
	return append(all, r.surveySentinels(ctx)...), nil
}

// infoOf reads what INFO says, a line each.
func infoOf(text string) map[string]string {
	said := map[string]string{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			said[key] = value
		}
	}
	return said
}

// judge says what of a primary's settings must be otherwise.
func judge(server string, info map[string]string) (all []Fault) {
	fault := func(unsafe bool, what, do string) {
		all = append(all, Fault{Server: server, What: what, Do: do, Unsafe: unsafe})
	}
	if policy := info["maxmemory_policy"]; policy != "noeviction" {
		fault(info["maxmemory"] != "0", "maxmemory-policy is "+policy+": when memory is short, used codes, lockouts and devices are thrown away",
			"set maxmemory-policy noeviction")
	}
	if info["role"] != "master" {
		fault(true, "it is a replica, which takes no logins", "name the primary in store.redis.addresses, or the Sentinels with master_name")
	}
	if info["aof_enabled"] != "1" {
		fault(false, "appendonly is no: a restart loses accounts, devices and used codes since its last snapshot", "set appendonly yes")
	} else if info["aof_last_write_status"] != "ok" {
		fault(true, "it cannot write its append-only file", "look at its disk and its log")
	}
	replicas, _ := strconv.Atoi(info["connected_slaves"])
	_, needsReplicas := info["min_slaves_good_slaves"] // only told where min-replicas-to-write is not 0
	switch {
	case replicas == 0:
		fault(false, "it has no replicas: when its machine is lost, so are accounts and devices", "add a replica, and Sentinel or Cluster to take over")
	case !needsReplicas:
		fault(false, "min-replicas-to-write is 0: a primary that is cut off from its replicas goes on until it is told",
			"set min-replicas-to-write 1 and min-replicas-max-lag 10")
	}
	return all
}
