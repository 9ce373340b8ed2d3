package radius_test

import (
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
	"vssgate/test/site"
)

// NASes that the site has not: one that remembers, one that is being moved
// over, one that challenges when its hold is over.
const (
	remembers = "127.0.0.5"
	observed  = "127.0.0.6"
	thenAsks  = "127.0.0.7"
	inTime    = "127.0.0.8" // the same, with time to answer while it holds

	rules = `
    - {name: remembers, addresses: [` + remembers + `], secret: "{{SECRET}}", mode: hold, hold: 20s, approval: simple, remember: 1h}
    - {name: observed, addresses: [` + observed + `], secret: "{{SECRET}}", observe: {until: 2999-12-31, why: moving over from the old server}}
    - {name: then, addresses: [` + thenAsks + `], secret: "{{SECRET}}", mode: hold, hold: 1s, then: challenge, approval: simple}
    - {name: in-time, addresses: [` + inTime + `], secret: "{{SECRET}}", mode: hold, hold: 5s, then: challenge, approval: simple}
`
)

// lets wants a request let in without anybody being asked.
func lets(t *testing.T, s *site.Site, nas *site.NAS, factor string) {
	t.Helper()
	done := nas.Ask(asks)
	require.EqualValues(t, site.AccessAccept, done.Code, done.Text)
	require.Equal(t, factor, s.Last().Factor)
}

// asked wants a request held, and has it approved.
func asked(t *testing.T, nas *site.NAS, phone *site.Phone, r site.Request) {
	t.Helper()
	p := nas.Packet(r)
	nas.Send(p)
	require.Equal(t, "accepted", phone.Yes().Verdict)
	require.EqualValues(t, site.AccessAccept, nas.Answer(p).Code)
}

// as is the same NAS under another name: what it asks again there is no retry.
func as(nas *site.NAS, name string) *site.NAS {
	other := *nas
	other.Name = name
	return &other
}

func TestGlobalProtectsPortalAndGatewayAreOnePrompt(t *testing.T) {
	s := site.Start(t, site.Options{Clients: rules})
	phone := s.Phone(1)
	nas := s.NAS(remembers)
	asked(t, as(nas, "portal"), phone, asks)
	lets(t, s, as(nas, "gateway"), "remembered")
	require.Len(t, s.Accepted(), 2, "each login has its record")

	for name, end := range map[string]func(){"a restart": s.Stop, "a crash": s.Kill} {
		end()
		s.Start()
		t.Run("remembered across "+name, func(t *testing.T) { lets(t, s, as(s.NAS(remembers), "gateway 2"), "remembered") })
	}
	t.Run("asked from another station", func(t *testing.T) {
		r := asks
		r.Station = "203.0.113.99"
		asked(t, as(s.NAS(remembers), "a"), s.Client(phone.Key), r)
	})
	t.Run("a changed password is refused at once, and the new one asked for", func(t *testing.T) {
		changePassword(t, s, "new-password-1")
		nas := as(s.NAS(remembers), "b")
		require.EqualValues(t, site.AccessReject, nas.Ask(asks).Code)
		r := asks
		r.Password = "new-password-1"
		asked(t, nas, s.Client(phone.Key), r)
	})
}

func changePassword(t *testing.T, s *site.Site, to string) {
	t.Helper()
	conn, err := ldap.DialURL(s.Slapd.URI)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.Bind(testenv.UserDN(1), password))
	_, err = conn.PasswordModify(ldap.NewPasswordModifyRequest("", "", to))
	require.NoError(t, err)
}

