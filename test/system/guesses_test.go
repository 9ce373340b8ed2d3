package system_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/test/site"
)

// Who knows the password may guess codes as often, as parallel and in as many
// ways as he likes: a handful is compared, and then the account is locked.
func TestAThousandParallelGuessesAreComparedAHandfulOfTimes(t *testing.T) {
	const guesses, sockets = 1000, 20
	s := site.Start(t, site.Options{})
	phone := s.Phone(1)
	stations := []string{"203.0.113.1", "203.0.113.2", "203.0.113.3"}
	challenge := map[string]string{}   // State, by station
	for _, station := range stations { // as many logins as may be open at once: three tries each
		r := site.Request{User: user, Password: password, Station: station}
		challenge[station] = s.NAS(site.Asks).Ask(r).State
		s.NAS(site.Appends).Ask(r)
		held := s.NAS(site.Holds)
		held.Send(held.Packet(r))
	}
	right := map[string]bool{}
	require.Eventually(t, func() bool { return len(phone.All()) == 9 }, site.Patience, tick)
	for _, l := range phone.All() {
		right[l.Code] = true
	}
	wrong := func(n int) string {
		for ; ; n += guesses {
			if code := fmt.Sprintf("%06d", n); !right[code] {
				return code
			}
		}
	}
	var mu sync.Mutex
	texts := map[string]int{}
	accepts := 0
	var guessing sync.WaitGroup
	for k := range sockets {
		from := []string{site.Asks, site.Appends, site.Holds}[k%3]
		nas := s.NAS(from)
		guessing.Go(func() {
			for n := range guesses / sockets {
				code, station := wrong(k*guesses/sockets+n), stations[n%len(stations)]
				r := site.Request{User: user, Password: password + "," + code, Station: station}
				if from == site.Asks && k%2 == 0 {
					r = r.Saying(code, challenge[station])
				}
				nas.Send(nas.Packet(r))
			}
			for range guesses / sockets {
				raw := nas.Any(2 * time.Second)
				if raw == nil {
					return // the others were answered with silence: newer requests came
				}
				mu.Lock()
				if raw[0] == site.AccessAccept {
					accepts++
				}
				texts[kindOf(raw)]++
				mu.Unlock()
			}
		})
	}
	guessing.Wait()
	require.Zero(t, accepts)
	t.Logf("answers: %v", texts)
	require.LessOrEqual(t, texts["Wrong code"], 5, "so many were compared and left tries: %v", texts)
	require.NotZero(t, texts["the account is locked"], "%v", texts)
	s.Logged("account locked after wrong codes")
	counted := regexp.MustCompile(`"account locked after wrong codes".*"wrong":(\d+)`).FindAllStringSubmatch(s.Output(), -1)
	require.NotEmpty(t, counted)
	for _, c := range counted {
		require.Equal(t, "5", c[1], "so many were compared in all")
	}

	var account struct {
		Locked      bool
		LockedUntil time.Time `json:"locked_until"`
	}
	require.NoError(t, json.Unmarshal([]byte(s.Command("account", "show", user, "--json")), &account))
	require.True(t, account.Locked)
	require.WithinDuration(t, time.Now().Add(15*time.Minute), account.LockedUntil, 2*time.Minute)
	t.Run("the right code does not help any more", func(t *testing.T) {
		for code := range right {
			for _, station := range stations {
				r := site.Request{User: user, Password: password + "," + code, Station: station}
				require.EqualValues(t, site.AccessReject, s.NAS(site.Appends).Ask(r).Code)
			}
		}
		require.NotEqualValues(t, site.AccessAccept, s.NAS(site.Asks).Ask(asks).Code)
		require.Empty(t, s.Accepted())
	})
	t.Run("not even after a crash", func(t *testing.T) {
		s.Kill()
		s.Start()
		answer := s.NAS(site.Asks).Ask(asks)
		require.EqualValues(t, site.AccessReject, answer.Code)
		require.Contains(t, answer.Text, "the account is locked")
	})
	t.Run("until it is unlocked", func(t *testing.T) {
		s.Command("account", "unlock", user, "--why", "the user called")
		asked := s.NAS(site.Asks).Ask(asks)
		require.EqualValues(t, site.AccessChallenge, asked.Code, asked.Text)
		require.EqualValues(t, site.AccessAccept, s.NAS(site.Asks).Ask(asks.Saying(phone.Code(), asked.State)).Code)
	})
	s.Verify()
}

// kindOf is what a guess was answered.
func kindOf(raw []byte) string {
	for _, text := range []string{"the account is locked", "Wrong code", "Too many wrong codes. Log in", "Wrong user name or password", "no longer valid"} {
		if strings.Contains(string(raw), text) {
			return text
		}
	}
	return "something else: " + string(raw[38:])
}

// Without the password nobody's account is locked and nobody's phone shows
// anything, however often it is tried.
func TestWhoDoesNotKnowThePasswordLocksNobodyOut(t *testing.T) {
	s := site.Start(t, site.Options{})
	phone := s.Phone(1)
	nas := s.NAS(site.Appends)
	for n := range 300 {
		answer := nas.Ask(site.Request{User: user, Password: fmt.Sprintf("guess,%06d", n), Station: fmt.Sprintf("198.51.100.%d", n%250)})
		require.EqualValues(t, site.AccessReject, answer.Code)
		require.Contains(t, answer.Text, "Wrong user name or password")
	}
	phone.None()
	require.LessOrEqual(t, s.Metric("vssgate_upstream_seconds_count"), 4.0, "nor is the account locked in the directory")
	shown := s.Command("account", "show", user, "--json")
	require.Contains(t, shown, `"locked": false`)
}
