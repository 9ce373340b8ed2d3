package system_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
	"vssgate/test/site"
)

// of is what a user asks from a station of its own.
func of(n int) site.Request {
	return site.Request{User: testenv.UserName(n), Password: testenv.UserPassword(n), Station: fmt.Sprintf("203.0.113.%d", n)}
}

func TestAReloadTakesTheNewConfigurationAndLosesNoLogin(t *testing.T) {
	s := site.Start(t, site.Options{})
	mine, others, removed := s.Phone(1), s.Phone(2), s.Phone(3)
	challenged := s.NAS(site.Asks).Ask(of(1))
	require.EqualValues(t, site.AccessChallenge, challenged.Code)
	holds, appends := s.NAS(site.Holds), s.NAS(site.Appends)
	held := holds.Packet(of(2))
	holds.Send(held)
	others.Login()
	refused := appends.Ask(of(3)) // add the code
	require.EqualValues(t, site.AccessReject, refused.Code)

	next := strings.Repeat("new-", 8)
	raw, err := os.ReadFile(s.Config)
	require.NoError(t, err)
	var lines []string
	for line := range strings.Lines(string(raw)) {
		if !strings.Contains(line, "name: appends") {
			lines = append(lines, line)
		}
	}
	until := time.Now().Add(time.Hour).Format(time.RFC3339)
	changed := strings.NewReplacer("language: en", "language: vi", "level: debug, format: json", "level: info, format: text",
		fmt.Sprintf("name: holds, addresses: [%s], secret: %q", site.Holds, s.Secret),
		fmt.Sprintf("name: holds, addresses: [%s], secret: %s, previous_secret: %q, previous_until: %q", site.Holds, next, s.Secret, until),
	).Replace(strings.Join(lines, ""))
	require.NoError(t, os.WriteFile(s.Config, []byte(changed), 0o600))
	said := s.Reload()
	require.Contains(t, said, "reload: the configuration is in use")
	require.Contains(t, said, "reload: log.format changes at the next start only")

	sum := sha256.Sum256([]byte(changed))
	record := s.Changes()[len(s.Changes())-1]
	require.Equal(t, "reload", record.Action)
	require.Equal(t, "sha256:"+hex.EncodeToString(sum[:]), record.Target)

	t.Run("what was held is answered with the secret of its request", func(t *testing.T) {
		require.Equal(t, "accepted", others.Yes().Verdict)
		require.EqualValues(t, site.AccessAccept, holds.Answer(held).Code)
	})
	t.Run("a challenge is answered afterwards, in the new language", func(t *testing.T) {
		nas := s.NAS(site.Asks)
		wrong := nas.Ask(of(1).Saying(mine.Wrong(), challenged.State))
		require.EqualValues(t, site.AccessChallenge, wrong.Code)
		require.Contains(t, wrong.Text, "Mã")
		require.EqualValues(t, site.AccessAccept, nas.Ask(of(1).Saying(mine.Code(), wrong.State)).Code)
	})
	t.Run("both secrets are good", func(t *testing.T) {
		for i, secret := range []string{s.Secret, next} {
			nas := site.DialNAS(t, site.Holds, s.RADIUS[0], secret)
			r := of(2)
			r.Station = fmt.Sprintf("203.0.113.%d", 50+i)
			p := nas.Packet(r)
			nas.Send(p)
			others.Login()
			others.Yes()
			require.EqualValues(t, site.AccessAccept, nas.Answer(p).Code)
		}
		require.EqualValues(t, 1, s.Metric("vssgate_previous_secret_packets_total"))
	})
	t.Run("who is no client any more is not heard", func(t *testing.T) {
		appends.Send(appends.Packet(of(3).Saying(of(3).Password+","+removed.Code(), "")))
		appends.Silent(quiet)
	})
	s.Verify()
}