func TestWhatEndsWhatIsRemembered(t *testing.T) {
	s := site.Start(t, site.Options{Clients: rules})
	phone := s.Phone(1)
	spare := s.Phone(1)
	nas := s.NAS(remembers)
	asked(t, as(nas, "1"), phone, asks)
	lets(t, s, as(nas, "2"), "remembered")
	t.Run("a denied login elsewhere", func(t *testing.T) {
		other := s.NAS(site.Holds)
		p := other.Packet(asks)
		other.Send(p)
		phone.No()
		require.EqualValues(t, site.AccessReject, other.Answer(p).Code)
		asked(t, as(nas, "3"), phone, asks)
		lets(t, s, as(nas, "4"), "remembered")
	})
	t.Run("a revoked device", func(t *testing.T) {
		s.Command("device", "revoke", spare.ID, "--why", "lost")
		asked(t, as(nas, "5"), phone, asks)
		lets(t, s, as(nas, "6"), "remembered")
	})
	t.Run("another number of the account", func(t *testing.T) {
		s.Command("account", "set", user, "--bhxh-number", "7999999999")
		done := as(nas, "7").Ask(asks)
		require.EqualValues(t, site.AccessReject, done.Code)
		require.Equal(t, "no_device", s.Last().Reason)
	})
}

func TestTwoNodesRememberTogether(t *testing.T) {
	a, b, _ := pairOf(t, site.Options{Clients: rules})
	phone := a.Phone(1)
	asked(t, as(a.NAS(remembers), "portal"), phone, asks)
	lets(t, b, as(b.NAS(remembers), "gateway"), "remembered")
	a.Command("device", "revoke", phone.ID, "--why", "lost")
	require.EqualValues(t, site.AccessReject, as(b.NAS(remembers), "later").Ask(asks).Code)
	require.Equal(t, "no_device", b.Last().Reason)
}

func TestAnObservedNASAsksNobodyAndSaysWhatWouldHaveBeen(t *testing.T) {
	s := site.Start(t, site.Options{Clients: rules})
	phone := s.Phone(1)
	nas := s.NAS(observed)
	lets(t, s, nas, "observe")
	require.Equal(t, "asked", s.Last().WouldBe)
	phone.None()
	done := nas.Ask(site.Request{User: testenv.UserName(2), Password: testenv.UserPassword(2), Station: "203.0.113.8"})
	require.EqualValues(t, site.AccessAccept, done.Code, done.Text)
	require.Equal(t, "observe", s.Last().Factor)
	require.Equal(t, "no_device", s.Last().WouldBe)
	require.Zero(t, s.Last().Pushes)
	done = nas.Ask(site.Request{User: user, Password: "not it", Station: "203.0.113.7"})
	require.EqualValues(t, site.AccessReject, done.Code)
	require.Empty(t, s.Last().WouldBe)
	stdout, stderr, code := s.Run("check")
	require.Zero(t, code, stderr)
	require.Contains(t, stdout+stderr, "until 2999-12-31 the password alone lets in here, and nobody is asked (moving over from the old server)")
}

