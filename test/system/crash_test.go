package system_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/audit"
	"vssgate/internal/testenv"
	"vssgate/test/site"
)

func TestAfterACrashNothingIsAcceptedThatWasBegunBefore(t *testing.T) {
	s := site.Start(t, site.Options{})
	phone, other := s.Phone(1), s.Phone(2)
	nas, holds := s.NAS(site.Asks), s.NAS(site.Holds)

	used := nas.Ask(asks)
	usedCode := phone.Code()
	require.EqualValues(t, site.AccessAccept, nas.Ask(asks.Saying(usedCode, used.State)).Code)
	later := asks
	later.Station = "203.0.113.8"
	open := nas.Ask(later)
	openCode := phone.Code()
	approved := site.Request{User: testenv.UserName(2), Password: testenv.UserPassword(2), Station: "203.0.113.9"}
	holds.Send(holds.Packet(approved))
	other.Login()
	records := len(s.Ended())

	s.Kill()
	s.Start()
	s.Logged(`"what was open at the last stop is void","cause":"it was unclean`)
	nas, holds = s.NAS(site.Asks), s.NAS(site.Holds)
	require.EqualValues(t, site.AccessReject, nas.Ask(asks.Saying(usedCode, used.State)).Code, "a code that was used")
	require.EqualValues(t, site.AccessReject, nas.Ask(later.Saying(openCode, open.State)).Code, "a login that was open")
	require.EqualValues(t, site.AccessReject, s.NAS(site.Appends).Ask(asks.Saying(password+","+usedCode, "")).Code)
	other.None()
	p := holds.Packet(approved)
	holds.Send(p)
	holds.Silent(quiet)

	t.Run("accounts and devices are intact: a new login works", func(t *testing.T) {
		require.Equal(t, "accepted", other.Yes().Verdict)
		require.EqualValues(t, site.AccessAccept, holds.Answer(p).Code)
		again := nas.Ask(asks)
		require.EqualValues(t, site.AccessChallenge, again.Code, again.Text)
		require.EqualValues(t, site.AccessAccept, nas.Ask(asks.Saying(phone.Code(), again.State)).Code)
		require.Contains(t, s.Command("device", "list", "--account", user), phone.ID)
	})
	require.Greater(t, len(s.Ended()), records)
	s.Verify()
}

// An approval that nobody has collected is void, too.
func TestALateApprovalDoesNotSurviveACrash(t *testing.T) {
	s := site.Start(t, site.Options{})
	phone := s.Phone(1)
	nas := s.NAS(site.Holds)
	r := asks
	r.Identifier = 5
	nas.Send(nas.Packet(r))
	phone.Login()
	other := nas.Packet(site.Request{User: "nobody", Password: "x", Identifier: 5})
	nas.Send(other) // the NAS has given the login up
	require.EqualValues(t, site.AccessReject, nas.Answer(other).Code)
	require.Equal(t, "waiting_for_retry", phone.Yes().Verdict)
	s.Kill()
	s.Start()
	nas = s.NAS(site.Holds)
	nas.Send(nas.Packet(asks))
	nas.Silent(quiet)
	require.Empty(t, s.Accepted())
}

// Whoever was let in is in the audit, whenever the process dies.
func TestAnAcceptThatWasSentIsInTheAuditAfterACrash(t *testing.T) {
	const users = 10
	s := site.Start(t, site.Options{})
	type visit struct {
		nas    *site.NAS
		packet []byte
		user   string
	}
	var visits []visit
	for n := 1; n <= users; n++ {
		phone, nas := s.Phone(n), s.NAS(site.Asks)
		r := site.Request{User: testenv.UserName(n), Password: testenv.UserPassword(n), Station: fmt.Sprintf("203.0.113.%d", n)}
		asked := nas.Ask(r)
		visits = append(visits, visit{nas, nas.Packet(r.Saying(phone.Code(), asked.State)), r.User})
	}
	for _, v := range visits {
		v.nas.Send(v.packet)
	}
	first := visits[0]
	let := map[string]bool{}
	if first.nas.Answer(first.packet).Code == site.AccessAccept {
		let[first.user] = true
	}
	s.Kill()
	for _, v := range visits[1:] {
		if a, ok := v.nas.Maybe(v.packet, 50*time.Millisecond); ok && a.Code == site.AccessAccept {
			let[v.user] = true
		}
	}
	require.NotEmpty(t, let)
	for _, restarted := range []bool{false, true} {
		if restarted {
			s.Start()
		}
		s.Verify()
		written := map[string]int{}
		for _, r := range s.Accepted() {
			written[r.Username]++
			require.Equal(t, 1, written[r.Username], r.Username)
		}
		for name := range let {
			require.Equal(t, 1, written[name], name)
		}
	}
}

func TestAnAuditLineTornByACrashIsSetAside(t *testing.T) {
	s := site.Start(t, site.Options{})
	s.Phone(1)
	s.NAS(site.Asks).Ask(asks)
	s.Kill()
	file := filepath.Join(s.Dir, "data", "audit.jsonl")
	before := s.Verify()
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString(`{"kind":"login","time":"2026-`)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	s.Start()
	require.Greater(t, s.Verify(), before, "the chain goes on, and says what happened")
	s.Logged("torn")
	torn, err := os.ReadFile(file + ".torn")
	require.NoError(t, err)
	require.Contains(t, string(torn), `"2026-`)
	changes := s.Changes()
	require.Equal(t, "audit torn line set aside", changes[len(changes)-1].Action)
}

