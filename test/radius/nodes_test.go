package radius_test

import (
	"fmt"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/phone"
	"vssgate/internal/testenv"
	"vssgate/test/site"
)

// pair is two nodes before one directory that share a store and the keys. The
// phones know them by one public URL, as behind a balancer.
func pair(t *testing.T) (a, b *site.Site, redis *testenv.RedisServer) {
	t.Helper()
	return pairOf(t, site.Options{})
}

// pairOf is pair with what is different.
func pairOf(t *testing.T, o site.Options) (a, b *site.Site, redis *testenv.RedisServer) {
	t.Helper()
	redis = testenv.StartRedis(t)
	a, b = pairAt(t, o, redis.Addr, redis.Addr)
	return a, b, redis
}

// pairAt is a pair whose nodes reach Redis at these addresses.
func pairAt(t *testing.T, o site.Options, atA, atB string) (a, b *site.Site) {
	t.Helper()
	more := o.More
	store := func(addr string) string { return more + fmt.Sprintf("store: {redis: {addresses: [%q]}}\n", addr) }
	o.More = store(atA)
	a = site.Start(t, o)
	o.More, o.Slapd, o.Secret, o.Before = store(atB), a.Slapd, a.Secret, site.ShareKey(t, a.Node)
	return a, site.Start(t, o)
}

func TestRedisKeepsAChallengedLogin(t *testing.T) {
	a, _, redis := pair(t)
	phone := a.Phone(1)
	nas := a.NAS(site.Asks)
	asked := nas.Ask(asks)
	require.EqualValues(t, site.AccessChallenge, asked.Code, asked.Text)
	code := phone.Code()
	require.EqualValues(t, site.AccessAccept, nas.Ask(asks.Saying(code, asked.State)).Code)
	require.NotEqual(t, ":0", redis.Do("DBSIZE"), "it was the Redis store")
}

func TestAStateFromOneNodeIsAnsweredAtTheOther(t *testing.T) {
	a, b, _ := pair(t)
	phone := a.Phone(1)
	asked := a.NAS(site.Asks).Ask(asks)
	require.EqualValues(t, site.AccessChallenge, asked.Code, asked.Text)
	answer := asks.Saying(phone.Code(), asked.State)
	done := b.NAS(site.Asks).Ask(answer)
	require.EqualValues(t, site.AccessAccept, done.Code, done.Text)
	require.Equal(t, "code", b.Last().Factor)
	require.Empty(t, a.Ended(), "one record, where the login ended")
	again := a.NAS(site.Asks).Insist(answer) // it may come before the other node has closed its books
	require.EqualValues(t, site.AccessAccept, again.Code, "the reply was lost, and its NAS tried the first node")
	require.Empty(t, a.Ended())
	require.Len(t, b.Ended(), 1)
	elsewhere := answer
	elsewhere.Station = "203.0.113.99"
	require.EqualValues(t, site.AccessReject, a.NAS(site.Asks).Ask(elsewhere).Code)
}

func TestAnAnswerThroughOneNodeEndsAHoldAtTheOther(t *testing.T) {
	a, b, _ := pair(t)
	key, err := phone.OpenKey(filepath.Join(t.TempDir(), "phone.key"))
	require.NoError(t, err)
	atA := a.EnrolKey(user, key, phone.Enrolment{})
	atB := b.Client(key)
	for i, answer := range []struct {
		say  func(*site.Phone) phone.Answered
		want byte
	}{{(*site.Phone).Yes, site.AccessAccept}, {(*site.Phone).No, site.AccessReject}} {
		r := asks
		r.Station = fmt.Sprintf("203.0.113.%d", 20+i)
		nas := a.NAS(site.Holds)
		p := nas.Packet(r)
		nas.Send(p)
		atA.Login()
		answer.say(atB)
		require.EqualValues(t, answer.want, nas.Answer(p).Code)
	}
	require.Len(t, append(a.Ended(), b.Ended()...), 2, "one record of each, at whichever node ended it")
}

func TestARetryAtTheOtherNodeJoinsAndTheLoginIsPromptedOnce(t *testing.T) {
	a, b, _ := pair(t)
	phone := a.Phone(1)
	first, second := a.NAS(site.Holds), b.NAS(site.Holds)
	first.Send(first.Packet(asks))
	id := phone.Login().ID
	retry := second.Packet(asks)
	second.Send(retry)
	require.Eventually(t, func() bool { return b.Metric("vssgate_joined_total") >= 1 }, site.Patience, tick)
	all := phone.All()
	require.Len(t, all, 1)
	require.Equal(t, id, all[0].ID)
	phone.Yes()
	require.EqualValues(t, site.AccessAccept, second.Answer(retry).Code)
	status := first.Status()
	first.Send(status)
	require.EqualValues(t, site.AccessAccept, first.Answer(status).Code, "the older request is never answered")
}

