package radius_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/test/site"
)

// wrong is a request that is answered at once, with a reject; bare is one
// without Message-Authenticator.
func wrong(n int) site.Request {
	return site.Request{User: fmt.Sprint("nobody", n), Password: "not it"}
}

func bare(n int) site.Request {
	r := wrong(n)
	r.Unsigned = true
	return r
}

// signs makes it known that a NAS sends Message-Authenticator.
func signs(t *testing.T, nas *site.NAS) {
	t.Helper()
	for n := range 3 {
		require.EqualValues(t, site.AccessReject, nas.Ask(wrong(n)).Code)
	}
}

// unheard sends a request that must be dropped: what is sent after it is
// answered first.
func unheard(t *testing.T, nas *site.NAS, r site.Request) {
	t.Helper()
	nas.Send(nas.Packet(r))
	require.EqualValues(t, site.AccessReject, nas.Ask(wrong(99)).Code)
}

func TestANASThatSignsMustGoOnAcrossRestarts(t *testing.T) {
	s := site.Start(t, site.Options{})
	signs(t, s.NAS(site.Asks))
	unheard(t, s.NAS(site.Asks), bare(1))
	s.Logged("vssgate nas forget")
	for _, c := range []struct {
		name string
		end  func()
	}{{"a crash", s.Kill}, {"a restart", s.Stop}} {
		c.end()
		s.Start()
		t.Run(c.name, func(t *testing.T) { unheard(t, s.NAS(site.Asks), bare(2)) })
	}
	require.EqualValues(t, site.AccessReject, s.NAS(site.Holds).Ask(bare(3)).Code, "another NAS")

	said := s.Command("nas", "forget", "asks", "--why", "old firmware again")
	require.Contains(t, said, "asks: forgotten of 1 NASes")
	require.Contains(t, s.Audit(), `"action":"nas forget"`)
	require.Contains(t, s.Audit(), "old firmware again")
	nas := s.NAS(site.Asks)
	require.EqualValues(t, site.AccessReject, nas.Ask(bare(4)).Code)
	require.EqualValues(t, 2, s.Metric("vssgate_unsigned_requests_total"))
	_, stderr, code := s.Run("nas", "forget", "no-such-client")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "radius.clients")
	s.Stop()
	s.Start()
	require.EqualValues(t, site.AccessReject, s.NAS(site.Asks).Ask(bare(5)).Code, "forgotten for good")
}

func TestTwoNodesKnowWhichNASSigns(t *testing.T) {
	a, b, _ := pair(t)
	signs(t, a.NAS(site.Asks))
	atB := b.NAS(site.Asks)
	dropped := func() bool {
		p := atB.Packet(bare(1))
		atB.Send(p)
		_, answered := atB.Maybe(p, time.Second)
		return !answered
	}
	require.Eventually(t, dropped, site.Patience, tick, "the other node learns of it")
	b.Stop()
	b.Start()
	atB = b.NAS(site.Asks)
	require.True(t, dropped(), "a node that starts knows of it")
	b.Command("nas", "forget", "asks")
	require.EqualValues(t, site.AccessReject, atB.Ask(bare(2)).Code)
	atA := a.NAS(site.Asks)
	require.Eventually(t, func() bool {
		p := atA.Packet(bare(3))
		atA.Send(p)
		_, answered := atA.Maybe(p, time.Second)
		return answered
	}, site.Patience, tick, "forgotten at the other node too")
}

var requirements = []string{"auto", "yes", "no"}

// requiring is a site where NASes at that address are asked for
// Message-Authenticator like that.
func requiring(t *testing.T, requirement, address string) *site.Site {
	t.Helper()
	return site.Start(t, site.Options{Asks: "127.0.0.9", Clients: fmt.Sprintf(
		"    - {name: tried, addresses: [%s], secret: {{SECRET}}, require_message_authenticator: %s}\n", address, requirement)})
}

func TestRadclientWithAndWithoutMessageAuthenticator(t *testing.T) {
	const received, rejected, proxied = "Received", "Received Access-Reject", "Proxy-State = 0x0102"
	for _, requirement := range requirements {
		t.Run(requirement, func(t *testing.T) {
			s := requiring(t, requirement, "127.0.0.1")
			says := func(attributes ...string) string {
				return radclient(t, s, "127.0.0.1", typed("not it", attributes...)...).said()
			}
			silent := func(attributes ...string) {
				t.Helper()
				require.NotContains(t, radclientFor(t, s, "1.5", "127.0.0.1", typed("not it", attributes...)...).said(), received)
			}
			require.Contains(t, says(signed), rejected)
			require.Regexp(t, `(?s)Received Access-Reject.*Proxy-State = 0x0102.*Proxy-State = 0x03`, says(signed, proxied, "Proxy-State = 0x03"))
			if requirement == "yes" {
				silent()
				s.Logged("require_message_authenticator is yes for this client")
			} else {
				require.Regexp(t, `(?s)Received Access-Reject.*Message-Authenticator = 0x`, says())
			}
			if requirement == "no" {
				require.Contains(t, says(proxied), rejected)
				require.NotZero(t, s.Metric(`vssgate_unsigned_requests_total{client="tried"}`))
			} else {
				silent(proxied)
			}
		})
	}
}

