package radius_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/test/site"
)

// limit is how long a program may take.
const limit = 3 * time.Minute

// A program is somebody else's RADIUS client at work.
type program struct {
	t    *testing.T
	done chan string
}

// begin starts a program, to be waited for.
func begin(t *testing.T, pkg, stdin string, env []string, name string, args ...string) *program {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is missing: apt-get install %s", name, pkg)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdin, cmd.Env = strings.NewReader(stdin), append(os.Environ(), env...)
	p := &program{t: t, done: make(chan string, 1)}
	go func() {
		defer cancel()
		out, _ := cmd.CombinedOutput() // a reject is an exit code too; what was printed tells
		p.done <- string(out)
	}()
	return p
}

// said waits for the program's end and returns what it printed.
func (p *program) said() string {
	p.t.Helper()
	return <-p.done
}

// radclient is FreeRADIUS's client, at an address of its own.
func radclient(t *testing.T, s *site.Site, from string, attributes ...string) *program {
	t.Helper()
	return radclientFor(t, s, "15", from, attributes...)
}

// radclientFor is radclient with another time-out, in seconds.
func radclientFor(t *testing.T, s *site.Site, seconds, from string, attributes ...string) *program {
	t.Helper()
	attributes = append(attributes, "Packet-Src-IP-Address = "+from)
	return begin(t, "freeradius-utils", strings.Join(attributes, "\n")+"\n", nil,
		"radclient", "-x", "-t", seconds, "-r", "1", s.RADIUS[0], "auth", s.Secret)
}

const signed = "Message-Authenticator = 0x00"

var stateShown = regexp.MustCompile(`State = (0x[0-9a-f]+)`)

// typed is what a user types into radclient.
func typed(password string, more ...string) []string {
	return append([]string{fmt.Sprintf("User-Name = %q", user), fmt.Sprintf("User-Password = %q", password),
		`NAS-Identifier = "vpn1"`, `Calling-Station-Id = "203.0.113.7"`}, more...)
}

func TestRadclientIsChallengedAndAnswersWithTheCode(t *testing.T) {
	s := site.Start(t, site.Options{})
	phone := s.Phone(1)
	for name, signature := range map[string][]string{"with Message-Authenticator": {signed}, "without": nil} {
		t.Run(name, func(t *testing.T) {
			out := radclient(t, s, site.Asks, typed(password, signature...)...).said()
			require.Contains(t, out, "Received Access-Challenge")
			require.Contains(t, out, "Prompt = No-Echo")
			state := stateShown.FindStringSubmatch(out)
			require.NotNil(t, state, out)
			code := phone.Code()
			out = radclient(t, s, site.Asks, typed(code, append(signature, "State = "+state[1])...)...).said()
			require.Contains(t, out, "Received Access-Accept")
			require.Contains(t, out, "Message-Authenticator = 0x")
		})
	}
	t.Run("a wrong password is rejected and no phone shows anything", func(t *testing.T) {
		out := radclient(t, s, site.Asks, typed("not it", signed)...).said()
		require.Contains(t, out, "Received Access-Reject")
		require.Contains(t, out, "Wrong user name or password")
		phone.None()
	})
}

func TestRadclientIsHeldUntilThePhoneAnswers(t *testing.T) {
	s := site.Start(t, site.Options{})
	phone := s.Phone(1)
	held := radclient(t, s, site.Holds, typed(password, signed)...)
	require.Equal(t, "accepted", phone.Yes().Verdict)
	require.Contains(t, held.said(), "Received Access-Accept")
	// From another station: the same one is let in again for ten seconds, as if
	// the reply had been lost.
	held = radclient(t, s, site.Holds, fmt.Sprintf("User-Name = %q", user), fmt.Sprintf("User-Password = %q", password), `Calling-Station-Id = "203.0.113.8"`)
	require.Equal(t, "rejected", phone.No().Verdict)
	out := held.said()
	require.Contains(t, out, "Received Access-Reject")
	require.Contains(t, out, "denied in VssID")
}

