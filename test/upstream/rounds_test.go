package upstream_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
	"vssgate/test/site"
)

// The upstream asks a question of its own, and after that we ask ours.
func TestRoundsOfTheUpstreamComeBeforeOurs(t *testing.T) {
	f := testenv.StartFreeRADIUS(t, testenv.FreeRADIUSOptions{Second: "the second answer", Reply: reply})
	s := behind(t, "timeout: 5s", f)
	phone := s.Phone(1)
	asked := func(from string) string {
		t.Helper()
		out := radclient(t, s, from, by("User-Password", password)...).said()
		require.True(t, strings.HasPrefix(answer(out), "Access-Challenge"), out)
		require.Contains(t, answer(out), "Second question of the upstream?")
		require.NotEmpty(t, stateIn(out))
		phone.None()
		return stateIn(out)
	}
	t.Run("wrong", func(t *testing.T) {
		out := radclient(t, s, holds, by("User-Password", "another answer", "State = "+asked(holds))...).said()
		require.True(t, strings.HasPrefix(answer(out), "Access-Reject"), out)
		phone.None()
	})
	t.Run("right, then held", func(t *testing.T) {
		p := radclient(t, s, holds, by("User-Password", "the second answer", "State = "+asked(holds))...)
		phone.Yes()
		granted(t, p.said())
	})
	t.Run("right, then the code", func(t *testing.T) {
		out := radclient(t, s, asks, from(user, "203.0.113.20", "User-Password", password)...).said()
		out = radclient(t, s, asks, append(from(user, "203.0.113.20", "User-Password", "the second answer"), "State = "+stateIn(out))...).said()
		require.Contains(t, answer(out), "type its 6-digit code")
		out = radclient(t, s, asks, append(from(user, "203.0.113.20", "User-Password", phone.Code()), "State = "+stateIn(out))...).said()
		granted(t, out)
	})
	t.Run("a State is used once", func(t *testing.T) {
		state := asked(asks)
		require.NotEmpty(t, stateIn(radclient(t, s, asks, by("User-Password", "the second answer", "State = "+state)...).said()))
		out := radclient(t, s, asks, by("User-Password", "other words", "State = "+state)...).said()
		require.True(t, strings.HasPrefix(answer(out), "Access-Reject"), out)
		out = radclient(t, s, holds, by("User-Password", "the second answer", "State = "+state)...).said()
		require.True(t, strings.HasPrefix(answer(out), "Access-Reject"), "another client's: "+out)
	})
}

// Whoever was approved when nobody waited any more is let in at the next try,
// with the keys of that try.
func TestALateApprovalIsCollectedByTheNextProof(t *testing.T) {
	f := testenv.StartFreeRADIUS(t, testenv.FreeRADIUSOptions{Reply: reply})
	o := options(fmt.Sprintf("{address: %q, secret: %q}", f.Addr, testenv.FreeRADIUSSecret), "timeout: 5s")
	o.Clients = strings.Replace(o.Clients, "hold: 20s", "hold: 1s", 1)
	s := site.Start(t, o)
	phone := s.Phone(1)
	t.Run("MS-CHAP", func(t *testing.T) {
		out := radclient(t, s, holds, by("MS-CHAP-Password", password)...).said()
		require.Contains(t, answer(out), "Access-Reject")
		require.Contains(t, answer(out), "log in again now with your password")
		phone.Yes()
		out = radclient(t, s, holds, by("MS-CHAP-Password", password)...).said()
		granted(t, out)
		require.Contains(t, answer(out), "MS-CHAP-MPPE-Keys")
	})
	t.Run("PEAP", func(t *testing.T) {
		network := identity(user, password, `PEAP;anonymous_identity="anonymous";phase2="auth=MSCHAPV2"`)
		require.Contains(t, eapol(t, s.RADIUS[0], s.Secret, holds, network).said(), "EAP: Received EAP-Failure")
		phone.Yes()
		out := eapol(t, s.RADIUS[0], s.Secret, holds, network).said()
		require.True(t, strings.HasSuffix(out, "SUCCESS\n"), out)
		require.Contains(t, out, "MPPE keys OK: 1  mismatch: 0")
	})
	require.Len(t, s.Ended(), 2, "two logins, two records")
}