func TestRadclientTakesRepliesWithoutMessageAuthenticatorWhereTheClientSaysSo(t *testing.T) {
	s := site.Start(t, site.Options{Asks: "127.0.0.9", Clients: "    - {name: chokes, addresses: [127.0.0.1], secret: {{SECRET}}, message_authenticator_in_replies: false}\n"})
	s.Phone(1)
	out := radclient(t, s, "127.0.0.1", typed(password, signed)...).said()
	_, reply, received := strings.Cut(out, "Received Access-Challenge")
	require.True(t, received, out)
	require.Contains(t, reply, "State = 0x")
	require.NotContains(t, reply, "Message-Authenticator")
}

// radtest signs, pam_radius_auth does not.
func TestRadtestUnderEachRequirement(t *testing.T) {
	for _, requirement := range requirements {
		t.Run(requirement, func(t *testing.T) {
			s := requiring(t, requirement, "127.0.0.1")
			for range 4 { // beyond the turn of the ratchet
				out := begin(t, "freeradius-utils", "", nil, "radtest", user, "not it", s.RADIUS[0], "10", s.Secret).said()
				require.Contains(t, out, "Received Access-Reject")
			}
		})
	}
}

func TestPAMRadiusUnderEachRequirement(t *testing.T) {
	for _, requirement := range requirements {
		t.Run(requirement, func(t *testing.T) {
			s := requiring(t, requirement, "127.0.0.1")
			phone := s.Phone(1)
			if requirement == "yes" {
				require.Contains(t, newPAMFor(t, s, 1).login(password).said(), "REFUSED")
				s.Logged("require_message_authenticator is yes for this client")
				phone.None()
				return
			}
			p := newPAM(t, s)
			for range 2 {
				at := p.login(password)
				p.tell(phone.Code())
				require.Contains(t, at.said(), "LOGGED-IN")
			}
		})
	}
}

func TestWhoStillUsesThePreviousSecret(t *testing.T) {
	const old = "the-secret-of-last-year"
	s := site.Start(t, site.Options{Asks: "127.0.0.9", Clients: "    - {name: moving, addresses: [127.0.0.1], secret: {{SECRET}}, previous_secret: " + old +
		", previous_until: 2099-12-31}\n    - {name: moved, addresses: [127.0.0.11], secret: {{SECRET}}, previous_secret: " + old + ", previous_until: 2024-02-29}\n"})
	s.Logged("2024-02-29 has passed")
	s.Phone(1)
	asked := func(seconds, secret, from string, more ...string) string {
		attributes := append(typed(password, more...), "Packet-Src-IP-Address = "+from)
		return begin(t, "freeradius-utils", strings.Join(attributes, "\n")+"\n", nil, "radclient", "-x", "-t", seconds, "-r", "1", s.RADIUS[0], "auth", secret).said()
	}
	require.Contains(t, asked("15", s.Secret, "127.0.0.1", signed), "Received Access-Challenge")
	require.Zero(t, s.Metric("vssgate_previous_secret_packets_total"))
	require.NotContains(t, s.Command("nas", "list", "--seen"), "used 2")
	require.Contains(t, asked("15", old, "127.0.0.1", signed), "Received Access-Challenge")
	require.Contains(t, asked("15", old, "127.0.0.1"), "Received Access-Challenge")
	require.EqualValues(t, 2, s.Metric(`vssgate_previous_secret_packets_total{client="moving"}`))
	s.Logged("a NAS still uses the previous secret")
	require.Regexp(t, `moving +127\.0\.0\.1 +vpn1 .*used 20`, s.Command("nas", "list", "--seen"))
	for _, more := range [][]string{{signed}, nil} {
		require.NotContains(t, asked("1.5", old, "127.0.0.11", more...), "Received")
	}
	s.Logged("previous_secret_expired")
	require.NotContains(t, asked("1.5", "none-of-the-two-secrets", "127.0.0.1", signed), "Received")
	require.NotContains(t, s.Output(), old)
}
