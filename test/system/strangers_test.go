package system_test

import (
	"encoding/json"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
	"vssgate/test/site"
)

// One password tried on everybody: the directory hears it as often as
// throttle.per_source lets it, and nobody is locked out or prompted.
func TestASprayerIsStoppedAtTheThrottle(t *testing.T) {
	s := site.Start(t, site.Options{})
	victim := s.Phone(1)
	nas := s.NAS(site.Asks)
	for n := range 200 {
		answer := nas.Ask(site.Request{User: testenv.UserName(n%10 + 1), Password: fmt.Sprintf("Summer2026-%d", n/10), Station: "198.51.100.66"})
		require.EqualValues(t, site.AccessReject, answer.Code)
	}
	for n := range 100 {
		answer := nas.Ask(site.Request{User: fmt.Sprintf("nobody%d", n), Password: "Summer2026", Station: "198.51.100.66"})
		require.EqualValues(t, site.AccessReject, answer.Code)
	}
	require.LessOrEqual(t, s.Metric("vssgate_upstream_seconds_count"), 20.0, "so many reached the directory")
	victim.None()
	require.Contains(t, s.Command("account", "show", user, "--json"), `"locked": false`)
	require.Empty(t, s.Accepted())
}

// patient lets strangers ask as often as they like: what they are told is looked
// at here, not how often.
const patient = "throttle: {per_account: 100000, per_source: 100000, within: 10m}\n"

// Without the password nothing is told of an account: neither whether there is
// one, nor whether it has a phone or a number, nor that it is locked.
func TestStrangersAreToldOneThing(t *testing.T) {
	s := site.Start(t, site.Options{More: patient})
	s.Phone(1)
	locked := site.Request{User: user, Password: password, Station: "203.0.113.9"}
	for range 2 { // three wrong codes and two: locked
		r := locked
		r.Password += ",000000"
		s.NAS(site.Appends).Ask(locked)
		for range 3 {
			s.NAS(site.Appends).Ask(r)
		}
	}
	require.Contains(t, s.NAS(site.Appends).Ask(locked).Text, "the account is locked", "its owner is told so")
	trace := regexp.MustCompile(`\[\w{6}\]$`)
	texts := map[string][]string{}
	for what, name := range map[string]string{
		"a locked account with a phone": user, "an account without a phone": testenv.UserName(2), "nobody": "nobody", "the directory's own name": "cn=admin",
		"a name that is none": "*", "the longest name": strings.Repeat("n", 253), "no name": " ",
	} {
		for _, mode := range []string{site.Asks, site.Holds, site.Appends} {
			answer := s.NAS(mode).Ask(site.Request{User: name, Password: "wrong", Station: "198.51.100.66"})
			require.EqualValues(t, site.AccessReject, answer.Code, what)
			require.Empty(t, answer.State)
			text := trace.ReplaceAllString(answer.Text, "")
			texts[text] = append(texts[text], what)
		}
	}
	require.Len(t, texts, 1, "%v", texts)
}

// How long the answer takes does not tell whether there is such a user: the two
// are asked in turn, and their medians compared within this one run.
func TestStrangersWaitTheSameTime(t *testing.T) {
	const turns = 300
	s := site.Start(t, site.Options{More: patient})
	nas := s.NAS(site.Asks)
	took := map[string][]time.Duration{}
	for n := range turns {
		for _, name := range []string{user, "nobody"} {
			begun := time.Now()
			answer := nas.Ask(site.Request{User: name, Password: fmt.Sprintf("wrong%d", n), Station: fmt.Sprintf("198.51.100.%d", n%200)})
			took[name] = append(took[name], time.Since(begun))
			require.EqualValues(t, site.AccessReject, answer.Code)
		}
	}
	median := func(name string) float64 {
		slices.Sort(took[name])
		return took[name][turns/2].Seconds()
	}
	ratio := median(user) / median("nobody")
	t.Logf("somebody %.2f ms, nobody %.2f ms, ratio %.2f", 1000*median(user), 1000*median("nobody"), ratio)
	require.InDelta(t, 1, ratio, 0.5)
}

// What is typed as a name drives no terminal and fakes no line, in log, audit or
// what administrators are shown.
func TestNamesThatWouldWriteTheLog(t *testing.T) {
	s := site.Start(t, withLDAP(site.Options{More: patient}))
	nas := s.NAS(site.Asks)
	const forged = "vssgate ready FORGED"
	for _, name := range []string{
		"a\n" + forged, "a\r\n{\"level\":\"ERROR\",\"msg\":\"" + forged + "\"}", "a\x1b[2J\x1b]0;" + forged + "\a", "a\u2028" + forged, "a\u2029" + forged,
		"a\u0085" + forged, "a\u009b2J" + forged, "a\u202e" + forged, "\x00" + forged, strings.Repeat("ẩ", 84),
	} {
		require.EqualValues(t, site.AccessReject, nas.Ask(site.Request{User: name, Password: "wrong", Station: "203.0.113.8\n\u202e\u009b" + forged}).Code)
	}
	for _, name := range []string{"uid=a\n" + forged, "uid=\x1b[2J" + forged, strings.Repeat("n", 2_000), strings.Repeat("n", 64<<10)} {
		bindAs(t, s.LDAP[0], name)
	}
	s.Logged("login ended")
	for what, text := range map[string]string{"log": s.Output(), "audit": s.Audit(), "list": s.Command("login", "list")} {
		for _, bad := range []string{"\x1b", "\a", "\r", "\x00", "\u2028", "\u2029", "\u0085", "\u009b", "\u202e"} {
			require.NotContains(t, text, bad, what)
		}
		for _, line := range strings.Split(text, "\n") {
			require.False(t, strings.HasPrefix(line, forged), "%s: %s", what, line)
			require.Less(t, len(line), 4096, what)
			if what != "list" && strings.HasPrefix(line, "{") {
				require.True(t, json.Valid([]byte(line)), line)
			}
		}
	}
	s.Verify()
}

// bindAs binds with that name and a wrong password, and waits for whatever comes:
// an answer that is no success, or the end of the connection.
func bindAs(t *testing.T, addr, name string) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.SetDeadline(time.Now().Add(site.Patience)))
	element := func(tag byte, content string) string {
		n := len(content)
		return string([]byte{tag, 0x83, byte(n >> 16), byte(n >> 8), byte(n)}) + content
	}
	bind := element(0x60, "\x02\x01\x03"+element(0x04, name)+element(0x80, "wrong"))
	_, err = c.Write([]byte(element(0x30, "\x02\x01\x01"+bind)))
	require.NoError(t, err)
	answer := make([]byte, 512)
	if n, err := c.Read(answer); err == nil {
		require.NotContains(t, string(answer[:n]), "\x0a\x01\x00", "success")
	}
}
