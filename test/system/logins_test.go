package system_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
	"vssgate/test/site"
)

// A listed login, and one that is shown, as programs read them.
type listed struct {
	Attempt, Trace, Client, Username, From, Stage, Reason string
	FrontEnd                                              string `json:"front_end"`
	Created                                               time.Time
	Ended                                                 *time.Time
}

type shown struct {
	listed
	Typed, NAS, Factor, Device, Read, Source string
	Events                                   []struct {
		Kind, What, Device string
		AtMS               int64 `json:"at_ms"`
		Count              int
	}
	Sessions []struct {
		Session string
		Address string
		Started *time.Time
		Stopped *time.Time
		In      uint64 `json:"input_octets"`
		Cause   string `json:"terminate_cause"`
	}
}

func list(t *testing.T, s *site.Site, args ...string) (all []listed) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(s.Command(append([]string{"login", "list", "--json"}, args...)...)), &all))
	return all
}

func show(t *testing.T, s *site.Site, which string) (one shown) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(s.Command("login", "show", which, "--json")), &one))
	return one
}

// story is a login's events, without times.
func (l shown) story() (lines []string) {
	for _, e := range l.Events {
		lines = append(lines, strings.TrimSpace(e.Kind+" "+e.What))
	}
	return lines
}

const (
	noPush = "prompt not_ready" // nothing is configured to push with
	came   = "request password"
	right  = "first_factor right"
)

func withLDAP(o site.Options) site.Options {
	o.More += `
ldap:
  listen: ["127.0.0.1:0"]
  require_tls: false
  clients:
    - {name: wiki, addresses: [127.0.0.1], mode: hold, approval: simple}
`
	return o
}

// held waits until the newest login is told to be held, which phones see before.
func held(t *testing.T, s *site.Site, args ...string) {
	t.Helper()
	require.Eventually(t, func() bool {
		all := list(t, s, args...)
		return len(all) > 0 && all[0].Stage == "held"
	}, site.Patience, tick)
}

func TestEveryKindOfLoginIsToldStepByStep(t *testing.T) {
	s := site.Start(t, withLDAP(site.Options{}))
	phone := s.Phone(1)
	asksAt, holds, appends := s.NAS(site.Asks), s.NAS(site.Holds), s.NAS(site.Appends)
	r := asks

	var read string
	for i, c := range []struct {
		name  string
		do    func()
		story []string
	}{
		{"challenge, a wrong code and the right one", func() {
			first := asksAt.Ask(r)
			again := asksAt.Ask(r.Saying(phone.Wrong(), first.State))
			require.EqualValues(t, site.AccessAccept, asksAt.Ask(r.Saying(phone.Code(), again.State)).Code)
		}, []string{came, right, noPush, "reply challenge:prompt.no_push", "request code", "code wrong", "reply challenge:prompt.wrong_code",
			"request code", "code right", "verdict accepted", "reply accept"}},
		{"hold, sent again, approved, and the reply was lost", func() {
			p := holds.Packet(r)
			holds.Send(p)
			held(t, s)
			holds.Send(p)
			holds.Send(p)
			require.Eventually(t, func() bool {
				return s.Metric(`vssgate_packets_dropped_total{reason="retransmission"}`) == 2
			}, site.Patience, tick)
			phone.Yes()
			require.EqualValues(t, site.AccessAccept, holds.Answer(p).Code)
			holds.Send(p)
			holds.Answer(p)
		}, []string{came, right, noPush, "held", "retransmission", "phone approve", "verdict accepted", "reply accept", "reply_sent_again"}},
		{"hold, denied", func() {
			p := holds.Packet(r)
			holds.Send(p)
			held(t, s)
			phone.No()
			read = holds.Answer(p).Text
		}, []string{came, right, noPush, "held", "phone deny", "verdict denied", "reply reject:denied"}},
		{"hold, a second request joins and the first is dropped", func() {
			holds.Send(holds.Packet(r))
			held(t, s)
			p := holds.Packet(r)
			holds.Send(p)
			require.Eventually(t, func() bool { return s.Metric("vssgate_joined_total") >= 1 }, site.Patience, tick)
			phone.Yes()
			holds.Answer(p)
		}, []string{came, right, noPush, "held", "request join", "held", "reply superseded", "phone approve", "verdict accepted", "reply accept"}},
		{"append", func() {
			read = appends.Ask(r).Text
			require.EqualValues(t, site.AccessAccept, appends.Ask(r.Saying(password+","+phone.Code(), "")).Code)
		}, []string{came, right, noPush, "reply reject:append_needed", "request appended_code", "code right", "verdict accepted", "reply accept"}},
		{"a wrong password, twice", func() {
			asksAt.Ask(r.Saying("wrong", ""))
			read = asksAt.Ask(r.Saying("wrong", "")).Text
		}, []string{came, "first_factor bad_password", "verdict bad_password", "reply reject:bad_password", "request join", "reply reject:bad_password"}},
		{"an LDAP bind", func() {
			conn, err := net.Dial("tcp", s.LDAP[0])
			require.NoError(t, err)
			l := ldap.NewConn(conn, false)
			l.Start()
			defer l.Close()
			bound := make(chan error)
			go func() { bound <- l.Bind(testenv.UserDN(1), password) }()
			held(t, s)
			phone.Yes()
			require.NoError(t, <-bound)
		}, []string{came, right, noPush, "held", "phone approve", "verdict accepted", "reply accept"}},
	} {
		read, r.Station = "", fmt.Sprintf("203.0.113.%d", i+10) // else the last one's answer is given again
		c.do()
		var newest listed
		var l shown
		require.Eventually(t, func() bool { // the last may be told a moment after the reply
			newest = list(t, s)[0]
			l = show(t, s, strings.ToLower(newest.Trace))
			return len(l.Events) >= len(c.story)
		}, site.Patience, tick, c.name)
		story := l.story()
		if strings.HasPrefix(c.name, "hold, a second") || strings.HasPrefix(c.name, "hold, denied") { // two at once: who is told first is the scheduler's business
			slices.Sort(story)
			slices.Sort(c.story)
		}
		require.Equal(t, c.story, story, c.name)
		require.Equal(t, newest, l.listed, c.name)
		require.Equal(t, "memory", l.Source)
		require.Equal(t, user, l.Username)
		require.NotNil(t, l.Ended)
		if read != "" && strings.Contains(l.Stage+l.Reason, "bad_password") || l.Reason == "denied" {
			require.Equal(t, read, l.Read, "what the user read")
			require.Contains(t, read, "["+l.Trace+"]")
		}
		for _, e := range l.Events {
			if e.Kind == "phone" {
				require.Equal(t, "Phone of "+user, e.Device)
			}
			if e.Kind == "first_factor" {
				require.Equal(t, "directory", e.Device)
			}
		}
		text := s.Command("login", "show", l.Attempt)
		require.Contains(t, text, l.Trace)
		require.NotContains(t, text, "%!", c.name)
	}
}

