package store

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
	"vssgate/internal/testenv"
)

// A relay stands between a node and Redis, and loses the answer to the next
// request that contains a word: the server has done it and nobody knows.
type relay struct {
	addr string
	to   string

	mu    sync.Mutex
	word  string
	lost  int
	conns map[net.Conn]bool
}

func startRelay(t *testing.T, to string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r := &relay{addr: l.Addr().String(), to: to, conns: map[net.Conn]bool{}}
	var running sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close()
		r.mu.Lock()
		for c := range r.conns {
			_ = c.Close()
		}
		r.mu.Unlock()
		running.Wait()
	})
	running.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { r.serve(client) })
		}
	})
	return r
}

func (r *relay) serve(client net.Conn) {
	server, err := net.Dial("tcp", r.to)
	if err != nil {
		_ = client.Close()
		return
	}
	r.mu.Lock()
	r.conns[client], r.conns[server] = true, true
	r.mu.Unlock()
	var cut atomic.Bool
	var both sync.WaitGroup
	both.Go(func() {
		defer server.Close()
		buf := make([]byte, 1<<16)
		for {
			n, err := client.Read(buf)
			if err != nil {
				return
			}
			if r.loses(string(buf[:n])) {
				cut.Store(true)
			}
			if _, err := server.Write(buf[:n]); err != nil {
				return
			}
		}
	})
	both.Go(func() {
		defer client.Close()
		buf := make([]byte, 1<<16)
		for {
			n, err := server.Read(buf)
			if err != nil || cut.Load() {
				return // the server answered, so it is done
			}
			if _, err := client.Write(buf[:n]); err != nil {
				return
			}
		}
	})
	both.Wait()
}

func (r *relay) loses(request string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.word == "" || !strings.Contains(request, r.word) {
		return false
	}
	r.word = ""
	r.lost++
	return true
}

// loseAnswerTo arms the relay; the func it returns sees that it struck.
func (r *relay) loseAnswerTo(t *testing.T, word string) (struck func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.word = word
	before := r.lost
	return func() {
		t.Helper()
		r.mu.Lock()
		defer r.mu.Unlock()
		require.Equal(t, before+1, r.lost, "no answer was lost")
	}
}

func TestAnOperationWhoseAnswerWasLostTakesPlaceOnce(t *testing.T) {
	addr := testenv.Redis(t)
	relay := startRelay(t, addr)
	r := openRedis(t, RedisOptions{Addresses: []string{relay.addr}})
	other := openRedis(t, RedisOptions{Addresses: []string{addr}})
	ctx := context.Background()
	rec := login.Record{Key: "k", Value: []byte("1"), Indexes: []string{"i", "j"}}
	save := func(cond login.Condition) error {
		saved, err := r.Save(ctx, rec, cond)
		if err == nil {
			rec = saved
		}
		return err
	}
	require.NoError(t, save(login.Condition{}))
	rec.Value = nil
	require.NoError(t, save(login.Condition{})) // every script is known by its hash now

	rec.Value, rec.Indexes = []byte("1"), []string{"i", "j"}
	struck := relay.loseAnswerTo(t, scriptSave.Hash())
	require.NoError(t, save(login.Condition{Full: "i", AtMost: 1}))
	struck()
	require.EqualValues(t, 1, rec.Version, "created")

	struck = relay.loseAnswerTo(t, scriptSave.Hash())
	require.NoError(t, save(login.Condition{}))
	struck()
	require.EqualValues(t, 2, rec.Version, "saved again")
	loaded, err := other.Load(ctx, "k")
	require.NoError(t, err)
	require.EqualValues(t, 2, loaded.Version)

	leave(t, r, "dead", "warm up", login.Condition{})
	struck = relay.loseAnswerTo(t, scriptReserve.Hash())
	leave(t, r, "dead", "new", login.Condition{Full: "new", AtMost: 1})
	struck()
	rec.Indexes = []string{"j", "new"}
	require.NoError(t, save(login.Condition{Full: "new", AtMost: 1}), "nothing is written there")

	struck = relay.loseAnswerTo(t, scriptSave.Hash())
	rec.Value = nil
	require.NoError(t, save(login.Condition{}), "deleted")
	struck()
	_, err = other.Load(ctx, "k")
	require.ErrorIs(t, err, login.ErrNotFound)

	for range 2 {
		_, err = r.UseOnce(ctx, "warm up", time.Now().Add(time.Hour), true)
		require.NoError(t, err)
	}
	struck = relay.loseAnswerTo(t, scriptUse.Hash())
	first, err := r.UseOnce(ctx, "mark", time.Now().Add(time.Hour), false)
	require.NoError(t, err)
	require.True(t, first)
	struck()
	first, err = other.UseOnce(ctx, "mark", time.Now().Add(time.Hour), false)
	require.NoError(t, err)
	require.False(t, first)

	_, err = r.Count(ctx, login.Quota{Key: "warm up", Limit: login.Limit{Count: 1, Within: time.Hour}})
	require.NoError(t, err)
	require.NoError(t, r.Uncount(ctx, "warm up"))
	struck = relay.loseAnswerTo(t, scriptCount.Hash())
	require.Equal(t, []bool{true, true, false}, countThrice(t, r), "the lost one is counted once")
	struck()
	struck = relay.loseAnswerTo(t, scriptUncount.Hash())
	require.NoError(t, r.Uncount(ctx, "events"))
	struck()
	require.Equal(t, []bool{true, false, false}, countThrice(t, r), "one was taken back, not two")
}

