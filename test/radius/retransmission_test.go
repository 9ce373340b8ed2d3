package radius_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
	"vssgate/test/site"
)

// tick is how often something that is on its way is looked for.
const tick = 10 * time.Millisecond

func TestTheSameDatagramTwentyTimesInAHoldIsOnePromptAndOneReply(t *testing.T) {
	s := site.Start(t, site.Options{})
	phone := s.Phone(1)
	nas := s.NAS(site.Holds)
	p := nas.Packet(asks)
	for range 20 {
		nas.Send(p)
	}
	seen := phone.All()
	require.Len(t, seen, 1)
	require.Equal(t, 1, seen[0].Waiting)
	require.Eventually(t, func() bool {
		return s.Metric(`vssgate_packets_dropped_total{reason="retransmission"}`) == 19
	}, site.Patience, tick)
	phone.Yes()
	require.EqualValues(t, site.AccessAccept, nas.Answer(p).Code)
	status := nas.Status()
	nas.Send(status)
	require.EqualValues(t, site.AccessAccept, nas.Answer(status).Code, "nothing between the reply and this")
	r := s.Last()
	require.Equal(t, 1, r.Requests)
	require.LessOrEqual(t, r.Pushes, 1)
	require.Len(t, s.Ended(), 1)
}

func TestALostReplyIsSentAgainByteForByte(t *testing.T) {
	s := site.Start(t, site.Options{})
	phone := s.Phone(1)
	nas := s.NAS(site.Holds)
	p := nas.Packet(asks)
	nas.Send(p)
	phone.Yes()
	first := nas.Answer(p)
	require.EqualValues(t, site.AccessAccept, first.Code)
	for range 3 {
		nas.Send(p)
		require.Equal(t, first.Raw, nas.Answer(p).Raw)
	}
	require.Len(t, s.Ended(), 1, "nothing is decided again")
}

// OpenVPN's plugin keeps the Identifier and makes a new authenticator and a
// new port for each try.
func TestARetryFromAnotherPortJoinsAndGetsTheReply(t *testing.T) {
	s := site.Start(t, site.Options{})
	phone := s.Phone(1)
	first, second := s.NAS(site.Holds), s.NAS(site.Holds)
	r := asks
	r.Identifier = 7
	first.Send(first.Packet(r))
	one := phone.Login()
	retry := second.Packet(r)
	second.Send(retry)
	waitJoined(t, s)
	all := phone.All()
	require.Len(t, all, 1, "the same login")
	require.Equal(t, one.ID, all[0].ID)
	phone.Yes()
	require.EqualValues(t, site.AccessAccept, second.Answer(retry).Code)
	status := first.Status()
	first.Send(status)
	require.EqualValues(t, site.AccessAccept, first.Answer(status).Code, "the older request is never answered")
	require.Len(t, s.Ended(), 1)
	require.Equal(t, 2, s.Last().Requests)
}

func TestARetryWithANewIdentifierJoins(t *testing.T) {
	s := site.Start(t, site.Options{})
	phone := s.Phone(1)
	nas := s.NAS(site.Holds)
	nas.Send(nas.Packet(asks))
	phone.Login()
	retry := nas.Packet(asks)
	nas.Send(retry)
	waitJoined(t, s)
	phone.Yes()
	require.EqualValues(t, site.AccessAccept, nas.Answer(retry).Code, "the newest request gets the verdict")
	require.Len(t, s.Ended(), 1)
}

// waitJoined waits until a request has joined an open login.
func waitJoined(t *testing.T, s *site.Site) {
	t.Helper()
	require.Eventually(t, func() bool { return s.Metric("vssgate_joined_total") >= 1 }, site.Patience, tick)
}

func TestAnIdentifierReusedByAnotherUserIsServedAtOnce(t *testing.T) {
	s := site.Start(t, site.Options{})
	one, two := s.Phone(1), s.Phone(2)
	nas := s.NAS(site.Holds)
	r := asks
	r.Identifier = 9
	nas.Send(nas.Packet(r))
	one.Login()
	other := site.Request{User: testenv.UserName(2), Password: testenv.UserPassword(2), Station: "203.0.113.9", Identifier: 9}
	p := nas.Packet(other)
	nas.Send(p)
	two.Login()
	one.Yes() // nobody waits for it any more
	require.Equal(t, "accepted", two.Yes().Verdict)
	require.EqualValues(t, site.AccessAccept, nas.Answer(p).Code)
	require.Equal(t, testenv.UserName(2), s.Last().Username)
	t.Run("and the first user's approval is collected by a retry", func(t *testing.T) {
		require.EqualValues(t, site.AccessAccept, nas.Ask(asks).Code)
		require.Equal(t, user, s.Last().Username)
	})
}
