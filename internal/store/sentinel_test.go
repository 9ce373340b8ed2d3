package store

import (
	"context"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
)

const (
	sentinelPatience = 30 * time.Second
	sentinelAdmin    = "password-of-another"
	userOfSentinel   = "user " + testenv.RedisUser + " on >" + testenv.RedisPassword + " " + testenv.SentinelRights
)

// watched is a primary with a replica over TLS, for users only.
func watched(t *testing.T) (ca *testenv.Authority, primary *testenv.RedisServer) {
	t.Helper()
	ca = testenv.CA(t)
	primary = testenv.StartSecuredRedis(t, ca, "--repl-diskless-sync-delay", "0")
	host, port, err := net.SplitHostPort(primary.Addr)
	require.NoError(t, err)
	replica := testenv.StartSecuredRedis(t, ca, "--replicaof", host, port)
	require.Eventually(t, func() bool { return strings.Contains(replica.Do("INFO", "replication"), "master_link_status:up") }, sentinelPatience, 20*time.Millisecond)
	return ca, primary
}

func bySentinels(ca *testenv.Authority, sentinels ...*testenv.RedisServer) RedisOptions {
	o := secured(ca, "")
	o.MasterName, o.Addresses = "vssgate", nil
	for _, s := range sentinels {
		o.Addresses = append(o.Addresses, s.Addr)
	}
	return o
}

// A failover is found by a new connection to the Sentinel, whatever it asks for by
// then.
func TestAFailoverIsFoundAtASentinelThatAsksForAPassword(t *testing.T) {
	for name, c := range map[string]struct {
		lines []string
		later func(sentinel *testenv.RedisServer)
	}{
		"the password of Redis":       {[]string{"requirepass " + testenv.RedisPassword}, nil},
		"the user of Redis only":      {[]string{"requirepass " + sentinelAdmin, userOfSentinel}, nil},
		"nothing, then the password":  {nil, func(s *testenv.RedisServer) { s.Require(testenv.RedisPassword) }},
		"the password, then nothing":  {[]string{"requirepass " + testenv.RedisPassword}, func(s *testenv.RedisServer) { s.Require("") }},
		"nothing, then the user only": {[]string{userOfSentinel}, func(s *testenv.RedisServer) { s.Require(sentinelAdmin) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // what takes time is the Sentinel
			ca, primary := watched(t)
			sentinel := testenv.StartRedisSentinel(t, primary, "vssgate", c.lines...)
			require.Eventually(t, func() bool { return strings.Contains(sentinel.Do("INFO", "sentinel"), "slaves=1") }, sentinelPatience, 20*time.Millisecond)
			r := openRedis(t, bySentinels(ca, sentinel))
			ctx := context.Background()
			before, err := r.Since(ctx)
			require.NoError(t, err)
			all, err := r.Survey(ctx)
			require.NoError(t, err)
			for _, f := range all {
				require.NotContains(t, f.Server, "Sentinel", "%v", f)
			}
			if c.later != nil {
				c.later(sentinel)
			}
			for _, kind := range []string{"normal", "pubsub"} { // nothing is known of who we are
				sentinel.Do("CLIENT", "KILL", "TYPE", kind)
			}
			primary.Stop()
			require.Eventually(t, func() bool { return sentinel.Do("SENTINEL", "FAILOVER", "vssgate") == "+OK" }, sentinelPatience, 100*time.Millisecond)
			require.Eventually(t, func() bool { return r.Ping(ctx) == nil }, sentinelPatience, 20*time.Millisecond)
			after, err := r.Since(ctx)
			require.NoError(t, err)
			require.True(t, after.After(before), "it is the replica that answers")
		})
	}
}

func TestASentinelThatRefusesIsNamed(t *testing.T) {
	ca := testenv.CA(t)
	primary := testenv.StartSecuredRedis(t, ca)
	open := testenv.StartRedisSentinel(t, primary, "vssgate")
	strange := testenv.StartRedisSentinel(t, primary, "vssgate", "requirepass "+sentinelAdmin)
	ctx := context.Background()

	_, err := OpenRedis(ctx, bySentinels(ca, strange))
	require.ErrorContains(t, err, "Sentinel "+strange.Addr+" refuses the user and password of store.redis: WRONGPASS")
	require.NotContains(t, err.Error(), testenv.RedisPassword)
	none := bySentinels(ca, strange)
	none.Username, none.Password = "", ""
	_, err = OpenRedis(ctx, none)
	require.ErrorContains(t, err, "Sentinel "+strange.Addr+" wants a password: NOAUTH")

	r := openRedis(t, bySentinels(ca, strange, open)) // the other one is enough to start
	all, err := r.Survey(ctx)
	require.NoError(t, err)
	told := map[string]Fault{}
	for _, f := range all {
		told[f.Server] = f
	}
	require.Contains(t, told, "Sentinel "+strange.Addr)
	require.Equal(t, SentinelPassword, told["Sentinel "+strange.Addr].Do)
	require.Contains(t, told["Sentinel "+strange.Addr].What, "WRONGPASS")
}

func TestASentinelWhoseUserMayNothingIsNamed(t *testing.T) {
	ca := testenv.CA(t)
	primary := testenv.StartSecuredRedis(t, ca)
	sentinel := testenv.StartRedisSentinel(t, primary, "vssgate", "requirepass "+sentinelAdmin,
		strings.ReplaceAll(userOfSentinel, " +sentinel|ckquorum", ""))
	all, err := openRedis(t, bySentinels(ca, sentinel)).Survey(context.Background())
	require.NoError(t, err)
	for _, f := range all {
		if f.Server == "Sentinel "+sentinel.Addr {
			require.Contains(t, f.Do, "rights")
			return
		}
	}
	t.Fatalf("nothing is told of it: %v", all)
}

func TestTheRightsAtASentinelAreThoseOfThePage(t *testing.T) {
	page, err := os.ReadFile("../../docs/operations.md")
	require.NoError(t, err)
	require.Contains(t, string(page), "user vssgate on ><password> "+testenv.SentinelRights+"\n")
}