func countThrice(t *testing.T, r *Redis) (counted []bool) {
	t.Helper()
	for range 3 {
		ok, err := r.Count(context.Background(), login.Quota{Key: "events", Limit: login.Limit{Count: 2, Within: time.Hour}})
		require.NoError(t, err)
		counted = append(counted, ok)
	}
	return counted
}

func TestASaveThatOthersBuiltOnStillKnowsItTookPlace(t *testing.T) {
	r := openRedis(t, RedisOptions{Addresses: []string{testenv.Redis(t)}})
	ctx := context.Background()
	s := &saveOp{Redis: r, Record: login.Record{Key: "k", Value: []byte("mine")}, op: newOp()}
	saved, err := s.write(ctx)
	require.NoError(t, err)
	for range 3 {
		saved, err = r.Save(ctx, saved, login.Condition{})
		require.NoError(t, err)
	}
	late := &saveOp{Redis: r, Record: login.Record{Key: "k", Value: []byte("mine")}, op: s.op}
	again, err := late.write(ctx) // as after a lost answer
	require.NoError(t, err)
	require.EqualValues(t, 1, again.Version)
	_, err = r.Save(ctx, again, login.Condition{})
	require.ErrorIs(t, err, login.ErrConflict)
}

func TestScriptsThatTheServerForgotAreSentAgain(t *testing.T) {
	for name, start := range redisKinds {
		t.Run(name, func(t *testing.T) {
			r := openRedis(t, start(t))
			ctx := context.Background()
			rec, err := r.Save(ctx, login.Record{Key: "k", Value: []byte("x"), Indexes: []string{"i", "j", "k"}}, login.Condition{Full: "i", AtMost: 1})
			require.NoError(t, err)
			require.NoError(t, r.client.ScriptFlush(ctx).Err())
			rec.Indexes = []string{"l", "m"}
			_, err = r.Save(ctx, rec, login.Condition{})
			require.NoError(t, err)
		})
	}
}

