package upstream_test

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
	"vssgate/test/site"
)

// Where a FreeRADIUS asks us that stands before the NAS: a proxy's requests
// come from its own address, so one site has one mode.

// proxied starts a directory, a node, and FreeRADIUS as a proxy before it.
func proxied(t *testing.T, o site.Options) (*site.Site, *testenv.FreeRADIUS) {
	t.Helper()
	s := site.Start(t, o)
	return s, testenv.StartFreeRADIUS(t, testenv.FreeRADIUSOptions{Proxy: s.RADIUS[0], ProxySecret: s.Secret})
}

// holdsAll is a site whose NAS at 127.0.0.1 is of mode hold.
var holdsAll = site.Options{Asks: "127.0.0.21", Holds: "127.0.0.1", Appends: "127.0.0.22"}

func viaProxy(t *testing.T, f *testenv.FreeRADIUS, attributes ...string) program {
	t.Helper()
	return begin(t, strings.Join(append(attributes, "Message-Authenticator = 0x00"), "\n"),
		"radclient", "-x", "-t", "30", "-r", "1", f.Addr, "auth", testenv.FreeRADIUSSecret)
}

func TestAProxyWaitsForThePhone(t *testing.T) {
	s, f := proxied(t, holdsAll)
	phone := s.Phone(1)
	p := viaProxy(t, f, by("User-Password", password)...)
	phone.Yes()
	require.Contains(t, p.said(), "Received Access-Accept")
	require.Contains(t, f.Log(), "Proxy-State")

	p = viaProxy(t, f, from(user, "203.0.113.9", "User-Password", password)...)
	phone.No()
	out := p.said()
	require.Contains(t, out, "Received Access-Reject")
	require.Contains(t, out, "denied in VssID")
	require.NotRegexp(t, `Marking home server [^\n]* as (zombie|dead)`, f.Log())
}

func TestAProxyPassesTheChallengeOn(t *testing.T) {
	s, f := proxied(t, site.Options{})
	phone := s.Phone(1)
	out := viaProxy(t, f, by("User-Password", password)...).said()
	require.Contains(t, out, "Received Access-Challenge")
	require.Contains(t, out, "Reply-Message")
	out = viaProxy(t, f, by("User-Password", phone.Code(), "State = "+stateIn(out))...).said()
	require.Contains(t, out, "Received Access-Accept")
	require.Equal(t, "code", s.Last().Factor)
}

// The proxy ends EAP-TTLS, and asks us about what is in the tunnel.
func TestAProxyEndsTheTunnel(t *testing.T) {
	s, f := proxied(t, holdsAll)
	phone := s.Phone(1)
	network := identity(user, password, `TTLS;anonymous_identity="anonymous";phase2="auth=PAP"`)
	p := eapol(t, f.Addr, testenv.FreeRADIUSSecret, "127.0.0.1", network)
	phone.Yes()
	out := p.said()
	require.True(t, strings.HasSuffix(out, "SUCCESS\n"), out)
	require.Contains(t, out, "MPPE keys OK: 1  mismatch: 0")

	p = eapol(t, f.Addr, testenv.FreeRADIUSSecret, "127.0.0.1", network, "-M", "02:00:00:00:00:02")
	phone.No()
	out = p.said()
	require.True(t, strings.HasSuffix(out, "FAILURE\n"), out)
}

// MSCHAPv2 within the tunnel can be judged by an upstream alone: a FreeRADIUS
// before us and another behind us.
func TestAProxyEndsTheTunnelAndAnUpstreamJudges(t *testing.T) {
	judge := testenv.StartFreeRADIUS(t, testenv.FreeRADIUSOptions{})
	o := options(fmt.Sprintf("{address: %q, secret: %q}", judge.Addr, testenv.FreeRADIUSSecret), "timeout: 5s")
	o.Asks = "127.0.0.21"
	o.Clients = `    - {name: proxy, addresses: [127.0.0.1], secret: "{{SECRET}}", first_factor: radius, mode: hold, hold: 20s, approval: simple}`
	s, f := proxied(t, o)
	phone := s.Phone(1)
	p := eapol(t, f.Addr, testenv.FreeRADIUSSecret, "127.0.0.1", identity(user, password, `TTLS;anonymous_identity="anonymous";phase2="auth=MSCHAPV2"`))
	phone.Yes()
	out := p.said()
	require.True(t, strings.HasSuffix(out, "SUCCESS\n"), out)
	require.Contains(t, out, "MPPE keys OK: 1  mismatch: 0")
	require.Contains(t, judge.Log(), "MS-CHAP2-Response")
}

