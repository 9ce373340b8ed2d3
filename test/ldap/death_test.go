package ldap_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
)

// joined waits until a second bind has joined user 1's only login, by way of a
// node, and gives how long after since that was.
func (w *world) joined(since time.Time) time.Duration {
	w.t.Helper()
	w.eventually("the retry does not join", func() bool { return w.Metric("vssgate_joined_total") == 1 })
	took := time.Since(since)
	w.asked(1, 2)
	return took
}

// said is when a node has logged something, in nanoseconds.
func (w *world) said(text string) int64 {
	w.t.Helper()
	for line := range strings.Lines(w.Output()) {
		var record struct{ Time time.Time }
		if strings.Contains(line, text) {
			require.NoError(w.t, json.Unmarshal([]byte(line), &record))
			return record.Time.UnixNano()
		}
	}
	require.Fail(w.t, "not in the log", text)
	return 0
}

// held is when this node began to hold user 1's only login, in nanoseconds.
func (w *world) held() int64 {
	w.t.Helper()
	var told struct {
		Events []struct {
			Kind string
			Time time.Time
		}
	}
	require.NoError(w.t, json.Unmarshal([]byte(w.Command("login", "show", w.shows(1, 1)[0].ID, "--json")), &told))
	for _, e := range told.Events {
		if e.Kind == "held" {
			return e.Time.UnixNano()
		}
	}
	require.Fail(w.t, "it is not held here")
	return 0
}

// A bind waits at a node that is killed. The application binds again at the other
// node: the user has one login and one prompt, and the approval lets it in.
func TestABindWhoseNodeIsKilledIsJoinedByItsRetry(t *testing.T) {
	t.Parallel()
	one, two := pair(t, options{phones: 1})
	whoami := func(w *world) *program {
		return w.run(wiki, "ldapwhoami", "-x", "-H", w.url(), "-D", dn(1), "-w", password(1))
	}
	first := whoami(two)
	before := one.shows(1, 1)[0].ID
	killed := time.Now()
	two.Kill()
	first.fails()
	retry := whoami(one)
	t.Log("joined after", one.joined(killed))
	require.Equal(t, before, one.shows(1, 1)[0].ID)
	one.approve(1, accepted)
	retry.succeeds()
	require.Len(t, one.accepts(), 1)
	one.prompted(1, 1)
}

// A node that stops says first that nobody waits there any more: the retry joins at
// once.
func TestABindWhoseNodeStopsIsJoinedAtOnce(t *testing.T) {
	t.Parallel()
	one, two := pair(t, options{phones: 1})
	first := two.bind(two.connect(wiki), dn(1), password(1))
	one.shows(1, 1)
	two.Stop()
	require.Error(t, first.wait())
	retry := one.bind(one.connect(wiki), dn(1), password(1))
	require.Less(t, one.joined(time.Now()), 5500*time.Millisecond, "a node that says nothing is taken for dead after 6 s")
	one.approve(1, accepted)
	require.NoError(t, retry.wait())
	one.prompted(1, 1)
}

// A node stands still, is taken for dead, and wakes up: it lets nobody in, though
// its bind was never answered and the login is approved.
func TestANodeThatStoodStillAnswersNothing(t *testing.T) {
	t.Parallel()
	one, two := pair(t, options{phones: 1})
	first := two.bind(two.connect(wiki), dn(1), password(1))
	one.shows(1, 1)
	two.Signal(syscall.SIGSTOP)
	retry := one.bind(one.connect(wiki), dn(1), password(1))
	one.joined(time.Now())
	two.Signal(syscall.SIGCONT)
	require.True(t, ldap.IsErrorWithCode(first.wait(), ldap.LDAPResultUnavailable))
	one.approve(1, accepted)
	require.NoError(t, retry.wait())
	require.Empty(t, two.accepts())
	one.prompted(1, 1)
}

// A node is cut off from Redis: it answers the bind that it holds before the other
// node takes it for dead.
func TestANodeWithoutRedisGivesItsBindsUpFirst(t *testing.T) {
	t.Parallel()
	redis := testenv.Redis(t)
	way := testenv.StartRelay(t, redis)
	one := start(t, options{phones: 2, redis: redis})
	two := start(t, options{beside: one, redis: way.Addr})
	first := two.bind(two.connect(wiki), dn(1), password(1))
	one.shows(1, 1)
	after := two.bind(two.connect(wiki), dn(2), password(2))
	one.approve(2, accepted)
	require.NoError(t, after.wait()) // the first one is held by now
	cut := time.Now()
	way.Part()
	retry := one.bind(one.connect(wiki), dn(1), password(1))
	require.True(t, ldap.IsErrorWithCode(first.wait(), ldap.LDAPResultUnavailable))
	one.joined(cut)
	two.Logged("the binds held here are given up")
	require.Less(t, two.said("the binds held here are given up"), one.held(), "by the clock that both nodes have")
	require.NotZero(t, two.Metric(fmt.Sprintf(`vssgate_ldap_refused_total{reason=%q}`, "unavailable")))
	one.approve(1, accepted)
	require.NoError(t, retry.wait())
	one.prompted(1, 1)
}
