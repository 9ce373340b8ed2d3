package store

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
	"vssgate/internal/store/storetest"
	"vssgate/internal/testenv"
)

// redisKinds are the kinds of server that every test of promises runs against.
// Each runs for as long as the test that asks for it.
var redisKinds = map[string]func(t testing.TB) RedisOptions{
	"one server": func(t testing.TB) RedisOptions { return RedisOptions{Addresses: []string{testenv.Redis(t)}} },
	"behind Sentinel": func(t testing.TB) RedisOptions {
		return RedisOptions{Addresses: []string{testenv.RedisSentinel(t, testenv.StartRedis(t), "vssgate")}, MasterName: "vssgate"}
	},
	"a Cluster": func(t testing.TB) RedisOptions {
		return RedisOptions{Addresses: []string{testenv.RedisCluster(t)}, Cluster: true}
	},
}

func TestRedisKeepsThePromisesOfAStore(t *testing.T) {
	for name, start := range redisKinds {
		t.Run(name, func(t *testing.T) {
			o := start(t)
			storetest.Run(t, func(t *testing.T) login.Store { return openRedis(t, o) })
		})
	}
}

func TestRedisKeepsThePromisesAmongNodes(t *testing.T) {
	for name, start := range redisKinds {
		t.Run(name, func(t *testing.T) {
			o := start(t)
			storetest.RunNodes(t, func(t *testing.T, n int) []login.Store {
				nodes := make([]login.Store, n)
				for i := range nodes {
					nodes[i] = openRedis(t, o)
				}
				return nodes
			})
		})
	}
}

func openRedis(t testing.TB, o RedisOptions) *Redis {
	t.Helper()
	r, err := OpenRedis(context.Background(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	return r
}
