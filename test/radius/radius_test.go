// Package radius_test logs in to the whole program over RADIUS: with real
// clients, with packets that are resent, lost and mixed up, and at two nodes
// that share a store.
package radius_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
	"vssgate/test/site"
)

// The user that most tests log in as.
var (
	user     = testenv.UserName(1)
	password = testenv.UserPassword(1)
)

// asks is the first request of the user's login.
var asks = site.Request{User: user, Password: password, Station: "203.0.113.7"}

func TestTheUserTypesTheCodeThatThePhoneShows(t *testing.T) {
	s := site.Start(t, site.Options{})
	phone := s.Phone(1)
	nas := s.NAS(site.Asks)
	asked := nas.Ask(asks)
	require.EqualValues(t, site.AccessChallenge, asked.Code, asked.Text)
	require.Len(t, asked.State, 24)
	again := nas.Ask(asks.Saying(phone.Wrong(), asked.State))
	require.EqualValues(t, site.AccessChallenge, again.Code, again.Text)
	require.Contains(t, again.Text, "2 tries left")
	require.NotEqual(t, asked.State, again.State)
	done := nas.Ask(asks.Saying(phone.Code(), again.State))
	require.EqualValues(t, site.AccessAccept, done.Code, done.Text)
	phone.None()
	r := s.Last()
	require.Equal(t, "accepted", r.Verdict)
	require.Equal(t, "code", r.Factor)
	require.Equal(t, user, r.Username)
	require.Equal(t, asks.Station, r.From)
	require.Contains(t, asked.Text, "["+r.Trace+"]", "what the user read leads to the record")
	require.Len(t, s.Ended(), 1, "one login, one record")
}

func TestAStateAndACodeLetInOnce(t *testing.T) {
	s := site.Start(t, site.Options{})
	phone := s.Phone(1)
	nas := s.NAS(site.Asks)
	asked := nas.Ask(asks)
	code := phone.Code()
	require.EqualValues(t, site.AccessAccept, nas.Ask(asks.Saying(code, asked.State)).Code)
	for name, r := range map[string]site.Request{
		"from another station": {User: user, Password: code, State: asked.State, Station: "203.0.113.8"},
		"by another user":      {User: testenv.UserName(2), Password: code, State: asked.State, Station: asks.Station},
		"appended":             {User: user, Password: password + "," + code, Station: "203.0.113.8"},
		"one bit of the state": {User: user, Password: code, State: string([]byte{asked.State[0] ^ 1}) + asked.State[1:], Station: asks.Station},
	} {
		t.Run(name, func(t *testing.T) {
			require.NotEqualValues(t, site.AccessAccept, nas.Ask(r).Code)
		})
	}
	t.Run("from another NAS", func(t *testing.T) {
		require.NotEqualValues(t, site.AccessAccept, s.NAS(site.Holds).Ask(asks.Saying(code, asked.State)).Code)
	})
	require.Len(t, s.Accepted(), 1)
}

func TestAHeldLoginIsDeniedOnThePhone(t *testing.T) {
	s := site.Start(t, site.Options{})
	phone := s.Phone(1)
	nas := s.NAS(site.Holds)
	p := nas.Packet(asks)
	nas.Send(p)
	require.Equal(t, "rejected", phone.No().Verdict)
	done := nas.Answer(p)
	require.EqualValues(t, site.AccessReject, done.Code)
	require.Contains(t, done.Text, "denied in VssID")
	require.Equal(t, "denied", s.Last().Reason)
}

// quiet is how long no answer must come where none may.
const quiet = 700 * time.Millisecond
