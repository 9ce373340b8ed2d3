package otp

import (
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// rfcSecret and its codes are of RFC 6238, appendix B, cut to six digits.
var rfcSecret = []byte("12345678901234567890")

func TestTimeCodesOfTheRFC(t *testing.T) {
	for at, want := range map[int64]string{59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130"} {
		step, ok := VerifyTimeCode(rfcSecret, want, time.Unix(at, 0), 0)
		require.True(t, ok, at)
		require.EqualValues(t, at/30, step)
		require.False(t, StepBegins(step).After(time.Unix(at, 0)))
	}
}

func TestATimeCodeCountsOneStepEitherSideAndOnce(t *testing.T) {
	now := time.Unix(1_800_000_015, 0)
	current := uint64(now.Unix() / 30)
	for off := -3; off <= 3; off++ {
		step := uint64(int64(current) + int64(off))
		got, ok := VerifyTimeCode(rfcSecret, TimeCode(rfcSecret, step), now, 0)
		require.Equal(t, off >= -1 && off <= 1, ok, off)
		if ok {
			require.Equal(t, step, got)
			_, again := VerifyTimeCode(rfcSecret, TimeCode(rfcSecret, step), now, step)
			require.False(t, again, "the step that was accepted last")
			_, older := VerifyTimeCode(rfcSecret, TimeCode(rfcSecret, step), now, step+1)
			require.False(t, older, "a step before it")
		}
	}
	for _, wrong := range []string{"", "287", "2870820", "abcdef"} {
		_, ok := VerifyTimeCode(rfcSecret, wrong, now, 0)
		require.False(t, ok)
	}
	_, ok := VerifyTimeCode(NewTimeSecret(), TimeCode(rfcSecret, current), now, 0)
	require.False(t, ok)
}

// A foreign authenticator makes the codes that we accept.
func TestOathtoolMakesOurCodes(t *testing.T) {
	secret := NewTimeSecret()
	now := time.Unix(1_800_000_015, 0)
	out, err := exec.Command("oathtool", "--totp", "--base32", "--now", now.UTC().Format("2006-01-02 15:04:05 UTC"), TimeSecretText(secret)).Output()
	require.NoError(t, err)
	step, ok := VerifyTimeCode(secret, strings.TrimSpace(string(out)), now, 0)
	require.True(t, ok)
	require.EqualValues(t, now.Unix()/30, step)
}

func TestTheURLForAnApp(t *testing.T) {
	text, err := TimeURL(rfcSecret, "otp.example.vn", "an nv/Hà Nội")
	require.NoError(t, err)
	u, err := url.Parse(text)
	require.NoError(t, err)
	require.Equal(t, "otpauth", u.Scheme)
	require.Equal(t, "totp", u.Host)
	require.Equal(t, "/otp.example.vn:an nv/Hà Nội", u.Path)
	q := u.Query()
	require.Equal(t, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", q.Get("secret"))
	require.Equal(t, []string{"otp.example.vn", "SHA1", "6", "30"}, []string{q.Get("issuer"), q.Get("algorithm"), q.Get("digits"), q.Get("period")})
	_, err = TimeURL(rfcSecret, "", "an")
	require.Error(t, err)
}

// Only the six digits of a step near by are ever right.
func FuzzVerifyTimeCode(f *testing.F) {
	f.Add("287082", int64(59), uint64(0))
	f.Fuzz(func(t *testing.T, typed string, unix int64, last uint64) {
		if unix < 60 || unix > 1<<40 {
			return
		}
		step, ok := VerifyTimeCode(rfcSecret, typed, time.Unix(unix, 0), last)
		if !ok {
			return
		}
		require.Equal(t, TimeCode(rfcSecret, step), typed)
		require.Greater(t, step, last)
		require.LessOrEqual(t, max(int64(step)-unix/30, unix/30-int64(step)), int64(1))
	})
}