// hold: 1s, then: challenge. What the user does at the challenge, on the wire.
func TestAHoldThatEndsInAChallengeTakesWhateverComes(t *testing.T) {
	t.Parallel() // most of the time it waits
	s := site.Start(t, site.Options{Clients: rules})
	phone := s.Phone(1)
	nas := s.NAS(thenAsks)
	challenged := func(t *testing.T, nas *site.NAS, station string) (site.Request, string) {
		r := asks
		r.Station = station
		begun := time.Now()
		got := nas.Ask(r)
		require.EqualValues(t, site.AccessChallenge, got.Code, got.Text)
		require.GreaterOrEqual(t, time.Since(begun), time.Second)
		return r, got.State
	}
	t.Run("the code", func(t *testing.T) {
		r, state := challenged(t, nas, "203.0.113.1")
		require.EqualValues(t, site.AccessAccept, nas.Ask(r.Saying(phone.Code(), state)).Code)
		require.Equal(t, "code", s.Last().Factor)
	})
	for i, said := range []string{"", "ok"} {
		t.Run("approved, then "+said+" is typed", func(t *testing.T) {
			r, state := challenged(t, nas, "203.0.113."+string('2'+rune(i)))
			require.Equal(t, "waiting_for_retry", phone.Yes().Verdict)
			require.EqualValues(t, site.AccessAccept, nas.Ask(r.Saying(said, state)).Code)
			require.Equal(t, "approval", s.Last().Factor)
		})
	}
	t.Run("OK, then approved while it is held", func(t *testing.T) {
		nas := s.NAS(inTime)
		r, state := challenged(t, nas, "203.0.113.4")
		p := nas.Packet(r.Saying("", state))
		nas.Send(p)
		require.Eventually(t, func() bool { return phone.Login().Waiting == 2 }, site.Patience, tick)
		require.Equal(t, "accepted", phone.Yes().Verdict)
		require.EqualValues(t, site.AccessAccept, nas.Answer(p).Code)
	})
	t.Run("denied while it is held after the challenge: told at once", func(t *testing.T) {
		nas := s.NAS(inTime)
		r, state := challenged(t, nas, "203.0.113.5")
		p := nas.Packet(r.Saying("ok", state))
		nas.Send(p)
		require.Eventually(t, func() bool { return phone.Login().Waiting == 2 }, site.Patience, tick)
		phone.No()
		done := nas.Answer(p)
		require.EqualValues(t, site.AccessReject, done.Code)
		require.Contains(t, done.Text, "denied in VssID")
	})
	t.Run("nobody confirms: challenged again", func(t *testing.T) {
		r, state := challenged(t, nas, "203.0.113.6")
		again := nas.Ask(r.Saying("", state))
		require.EqualValues(t, site.AccessChallenge, again.Code)
		require.Contains(t, again.Text, "not confirmed yet")
		require.EqualValues(t, site.AccessAccept, nas.Ask(r.Saying(phone.Code(), again.State)).Code)
	})
}

// FortiGate tries PAP, MS-CHAPv2 and CHAP in turn when nobody answers: the
// login that waits for the phone is not rejected meanwhile.
func TestFortiGateTriesPAPThenMSCHAPThenCHAP(t *testing.T) {
	s := site.Start(t, site.Options{})
	phone := s.Phone(1)
	nas := s.NAS(site.Holds)
	nas.Name = "vpn1"
	p := nas.Packet(asks)
	nas.Send(p)
	phone.Login()
	for _, proof := range []string{"MS-CHAP-Password", "CHAP-Password"} {
		out := radclientFor(t, s, "1", site.Holds, append(proven(proof), signed)...).said()
		require.Contains(t, out, "No reply from server")
	}
	require.EqualValues(t, 2, s.Metric(`vssgate_packets_dropped_total{reason="probed"}`))
	s.Logged("set it to PAP alone")
	phone.Yes()
	require.EqualValues(t, site.AccessAccept, nas.Answer(p).Code)
	out := radclientFor(t, s, "5", site.Holds, append(proven("CHAP-Password"), signed)...).said()
	require.Contains(t, out, "Received Access-Reject", "now it is a mistake of the NAS")
	require.Len(t, s.Ended(), 1)
}

// proven is typed by CHAP or MS-CHAP.
func proven(proof string) []string {
	all := typed(password)
	all[1] = strings.Replace(all[1], "User-Password", proof, 1)
	return all
}

// Where the NAS names no station, whoever else has the password is not let in
// by the owner's approval, however soon he comes.
func TestWithoutStationAnotherLoginIsNotTheOwners(t *testing.T) {
	s := site.Start(t, site.Options{})
	phone := s.Phone(1)
	r := asks
	r.Station = ""
	owner, other := s.NAS(site.Holds), s.NAS(site.Holds)
	p := owner.Packet(r)
	owner.Send(p)
	phone.Yes()
	require.EqualValues(t, site.AccessAccept, owner.Answer(p).Code)
	owner.Send(p)
	require.EqualValues(t, site.AccessAccept, owner.Answer(p).Code, "its own retransmission")
	for _, nas := range []*site.NAS{owner, other} {
		nas.Send(nas.Packet(r))
	}
	require.Eventually(t, func() bool { return len(phone.All()) == 2 }, site.Patience, tick, "two logins of their own")
	require.Len(t, s.Accepted(), 1)
}