func TestAnotherEpochKnowsOnlyWhatIsDurable(t *testing.T) {
	server := testenv.StartRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	r := openRedis(t, RedisOptions{Addresses: []string{server.Addr}})
	ctx := context.Background()
	expiry := time.Now().Add(time.Hour)
	for _, durable := range []bool{false, true} {
		_, err := r.Save(ctx, login.Record{Key: fmt.Sprint(durable), Value: []byte("x"), Indexes: []string{"i"}, Durable: durable}, login.Condition{})
		require.NoError(t, err)
		first, err := r.UseOnce(ctx, fmt.Sprint(durable), expiry, durable)
		require.NoError(t, err)
		require.True(t, first)
	}
	since, err := r.Since(ctx)
	require.NoError(t, err)

	server.Stop()
	patient := hurry(t)
	_, err = r.Load(ctx, "true")
	require.Error(t, err)
	require.NotErrorIs(t, err, login.ErrNotFound, "an absent server is not an absent record")
	patient()
	server.Start() // with all that was written

	later, err := r.Since(ctx)
	require.NoError(t, err)
	require.True(t, later.After(since))
	_, err = r.Load(ctx, "false")
	require.ErrorIs(t, err, login.ErrNotFound)
	_, err = r.Load(ctx, "true")
	require.NoError(t, err)
	found, err := r.Find(ctx, "i", "", 0)
	require.NoError(t, err)
	require.Len(t, found, 1)
	for _, durable := range []bool{false, true} {
		first, err := r.UseOnce(ctx, fmt.Sprint(durable), expiry, durable)
		require.NoError(t, err)
		require.Equal(t, !durable, first, "callers refuse by Since what a volatile mark no longer refuses")
	}
	_, err = r.Save(ctx, login.Record{Key: "false", Value: []byte("x"), Version: 1}, login.Condition{})
	require.ErrorIs(t, err, login.ErrConflict)
	_, err = r.Save(ctx, login.Record{Key: "false", Value: []byte("x")}, login.Condition{Full: "i", AtMost: 2})
	require.NoError(t, err)
}

func TestAServerThatDoesNotAnswerIsAnErrorSoon(t *testing.T) {
	server := testenv.StartRedis(t)
	r := openRedis(t, RedisOptions{Addresses: []string{server.Addr}})
	ctx := context.Background()
	rec, err := r.Save(ctx, login.Record{Key: "k", Value: []byte("x"), Indexes: []string{"i"}}, login.Condition{})
	require.NoError(t, err)
	server.Freeze()
	patient := hurry(t)
	r.clock.forget() // what it said last
	var asking sync.WaitGroup
	for name, ask := range map[string]func() error{
		"Now":   func() error { _, err := r.Now(ctx); return err },
		"Since": func() error { _, err := r.Since(ctx); return err },
		"Load":  func() error { _, err := r.Load(ctx, "k"); return err },
		"Find":  func() error { _, err := r.Find(ctx, "i", "", 0); return err },
		"Save":  func() error { _, err := r.Save(ctx, rec, login.Condition{}); return err },
		"Count": func() error {
			_, err := r.Count(ctx, login.Quota{Key: "c", Limit: login.Limit{Count: 1, Within: time.Minute}})
			return err
		},
		"Uncount": func() error { return r.Uncount(ctx, "c") },
		"UseOnce": func() error { _, err := r.UseOnce(ctx, "m", time.Now().Add(time.Hour), false); return err },
		"Ping":    func() error { return r.Ping(ctx) },
	} {
		asking.Go(func() {
			began := time.Now()
			err := ask()
			assert.Error(t, err, name)
			for _, answer := range []error{login.ErrNotFound, login.ErrConflict, login.ErrLate, login.ErrFull} {
				assert.NotErrorIs(t, err, answer, "%s made up an answer", name)
			}
			assert.Less(t, time.Since(began), 3*callLimit, name)
		})
	}
	asking.Wait()
	server.Thaw()
	patient()
	require.NoError(t, r.Ping(ctx))
}

// leave lists a record in an index and dies before it is written.
func leave(t *testing.T, r *Redis, key, index string, cond login.Condition) {
	t.Helper()
	s := &saveOp{Redis: r, Record: login.Record{Key: key, Value: []byte("x")}, cond: cond, op: newOp()}
	require.NoError(t, s.reserve(context.Background(), nil, []string{index}))
}

func TestAMemberWithoutARecordIsNotFoundAndGoesWhenItsLeaseIsOver(t *testing.T) {
	r := openRedis(t, redisKinds["a Cluster"](t))
	ctx := context.Background()
	cond := login.Condition{Full: "i", AtMost: 1}
	leave(t, r, "dead", "i", cond)
	found, err := r.Find(ctx, "i", "", 0)
	require.NoError(t, err)
	require.Empty(t, found)
	members, err := r.members(ctx, "i", "", 10)
	require.NoError(t, err)
	require.Equal(t, []string{"dead"}, members, "the record may still be written")
	alive := login.Record{Key: "alive", Value: []byte("x"), Indexes: []string{"i"}}
	_, err = r.Save(ctx, alive, cond)
	require.ErrorIs(t, err, login.ErrFull)

	require.NoError(t, r.client.Del(ctx, r.leaseKey("i", "dead")).Err()) // as time does
	_, err = r.Save(ctx, alive, cond)
	require.NoError(t, err)
	members, err = r.members(ctx, "i", "", 10)
	require.NoError(t, err)
	require.Equal(t, []string{"alive"}, members)
}

