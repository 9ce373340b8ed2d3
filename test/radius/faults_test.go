package radius_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/phone"
	"vssgate/internal/testenv"
	"vssgate/test/fakefcm"
	"vssgate/test/site"
)

// shared enrols one phone that reaches both nodes.
func shared(t *testing.T, a, b *site.Site) (atA, atB *site.Phone) {
	t.Helper()
	key, err := phone.OpenKey(filepath.Join(t.TempDir(), "phone.key"))
	require.NoError(t, err)
	return a.EnrolKey(user, key, phone.Enrolment{}), b.Client(key)
}

// retried sends the user's login to b, as a NAS does that a no longer answers.
func retried(t *testing.T, b *site.Site) (nas *site.NAS, packet []byte) {
	t.Helper()
	nas = b.NAS(site.Holds)
	packet = nas.Packet(asks)
	nas.Send(packet)
	require.Eventually(t, func() bool { return b.Metric("vssgate_joined_total") >= 1 }, site.Patience, tick)
	return nas, packet
}

func TestANodeThatDrainsHandsItsHeldLoginsOver(t *testing.T) {
	a, b, _ := pair(t)
	atA, atB := shared(t, a, b)
	first := a.NAS(site.Holds)
	first.Send(first.Packet(asks))
	id := atA.Login().ID
	a.Stop()
	second, packet := retried(t, b)
	all := atB.All()
	require.Len(t, all, 1)
	require.Equal(t, id, all[0].ID, "one login, one prompt")
	require.Equal(t, "accepted", atB.Yes().Verdict)
	require.EqualValues(t, site.AccessAccept, second.Answer(packet).Code)
	require.Len(t, append(a.Ended(), b.Ended()...), 1)
}

func TestAHeldLoginGoesOnWhenItsNodeIsKilled(t *testing.T) {
	a, b, _ := pair(t)
	atA, atB := shared(t, a, b)
	first := a.NAS(site.Holds)
	first.Send(first.Packet(asks))
	id := atA.Login().ID
	a.Kill()
	second, packet := retried(t, b)
	require.Equal(t, id, atB.Login().ID)
	require.Equal(t, "accepted", atB.Yes().Verdict)
	require.EqualValues(t, site.AccessAccept, second.Answer(packet).Code)
	require.Len(t, append(a.Ended(), b.Ended()...), 1)
}

// The node dies when it has called FCM, which has not answered: the login goes on at
// the other node, which does not call again, since nobody knows whether the phone
// rings; VssID shows the login when it is opened. (A node that dies before it calls:
// internal/login, TestAPromptOfADeadNodeIsSentByTheNext.)
func TestANodeKilledBetweenTheClaimAndFCMLeavesOnePrompt(t *testing.T) {
	fcm := fakefcm.Run(t)
	credentials := filepath.Join(t.TempDir(), "fcm.json")
	require.NoError(t, os.WriteFile(credentials, fcm.CredentialsJSON(), 0o600))
	a, b, _ := pairOf(t, site.Options{More: fmt.Sprintf("push: {fcm: {credentials_file: %s, endpoint: %q}}\n", credentials, fcm.Endpoint())})
	key, err := phone.OpenKey(filepath.Join(t.TempDir(), "phone.key"))
	require.NoError(t, err)
	atA, atB := a.EnrolKey(user, key, phone.Enrolment{PushToken: "token-of-the-phone"}), b.Client(key)
	fcm.Always(fakefcm.SlowHead(time.Minute))
	first := a.NAS(site.Holds)
	first.Send(first.Packet(asks))
	id := atA.Login().ID
	rung(t, fcm, 1)
	a.Kill()
	delivered := len(fcm.Messages())
	fcm.Always(fakefcm.OK())
	second, packet := retried(t, b)
	all := atB.All()
	require.Len(t, all, 1)
	require.Equal(t, id, all[0].ID)
	require.Equal(t, "accepted", atB.Yes().Verdict)
	require.EqualValues(t, site.AccessAccept, second.Answer(packet).Code)
	require.LessOrEqual(t, delivered, 1)
	for _, m := range fcm.Messages()[delivered:] {
		require.NotEqual(t, "login", m.Data["type"], "a second prompt")
	}
}

