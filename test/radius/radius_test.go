// Package radius_test logs in to the whole program over RADIUS: with real
// clients, with packets that are resent, lost and mixed up, and at two nodes
// that share a store.
package radius_test

import (
	"fmt"
	"strings"
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

// A State that this user at this NAS was never given says nothing of why it is
// no good.
func TestBadStatesAreAnsweredAlike(t *testing.T) {
	s := site.Start(t, site.Options{})
	phone := s.Phone(1)
	nas := s.NAS(site.Asks)
	open := nas.Ask(asks)
	const noLonger = `^This login is no longer valid\. Log in again from the start\. \[\w{6}\]$`
	flipped := string([]byte{open.State[0] ^ 1}) + open.State[1:]
	for name, r := range map[string]site.Request{
		"one bit changed": asks.Saying(phone.Code(), flipped),
		"nobody's":        asks.Saying(phone.Code(), strings.Repeat("s", 24)),
		"of 253 bytes":    asks.Saying(phone.Code(), strings.Repeat("s", 253)),
		"cut":             asks.Saying(phone.Code(), open.State[:23]),
		"another user's":  {User: testenv.UserName(2), Password: phone.Code(), State: open.State, Station: asks.Station},
	} {
		a := nas.Ask(r)
		require.EqualValues(t, site.AccessReject, a.Code, name)
		require.Regexp(t, noLonger, a.Text, name)
	}
	t.Run("another NAS's", func(t *testing.T) {
		a := s.NAS(site.Holds).Ask(asks.Saying(phone.Code(), open.State))
		require.EqualValues(t, site.AccessReject, a.Code)
		require.Regexp(t, noLonger, a.Text)
	})
	require.Empty(t, s.Accepted())
	require.EqualValues(t, site.AccessAccept, nas.Ask(asks.Saying(phone.Code(), open.State)).Code, "the good one is as good as it was")
}

// Nobody answers: the NAS hears it when hold ends, and not by its own time-out.
func TestNobodyAnswersAHeldLogin(t *testing.T) {
	s := site.Start(t, site.Options{Hold: "1s", Clients: `    - name: turns
      addresses: [127.0.0.4]
      secret: "{{SECRET}}"
      mode: hold
      hold: 1s
      then: challenge
      approval: simple
`})
	phone := s.Phone(1)
	refused := s.NAS(site.Holds).Ask(asks)
	require.EqualValues(t, site.AccessReject, refused.Code)
	require.Contains(t, refused.Text, "VssID")
	require.Empty(t, s.Ended(), "it is open until its deadline")
	nas := s.NAS("127.0.0.4")
	asked := nas.Ask(asks)
	require.EqualValues(t, site.AccessChallenge, asked.Code)
	require.EqualValues(t, site.AccessAccept, nas.Ask(asks.Saying(phone.Code(), asked.State)).Code)
}

func TestEveryListenerAnswersInItsFamily(t *testing.T) {
	s := site.Start(t, site.Options{Listen: `"127.0.0.1:0", "[::1]:0", "[::]:0"`, Asks: `127.0.0.1, "::1"`})
	phone := s.Phone(1)
	port := func(i int) string { return s.RADIUS[i][strings.LastIndexByte(s.RADIUS[i], ':'):] }
	for i, c := range []struct{ from, asked string }{
		{"127.0.0.1", "127.0.0.1" + port(0)},
		{"::1", "[::1]" + port(1)},
		{"::1", "[::1]" + port(2)},
		{"127.0.0.1", "127.0.0.1" + port(2)}, // IPv4 written as IPv6 is this NAS too
		{"127.0.0.1", "127.0.0.77" + port(2)},
	} {
		t.Run(c.asked, func(t *testing.T) {
			r := asks
			r.Station = fmt.Sprintf("2001:db8::%d", i+1)
			nas := site.DialNAS(t, c.from, c.asked, s.Secret) // hears nobody but whom it asked
			asked := nas.Ask(r)
			require.EqualValues(t, site.AccessChallenge, asked.Code)
			elsewhere := site.DialNAS(t, "127.0.0.1", "127.0.0.1"+port(0), s.Secret)
			done := elsewhere.Ask(r.Saying(phone.Code(), asked.State))
			require.EqualValues(t, site.AccessAccept, done.Code, "a challenge is answered at any listener")
			require.Equal(t, r.Station, s.Last().From)
		})
	}
}

// What only looks like an appended code is a password.
func TestWhatIsNoAppendedCodeIsAWholePassword(t *testing.T) {
	s := site.Start(t, site.Options{More: "throttle: {per_account: 20}\n"})
	phone := s.Phone(1)
	nas := s.NAS(site.Appends)
	require.Contains(t, nas.Ask(asks).Text, "Password correct")
	code := phone.Code()
	checked := s.Metric("vssgate_upstream_seconds_count")
	for _, typed := range []string{code, password + ",", password + "," + code[:5], password + "," + code + "7", password + code, "," + password + "," + code} {
		r := asks
		r.Password = typed
		a := nas.Ask(r)
		require.EqualValues(t, site.AccessReject, a.Code, typed)
		require.Contains(t, a.Text, "Wrong user name or password", typed)
	}
	require.EqualValues(t, checked+6, s.Metric("vssgate_upstream_seconds_count"), "each was asked for as it stands")
	for _, typed := range []string{"," + code, ""} {
		require.EqualValues(t, site.AccessReject, nas.Ask(asks.Saying(typed, "")).Code, "%q", typed)
	}
	require.EqualValues(t, checked+6, s.Metric("vssgate_upstream_seconds_count"), "an empty password is asked of nobody")
	require.EqualValues(t, site.AccessAccept, nas.Ask(asks.Saying(password+","+code, "")).Code, "and no try at the code was lost")
}