func TestWhereAScriptWritesRecordAndIndexAMemberWithoutARecordIsNone(t *testing.T) {
	r := openRedis(t, RedisOptions{Addresses: []string{testenv.Redis(t)}})
	ctx := context.Background()
	stale := func() {
		require.NoError(t, r.client.ZAdd(ctx, r.indexKey("i"), redis.Z{Member: "gone"}).Err())
	}
	gone := func() {
		members, err := r.members(ctx, "i", "", 10)
		require.NoError(t, err)
		require.NotContains(t, members, "gone")
	}
	stale()
	found, err := r.Find(ctx, "i", "", 0)
	require.NoError(t, err)
	require.Empty(t, found)
	gone()
	stale()
	cond := login.Condition{Full: "i", AtMost: 1}
	_, err = r.Save(ctx, login.Record{Key: "k", Value: []byte("x"), Indexes: []string{"i"}}, cond)
	require.NoError(t, err, "it takes no place")
	gone()
	_, err = r.Save(ctx, login.Record{Key: "l", Value: []byte("x"), Indexes: []string{"i"}}, cond)
	require.ErrorIs(t, err, login.ErrFull)
}

func TestARecordIsNotWrittenAfterItsReservation(t *testing.T) {
	r := openRedis(t, redisKinds["a Cluster"](t))
	ctx := context.Background()
	s := &saveOp{Redis: r, Record: login.Record{Key: "k", Value: []byte("x"), Indexes: []string{"i"}}, op: newOp()}
	require.NoError(t, s.reserve(ctx, nil, s.Indexes))
	s.until = toMicros(time.Now().Add(-time.Second)) // it took too long
	_, err := s.write(ctx)
	require.ErrorIs(t, err, errAgain)
	_, err = r.Load(ctx, "k")
	require.ErrorIs(t, err, login.ErrNotFound)
	_, err = s.write(ctx) // it was reserved anew
	require.NoError(t, err)
}

func TestACleanerThatIsLateTakesNothingOut(t *testing.T) {
	r := openRedis(t, redisKinds["a Cluster"](t))
	ctx := context.Background()
	rec, err := r.Save(ctx, login.Record{Key: "k", Value: []byte("x")}, login.Condition{})
	require.NoError(t, err)
	seen, err := r.peek(ctx, []string{"k"}) // not listed in i
	require.NoError(t, err)
	rec.Indexes = []string{"i"}
	_, err = r.Save(ctx, rec, login.Condition{})
	require.NoError(t, err)
	require.Zero(t, r.clean(ctx, "i", seen), "listed anew since it was seen")

	require.NoError(t, r.client.Del(ctx, r.leaseKey("i", "k")).Err())
	seen[0].Read = seen[0].Read.Add(-4 * time.Second)
	require.Zero(t, r.clean(ctx, "i", seen), "seen too long ago")
	found, err := r.Find(ctx, "i", "", 0)
	require.NoError(t, err)
	require.Len(t, found, 1)
}

func TestWhatLeftAnIndexLeavesNoMemberBehind(t *testing.T) {
	for name, start := range redisKinds {
		t.Run(name, func(t *testing.T) {
			r := openRedis(t, start(t))
			ctx := context.Background()
			rec, err := r.Save(ctx, login.Record{Key: "k", Value: []byte("x"), Indexes: []string{"open", "a", "b"}}, login.Condition{})
			require.NoError(t, err)
			rec.Indexes = []string{"b"}
			rec, err = r.Save(ctx, rec, login.Condition{})
			require.NoError(t, err)
			rec.Value = nil
			_, err = r.Save(ctx, rec, login.Condition{})
			require.NoError(t, err)
			for _, index := range []string{"open", "a", "b"} {
				members, err := r.members(ctx, index, "", 10)
				require.NoError(t, err)
				require.Empty(t, members, index)
			}
		})
	}
}