func TestAChangedAuditLineIsFound(t *testing.T) {
	s := site.Start(t, site.Options{})
	phone, nas := s.Phone(1), s.NAS(site.Asks)
	asked := nas.Ask(asks)
	require.EqualValues(t, site.AccessAccept, nas.Ask(asks.Saying(phone.Code(), asked.State)).Code)
	s.Stop()
	file := filepath.Join(s.Dir, "data", "audit.jsonl")
	s.Verify()
	require.NoError(t, os.WriteFile(file, []byte(strings.Replace(s.Audit(), `"verdict":"accepted"`, `"verdict":"rejected"`, 1)), 0o600))
	_, err := audit.Verify(strings.NewReader(s.Audit()), s.Keys())
	require.ErrorContains(t, err, "changed after it was written")
}

func TestAChallengeOutlivesARestart(t *testing.T) {
	s := site.Start(t, site.Options{})
	phone := s.Phone(1)
	asked := s.NAS(site.Asks).Ask(asks)
	code := phone.Code()
	s.Stop()
	s.Start()
	require.Equal(t, code, phone.Code(), "the same code is shown")
	done := s.NAS(site.Asks).Ask(asks.Saying(code, asked.State))
	require.EqualValues(t, site.AccessAccept, done.Code, done.Text)
	require.Len(t, s.Ended(), 1)
	s.Verify()
}

func TestAHeldLoginIsAnsweredWhileTheNodeDrains(t *testing.T) {
	s := site.Start(t, site.Options{})
	phone := s.Phone(1)
	nas := s.NAS(site.Holds)
	p := nas.Packet(asks)
	nas.Send(p)
	phone.Login()
	s.Signal(syscall.SIGTERM)
	s.Logged("vssgate stops")
	require.Equal(t, "accepted", phone.Yes().Verdict)
	require.EqualValues(t, site.AccessAccept, nas.Answer(p).Code)
	s.Stop()
}

// Of many that are held, those are answered whose phones answer while the node
// drains; the others hear nothing, and it ends when its time is over.
func TestANodeThatStopsAnswersWhatIsApprovedMeanwhile(t *testing.T) {
	s := site.Start(t, site.Options{})
	type held struct {
		nas    *site.NAS
		packet []byte
		phone  *site.Phone
	}
	var all []held
	for n := 1; n <= 10; n++ {
		h := held{nas: s.NAS(site.Holds), phone: s.Phone(n)}
		h.packet = h.nas.Packet(site.Request{User: testenv.UserName(n), Password: testenv.UserPassword(n), Station: fmt.Sprintf("203.0.113.%d", n)})
		h.nas.Send(h.packet)
		h.phone.Login()
		all = append(all, h)
	}
	began := time.Now()
	s.Signal(syscall.SIGTERM)
	s.Logged("vssgate stops")
	for _, h := range all[:5] {
		require.Equal(t, "accepted", h.phone.Yes().Verdict)
		require.EqualValues(t, site.AccessAccept, h.nas.Answer(h.packet).Code)
	}
	s.Stop()
	require.Less(t, time.Since(began), site.Patience)
	for _, h := range all[5:] {
		h.nas.Silent(tick)
	}
	require.Len(t, s.Accepted(), 5)
	s.Verify()
}

func TestAHeldLoginThatARestartInterruptsIsJoinedByItsRetry(t *testing.T) {
	s := site.Start(t, site.Options{})
	phone := s.Phone(1)
	nas := s.NAS(site.Holds)
	nas.Send(nas.Packet(asks))
	id := phone.Login().ID
	s.Stop()
	nas.Silent(tick)
	s.Start()
	require.Equal(t, id, phone.Login().ID)
	nas = s.NAS(site.Holds)
	p := nas.Packet(asks)
	nas.Send(p)
	require.Eventually(t, func() bool { return s.Metric("vssgate_joined_total") == 1 }, site.Patience, tick)
	require.Equal(t, "accepted", phone.Yes().Verdict)
	require.EqualValues(t, site.AccessAccept, nas.Answer(p).Code)
	require.Len(t, s.Ended(), 1)
	s.Verify()
}

func TestASecondDaemonOnTheSameDataIsRefused(t *testing.T) {
	s := site.Start(t, site.Options{})
	s.Phone(1)
	_, stderr, code := s.Run("serve")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "another vssgate is running on this data_dir")
	require.EqualValues(t, site.AccessChallenge, s.NAS(site.Asks).Ask(asks).Code, "the first one goes on")
}

// What a clean stop kept counts once: after a crash it must not come back, with
// a login that was accepted meanwhile still open in it.
func TestWhatAStopKeptDoesNotComeBackAfterACrash(t *testing.T) {
	s := site.Start(t, site.Options{})
	phone := s.Phone(1)
	asked := s.NAS(site.Asks).Ask(asks)
	answer := asks.Saying(phone.Code(), asked.State)
	s.Stop()
	kept := snapshots(t, s)
	s.Start()
	require.EqualValues(t, site.AccessAccept, s.NAS(site.Asks).Ask(answer).Code)
	s.Kill()
	for path, content := range kept { // even if somebody puts the file back
		require.NoError(t, os.WriteFile(path, content, 0o600))
	}
	s.Start()
	require.EqualValues(t, site.AccessReject, s.NAS(site.Asks).Ask(answer).Code)
	phone.None()
	require.Len(t, s.Accepted(), 1)
	s.Verify()
}

// snapshots are the files that a clean stop leaves beside the store's.
func snapshots(t *testing.T, s *site.Site) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(s.Dir, "data", "*.volatile"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	kept := map[string][]byte{}
	for _, file := range files {
		if kept[file], err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	return kept
}
