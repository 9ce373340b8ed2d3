package bench

import (
	"fmt"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
)

// BenchmarkNodes compares whole logins a second: one node over its embedded
// store, one over Redis, and three over that Redis, where each step of a login
// comes to another node. Redis, nodes and load share the machine.
func BenchmarkNodes(b *testing.B) {
	const users = 16_384
	for b.Loop() {
		d := newTree(b)
		embedded := newCrowd(b, users, startNode(b, populate(b, users), d))
		redis, keys := populateRedis(b, users)
		nodes := startNodesOn(b, redis, keys, d, 3)
		one, three := newCrowd(b, users, nodes[0]), newCrowd(b, users, nodes...)
		rate, undisturbed := beside(b, side{"embedded", embedded.nodes[0].profiled("login-embedded", embedded.rate)},
			side{"redis", nodes[0].profiled("login-redis", one.rate)}, side{"three_nodes", three.rate})
		ratio(b, rate, undisturbed, "redis", "embedded")
		ratio(b, rate, undisturbed, "three_nodes", "redis")
	}
}

// BenchmarkManyHeld says what a whole login takes beside 1,000, 10,000 and
// 100,000 that are held at the same node: processor time of the node and, where
// there is one, of Redis, and what the node allocates; and what each of those held takes in Redis.
func BenchmarkManyHeld(b *testing.B) {
	const users, most = 4 * loginsBeside, 100_000
	b.Run("embedded", func(b *testing.B) {
		for b.Loop() {
			manyHeld(b, startNode(b, populate(b, users+most), newTree(b)), nil, users)
		}
	})
	b.Run("redis", func(b *testing.B) {
		for b.Loop() {
			redis, keys := populateRedis(b, users+most)
			manyHeld(b, startNodesOn(b, redis, keys, newTree(b), 1)[0], redis, users)
		}
	})
}

// loginsBeside is how many logins are measured at a time, by users who have not
// logged in before: what has ended is remembered for a while.
const loginsBeside = 2000

func manyHeld(b *testing.B, n *node, redis *testenv.RedisServer, users int) {
	const logins = loginsBeside
	c, from := newCrowd(b, users, n), newNAS(b, n.at.RADIUS[0])
	c.logins(logins) // so that all has been done once
	_, empty := usedBy(b, redis)
	held := 0
	for _, many := range []int{1000, 10_000, 100_000} {
		from.spare = many / 50 // on a busy machine; what is measured is the same
		from.logIn(n, users+held, users+many)
		held = many
		n.profile(fmt.Sprintf("beside-%d", many))
		allocated := n.ask("weigh").Allocated
		begun, all := time.Now(), processorTime(b)
		_, node := processorOf(n.pid)
		its, data := usedBy(b, redis)
		c.logins(logins)
		each := func(what string, took time.Duration) {
			b.ReportMetric(float64(took.Microseconds())/logins, fmt.Sprintf("µs-%s/login-beside-%d", what, many))
		}
		_, nodeThen := processorOf(n.pid)
		itsThen, _ := usedBy(b, redis)
		each("all", processorTime(b)-all)
		each("node", nodeThen-node)
		b.ReportMetric(logins/time.Since(begun).Seconds(), fmt.Sprintf("logins/s-beside-%d", many))
		n.profile(fmt.Sprintf("beside-%d-then", many)) // with -base of the one before: what logins allocate
		b.ReportMetric(float64(n.ask("weigh").Allocated-allocated)/logins/1024, fmt.Sprintf("KiB-allocated/login-beside-%d", many))
		if redis != nil {
			each("redis", itsThen-its)
			b.ReportMetric(float64(data-empty)/float64(many), fmt.Sprintf("B-redis/login-of-%d", many))
		}
	}
}

var (
	usedProcessor = regexp.MustCompile(`used_cpu_(?:sys|user):([0-9.]+)`)
	usedMemory    = regexp.MustCompile(`used_memory_dataset:([0-9]+)`)
)

// usedBy is the processor time that a Redis has used, and how many bytes its
// data takes.
func usedBy(b *testing.B, redis *testenv.RedisServer) (processor time.Duration, data int) {
	if redis == nil {
		return 0, 0
	}
	for _, m := range usedProcessor.FindAllStringSubmatch(redis.Do("INFO", "cpu"), -1) {
		seconds, err := strconv.ParseFloat(m[1], 64)
		require.NoError(b, err)
		processor += time.Duration(seconds * float64(time.Second))
	}
	data, err := strconv.Atoi(usedMemory.FindStringSubmatch(redis.Do("INFO", "memory"))[1])
	require.NoError(b, err)
	return processor, data
}
