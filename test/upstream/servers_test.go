package upstream_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
	"vssgate/test/site"
)

// accepted lets the user in and tells how the login ended at the NAS.
func accepted(t *testing.T, s *site.Site, phone *site.Phone, station string) {
	t.Helper()
	p := radclient(t, s, holds, from(user, station, "User-Password", password)...)
	phone.Yes()
	out := p.said()
	require.True(t, strings.HasPrefix(answer(out), "Access-Accept"), out)
}

func TestWhenOneServerIsDownTheNextIsAsked(t *testing.T) {
	one, two := testenv.StartFreeRADIUS(t, testenv.FreeRADIUSOptions{}), testenv.StartFreeRADIUS(t, testenv.FreeRADIUSOptions{})
	s := behind(t, "timeout: 6s", one, two) // half of it for each
	phone := s.Phone(1)
	accepted(t, s, phone, "203.0.113.1")
	require.Contains(t, one.Log(), "Received Access-Request", "servers are asked in order")
	require.NotContains(t, two.Log(), "Received Access-Request")

	one.Freeze()
	accepted(t, s, phone, "203.0.113.2")
	require.Contains(t, two.Log(), "Received Access-Request")
	s.Logged("upstream RADIUS server does not answer; it is passed over")
	status, _ := s.Get("/readyz")
	require.Equal(t, 200, status, "one of two is enough")
	accepted(t, s, phone, "203.0.113.3")

	one.Thaw()                                       // it reads now what came meanwhile
	s.Logged("upstream RADIUS server answers again") // by Status-Server
	require.Contains(t, one.Log(), `Calling-Station-Id = "203.0.113.2"`)
	require.NotContains(t, one.Log(), `Calling-Station-Id = "203.0.113.3"`, "the dead one is passed over at once")
	before := strings.Count(two.Log(), "Received Access-Request")
	accepted(t, s, phone, "203.0.113.4")
	require.Equal(t, before, strings.Count(two.Log(), "Received Access-Request"), "the first one is asked again")
}

func TestWhenNoServerAnswersTheNASIsLeftToAskElsewhere(t *testing.T) {
	f := testenv.StartFreeRADIUS(t, testenv.FreeRADIUSOptions{})
	s := behind(t, "timeout: 3s", f)
	phone := s.Phone(1)
	accepted(t, s, phone, "203.0.113.1")
	f.Stop()
	out := begin(t, strings.Join(append(by("User-Password", password), "Message-Authenticator = 0x00", "Packet-Src-IP-Address = "+holds), "\n"),
		"radclient", "-x", "-t", "5", "-r", "1", s.RADIUS[0], "auth", s.Secret).said()
	require.NotContains(t, out, "Received", "a reject would tell the NAS that the password is wrong")
	s.Logged("is this machine a client there with the same shared secret?")
	phone.None()
	require.Eventually(t, func() bool {
		status, body := s.Get("/readyz")
		return status == 503 && strings.Contains(body, "first factor radius")
	},
		site.Patience, 20*time.Millisecond)

	f.Start()
	require.Eventually(t, func() bool { status, _ := s.Get("/readyz"); return status == 200 }, site.Patience, 20*time.Millisecond)
	accepted(t, s, phone, "203.0.113.2")
}

func TestASlowServerIsWaitedForAsLongAsConfigured(t *testing.T) {
	f := testenv.StartFreeRADIUS(t, testenv.FreeRADIUSOptions{})
	s := behind(t, "timeout: 10s", f)
	phone := s.Phone(1)
	f.Freeze()
	p := radclient(t, s, holds, by("User-Password", password)...)
	require.Eventually(t, func() bool { return s.Metric("vssgate_identifiers_in_use") > 0 }, site.Patience, 5*time.Millisecond)
	f.Thaw()
	phone.Yes()
	require.Contains(t, p.said(), "Received Access-Accept")
}

