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

// The node dies when the prompt is claimed and FCM has not taken it: the login goes
// on at the other node, which claims none again; VssID shows it when it is opened.
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
	id := atA.Login().ID // so the prompt is claimed
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

// What Redis refuses or forgets in the middle of a login lets nobody in, and the
// service is back by itself.
func TestFaultsOfRedisInTheMiddleOfALogin(t *testing.T) {
	for name, c := range map[string]struct {
		fault, mend []string
		keeps       bool // the login goes on when it is over
		forgets     bool // phones, too
	}{
		"everything is flushed":       {fault: []string{"FLUSHALL"}, forgets: true},
		"scripts are flushed":         {fault: []string{"SCRIPT", "FLUSH"}, keeps: true},
		"it is out of memory":         {fault: []string{"CONFIG", "SET", "maxmemory", "1"}, mend: []string{"CONFIG", "SET", "maxmemory", "0"}, keeps: true},
		"its replicas are gone":       {fault: []string{"CONFIG", "SET", "min-replicas-to-write", "1"}, mend: []string{"CONFIG", "SET", "min-replicas-to-write", "0"}, keeps: true},
		"it has become a replica":     {fault: []string{"REPLICAOF", "127.0.0.1", "1"}, mend: []string{"REPLICAOF", "NO", "ONE"}},
		"connections are all cut off": {fault: []string{"CLIENT", "KILL", "TYPE", "normal"}, keeps: true},
	} {
		t.Run(name, func(t *testing.T) {
			a, b, redis := pair(t)
			mine := a.Phone(1)
			asked := a.NAS(site.Asks).Ask(asks)
			require.EqualValues(t, site.AccessChallenge, asked.Code, asked.Text)
			answer := asks.Saying(mine.Code(), asked.State)
			redis.Do(c.fault...)
			if c.mend != nil {
				nas := b.NAS(site.Asks)
				nas.Send(nas.Packet(answer))
				nas.Silent(quiet)
				redis.Do(c.mend...)
			}
			accepted := 0
			for _, at := range []*site.Site{b, a} {
				require.Eventually(t, func() bool { code, _ := at.Get("/readyz"); return code == 200 }, site.Patience, tick)
				if at.NAS(site.Asks).Insist(answer).Code == site.AccessAccept {
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
			require.EqualValues(t, site.AccessAccept, a.NAS(site.Asks).Ask(next.Saying(codeAfter(t, mine), again.State)).Code)
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

// Sentinel moves the store to a replica in the middle of a login: the login is
// void, its code lets nobody in, phones are known, and nobody has to do anything.
func TestAFailoverBySentinelInTheMiddleOfALogin(t *testing.T) {
	primary := testenv.StartRedis(t)
	host, port, err := net.SplitHostPort(primary.Addr)
	require.NoError(t, err)
	replica := testenv.StartRedis(t, "--replicaof", host, port)
	require.Eventually(t, func() bool { return strings.Contains(replica.Do("INFO", "replication"), "master_link_status:up") }, site.Patience, tick)
	sentinel := testenv.RedisSentinel(t, primary, "vssgate")
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
	require.Eventually(t, func() bool {
		return strings.Contains(sentinelSays(t, sentinel, "SENTINEL", "REPLICAS", "vssgate"), replica.Addr)
	}, 2*site.Patience, tick)
	primary.Stop()
	sentinelSays(t, sentinel, "SENTINEL", "FAILOVER", "vssgate")
	require.Eventually(t, func() bool { return strings.Contains(replica.Do("INFO", "replication"), "role:master") }, 2*site.Patience, tick)
	require.Eventually(t, func() bool { code, _ := s.Get("/readyz"); return code == 200 }, 2*site.Patience, tick)
	for _, answer := range []site.Request{openAnswer, usedAnswer} {
		answer.Station = "203.0.113.9"
		require.EqualValues(t, site.AccessReject, s.NAS(site.Asks).Insist(answer).Code)
	}
	require.Len(t, s.Accepted(), 1)
	next := asks
	next.Station = "203.0.113.10"
	again := s.NAS(site.Asks).Insist(next)
	require.EqualValues(t, site.AccessChallenge, again.Code, again.Text)
	require.EqualValues(t, site.AccessAccept, s.NAS(site.Asks).Insist(next.Saying(codeAfter(t, mine), again.State)).Code)
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
