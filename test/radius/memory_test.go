package radius_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
	"vssgate/test/site"
)

// keysOf are the keys that Redis has, each with the bytes that it takes. The stream
// of changes is not of one login: it is capped.
func keysOf(t *testing.T, redis *testenv.RedisServer) map[string]int {
	t.Helper()
	said := redis.Do("EVAL", `local out = {}
for _, key in ipairs(redis.call('KEYS', '*')) do out[#out + 1] = redis.call('MEMORY', 'USAGE', key, 'SAMPLES', '0') .. ' ' .. key end
return table.concat(out, '\n')`, "0")
	all := map[string]int{}
	for line := range strings.Lines(said) {
		size, key, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, err := strconv.Atoi(size)
		require.NoError(t, err, said)
		if !strings.HasSuffix(key, ":changes") {
			all[key] = n
		}
	}
	return all
}

// What an open login takes in Redis, as docs/performance.md tells it, and no more.
func TestWhatAnOpenLoginTakesInRedis(t *testing.T) {
	const most, passing = 1024, 400 // marks of taken-back events and of a phone's call, gone in a minute
	a, _, redis := pair(t)
	a.Phone(1)
	second := a.Phone(2)
	asksAt, holds := a.NAS(site.Asks), a.NAS(site.Holds)
	logIn := func(name string, do func()) {
		t.Helper()
		before := keysOf(t, redis)
		do()
		total, gone := 0, 0
		for key, size := range keysOf(t, redis) {
			if grown := size - before[key]; grown > 0 {
				if strings.HasPrefix(key, "vssgate:{0}:u:") || strings.HasPrefix(key, "vssgate:{0}:m:") {
					gone += grown
				} else {
					total += grown
				}
				t.Logf("%s: %4d %s", name, grown, key)
			}
		}
		t.Logf("%s: %d bytes, and %d that pass", name, total, gone)
		require.Less(t, total, most, name)
		require.Less(t, gone, passing, name)
	}
	logIn("challenge", func() { require.EqualValues(t, site.AccessChallenge, asksAt.Ask(asks).Code) })
	logIn("hold", func() {
		holds.Send(holds.Packet(site.Request{User: testenv.UserName(2), Password: testenv.UserPassword(2), Station: "203.0.113.8"}))
		second.Login()
	})
}