func TestRedisCleansUpByItself(t *testing.T) {
	r := openRedis(t, RedisOptions{Addresses: []string{testenv.Redis(t)}})
	ctx := context.Background()
	expires := time.Now().Add(time.Hour)
	_, err := r.Save(ctx, login.Record{Key: "k", Value: []byte("x"), Indexes: []string{"i"}, Expires: expires}, login.Condition{})
	require.NoError(t, err)
	_, err = r.Save(ctx, login.Record{Key: "longer", Value: []byte("x"), Indexes: []string{"i"}, Expires: expires.Add(time.Hour)}, login.Condition{})
	require.NoError(t, err)
	_, err = r.UseOnce(ctx, "m", expires, true)
	require.NoError(t, err)
	_, err = r.Count(ctx, login.Quota{Key: "c", Limit: login.Limit{Count: 3, Within: time.Hour}})
	require.NoError(t, err)
	margin := 5 * time.Minute
	for key, want := range map[string]time.Duration{
		r.recordKey("k"): time.Hour + margin, r.indexKey("i"): 2*time.Hour + margin,
		r.markKey("m"): time.Hour + margin, r.eventsKey("c"): time.Hour + margin,
	} {
		ttl, err := r.client.PTTL(ctx, key).Result()
		require.NoError(t, err)
		require.InDelta(t, want.Seconds(), ttl.Seconds(), 30, key)
	}
	_, err = r.Save(ctx, login.Record{Key: "for ever", Value: []byte("x"), Indexes: []string{"i"}}, login.Condition{})
	require.NoError(t, err)
	ttl, err := r.client.PTTL(ctx, r.indexKey("i")).Result()
	require.NoError(t, err)
	require.EqualValues(t, -1, ttl, "an index with a lasting record lasts")
}

