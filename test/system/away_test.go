package system_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/phone"
	"vssgate/test/fakewebhook"
	"vssgate/test/site"
)

func TestTheDirectoryAwayIsSilenceAndNoReject(t *testing.T) {
	s := site.Start(t, site.Options{})
	phone := s.Phone(1)
	nas := s.NAS(site.Asks)
	asked := nas.Ask(asks)
	code := phone.Code()
	s.Slapd.Stop()
	for name, from := range map[string]string{"asks": site.Asks, "holds": site.Holds, "appends": site.Appends} {
		t.Run(name, func(t *testing.T) {
			nas := s.NAS(from)
			nas.Send(nas.Packet(site.Request{User: user, Password: password, Station: "203.0.113.30"}))
			nas.Silent(quiet)
			nas.Send(nas.Packet(site.Request{User: user, Password: "not it", Station: "203.0.113.31"}))
			nas.Silent(quiet)
		})
	}
	await(t, s, "/readyz", http.StatusServiceUnavailable)
	_, body := s.Get("/readyz")
	require.Equal(t, 1, strings.Count(body, "first factor directory"), body)
	status, body := s.Get("/healthz")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "alive\n", body)
	nas.Send(nas.Status())
	nas.Silent(quiet) // Status-Server is answered only when the node can decide
	s.Logged("first factor cannot be asked")
	t.Run("a login whose password was found right before goes on", func(t *testing.T) {
		require.EqualValues(t, site.AccessAccept, nas.Ask(asks.Saying(code, asked.State)).Code)
	})

	s.Slapd.Start()
	await(t, s, "/readyz", http.StatusOK)
	p := nas.Status()
	nas.Send(p)
	require.EqualValues(t, site.AccessAccept, nas.Answer(p).Code)
	later := asks
	later.Station = "203.0.113.32"
	asked = nas.Ask(later)
	require.EqualValues(t, site.AccessChallenge, asked.Code, asked.Text)
	require.EqualValues(t, site.AccessAccept, nas.Ask(later.Saying(phone.Code(), asked.State)).Code)
	require.Len(t, s.Ended(), 2, "silence ends no login")
}

// await waits until a page beside /metrics answers so.
func await(t *testing.T, s *site.Site, path string, want int) {
	t.Helper()
	require.Eventually(t, func() bool { status, _ := s.Get(path); return status == want }, site.Patience, tick)
}

func TestAnUnknownNASAndAWrongSecretAreNamedInTheLog(t *testing.T) {
	s := site.Start(t, site.Options{})
	for name, c := range map[string]struct {
		from     string
		secret   string
		unsigned bool
		reason   string
		says     []string
	}{
		"an address that no client has": {"127.0.0.9", s.Secret, false, "unknown_source", []string{"127.0.0.9", "add it to radius.clients"}},
		"another secret, signed":        {site.Asks, "another-shared-secret", false, "bad_message_authenticator", []string{`"asks"`, "the shared secret of this client differs"}},
		"another secret, not signed":    {site.Holds, "another-shared-secret", true, "wrong_secret", []string{`"holds"`, "wrong shared secret?"}},
	} {
		t.Run(name, func(t *testing.T) {
			nas := site.DialNAS(t, c.from, s.RADIUS[0], c.secret)
			r := asks
			// Sixteen random bytes and more are no UTF-8 but once in thousands.
			r.Password, r.Unsigned = strings.Repeat("password", 10), c.unsigned
			nas.Send(nas.Packet(r))
			series := fmt.Sprintf(`vssgate_packets_dropped_total{reason=%q}`, c.reason)
			require.Eventually(t, func() bool { return s.Metric(series) == 1 }, site.Patience, tick)
			for _, said := range c.says {
				s.Logged(said)
			}
		})
	}
	require.Zero(t, s.Metric("vssgate_upstream_seconds_count"), "nobody asked the directory")
	require.Empty(t, s.Ended())
}