// A node that stood still wakes up after its login was decided elsewhere, and
// after its deadline: it must let nobody in.
func TestANodeThatStoodStillAcceptsNothingLate(t *testing.T) {
	a, b, _ := pair(t)
	atA, atB := shared(t, a, b)
	first := a.NAS(site.Holds)
	first.Send(first.Packet(asks))
	atA.Login()
	a.Signal(syscall.SIGSTOP)
	second, packet := retried(t, b)
	require.Equal(t, "accepted", atB.Yes().Verdict)
	require.EqualValues(t, site.AccessAccept, second.Answer(packet).Code)
	a.Signal(syscall.SIGCONT)
	first.Silent(quiet)
	atB.None()
	require.Len(t, append(a.Ended(), b.Ended()...), 1)
}

// What Redis refuses or forgets in the middle of a login, and what the network
// does before it, lets nobody in, and the service is back by itself.
func TestFaultsOfRedisInTheMiddleOfALogin(t *testing.T) {
	type fault func(*testenv.RedisServer, *testenv.Relay)
	do := func(words ...string) fault { return func(s *testenv.RedisServer, _ *testenv.Relay) { s.Do(words...) } }
	for name, c := range map[string]struct {
		fault, mend fault
		keeps       bool // the login goes on when it is over
		forgets     bool // phones, too
	}{
		"everything is flushed":       {fault: do("FLUSHALL"), forgets: true},
		"it is restarted and empty":   {fault: func(s *testenv.RedisServer, _ *testenv.Relay) { s.Stop(); s.Start() }, forgets: true},
		"scripts are flushed":         {fault: do("SCRIPT", "FLUSH"), keeps: true},
		"it is out of memory":         {fault: do("CONFIG", "SET", "maxmemory", "1"), mend: do("CONFIG", "SET", "maxmemory", "0"), keeps: true},
		"its replicas are gone":       {fault: do("CONFIG", "SET", "min-replicas-to-write", "1"), mend: do("CONFIG", "SET", "min-replicas-to-write", "0"), keeps: true},
		"it has become a replica":     {fault: do("REPLICAOF", "127.0.0.1", "1"), mend: do("REPLICAOF", "NO", "ONE")},
		"connections are all cut off": {fault: do("CLIENT", "KILL", "TYPE", "normal"), keeps: true},
		"it stands still": {
			fault: func(s *testenv.RedisServer, _ *testenv.Relay) { s.Freeze() },
			mend:  func(s *testenv.RedisServer, _ *testenv.Relay) { s.Thaw() }, keeps: true,
		},
		"nothing comes through": {
			fault: func(_ *testenv.RedisServer, r *testenv.Relay) { r.Part() },
			mend:  func(_ *testenv.RedisServer, r *testenv.Relay) { r.Mend() }, keeps: true,
		},
		"connections are half open": {fault: func(_ *testenv.RedisServer, r *testenv.Relay) { r.Forget() }, keeps: true},
		"it takes 100 ms":           {fault: func(_ *testenv.RedisServer, r *testenv.Relay) { r.Slow(100 * time.Millisecond) }, keeps: true},
		"it takes 3 s": {
			fault: func(_ *testenv.RedisServer, r *testenv.Relay) { r.Slow(3 * time.Second) },
			mend:  func(_ *testenv.RedisServer, r *testenv.Relay) { r.Mend() }, keeps: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			redis := testenv.StartRedis(t)
			relay := testenv.StartRelay(t, redis.Addr)
			a, b := pairAt(t, site.Options{}, relay.Addr, relay.Addr)
			mine := a.Phone(1)
			asked := a.NAS(site.Asks).Ask(asks)
			require.EqualValues(t, site.AccessChallenge, asked.Code, asked.Text)
			answer := asks.Saying(mine.Code(), asked.State)
			c.fault(redis, relay)
			accepted := 0
			for _, at := range []*site.Site{b, a} {
				nas := at.NAS(site.Asks)
				packet := nas.Packet(answer)
				if c.mend != nil && at == b {
					nas.Send(packet)
					nas.Silent(quiet)
					c.mend(redis, relay)
				}
				require.Eventually(t, func() bool { code, _ := at.Get("/readyz"); return code == 200 }, site.Patience, tick)
				if nas.InsistOn(packet).Code == site.AccessAccept {
					accepted++
				}
				answer.Station += "0" // elsewhere: a code once
			}
			if c.keeps {
				require.Equal(t, 1, accepted)
			} else {
				require.Zero(t, accepted)
			}
			require.Len(t, append(a.Accepted(), b.Accepted()...), accepted)
			if c.forgets {
				require.EqualValues(t, site.AccessReject, a.NAS(site.Asks).Insist(asks).Code)
				require.Equal(t, "no_device", a.Last().Reason)
				return
			}
			next := asks
			next.Station = "203.0.113.200"
			again := a.NAS(site.Asks).Insist(next)
			require.EqualValues(t, site.AccessChallenge, again.Code, again.Text)
			require.EqualValues(t, site.AccessAccept, a.NAS(site.Asks).Insist(next.Saying(codeAfter(t, mine), again.State)).Code)
		})
	}
}