// hear collects changes until the test ends.
func hear(t *testing.T, r *Redis) <-chan login.Change {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	heard, ended := make(chan login.Change, 1<<16), make(chan struct{})
	go func() {
		defer close(ended)
		_ = r.Changes(ctx, func(c login.Change) { heard <- c })
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return heard
}

func await(t *testing.T, heard <-chan login.Change, key string) {
	t.Helper()
	limit := time.After(20 * time.Second)
	for {
		select {
		case c := <-heard:
			if c.Key == key {
				return
			}
		case <-limit:
			t.Fatalf("no change of %s was told", key)
		}
	}
}

func TestChangesAreToldThroughFaults(t *testing.T) {
	server := testenv.StartRedis(t)
	r := openRedis(t, RedisOptions{Addresses: []string{server.Addr}})
	ctx := context.Background()
	save := func(key string) {
		t.Helper()
		_, err := r.Save(ctx, login.Record{Key: key, Value: []byte("x"), Indexes: []string{"i"}}, login.Condition{})
		require.NoError(t, err)
	}
	save("before anybody listened")
	heard := hear(t, r)
	await(t, heard, "before anybody listened")
	server.Do("CLIENT", "KILL", "TYPE", "pubsub")
	save("no hint")
	await(t, heard, "no hint")
	server.Do("FLUSHALL")
	save("flushed")
	await(t, heard, "flushed")
	server.Stop()
	server.Start()
	save("empty server")
	await(t, heard, "empty server")
}

// A stream that begins anew within the same millisecond gives its first entry
// the id that was read last.
func TestAChangeIsToldWhoseEntryHasTheIdOfOneBefore(t *testing.T) {
	r := openRedis(t, RedisOptions{Addresses: []string{testenv.Redis(t)}})
	ctx := context.Background()
	var told []string
	rd := &reader{Redis: r, changed: func(c login.Change) { told = append(told, c.Key) }, cursors: []string{"0-0"}, last: []string{""}}
	for _, key := range []string{"one", "two"} {
		require.NoError(t, r.client.FlushAll(ctx).Err())
		require.NoError(t, r.client.XAdd(ctx, &redis.XAddArgs{Stream: r.streamKey(0), ID: "7-0", Values: []string{"k", key, "n", "\x00"}}).Err())
		rd.lookAll(ctx)
		rd.lookAll(ctx)
	}
	require.Equal(t, []string{"one", "two"}, told, "each once")
}

func TestAReaderThatWasAwayTooLongLooksAtEverything(t *testing.T) {
	for name, start := range redisKinds {
		t.Run(name, func(t *testing.T) {
			r := openRedis(t, start(t))
			ctx := context.Background()
			rec, err := r.Save(ctx, login.Record{Key: "missed", Value: []byte("x")}, login.Condition{})
			require.NoError(t, err)
			told := map[string]bool{}
			rd := &reader{Redis: r, changed: func(c login.Change) { told[c.Key] = true }, cursors: make([]string, r.parts), last: make([]string, r.parts)}
			rd.lookAll(ctx)
			require.Equal(t, map[string]bool{"missed": true}, told)
			clear(told)
			_, err = r.Save(ctx, rec, login.Condition{})
			require.NoError(t, err)
			_, err = r.Save(ctx, login.Record{Key: "other", Value: []byte("x")}, login.Condition{})
			require.NoError(t, err)
			for part := range r.parts { // forget all but the last
				require.NoError(t, r.client.XTrimMaxLen(ctx, r.streamKey(part), 0).Err())
			}
			_, err = r.Save(ctx, login.Record{Key: "last", Value: []byte("x")}, login.Condition{})
			require.NoError(t, err)
			rd.lookAll(ctx)
			require.True(t, told["last"])
			require.True(t, told["missed"] || r.parts > 1 && r.part("last") != r.part("missed"))
		})
	}
}

func TestWhatIsDurableIsAtTheReplicasBeforeItIsAnswered(t *testing.T) {
	server := testenv.StartRedis(t, "--repl-diskless-sync-delay", "0")
	host, port, err := net.SplitHostPort(server.Addr)
	require.NoError(t, err)
	replica := testenv.StartRedis(t, "--replicaof", host, port)
	require.Eventually(t, func() bool {
		return strings.Contains(replica.Do("INFO", "replication"), "master_link_status:up") &&
			strings.Contains(server.Do("INFO", "replication"), "state=online")
	}, 20*time.Second, 5*time.Millisecond)
	r := openRedis(t, RedisOptions{Addresses: []string{server.Addr}})
	ctx := context.Background()
	for n := range 50 {
		key := fmt.Sprint(n)
		_, err := r.Save(ctx, login.Record{Key: key, Value: []byte("x"), Durable: true}, login.Condition{})
		require.NoError(t, err)
		require.Equal(t, ":1", replica.Do("EXISTS", r.recordKey(key)))
		first, err := r.UseOnce(ctx, key, time.Now().Add(time.Hour), true)
		require.NoError(t, err)
		require.True(t, first)
		require.Equal(t, ":1", replica.Do("EXISTS", r.markKey(key)))
	}
	replica.Freeze()
	patient := hurry(t)
	_, err = r.Save(ctx, login.Record{Key: "d", Value: []byte("x"), Durable: true}, login.Condition{})
	require.ErrorContains(t, err, "0 of 1 replicas confirmed")
	first, err := r.UseOnce(ctx, "d", time.Now().Add(time.Hour), true)
	require.Error(t, err)
	require.False(t, first)
	patient()
	_, err = r.Save(ctx, login.Record{Key: "v", Value: []byte("x")}, login.Condition{})
	require.NoError(t, err, "what is volatile waits for nobody")
	require.ErrorIs(t, r.confirm(ctx, 0, "the epoch before", 1), errEpoch)
	replica.Thaw()
	_, err = r.UseOnce(ctx, "e", time.Now().Add(time.Hour), true)
	require.NoError(t, err)
}

func TestUserAndPassword(t *testing.T) {
	server := testenv.StartRedis(t, "--requirepass", "a-password-nobody-knows")
	ctx := context.Background()
	_, err := OpenRedis(ctx, RedisOptions{Addresses: []string{server.Addr}})
	require.ErrorContains(t, err, "NOAUTH")
	_, err = OpenRedis(ctx, RedisOptions{Addresses: []string{server.Addr}, Password: "wrong-password"})
	require.ErrorContains(t, err, "WRONGPASS")
	require.NotContains(t, err.Error(), "wrong-password")
	for _, user := range []string{"", "default"} {
		openRedis(t, RedisOptions{Addresses: []string{server.Addr}, Username: user, Password: "a-password-nobody-knows"})
	}
}

// The suite runs as a user with the rights that the page tells to give, and those
// are no more than a node needs.
func TestTheRightsOfANodeAreThoseOfThePage(t *testing.T) {
	page, err := os.ReadFile("../../docs/operations.md")
	require.NoError(t, err)
	require.Contains(t, string(page), "user vssgate on ><password> "+testenv.RedisRights+"\n")
	ca := testenv.CA(t)
	r := openRedis(t, secured(ca, testenv.StartSecuredRedis(t, ca).Addr))
	ctx := context.Background()
	for name, err := range map[string]error{
		"flushes":      r.client.FlushAll(ctx).Err(),
		"configures":   r.client.ConfigSet(ctx, "maxmemory", "1").Err(),
		"reads others": r.client.Get(ctx, "other").Err(),
	} {
		require.ErrorContains(t, err, "NOPERM", name)
	}
	_, err = r.Survey(ctx)
	require.NoError(t, err)
}

func TestTLS(t *testing.T) {
	ca := testenv.CA(t)
	addr := testenv.RedisTLS(t, ca)
	openRedis(t, RedisOptions{Addresses: []string{addr}, TLS: &tls.Config{RootCAs: ca.Pool, ServerName: "127.0.0.1"}})
	hurry(t)
	_, err := OpenRedis(context.Background(), RedisOptions{Addresses: []string{addr}, TLS: &tls.Config{RootCAs: x509.NewCertPool()}})
	require.ErrorContains(t, err, "certificate")
}

func TestOptionsThatCannotBe(t *testing.T) {
	hurry(t)
	for name, test := range map[string]struct {
		o    RedisOptions
		want string
	}{
		"no address":                   {RedisOptions{}, "no address"},
		"two servers, no Sentinel":     {RedisOptions{Addresses: []string{"a:1", "b:1"}}, "several addresses"},
		"Sentinel and Cluster":         {RedisOptions{Addresses: []string{"a:1"}, MasterName: "m", Cluster: true}, "exclude"},
		"nobody listens there":         {RedisOptions{Addresses: []string{testenv.FreeAddr(t)}}, "connection refused"},
		"nobody listens, in a Cluster": {RedisOptions{Addresses: []string{testenv.FreeAddr(t)}, Cluster: true}, "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := OpenRedis(context.Background(), test.o)
			require.ErrorContains(t, err, test.want)
		})
	}
}

