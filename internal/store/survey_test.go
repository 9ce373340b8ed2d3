package store

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
	"vssgate/internal/testenv"
)

// about tells whether one of the faults speaks of a word, and whether that one
// is unsafe.
func about(t *testing.T, r *Redis, word string) (told, unsafe bool) {
	t.Helper()
	all, err := r.Survey(context.Background())
	require.NoError(t, err)
	for _, f := range all {
		require.NotEmpty(t, f.Do, "%v says no way out", f)
		if strings.Contains(f.What, word) {
			return true, f.Unsafe
		}
	}
	return false, false
}

func TestASurveySaysWhatRedisShouldBeToldOtherwise(t *testing.T) {
	server := testenv.StartRedis(t)
	r := openRedis(t, RedisOptions{Addresses: []string{server.Addr}})
	for _, c := range []struct {
		name        string
		word        string
		worse, mend []string
		unsafe      bool
	}{
		{"eviction when memory is short", "maxmemory-policy is allkeys-lru", []string{"maxmemory-policy", "allkeys-lru", "maxmemory", "100mb"}, []string{"maxmemory-policy", "noeviction"}, true},
		{"eviction that cannot come yet", "maxmemory-policy is volatile-lru", []string{"maxmemory-policy", "volatile-lru", "maxmemory", "0"}, []string{"maxmemory-policy", "noeviction"}, false},
		{"nothing on disk", "appendonly is no", []string{"appendonly", "no"}, []string{"appendonly", "yes"}, false},
	} {
		server.Do(append([]string{"CONFIG", "SET"}, c.worse...)...)
		told, unsafe := about(t, r, c.word)
		require.True(t, told, c.name)
		require.Equal(t, c.unsafe, unsafe, c.name)
		server.Do(append([]string{"CONFIG", "SET"}, c.mend...)...)
		told, _ = about(t, r, c.word)
		require.False(t, told, c.name)
	}
	told, unsafe := about(t, r, "no replicas")
	require.True(t, told)
	require.False(t, unsafe, "one server is less safe, not wrong")

	host, port, err := net.SplitHostPort(server.Addr)
	require.NoError(t, err)
	replica := testenv.StartRedis(t, "--replicaof", host, port)
	require.Eventually(t, func() bool { told, _ := about(t, r, "no replicas"); return !told }, 20*time.Second, 20*time.Millisecond)
	told, _ = about(t, r, "min-replicas-to-write is 0")
	require.True(t, told)
	server.Do("CONFIG", "SET", "min-replicas-to-write", "1")
	all, err := r.Survey(context.Background())
	require.NoError(t, err)
	require.Empty(t, all)
	require.Eventually(t, func() bool { return strings.Contains(replica.Do("INFO", "replication"), "master_link_status:up") }, 20*time.Second, 20*time.Millisecond)
}

func TestAServerThatOnlyLetsReadIsNotReady(t *testing.T) {
	for name, refusing := range map[string]struct{ do, undo []string }{
		"OOM":        {[]string{"CONFIG", "SET", "maxmemory", "1"}, []string{"CONFIG", "SET", "maxmemory", "0"}},
		"NOREPLICAS": {[]string{"CONFIG", "SET", "min-replicas-to-write", "1"}, []string{"CONFIG", "SET", "min-replicas-to-write", "0"}},
		"READONLY":   {[]string{"REPLICAOF", "127.0.0.1", "1"}, []string{"REPLICAOF", "NO", "ONE"}},
	} {
		t.Run(name, func(t *testing.T) {
			server := testenv.StartRedis(t)
			r := openRedis(t, RedisOptions{Addresses: []string{server.Addr}})
			ctx := context.Background()
			require.NoError(t, r.Ping(ctx))
			server.Do(refusing.do...)
			_, err := r.Load(ctx, "k")
			require.ErrorIs(t, err, login.ErrNotFound, "reading goes on")
			patient := hurry(t)
			err = r.Ping(ctx)
			require.ErrorContains(t, err, name)
			patient()
			require.NotEmpty(t, Refusal(err), "there is a way out")
			server.Do(refusing.undo...)
			require.NoError(t, r.Ping(ctx))
		})
	}
}

// What a server said is told, though it stands still by the time that it is.
func TestWhyAServerIsNotReadyIsNotForgotten(t *testing.T) {
	server := testenv.StartRedis(t)
	r := openRedis(t, RedisOptions{Addresses: []string{server.Addr}})
	server.Do("REPLICAOF", "127.0.0.1", "1")
	hurry(t)
	pinged := make(chan error)
	go func() { pinged <- r.Ping(context.Background()) }()
	require.Eventually(t, func() bool { return strings.Contains(server.Do("INFO", "errorstats"), "READONLY") }, 20*time.Second, time.Millisecond)
	time.Sleep(tryLimit / 4) // the answer is read
	server.Freeze()
	require.ErrorContains(t, <-pinged, "READONLY")
}

func TestASurveyAsksTheSentinels(t *testing.T) {
	o := redisKinds["behind Sentinel"](t)
	o.Addresses = append(o.Addresses, "127.0.0.1:1")
	r := openRedis(t, o)
	told, _ := about(t, r, "2 Sentinels are named")
	require.True(t, told)
	all, err := r.Survey(context.Background())
	require.NoError(t, err)
	var dead []string
	for _, f := range all {
		if strings.Contains(f.What, "no failover by it") {
			dead = append(dead, f.Server)
		}
	}
	require.Equal(t, []string{"Sentinel 127.0.0.1:1"}, dead)
}
