package radius_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/test/site"
)

// talkToPAM logs in with pamtester as a person would: the password at the
// first prompt, and at each one after that what comes through its pipe.
const talkToPAM = `
set timeout $env(LIMIT)
spawn -noecho pamtester -v $env(SERVICE) $env(LOGIN) authenticate
expect -re {Password: ?$} { send -- "$env(PASSWORD)\r" } timeout { puts TIMEOUT; exit 3 } eof { exit 3 }
expect {
  -re {successfully authenticated} { puts LOGGED-IN; exit 0 }
  -re {\[[A-Z2-9]+\][^\n]*$} {
    set pipe [open $env(PIPE)[incr n] r]; gets $pipe code; close $pipe
    send -- "$code\r"
    exp_continue
  }
  -re {pamtester: [^i\n][^\n]*\n} { puts REFUSED; exit 1 }
  timeout { puts TIMEOUT; exit 3 }
  eof { puts REFUSED; exit 1 }
}
`

// pam is a PAM service of pam_radius_auth's own, and the pipes through
// which the person learns what to type, one for each prompt.
type pam struct {
	t             *testing.T
	service, pipe string
	conf          string // where the server is
	told          int
}

func newPAM(t *testing.T, s *site.Site) *pam { return newPAMFor(t, s, 20) }

// newPAMFor is newPAM with another time-out, in seconds, and options of the
// module.
func newPAMFor(t *testing.T, s *site.Site, seconds int, options ...string) *pam {
	t.Helper()
	found, _ := filepath.Glob("/lib/*/security/pam_radius_auth.so")
	if len(found) == 0 {
		t.Fatal("pam_radius_auth.so is missing: apt-get install libpam-radius-auth")
	}
	if os.Getuid() != 0 {
		t.Fatal("pam_radius_auth is tried through a file in /etc/pam.d: run the tests as root")
	}
	dir := t.TempDir()
	conf := filepath.Join(dir, "server.conf")
	require.NoError(t, os.WriteFile(conf, []byte(fmt.Sprintf("%s %s %d\n", s.RADIUS[0], s.Secret, seconds)), 0o600))
	p := &pam{t: t, service: fmt.Sprintf("vssgate-test-%d", os.Getpid()), pipe: filepath.Join(dir, "code"), conf: conf}
	file := filepath.Join("/etc/pam.d", p.service)
	t.Cleanup(func() { os.Remove(file) })
	require.NoError(t, os.WriteFile(file, []byte("auth required pam_radius_auth.so conf="+conf+" "+strings.Join(options, " ")+"\naccount required pam_permit.so\n"), 0o644))
	return p
}

func (p *pam) login(password string) *program {
	p.t.Helper()
	if _, err := exec.LookPath("pamtester"); err != nil {
		p.t.Fatal("pamtester is missing: apt-get install pamtester")
	}
	p.told = 0
	for n := 1; n <= 2; n++ {
		os.Remove(p.pipeOf(n))
		require.NoError(p.t, syscall.Mkfifo(p.pipeOf(n), 0o600))
	}
	return begin(p.t, "expect", "", []string{"LC_ALL=C.UTF-8", "SERVICE=" + p.service, "LOGIN=" + user, "PASSWORD=" + password, "PIPE=" + p.pipe, fmt.Sprintf("LIMIT=%.0f", limit.Seconds())},
		"expect", "-c", talkToPAM)
}

func (p *pam) pipeOf(prompt int) string { return fmt.Sprintf("%s%d", p.pipe, prompt) }

// tell has the person type that at the next prompt.
func (p *pam) tell(code string) {
	p.t.Helper()
	p.told++
	f, err := os.OpenFile(p.pipeOf(p.told), os.O_WRONLY, 0)
	require.NoError(p.t, err)
	_, err = f.WriteString(code + "\n")
	require.NoError(p.t, err)
	require.NoError(p.t, f.Close())
}

func TestPAMRadiusShowsThePromptAndSendsTheCode(t *testing.T) {
	s := site.Start(t, site.Options{})
	phone := s.Phone(1)
	p := newPAM(t, s)
	at := p.login(password)
	p.tell(phone.Code())
	out := at.said()
	require.Contains(t, out, "LOGGED-IN")
	require.Contains(t, out, "6-digit code", "the person reads what to do")
	require.Contains(t, p.login("not it").said(), "REFUSED")
	t.Run("a wrong code, and then the right one", func(t *testing.T) {
		at := p.login(password)
		p.tell(phone.Wrong())
		p.tell(phone.Code())
		require.Contains(t, at.said(), "LOGGED-IN")
	})
}

func TestPAMRadiusWaitsForThePhone(t *testing.T) {
	s := site.Start(t, site.Options{Holds: "127.0.0.1", Asks: "127.0.0.2"})
	phone := s.Phone(1)
	p := newPAM(t, s)
	at := p.login(password)
	phone.Yes()
	require.Contains(t, at.said(), "LOGGED-IN")
	at = p.login(password)
	phone.No()
	require.Contains(t, at.said(), "REFUSED")
}

// pam_radius_auth waits 60 seconds at most, and asks again only if it is told
// to: one prompt, and the answer to the retransmission lets in. With
// VSSGATE_LONG after 100 s, near the most that it can be made to wait.
func TestPAMRadiusAsksAgainAndIsPromptedOnce(t *testing.T) {
	try, retry, again, after := 2, "retry=5", 2.0, time.Duration(0)
	if os.Getenv("VSSGATE_LONG") != "" {
		try, retry, again, after = 60, "retry=1", 1, 100*time.Second
	}
	s := site.Start(t, site.Options{Holds: "127.0.0.1", Asks: "127.0.0.2", Hold: "110s"})
	phone := s.Phone(1)
	at := newPAMFor(t, s, try, retry).login(password)
	opened := phone.Login()
	time.Sleep(time.Until(opened.Created.Add(after)))
	require.Eventually(t, func() bool { return s.Metric(`vssgate_packets_dropped_total{reason="retransmission"}`) >= again }, site.Patience, tick)
	require.Equal(t, opened.ID, phone.Login().ID)
	require.Len(t, phone.All(), 1)
	phone.Yes()
	require.Contains(t, at.said(), "LOGGED-IN")
	require.Len(t, s.Ended(), 1)
}

func TestPAMRadiusTakesAnAppendedCode(t *testing.T) {
	s := site.Start(t, site.Options{Appends: "127.0.0.1", Asks: "127.0.0.3"})
	phone := s.Phone(1)
	p := newPAM(t, s)
	require.Contains(t, p.login(password).said(), "REFUSED", "it opens the login, and no more")
	require.Contains(t, p.login(password+","+phone.Wrong()).said(), "REFUSED")
	require.Contains(t, p.login(password+","+phone.Code()).said(), "LOGGED-IN")
	require.Len(t, s.Accepted(), 1)
}