func TestABadConfigurationChangesNothingAndSaysWhy(t *testing.T) {
	s := site.Start(t, site.Options{})
	phone := s.Phone(1)
	records := len(s.Changes())
	said := s.Reload("language: en", "language: vi\nno_such_key: 1")
	require.Contains(t, said, `"line":10,"column":1`)
	require.Contains(t, said, "no_such_key is unknown")
	require.Contains(t, said, "reload: nothing changes")
	require.Len(t, s.Changes(), records)
	asked := s.NAS(site.Asks).Ask(asks)
	require.Contains(t, asked.Text, "code", "still English")
	require.EqualValues(t, site.AccessAccept, s.NAS(site.Asks).Ask(asks.Saying(phone.Code(), asked.State)).Code)

	require.NoError(t, os.Rename(filepath.Join(s.Dir, "secret.key"), filepath.Join(s.Dir, "away.key")))
	require.Contains(t, s.Reload("no_such_key: 1\n", ""), "secret.key", "what it names is looked at, too")
	require.NoError(t, os.Rename(filepath.Join(s.Dir, "away.key"), filepath.Join(s.Dir, "secret.key")))
	require.Contains(t, s.Reload(), "reload: the configuration is in use")
}

// What the node stands on stays, and is named.
func TestAReloadNamesWhatNeedsARestart(t *testing.T) {
	s := site.Start(t, site.Options{})
	phones := s.Phones
	said := s.Reload(s.Phones+`", public_url`, `127.0.0.1:1", public_url`, "data_dir: "+s.Dir+"/data", "data_dir: "+s.Dir+"/other")
	require.Contains(t, said, "reload: vssid.listen changes at the next start only")
	require.Contains(t, said, "reload: data_dir changes at the next start only")
	require.Contains(t, said, "reload: the configuration is in use")
	require.NotContains(t, said, "reload: store")
	s.Phone(1) // at the same address, and in the same store
	require.Equal(t, phones, s.Phones)
	require.NoDirExists(t, filepath.Join(s.Dir, "other"))
}

// Many log in while the configuration comes and goes, good and bad, and its
// secret is changed for good: each of them is let in.
func TestReloadsUnderLoadLoseNoLogin(t *testing.T) {
	s := site.Start(t, site.Options{Directory: testenv.SlapdOptions{Users: 30}})
	const users, reloads, atOnce = 30, 15, 8
	var phones []*site.Phone
	for n := range users {
		phones = append(phones, s.Phone(n+1))
	}
	login := func(nas *site.NAS, n, round int) {
		r := of(n + 1)
		r.Station = fmt.Sprintf("203.0.%d.%d", round, n)
		p := nas.Packet(r)
		nas.Send(p)
		phones[n].Login()
		phones[n].Yes()
		if got := nas.Answer(p); got.Code != site.AccessAccept {
			t.Errorf("user %d, round %d: code %d, %s", n, round, got.Code, got.Text)
		}
	}
	languages := []string{"language: en", "language: vi", "language: xx"}
	for round := range reloads {
		var all sync.WaitGroup
		for i := range atOnce {
			nas := s.NAS(site.Holds)
			all.Go(func() { login(nas, (round*atOnce+i)%users, round) })
		}
		said := s.Reload(languages[round%3], languages[(round+1)%3])
		require.Equal(t, round%3 == 1, strings.Contains(said, "reload: nothing changes"))
		all.Wait()
	}
	require.Len(t, s.Accepted(), reloads*atOnce)
	s.Verify()
}

// systemd is told that a reload has begun, when, and that it is over.
func TestSystemdIsToldOfAReload(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	require.NoError(t, err)
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	s := site.Start(t, site.Options{})
	hear := func() string {
		buf := make([]byte, 1024)
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(site.Patience)))
		n, err := conn.Read(buf)
		require.NoError(t, err)
		return string(buf[:n])
	}
	require.Equal(t, "READY=1", hear())
	s.Signal(syscall.SIGHUP)
	require.Regexp(t, `^RELOADING=1\nMONOTONIC_USEC=[0-9]+$`, hear())
	require.Equal(t, "READY=1", hear())
}