func TestALoginSurvivesTheDeathOfItsNode(t *testing.T) {
	a, b, _ := pair(t)
	phoneKey, err := phone.NewKey()
	require.NoError(t, err)
	a.EnrolKey(user, phoneKey, phone.Enrolment{})
	atB := b.Client(phoneKey)
	asked := a.NAS(site.Asks).Ask(asks)
	a.Kill()
	done := b.NAS(site.Asks).Ask(asks.Saying(atB.Code(), asked.State))
	require.EqualValues(t, site.AccessAccept, done.Code, done.Text)
}

func TestOneCodeAtTwoNodesAtOnceLetsInOnce(t *testing.T) {
	a, b, _ := pair(t)
	phone := a.Phone(1)
	asked := a.NAS(site.Asks).Ask(asks)
	code := phone.Code()
	answers := make(chan site.Answer, 8)
	for i := range cap(answers) {
		at := []*site.Site{a, b}[i%2]
		nas := at.NAS(site.Asks)
		p := nas.Packet(site.Request{User: user, Password: code, State: asked.State, Station: fmt.Sprintf("203.0.113.%d", 100+i)})
		go func() {
			nas.Send(p)
			got, _ := nas.Maybe(p, 3*time.Second) // silence for those that a newer one replaced
			answers <- got
		}()
	}
	accepted := 0
	for range cap(answers) {
		if got := <-answers; got.Code == site.AccessAccept {
			accepted++
		}
	}
	require.LessOrEqual(t, accepted, 1)
	records := 0
	for _, r := range append(a.Ended(), b.Ended()...) {
		if r.Verdict == "accepted" {
			records++
		}
	}
	require.Equal(t, accepted, records)
}

func TestRedisAwayIsSilenceAndNothingIsAskedUpstream(t *testing.T) {
	a, _, redis := pair(t)
	a.Phone(1)
	redis.Stop()
	nas := a.NAS(site.Asks)
	nas.Send(nas.Packet(asks))
	nas.Silent(quiet)
	require.Eventually(t, func() bool { code, _ := a.Get("/readyz"); return code == 503 }, site.Patience, tick)
	_, body := a.Get("/readyz")
	require.Contains(t, body, "store")
	nas.Send(nas.Status())
	nas.Silent(quiet)
	require.Empty(t, a.Ended())
	redis.Start()
	require.Eventually(t, func() bool { code, _ := a.Get("/readyz"); return code == 200 }, site.Patience, tick)
	require.EqualValues(t, site.AccessReject, nas.Insist(asks).Code)
	require.Equal(t, "no_device", a.Last().Reason, "this Redis keeps nothing, and without a phone nobody gets in")
}

func TestALoginIsListedOnBothNodesAndToldWhereItHappened(t *testing.T) {
	a, b, _ := pair(t)
	phone := a.Phone(1)
	asked := a.NAS(site.Asks).Ask(asks)
	code := phone.Code()
	list := b.Command("login", "list", "--open")
	require.Regexp(t, user+" +asks +203.0.113.7 +open", list)
	trace := regexp.MustCompile(`\[([A-Z0-9]{6})\]`).FindStringSubmatch(asked.Text)[1]
	require.Contains(t, list, trace)
	require.Contains(t, b.Command("login", "show", trace), "This node has not seen it")
	require.Contains(t, a.Command("login", "show", trace), "the password is right")

	require.EqualValues(t, site.AccessAccept, b.NAS(site.Asks).Ask(asks.Saying(code, asked.State)).Code)
	there := b.Command("login", "show", trace)
	require.Contains(t, there, "the code is right")
	require.Contains(t, there, "verdict: accepted")
	require.NotContains(t, there, "the password is right")
	here := a.Command("login", "show", trace)
	require.Contains(t, here, "the password is right")
	require.NotContains(t, here, "verdict")
	require.NotContains(t, a.Command("login", "list", "--open"), trace)
	require.Regexp(t, trace+` .* elsewhere`, a.Command("login", "list"))
	require.Regexp(t, "stage +elsewhere", here)
}