// codeAfter is the code that the phone shows. What it signed in the second in which
// Redis began anew may have been used before, and is refused: it asks again.
func codeAfter(t *testing.T, p *site.Phone) (code string) {
	t.Helper()
	require.Eventually(t, func() bool {
		list, err := p.Logins(t.Context(), 0, "")
		if err != nil || len(list.Logins) == 0 {
			return false
		}
		code = list.Logins[0].Code
		return true
	}, site.Patience, 50*time.Millisecond)
	return code
}

// A node that is cut off from Redis answers nobody, its NAS goes on at the other
// node, and when it is back it lets nobody in by what was decided meanwhile.
func TestANodeCutOffFromRedisLeavesItsLoginToTheOther(t *testing.T) {
	t.Parallel()
	redis := testenv.StartRedis(t)
	relay := testenv.StartRelay(t, redis.Addr)
	a, b := pairAt(t, site.Options{}, relay.Addr, redis.Addr)
	atA, atB := shared(t, a, b)
	first := a.NAS(site.Holds)
	first.Send(first.Packet(asks))
	id := atA.Login().ID
	relay.Part()
	_, err := atA.Approve(t.Context(), id, "")
	require.ErrorContains(t, err, "unavailable")
	second, packet := retried(t, b)
	require.Equal(t, id, atB.Login().ID)
	require.Equal(t, "accepted", atB.Yes().Verdict)
	require.EqualValues(t, site.AccessAccept, second.Answer(packet).Code)
	relay.Mend()
	require.Eventually(t, func() bool { code, _ := a.Get("/readyz"); return code == 200 }, site.Patience, tick)
	first.Silent(quiet)
	require.Len(t, append(a.Ended(), b.Ended()...), 1)
	next := asks
	next.Station = "203.0.113.8"
	p := first.Packet(next)
	first.Send(p)
	atA.Yes()
	require.EqualValues(t, site.AccessAccept, first.Answer(p).Code)
}

// A node stands still over the deadline of what it holds. What was approved
// meanwhile, and collected by nobody, is not collected by it; and it prompts nobody.
func TestANodeThatStoodStillPastTheDeadlineAcceptsNothing(t *testing.T) {
	t.Parallel()
	fcm := fakefcm.Run(t)
	credentials := filepath.Join(t.TempDir(), "fcm.json")
	require.NoError(t, os.WriteFile(credentials, fcm.CredentialsJSON(), 0o600))
	a, b, _ := pairOf(t, site.Options{More: fmt.Sprintf("second_factor: {valid_for: 10s, grace: 1s}\npush: {fcm: {credentials_file: %s, endpoint: %q}}\n", credentials, fcm.Endpoint())})
	key, err := phone.NewKey()
	require.NoError(t, err)
	atA, atB := a.EnrolKey(user, key, phone.Enrolment{PushToken: "token-of-the-phone"}), b.Client(key)
	nas := a.NAS(site.Holds)
	p := nas.Packet(asks)
	nas.Send(p)
	l := atA.Login()
	rung(t, fcm, 1)
	a.Signal(syscall.SIGSTOP)
	told := atB.Yes()
	require.Equal(t, "waiting_for_retry", told.Verdict, "whoever waits does not move")
	time.Sleep(time.Until(l.Expires.Add(1500 * time.Millisecond))) // the test is about this time
	a.Signal(syscall.SIGCONT)
	if answer, came := nas.Maybe(p, quiet); came {
		require.EqualValues(t, site.AccessReject, answer.Code)
	}
	require.Eventually(t, func() bool { return len(append(a.Ended(), b.Ended()...)) > 0 }, site.Patience, tick)
	ended := append(a.Ended(), b.Ended()...)
	require.Len(t, ended, 1)
	require.Equal(t, "expired", ended[0].Reason)
	prompts := 0
	for _, m := range fcm.Messages() {
		if m.Data["type"] == "login" {
			prompts++
		}
	}
	require.Equal(t, 1, prompts)
}