func TestAnAnswerThatIsNotTheScriptsIsRefused(t *testing.T) {
	for name, answer := range map[string]any{
		"another type":   "text",
		"too short":      []any{},
		"wrong elements": []any{int64(1), "x"},
		"nothing":        nil,
	} {
		t.Run(name, func(t *testing.T) {
			read := newReply(answer)
			read.text()
			read.micros()
			require.Error(t, read.err)
		})
	}
}

func FuzzParseStored(f *testing.F) {
	f.Add("")
	f.Add("1 0 - ABCDEFGHIJKL 1 \x00value")
	f.Add("7 1772352000000000 0123456789ab0123456789ab ABCDEFGHIJKL 5 \x02\x01a\x01bvalue with spaces")
	f.Fuzz(func(t *testing.T, raw string) {
		s, err := parseStored(raw)
		if err != nil || raw == "" {
			return
		}
		fields := strings.SplitN(raw, " ", 6)
		packed := string(appendNames(nil, s.Indexes))
		require.Equal(t, fields[5], packed+string(s.Value))
		require.Equal(t, s.Durable, fields[2] == "-")
		_, err = parseStored(fmt.Sprintf("%d %s %s %s %d %s%s", s.Version, toMicros(s.Expires), fields[2], s.ops, len(packed), packed, s.Value))
		require.NoError(t, err)
	})
}
