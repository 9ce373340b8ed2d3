package store

import (
	"context"
	"crypto/tls"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
	"vssgate/internal/store/storetest"
	"vssgate/internal/testenv"
)

// redisKinds are the kinds of server that every test of promises runs against.
// Each runs for as long as the test that asks for it. All but the first speak TLS,
// and know a user who may do no more than a node needs.
var redisKinds = map[string]func(t testing.TB) RedisOptions{
	"one server": func(t testing.TB) RedisOptions { return RedisOptions{Addresses: []string{testenv.Redis(t)}} },
	"one server, secured": func(t testing.TB) RedisOptions {
		ca := testenv.CA(t)
		return secured(ca, testenv.StartSecuredRedis(t, ca).Addr)
	},
	"behind Sentinel": func(t testing.TB) RedisOptions {
		ca := testenv.CA(t)
		o := secured(ca, testenv.RedisSentinel(t, testenv.StartSecuredRedis(t, ca), "vssgate"))
		o.MasterName = "vssgate"
		return o
	},
	"a Cluster": func(t testing.TB) RedisOptions {
		ca := testenv.CA(t)
		o := secured(ca, testenv.SecuredRedisCluster(t, ca))
		o.Cluster = true
		return o
	},
}

func secured(ca *testenv.Authority, addr string) RedisOptions {
	return RedisOptions{
		Addresses: []string{addr}, Username: testenv.RedisUser, Password: testenv.RedisPassword,
		TLS: &tls.Config{RootCAs: ca.Pool, ServerName: "127.0.0.1"},
	}
}

func TestRedisKeepsThePromisesOfAStore(t *testing.T) {
	for name, start := range redisKinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // what takes time is waiting
			o := start(t)
			storetest.Run(t, func(t *testing.T) login.Store { return openRedis(t, o) })
		})
	}
}

func TestRedisKeepsThePromisesAmongNodes(t *testing.T) {
	for name, start := range redisKinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // what takes time is waiting
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

// patience is how long these tests wait for Redis: they are not about how fast it is.
const patience = 8 * time.Second

func TestMain(m *testing.M) {
	callLimit = patience
	os.Exit(m.Run())
}

// hurry has stores wait less: where no answer will come.
func hurry(t *testing.T) (patient func()) {
	callLimit = 2 * time.Second
	patient = func() { callLimit = patience }
	t.Cleanup(patient)
	return patient
}

func openRedis(t testing.TB, o RedisOptions) *Redis {
	t.Helper()
	r, err := OpenRedis(context.Background(), o)
	for range 5 { // a busy machine may need longer than callLimit for all that is asked first
		if err == nil {
			break
		}
		r, err = OpenRedis(context.Background(), o)
	}
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	return r
}
