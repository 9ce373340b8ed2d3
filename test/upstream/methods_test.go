package upstream_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
)

var proofs = []string{"User-Password", "CHAP-Password", "MS-CHAP-Password"}

var stateShown = regexp.MustCompile(`\tState = (0x[0-9a-f]+)`)

// stateIn is the State that radclient was given; "" none.
func stateIn(out string) string {
	if m := stateShown.FindStringSubmatch(answer(out)); m != nil {
		return m[1]
	}
	return ""
}

// granted wants what the upstream granted, in order, and nothing of what is
// between it and us.
func granted(t *testing.T, out string) {
	t.Helper()
	got := answer(out)
	require.True(t, strings.HasPrefix(got, "Access-Accept"), out)
	require.Regexp(t, `(?s)Class = 0x6f6e65.*Filter-Id = "staff".*Class = 0x74776f.*Tunnel-Password:1 = "within the tunnel".*Cisco-AVPair = "shell:priv-lvl=7"`, got)
	require.Equal(t, 1, strings.Count(got, "Message-Authenticator ="))
	require.Empty(t, stateIn(out))
}

func TestAnyProofOfAPasswordIsHeldForThePhone(t *testing.T) {
	f := testenv.StartFreeRADIUS(t, testenv.FreeRADIUSOptions{Reply: reply})
	s := behind(t, "timeout: 5s", f)
	phone := s.Phone(1)
	for _, method := range proofs {
		t.Run(method, func(t *testing.T) {
			p := radclient(t, s, holds, by(method, password, "Proxy-State = 0x0102", "Proxy-State = 0x03")...)
			phone.Yes()
			out := p.said()
			granted(t, out)
			require.Regexp(t, `(?s)Cisco-AVPair.*Proxy-State = 0x0102.*Proxy-State = 0x03`, answer(out))
			if method == "MS-CHAP-Password" {
				keys := regexp.MustCompile(`MS-CHAP-MPPE-Keys = 0x[0-9a-f]{48}`).FindString(answer(out))
				require.NotEmpty(t, keys, out)
				require.Contains(t, f.Log(), keys, "as the upstream made them")
			}
			require.Equal(t, "approval", s.Last().Factor)
			require.Equal(t, user, s.Last().Username)

			p = radclient(t, s, holds, from(testenv.UserName(1), "203.0.113.8", method, password)...)
			phone.No()
			out = p.said()
			require.True(t, strings.HasPrefix(answer(out), "Access-Reject"), out)
			require.Contains(t, answer(out), "denied in VssID")
			require.NotContains(t, answer(out), "Class", "a reject grants nothing")

			out = radclient(t, s, holds, by(method, "wrong")...).said()
			require.True(t, strings.HasPrefix(answer(out), "Access-Reject"), out)
			require.Contains(t, answer(out), "Wrong user name or password.")
			require.Contains(t, answer(out), `Reply-Message = "refused by the upstream"`)
			if method == "MS-CHAP-Password" {
				require.Contains(t, answer(out), "MS-CHAP-Error")
			}
			require.Equal(t, "bad_password", s.Last().Reason)
			phone.None()
		})
	}
	require.NotContains(t, f.Log(), "Proxy-State", "what is between the NAS and us stays there")
	require.Contains(t, f.Log(), `Calling-Station-Id = "203.0.113.7"`)
}

func TestWithAChallengeInBetweenNothingIsLost(t *testing.T) {
	f := testenv.StartFreeRADIUS(t, testenv.FreeRADIUSOptions{Reply: reply})
	s := behind(t, "timeout: 5s", f)
	phone := s.Phone(1)
	for _, method := range []string{"User-Password", "CHAP-Password"} {
		t.Run(method, func(t *testing.T) {
			out := radclient(t, s, asks, by(method, password)...).said()
			state := stateIn(out)
			require.NotEmpty(t, state, out)
			require.NotContains(t, answer(out), "Class", "a challenge grants nothing")
			out = radclient(t, s, asks, by("User-Password", phone.Wrong(), "State = "+state)...).said()
			state = stateIn(out)
			require.NotEmpty(t, state, out)
			asked := strings.Count(f.Log(), "Received Access-Request")
			out = radclient(t, s, asks, by("User-Password", phone.Code(), "State = "+state)...).said()
			granted(t, out)
			require.Equal(t, asked, strings.Count(f.Log(), "Received Access-Request"), "the upstream is asked once")
			require.Equal(t, "code", s.Last().Factor)
		})
	}
	t.Run("a code appended to the password", func(t *testing.T) {
		radclient(t, s, asks, by("User-Password", password, `NAS-Port = 7`)...).said()
		out := radclient(t, s, asks, by("User-Password", password+","+phone.Code())...).said()
		granted(t, out)
	})
	t.Run("MS-CHAP cannot be challenged", func(t *testing.T) {
		out := radclient(t, s, asks, by("MS-CHAP-Password", password)...).said()
		require.True(t, strings.HasPrefix(answer(out), "Access-Reject"), out)
	})
}