// behindSentinel is a primary with a replica, and a Sentinel that finds it dead
// after half a second.
func behindSentinel(t *testing.T) (primary, replica *testenv.RedisServer, sentinel string) {
	t.Helper()
	primary = testenv.StartRedis(t)
	host, port, err := net.SplitHostPort(primary.Addr)
	require.NoError(t, err)
	replica = testenv.StartRedis(t, "--replicaof", host, port)
	require.Eventually(t, func() bool { return strings.Contains(replica.Do("INFO", "replication"), "master_link_status:up") }, site.Patience, tick)
	sentinel = testenv.RedisSentinel(t, primary, "vssgate")
	sentinelSays(t, sentinel, "SENTINEL", "SET", "vssgate", "down-after-milliseconds", "500")
	require.Eventually(t, func() bool {
		return strings.Contains(sentinelSays(t, sentinel, "SENTINEL", "REPLICAS", "vssgate"), replica.Addr)
	}, 2*site.Patience, tick)
	return primary, replica, sentinel
}

// Sentinel finds the primary dead in the middle of a login, and moves the store to
// the replica: the login is void, its code lets nobody in, phones are known, and
// nobody has to do anything. A primary that only stood still comes back with its
// memory of before: nobody asks it any more.
func TestAFailoverBySentinelInTheMiddleOfALogin(t *testing.T) {
	for name, c := range map[string]struct{ dies, comesBack func(*testenv.RedisServer) }{
		"the primary is killed":                        {(*testenv.RedisServer).Stop, (*testenv.RedisServer).Start},
		"the primary stands still, then there are two": {func(s *testenv.RedisServer) { s.Freeze() }, func(s *testenv.RedisServer) { s.Thaw() }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			primary, replica, sentinel := behindSentinel(t)
			s := site.Start(t, site.Options{More: fmt.Sprintf("store: {redis: {addresses: [%q], master_name: vssgate}}\n", sentinel)})
			mine := s.Phone(1)
			nas := s.NAS(site.Asks)
			used := nas.Ask(asks)
			usedAnswer := asks.Saying(mine.Code(), used.State)
			require.EqualValues(t, site.AccessAccept, nas.Ask(usedAnswer).Code)
			later := asks
			later.Station = "203.0.113.8"
			open := nas.Ask(later)
			openAnswer := later.Saying(mine.Code(), open.State)
			c.dies(primary)
			_, port, err := net.SplitHostPort(replica.Addr)
			require.NoError(t, err)
			require.Eventually(t, func() bool { // the replica itself cannot be asked: it drops whoever is connected when it is promoted
				return strings.Contains(sentinelSays(t, sentinel, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "vssgate"), "\n"+port+"\r")
			}, 2*site.Patience, tick)
			require.Eventually(t, func() bool { code, _ := s.Get("/readyz"); return code == 200 }, 2*site.Patience, tick)
			refused := func(station string) {
				t.Helper()
				for _, answer := range []site.Request{openAnswer, usedAnswer} {
					answer.Station = station
					require.EqualValues(t, site.AccessReject, s.NAS(site.Asks).Insist(answer).Code)
				}
				require.EqualValues(t, site.AccessReject, s.NAS(site.Asks).Insist(openAnswer).Code)
			}
			refused("203.0.113.9")
			c.comesBack(primary)
			refused("203.0.113.10")
			require.Len(t, s.Accepted(), 1)
			next := asks
			next.Station = "203.0.113.11"
			again := s.NAS(site.Asks).Insist(next)
			require.EqualValues(t, site.AccessChallenge, again.Code, again.Text)
			require.EqualValues(t, site.AccessAccept, s.NAS(site.Asks).Insist(next.Saying(codeAfter(t, mine), again.State)).Code)
		})
	}
}

// sentinelSays sends a command to a Sentinel and returns the beginning of what it
// answers.
func sentinelSays(t *testing.T, addr string, words ...string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(site.Patience)))
	_, err = fmt.Fprintf(conn, "%s\r\n", strings.Join(words, " "))
	require.NoError(t, err)
	buf := make([]byte, 4096)
	n, err := conn.Read(buf)
	require.NoError(t, err)
	return string(buf[:n])
}