func TestLoginsAreFoundByUserAndClient(t *testing.T) {
	s := site.Start(t, site.Options{})
	s.Phone(1)
	s.Phone(2)
	nas, holds := s.NAS(site.Asks), s.NAS(site.Holds)
	nas.Ask(asks)
	nas.Ask(site.Request{User: "nobody", Password: "x", Station: "203.0.113.9"})
	nas.Ask(site.Request{User: testenv.UserName(2), Password: testenv.UserPassword(2), Station: "203.0.113.8"})
	holds.Send(holds.Packet(asks))
	require.Eventually(t, func() bool { return len(list(t, s, "--open")) == 3 }, site.Patience, tick)
	forged := site.DialNAS(t, site.Asks, s.RADIUS[0], "another-shared-secret")
	forged.Send(forged.Packet(site.Request{User: "forged.user", Password: "x", Station: "203.0.113.7:99"}))
	require.Eventually(t, func() bool { return len(list(t, s)) == 5 }, site.Patience, tick)

	dropped := list(t, s, "--user", "forged.user")[0]
	require.Equal(t, []string{"dropped", "bad_message_authenticator", "asks", "203.0.113.7"}, []string{dropped.Stage, dropped.Reason, dropped.Client, dropped.From})
	require.Len(t, list(t, s, "--user", strings.ToUpper(user)), 2, "as typed, as the directory writes it, or in another case")
	require.Len(t, list(t, s, "--client", "holds"), 1)
	held(t, s, "--client", "holds")
	require.Equal(t, "bad_password", list(t, s, "--user", "nobody")[0].Reason)
	require.Empty(t, list(t, s, "--user", "nobody", "--client", "holds"))
	require.Len(t, list(t, s, "--last", "2"), 2)
	require.Equal(t, "[]\n", s.Command("login", "list", "--user", "nobody", "--open", "--json"))
	require.Contains(t, s.Command("login", "list", "--user", "somebody.else"), "no such login")
	table := s.Command("login", "list")
	require.Regexp(t, `(?m)^TIME +TRACE +USER +CLIENT +FROM +STAGE +REASON +TOOK$`, table)
	require.Regexp(t, `(?m)^\S+ \S+ \+07:00  [A-Z0-9]{6}  `+user+` +holds +203\.0\.113\.7 +held +- +-$`, table)
	_, stderr, code := s.Run("login", "show", "ZZZZZZ")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "no login")
}

func TestAnOlderLoginIsFoundInTheAudit(t *testing.T) {
	s := site.Start(t, site.Options{})
	phone := s.Phone(1)
	nas := s.NAS(site.Asks)
	first := nas.Ask(asks)
	nas.Ask(asks.Saying(phone.Code(), first.State))
	nas.Ask(site.Request{User: "nobody", Password: "x"})
	before := show(t, s, s.Ended()[0].Trace)
	s.Stop()
	s.Start()
	require.Empty(t, list(t, s))
	after := show(t, s, strings.ToLower(before.Trace))
	require.Equal(t, "audit", after.Source)
	require.Equal(t, []string{before.Attempt, user, "asks", "ended", "accepted", "code"},
		[]string{after.Attempt, after.Username, after.Client, after.Stage, after.Reason, after.Factor})
	require.WithinDuration(t, *before.Ended, *after.Ended, time.Second)
	require.Contains(t, s.Command("login", "show", before.Attempt), "From the audit")
}

