package bench

import (
	"testing"
)

// BenchmarkNodes compares whole logins a second: one node over its embedded
// store, one over Redis, and three over that Redis, where each step of a login
// comes to another node. Redis, nodes and load share the machine.
func BenchmarkNodes(b *testing.B) {
	const users = 2048
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
