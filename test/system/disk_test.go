package system_test

import (
	"bufio"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"vssgate/internal/phone"
	"vssgate/internal/testenv"
	"vssgate/test/site"
)

// With no room for another byte, in the audit or in the store, nobody is let in
// and nobody's guess counts for nothing; with room again all goes on by itself.
func TestOnAFullDiskNobodyIsLetInAndServiceComesBackByItself(t *testing.T) {
	s := site.Start(t, site.Options{Holds: site.Holds})
	first, second := s.Phone(1), s.Phone(2)
	nas, holds := s.NAS(site.Asks), s.NAS(site.Holds)
	right := nas.Ask(asks)
	code := first.Code()
	elsewhere := asks
	elsewhere.Station = "203.0.113.8"
	wrong := nas.Ask(elsewhere)
	waits := holds.Packet(site.Request{User: testenv.UserName(2), Password: testenv.UserPassword(2), Station: "203.0.113.9"})
	holds.Send(waits)
	id := second.Login().ID
	var was unix.Rlimit
	require.NoError(t, unix.Prlimit(s.PID(), unix.RLIMIT_FSIZE, &unix.Rlimit{Max: unix.RLIM_INFINITY}, &was))

	for _, r := range []site.Request{asks.Saying(code, right.State), elsewhere.Saying(first.Wrong(), wrong.State)} {
		nas.Send(nas.Packet(r))
		nas.Silent(quiet)
	}
	_, err := second.Approve(t.Context(), id, "") // noted, or not: the record of it cannot be written
	t.Logf("the phone is told: %v", err)
	holds.Silent(quiet)
	_, stderr, exit := s.Run("account", "set", user, "--bhxh-number", "0123456789")
	require.Equal(t, 1, exit)
	require.Contains(t, stderr, "file too large")
	key, err := phone.NewKey()
	require.NoError(t, err)
	_, err = s.Client(key).Enrol(t.Context(), phone.Enrolment{ActivationCode: "x", Name: "n", Platform: "android", AppVersion: "1.6.8"})
	require.Error(t, err)
	ready := func(want int) func() bool {
		return func() bool { status, _ := s.Get("/readyz"); return status == want }
	}
	require.Eventually(t, ready(503), site.Patience, tick)
	require.Empty(t, s.Accepted())

	require.NoError(t, unix.Prlimit(s.PID(), unix.RLIMIT_FSIZE, &was, nil))
	require.Eventually(t, ready(200), site.Patience, tick)
	nas = s.NAS(site.Asks) // which hears no late answers
	again := nas.Ask(site.Request{User: user, Password: password, Station: "203.0.113.77"})
	require.EqualValues(t, site.AccessChallenge, again.Code, again.Text)
	for _, l := range first.All() { // the login of before may still be open
		if l.From == "203.0.113.77" {
			r := site.Request{User: user, Password: password, Station: "203.0.113.77"}
			require.EqualValues(t, site.AccessAccept, nas.Ask(r.Saying(l.Code, again.State)).Code)
		}
	}
	require.NotEmpty(t, s.Accepted())
	require.Contains(t, s.Command("account", "set", user, "--bhxh-number", "0123456789"), user)
	s.Verify()
	s.Stop()
	s.Start()
	require.Contains(t, s.Command("account", "show", user), "******6789", "what was saved is there")
}

// The log is for people: that it cannot be written keeps nobody out, and what
// reads it may go away.
func TestALogThatCannotBeWrittenKeepsNobodyOut(t *testing.T) {
	for name, open := range map[string]func() (stderr *os.File, started func()){
		"its disk is full": func() (*os.File, func()) {
			full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
			require.NoError(t, err)
			return full, func() {}
		},
		"nobody reads it any more": func() (*os.File, func()) {
			r, w, err := os.Pipe()
			require.NoError(t, err)
			return w, func() {
				w.Close()
				lines := bufio.NewScanner(r)
				for lines.Scan() && !strings.Contains(lines.Text(), "vssgate ready") {
				}
				r.Close()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			addr := testenv.FreeAddr(t)
			s := site.New(t, site.Options{Listen: strconv.Quote(addr)})
			stderr, started := open()
			cmd := exec.Command(testenv.Binary(t), "serve", "--config", s.Config)
			cmd.Stderr = stderr
			require.NoError(t, cmd.Start())
			defer func() { cmd.Process.Kill(); cmd.Wait() }()
			started()
			nas := site.DialNAS(t, site.Asks, addr, s.Secret)
			nas.Insist(site.Request{User: user, Password: "wrong", Station: "203.0.113.7"}) // until it listens
			for range 5 {                                                                   // each of them is logged
				require.EqualValues(t, site.AccessReject, nas.Ask(site.Request{User: "nobody", Password: "x", Station: "203.0.113.8"}).Code)
			}
			require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
			require.NoError(t, cmd.Wait(), "it stops cleanly")
		})
	}
}