func TestLoginsAreFollowedLive(t *testing.T) {
	s := site.Start(t, site.Options{})
	phone := s.Phone(1)
	cmd := exec.Command(testenv.Binary(t), "login", "follow", "--user", user, "--json", "--config", s.Config)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	defer cmd.Process.Kill()
	nas, holds := s.NAS(site.Asks), s.NAS(site.Holds)
	lines := bufio.NewScanner(out)
	seen := make(chan string, 100)
	go func() {
		for lines.Scan() {
			var e struct{ Kind, What, Username, Trace string }
			if json.Unmarshal(lines.Bytes(), &e) == nil {
				seen <- fmt.Sprintf("%s %s %s", e.Username, e.Kind, e.What)
			}
		}
		close(seen)
	}()
	next := func() string {
		select {
		case line := <-seen:
			return line
		case <-time.After(site.Patience):
			require.FailNow(t, "nothing more is told")
			return ""
		}
	}
	r := asks
	require.Eventually(t, func() bool { // until it listens
		nas.Ask(r.Saying("wrong", ""))
		r.Station += "1"
		return len(seen) > 0
	}, site.Patience, 50*time.Millisecond)
	for !strings.HasSuffix(next(), "reply reject:bad_password") {
	}
	nas.Ask(site.Request{User: "nobody", Password: "x"})
	p := holds.Packet(asks)
	holds.Send(p)
	for line := ""; line != user+" held "; line = next() {
		require.NotContains(t, line, "nobody")
	}
	phone.No()
	require.Equal(t, user+" phone deny", next())
	require.ElementsMatch(t, []string{user + " verdict denied", user + " reply reject:denied"}, []string{next(), next()})
	s.Stop()
	require.Error(t, cmd.Wait(), "the daemon has ended")
	require.Equal(t, 1, cmd.ProcessState.ExitCode())
}

func TestSessionsAreShownBesideTheirLogin(t *testing.T) {
	s := site.Start(t, site.Options{More: "  accounting: {listen: [\"127.0.0.1:0\"]}\n"})
	phone := s.Phone(1)
	nas := s.NAS(site.Asks)
	first := nas.Ask(asks)
	require.EqualValues(t, site.AccessAccept, nas.Ask(asks.Saying(phone.Code(), first.State)).Code)
	trace := s.Ended()[0].Trace
	tell := func(status string, more ...string) {
		t.Helper()
		cmd := exec.Command("radclient", "-t", "5", "-r", "2", s.Accounting[0], "acct", s.Secret)
		cmd.Stdin = strings.NewReader(strings.Join(append(more, "Acct-Status-Type = "+status, `Acct-Session-Id = "5F00A1"`, "User-Name = "+user,
			`NAS-Identifier = "`+nas.Name+`"`, `Calling-Station-Id = "203.0.113.7"`, "Packet-Src-IP-Address = "+site.Asks), "\n") + "\n")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "radclient (apt-get install freeradius-utils): %s", out)
	}
	tell("Start", "Framed-IP-Address = 10.8.0.2")
	l := show(t, s, trace)
	require.Len(t, l.Sessions, 1)
	require.Equal(t, []string{"5F00A1", "10.8.0.2"}, []string{l.Sessions[0].Session, l.Sessions[0].Address})
	require.NotNil(t, l.Sessions[0].Started)
	require.Nil(t, l.Sessions[0].Stopped)
	tell("Stop", "Acct-Input-Octets = 4711", "Acct-Session-Time = 60", "Acct-Terminate-Cause = User-Request")
	l = show(t, s, trace)
	require.Len(t, l.Sessions, 1)
	require.EqualValues(t, 4711, l.Sessions[0].In)
	require.Equal(t, "User-Request", l.Sessions[0].Cause)
	require.NotNil(t, l.Sessions[0].Stopped)
	require.Regexp(t, `5F00A1 +10\.8\.0\.2 .* 4711 +0 +User-Request`, s.Command("login", "show", trace))
}

// A bind that is refused before it is a login is found under its name.
func TestABindThatIsRefusedAtOnceIsListed(t *testing.T) {
	o := withLDAP(site.Options{})
	s := site.Start(t, o)
	conn, err := net.Dial("tcp", s.LDAP[0])
	require.NoError(t, err)
	l := ldap.NewConn(conn, false)
	l.Start()
	defer l.Close()
	require.Error(t, l.UnauthenticatedBind(testenv.UserDN(1)))
	got := list(t, s, "--user", testenv.UserDN(1))
	require.Len(t, got, 1)
	require.Equal(t, []string{"ldap", "wiki", "refused", "ldap_result_53"}, []string{got[0].FrontEnd, got[0].Client, got[0].Stage, got[0].Reason})
}
