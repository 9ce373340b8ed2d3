package store

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
	"vssgate/internal/testenv"
)

func TestABundledScriptAnswersAsAlone(t *testing.T) {
	r := openRedis(t, RedisOptions{Addresses: []string{testenv.StartRedis(t).Addr}})
	ctx := context.Background()
	for _, durable := range []bool{false, true} {
		_, err := r.Save(ctx, login.Record{Key: fmt.Sprint(durable), Value: []byte("x"), Indexes: []string{"i"}, Durable: durable}, login.Condition{})
		require.NoError(t, err)
	}
	calls := []call{
		{scriptLoad, []string{r.recordKey("false"), r.recordKey("nothing"), r.recordKey("true")}, nil},
		{scriptFind, []string{r.indexKey("i")}, []any{r.slot(), "i", "-", 10}},
		{scriptSince, []string{r.name(0, "since")}, nil},
		{scriptClock, []string{r.name(0, "since")}, nil},
	}
	var alone []any
	for _, c := range calls {
		answers, errs := r.send(ctx, []call{c})
		require.NoError(t, errs[0])
		alone = append(alone, answers[0])
	}
	for len(calls) < 2*bundleSize { // and more than one bundle takes
		calls = append(calls, calls[len(calls)-4])
	}
	calls = append(calls, calls[0]) // the last one goes by itself
	together, errs := r.send(ctx, calls)
	require.Len(t, together, len(calls))
	for i := range calls {
		require.NoError(t, errs[i])
		require.Equal(t, alone[i%4].([]any)[1:], together[i].([]any)[1:], "all but the time")
	}
	bundle, _ := r.send(ctx, calls[:4])
	for _, answer := range bundle {
		require.Equal(t, bundle[0].([]any)[0], answer.([]any)[0], "one instant")
	}
}

func TestAScriptThatFailsFailsAloneInItsBundle(t *testing.T) {
	server := testenv.StartRedis(t)
	r := openRedis(t, RedisOptions{Addresses: []string{server.Addr}})
	ctx := context.Background()
	require.NoError(t, r.client.Set(ctx, r.eventsKey("no list"), "x", 0).Err())
	count := func(key string) call {
		return call{scriptCount, []string{r.eventsKey(key)}, []any{newOp(), 9, 60_000_000}}
	}
	together := func() ([]any, []error) {
		return r.send(ctx, []call{count("a"), count("no list"), {scriptClock, []string{r.name(0, "since")}, []any{}}, {script: luaScript{name: "none"}}, count("b")})
	}
	answers, errs := together()
	require.NoError(t, errs[0])
	require.EqualValues(t, 1, answers[0].([]any)[1])
	require.ErrorContains(t, errs[1], "WRONGTYPE")
	require.NoError(t, errs[2])
	require.ErrorContains(t, errs[3], "call a nil value", "what fails in Lua itself")
	require.False(t, again(errs[3]))
	require.NoError(t, errs[4])
	require.EqualValues(t, 1, answers[4].([]any)[1], "who comes behind it is served")

	server.Do("CONFIG", "SET", "maxmemory", "1")
	_, errs = together()
	require.True(t, strings.HasPrefix(errs[0].Error(), "OOM"), "%v", errs[0])
	require.NoError(t, errs[2], "what reads is answered while there is no memory to write")
	server.Do("CONFIG", "SET", "maxmemory", "0")

	server.Do("REPLICAOF", "127.0.0.1", "1")
	defer server.Do("REPLICAOF", "NO", "ONE")
	_, errs = together()
	require.True(t, again(errs[0]), "a replica is no primary, for now: %v", errs[0])
	require.NoError(t, errs[2])
}

func TestWhatABundleAnswersIsCounted(t *testing.T) {
	for _, answer := range []any{nil, "text", []any{}, []any{int64(1)}, []any{int64(1), int64(2), int64(3)}} {
		answers, errs := unbundled(answer, nil, 2)
		require.Len(t, answers, 2)
		for _, err := range errs {
			require.Error(t, err)
		}
	}
}