func TestRadclientAppendsTheCode(t *testing.T) {
	s := site.Start(t, site.Options{})
	phone := s.Phone(1)
	out := radclient(t, s, site.Appends, typed(password, signed)...).said()
	require.Contains(t, out, "Received Access-Reject")
	require.Contains(t, out, "Password correct")
	out = radclient(t, s, site.Appends, typed(password+","+phone.Wrong(), signed)...).said()
	require.Contains(t, out, "Received Access-Reject")
	require.Contains(t, out, "Wrong code")
	out = radclient(t, s, site.Appends, typed(password+","+phone.Code(), signed)...).said()
	require.Contains(t, out, "Received Access-Accept")
}

// What a NAS asks that is nobody's login: rejected at once, named with the way
// out, counted, and never a login, a prompt or a question to the directory.
func TestWhatIsNobodysLoginIsNamedAndCounted(t *testing.T) {
	s := site.Start(t, site.Options{})
	phone := s.Phone(1)
	const station = `Calling-Station-Id = "00-1B-63-84-45-E6"`
	for name, c := range map[string]struct {
		reason, way string
		attributes  []string
	}{
		"an access list of Cisco's": {"acl_download", "Cisco-AVPair ip:inacl#1", []string{`User-Name = "#ACSACL#-IP-vpn-5f3a"`,
			`Cisco-AVPair = "aaa:service=ip_admission"`, `Cisco-AVPair = "aaa:event=acl-download"`}},
		"MAC authentication": {"mac_authentication", "MAC authentication is no login", []string{`User-Name = "001b638445e6"`,
			`User-Password = "001b638445e6"`, "Service-Type = Call-Check", station}},
		"CHAP":        {"chap", "set the NAS to PAP", []string{fmt.Sprintf("User-Name = %q", user), fmt.Sprintf("CHAP-Password = %q", password)}},
		"MS-CHAP":     {"ms_chap", "set the NAS to PAP", []string{fmt.Sprintf("User-Name = %q", user), fmt.Sprintf("MS-CHAP-Password = %q", password)}},
		"no password": {"no_password", "neither a password nor a State", []string{fmt.Sprintf("User-Name = %q", user)}},
	} {
		t.Run(name, func(t *testing.T) {
			started := time.Now()
			out := radclient(t, s, site.Asks, append(c.attributes, signed)...).said()
			require.Less(t, time.Since(started), 5*time.Second, "at once")
			require.Contains(t, out, "Received Access-Reject")
			require.NotContains(t, out, "Wrong user name or password", "it would mislead")
			require.EqualValues(t, 1, s.Metric(fmt.Sprintf("vssgate_requests_refused_total{reason=%q}", c.reason)))
			s.Logged(c.way)
		})
	}
	phone.None()
	require.Empty(t, s.Ended())
	require.Zero(t, s.Metric("vssgate_upstream_seconds_count"), "nobody asked the directory")
}

func TestRadclientAsksForTheServersStatus(t *testing.T) {
	s := site.Start(t, site.Options{})
	out := begin(t, "freeradius-utils", signed+"\n", nil, "radclient", "-x", "-t", "15", "-r", "1", s.RADIUS[0], "status", s.Secret).said()
	require.Contains(t, out, "Received Access-Accept")
	require.Empty(t, s.Ended())
}

func TestRadtestAppendsTheCode(t *testing.T) {
	s := site.Start(t, site.Options{Appends: "127.0.0.1", Asks: "127.0.0.3"})
	phone := s.Phone(1)
	ask := func(typed string) string {
		return begin(t, "freeradius-utils", "", nil, "radtest", user, typed, s.RADIUS[0], "10", s.Secret).said()
	}
	require.Contains(t, ask(password), "Received Access-Reject")
	require.Contains(t, ask(password+","+phone.Code()), "Received Access-Accept")
}

func TestRadtestIsHeldAndApproved(t *testing.T) {
	s := site.Start(t, site.Options{Holds: "127.0.0.1", Asks: "127.0.0.2"})
	phone := s.Phone(1)
	held := begin(t, "freeradius-utils", "", nil, "radtest", user, password, s.RADIUS[0], "10", s.Secret)
	phone.Yes()
	require.Contains(t, held.said(), "Received Access-Accept")
}