// EAP-GTC is answered by us: the directory alone judges.
func TestEAPGTCWithoutAnUpstream(t *testing.T) {
	o := holdsAll
	o.Clients = `    - {name: shows, addresses: [127.0.0.23], secret: "{{SECRET}}", mode: challenge, hold: 20s, approval: simple}`
	s := site.Start(t, o)
	phone := s.Phone(1)
	gtc := identity(user, password, "GTC")
	t.Run("held, approved", func(t *testing.T) {
		p := eapol(t, s.RADIUS[0], s.Secret, "127.0.0.1", gtc, "-n")
		phone.Yes()
		out := p.said()
		require.True(t, strings.HasSuffix(out, "SUCCESS\n"), out)
		require.Equal(t, user, s.Last().Username)
	})
	t.Run("held, denied", func(t *testing.T) {
		p := eapol(t, s.RADIUS[0], s.Secret, "127.0.0.1", gtc, "-n", "-M", "02:00:00:00:00:02")
		phone.No()
		out := p.said()
		require.Contains(t, out, "EAP: Received EAP-Failure")
	})
	t.Run("a wrong password", func(t *testing.T) {
		out := eapol(t, s.RADIUS[0], s.Secret, "127.0.0.1", identity(user, "wrong", "GTC"), "-n").said()
		require.Contains(t, out, "EAP: Received EAP-Failure")
		phone.None()
	})
	t.Run("a code appended to the password", func(t *testing.T) {
		p := eapol(t, s.RADIUS[0], s.Secret, "127.0.0.1", gtc, "-n", "-M", "02:00:00:00:00:03")
		code := phone.Code()
		out := eapol(t, s.RADIUS[0], s.Secret, "127.0.0.1", identity(user, password+","+code, "GTC"), "-n", "-M", "02:00:00:00:00:04").said()
		require.True(t, strings.HasSuffix(out, "SUCCESS\n"), out)
		require.Contains(t, p.said(), "EAP: Received EAP-Failure", "that code is used")
	})
	// wpa_supplicant, hence eapol_test, answers one question only; strongSwan any
	// number.
	t.Run("asked a second time, the code", func(t *testing.T) {
		w := wire{t: t, s: s, from: "127.0.0.23"}
		w.says(1, user)
		require.Equal(t, "Password: ", w.asked)
		w.says(6, password)
		require.Contains(t, w.asked, "type its 6-digit code here")
		w.says(6, phone.Wrong())
		require.Contains(t, w.asked, "2 tries left")
		out := w.says(6, phone.Code())
		require.Contains(t, out, "Received Access-Accept")
		require.Contains(t, out, fmt.Sprintf("EAP-Message = 0x03%02x0004", w.id))
		require.Equal(t, "code", s.Last().Factor)
	})
	t.Run("another method is refused, with the way out", func(t *testing.T) {
		out := eapol(t, s.RADIUS[0], s.Secret, "127.0.0.1", identity(user, password, `PEAP;phase2="auth=MSCHAPV2"`)).said()
		require.Contains(t, out, "EAP: Received EAP-Failure")
		s.Logged("the device asks for EAP type 25 (PEAP)")
		s.Logged("set the user's device (IKEv2: the gateway) to EAP-GTC")
	})
}

// wire speaks EAP through radclient.
type wire struct {
	t     *testing.T
	s     *site.Site
	from  string
	id    byte
	state string
	asked string
}

var eapShown = regexp.MustCompile(`EAP-Message = 0x01([0-9a-f]{2})[0-9a-f]{4}06([0-9a-f]*)`)

// says sends an EAP response and returns what radclient printed.
func (w *wire) says(kind byte, data string) string {
	w.t.Helper()
	eap := append([]byte{2, w.id, 0, byte(5 + len(data)), kind}, data...)
	attributes := []string{"User-Name = " + user, `Calling-Station-Id = "203.0.113.7"`, "EAP-Message = 0x" + hex.EncodeToString(eap)}
	if w.state != "" {
		attributes = append(attributes, "State = "+w.state)
	}
	out := radclient(w.t, w.s, w.from, attributes...).said()
	w.state = stateIn(out)
	if m := eapShown.FindStringSubmatch(answer(out)); m != nil {
		id, _ := hex.DecodeString(m[1])
		text, _ := hex.DecodeString(m[2])
		w.id, w.asked = id[0], string(text)
	}
	return out
}