func TestOnlyNamedAttributesPass(t *testing.T) {
	f := testenv.StartFreeRADIUS(t, testenv.FreeRADIUSOptions{Reply: reply})
	for name, want := range map[string]string{"none": "", "two": "Filter-Id, Cisco-AVPair"} {
		t.Run(name, func(t *testing.T) {
			s := behind(t, "pass_attributes: "+map[bool]string{true: "none", false: "[" + want + "]"}[want == ""], f)
			phone := s.Phone(1)
			p := radclient(t, s, holds, by("MS-CHAP-Password", password)...)
			phone.Yes()
			got := answer(p.said())
			for _, name := range []string{"Class", "Filter-Id", "Tunnel-Password", "Cisco-AVPair"} {
				require.Equal(t, strings.Contains(want, name), strings.Contains(got, name), "%s in %s", name, got)
			}
			require.Contains(t, got, "MS-CHAP-MPPE-Keys", "without it the NAS can do nothing with an accept")
		})
	}
}

func TestEAPThatIsNotConfirmedEndsInEAPFailure(t *testing.T) {
	f := testenv.StartFreeRADIUS(t, testenv.FreeRADIUSOptions{Reply: reply})
	s := behind(t, "timeout: 5s", f)
	phone := s.Phone(1)
	for _, m := range methods[2:6] {
		t.Run(m.name, func(t *testing.T) {
			p := eapol(t, s.RADIUS[0], s.Secret, holds, identity(user, password, m.eap), m.args...)
			phone.No()
			out := p.said()
			require.Contains(t, out, "EAP: Received EAP-Failure")
			require.True(t, strings.HasSuffix(out, "FAILURE\n"), out)
			require.Equal(t, "denied", s.Last().Reason)

			out = eapol(t, s.RADIUS[0], s.Secret, holds, identity(user, "wrong", m.eap), m.args...).said()
			require.True(t, strings.HasSuffix(out, "FAILURE\n"), out)
			require.Equal(t, "bad_password", s.Last().Reason)
			phone.None()
		})
	}
	t.Run("a mode that could challenge holds, and then rejects", func(t *testing.T) {
		out := eapol(t, s.RADIUS[0], s.Secret, asks, identity(user, password, methods[5].eap)).said()
		require.Contains(t, out, "EAP: Received EAP-Failure")
		require.NotContains(t, out, "EAP: Received EAP-Success")
	})
}

// The outer name of a tunnel may be anybody's: the one inside counts.
func TestTheInnerNameIsWhoLogsIn(t *testing.T) {
	f := testenv.StartFreeRADIUS(t, testenv.FreeRADIUSOptions{})
	s := behind(t, "timeout: 5s", f)
	one, two := s.Phone(1), s.Phone(2)
	network := identity(user, password, `TTLS;anonymous_identity="`+testenv.UserName(2)+`";phase2="auth=PAP"`)
	p := eapol(t, s.RADIUS[0], s.Secret, holds, network)
	one.Login()
	two.None()
	one.Yes()
	require.True(t, strings.HasSuffix(p.said(), "SUCCESS\n"))
	require.Equal(t, user, s.Last().Username)
}

// Who is known to the upstream alone has no second factor.
func TestNobodyOfTheDirectoryIsLetIn(t *testing.T) {
	f := testenv.StartFreeRADIUS(t, testenv.FreeRADIUSOptions{Users: 11})
	s := behind(t, "timeout: 5s", f)
	out := radclient(t, s, holds, "User-Name = "+testenv.UserName(11), "User-Password = "+testenv.UserPassword(11)).said()
	require.True(t, strings.HasPrefix(answer(out), "Access-Reject"), out)
	require.Contains(t, f.Log(), "Sent Access-Accept")
	s.Logged("identify_with does not know")
}