func TestTheMetricsCountLoginsAndNameNobody(t *testing.T) {
	s := site.Start(t, site.Options{})
	phone, nas := s.Phone(1), s.NAS(site.Asks)
	asked := nas.Ask(asks)
	open := func(want float64) {
		t.Helper()
		require.Eventually(t, func() bool { return s.Metric("vssgate_logins_open") == want }, site.Patience, tick)
	}
	open(1)
	nas.Ask(asks.Saying(phone.Code(), asked.State))
	nas.Ask(asks.Saying("not it", ""))
	require.EqualValues(t, 1, s.Metric(`vssgate_logins_total{client="asks",front_end="radius",reason="accepted",verdict="accepted"}`))
	require.EqualValues(t, 1, s.Metric(`vssgate_logins_total{client="asks",front_end="radius",reason="bad_password",verdict="rejected"}`))
	open(0)
	status, page := s.Get("/metrics")
	require.Equal(t, http.StatusOK, status)
	require.NotContains(t, page, user)
	require.Contains(t, page, "vssgate_radius_overflow_total")
}

// Each metric that contract.md names moves when what it counts takes place.
func TestEveryMetricOfTheContractMoves(t *testing.T) {
	push := fakewebhook.Run(t, nil)
	until := func(days int) string {
		return time.Now().Add(time.Duration(days) * 24 * time.Hour).Format(time.DateOnly)
	}
	ten, twenty := until(10), until(20)
	s := site.Start(t, site.Options{More: fmt.Sprintf(`push: {webhook: {url: %q, token: %q}}
second_factor: {policies: [{match: {client: nobody-yet}, require: never, until: %q, why: "being set up"}]}
`, push.URL, push.Token, ten), Clients: `    - {name: nobody-yet, addresses: [127.0.0.20], secret: "{{SECRET}}"}`})
	phone := s.Enrol(user, phone.Enrolment{Name: "p", Platform: "android", AppVersion: "1.6.8", PushToken: "token", Can: []string{"code", "approve", "number"}})
	holds, asksNAS := s.NAS(site.Holds), s.NAS(site.Asks)
	is := func(series string, want float64) {
		t.Helper()
		require.Eventually(t, func() bool { return s.Metric(series) == want }, site.Patience, tick, "%s is not %v but %v", series, want, s.Metric(series))
	}
	first := asks
	first.Identifier = 7
	p := holds.Packet(first)
	holds.Send(p)
	phone.Login()
	is(`vssgate_identifiers_in_use{client="holds"}`, 1)
	is("vssgate_logins_open", 1)
	is("vssgate_upstream_seconds_count", 1)
	is(`vssgate_pushes_total{outcome="sent"}`, 1)
	holds.Send(p)
	is(`vssgate_packets_dropped_total{reason="retransmission"}`, 1)
	other := holds.Packet(site.Request{User: "nobody", Password: "x", Identifier: 7}) // it has given the login up
	holds.Send(other)
	require.EqualValues(t, site.AccessReject, holds.Answer(other).Code)
	is(`vssgate_logins_total{client="holds",front_end="radius",reason="bad_password",verdict="rejected"}`, 1)
	phone.Yes()
	time.Sleep(1100 * time.Millisecond) // late, by the clock
	again := holds.Packet(asks)
	holds.Send(again)
	require.EqualValues(t, site.AccessAccept, holds.Answer(again).Code)
	is("vssgate_late_approvals_total", 1)
	is("vssgate_joined_total", 1)
	is("vssgate_logins_open", 0)
	is(`vssgate_identifiers_in_use{client="holds"}`, 0)
	is(`vssgate_logins_total{client="holds",front_end="radius",reason="accepted",verdict="accepted"}`, 1)
	is(`vssgate_login_seconds_count{front_end="radius"}`, 2)
	asksNAS.Ask(asks)
	is("vssgate_logins_open", 1)

	ends := `vssgate_exemption_ends_seconds{rule="policies[0]"}`
	left := s.Metric(ends)
	require.InDelta(t, 10*86400, left, 86400)
	s.Reload(ten, twenty)
	require.InDelta(t, left+10*86400, s.Metric(ends), 3600, "right after a reload")
	s.Reload(`second_factor: {policies:`, `#`)
	_, page := s.Get("/metrics")
	require.NotContains(t, page, "vssgate_exemption_ends_seconds{", "there is none any more")
}