func TestAWrongSharedSecretIsNamedInTheLog(t *testing.T) {
	f := testenv.StartFreeRADIUS(t, testenv.FreeRADIUSOptions{})
	s := site.Start(t, options(fmt.Sprintf("{address: %q, secret: another-secret-than-that}", f.Addr), "timeout: 1500ms"))
	out := begin(t, strings.Join(append(by("User-Password", password), "Message-Authenticator = 0x00", "Packet-Src-IP-Address = "+holds), "\n"),
		"radclient", "-x", "-t", "2", "-r", "1", s.RADIUS[0], "auth", s.Secret).said()
	require.NotContains(t, out, "Received")
	s.Logged("same shared secret")
	require.NotContains(t, s.Output(), "another-secret-than-that")
}

// CVE-2024-3596: without Message-Authenticator a reject can be made an accept.
func TestAnAnswerWithoutMessageAuthenticatorIsRefused(t *testing.T) {
	f := testenv.StartFreeRADIUS(t, testenv.FreeRADIUSOptions{Unsigned: true})
	s := behind(t, "timeout: 1500ms", f)
	phone := s.Phone(1)
	out := begin(t, strings.Join(append(by("User-Password", password), "Message-Authenticator = 0x00", "Packet-Src-IP-Address = "+holds), "\n"),
		"radclient", "-x", "-t", "2", "-r", "1", s.RADIUS[0], "auth", s.Secret).said()
	require.NotContains(t, out, "Received")
	require.Contains(t, f.Log(), "Sent Access-Accept")
	s.Logged("it has no Message-Authenticator, so it may be forged")
	require.NotZero(t, s.Metric(`vssgate_packets_dropped_total{reason="upstream_no_message_authenticator"}`))
	phone.None()
}

// NPS does not know Status-Server: its silence to that tells nothing.
func TestAServerWithoutStatusServerIsTakenAsThere(t *testing.T) {
	f := testenv.StartFreeRADIUS(t, testenv.FreeRADIUSOptions{Silent: true})
	s := behind(t, "timeout: 3s", f)
	phone := s.Phone(1)
	accepted(t, s, phone, "203.0.113.1")
	require.Eventually(t, func() bool { status, _ := s.Get("/readyz"); return status == 200 }, site.Patience, 20*time.Millisecond)
}

// Who guesses the port of the server cannot end a login with junk.
func TestJunkIsPassedOver(t *testing.T) {
	f := testenv.StartFreeRADIUS(t, testenv.FreeRADIUSOptions{})
	front := relay(t, f.Addr, func(b []byte) [][]byte {
		forged := append([]byte(nil), b...)
		forged[0] = 2 // Access-Accept, as the same bytes
		short := b[:10]
		return [][]byte{[]byte("junk"), short, forged, make([]byte, 4096), b}
	})
	s := site.Start(t, options(fmt.Sprintf("{address: %q, secret: %q}", front, testenv.FreeRADIUSSecret), "timeout: 5s"))
	out := radclient(t, s, holds, by("User-Password", "wrong")...).said()
	require.True(t, strings.HasPrefix(answer(out), "Access-Reject"), out)
	require.NotZero(t, s.Metric(`vssgate_packets_dropped_total{reason="upstream_bad_response_authenticator"}`))
}

// relay stands before a server and sends what change makes of each answer.
func relay(t *testing.T, server string, change func(answer []byte) [][]byte) (addr string) {
	t.Helper()
	front, err := net.ListenPacket("udp4", "127.0.0.1:0")
	require.NoError(t, err)
	back, err := net.Dial("udp4", server)
	require.NoError(t, err)
	t.Cleanup(func() { front.Close(); back.Close() })
	var from net.Addr
	known := make(chan struct{})
	go func() {
		buf := make([]byte, 4096)
		for first := true; ; first = false {
			n, peer, err := front.ReadFrom(buf)
			if err != nil {
				return
			}
			if first {
				from = peer
				close(known)
			}
			back.Write(buf[:n])
		}
	}()
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := back.Read(buf)
			if err != nil {
				return
			}
			<-known
			for _, b := range change(buf[:n]) {
				front.WriteTo(b, from)
			}
		}
	}()
	return front.LocalAddr().String()
}
