package otp

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestARecoveryCodeIsReadHoweverItIsTyped(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		code := NewRecoveryCode()
		require.Regexp(t, `^[0-9A-HJKMNP-TV-Z]{13}$`, code)
		shown := ShowRecoveryCode(code)
		require.Regexp(t, `^\w{4}-\w{4}-\w{5}$`, shown)
		for _, typed := range []string{code, shown, strings.ToLower(shown), strings.ReplaceAll(shown, "-", " "), " " + shown + " ",
			strings.NewReplacer("0", "O", "1", "l").Replace(shown), strings.NewReplacer("0", "o", "1", "I").Replace(shown)} {
			got, ok := ParseRecoveryCode(typed)
			require.True(t, ok, typed)
			require.Equal(t, code, got)
		}
		seen[code] = true
	}
	require.Len(t, seen, 1000)
}

func TestWhatIsNoRecoveryCode(t *testing.T) {
	for _, typed := range []string{"", "ok", "123456", "12345678", "ABCD-EFGH-JKMN", "ABCD-EFGH-JKMNPQ", "UBCD-EFGH-JKMN0", "ABCD-EFGH-JKMN1", "ÁBCD-EFGH-JKMN0", strings.Repeat("-", 100)} {
		_, ok := ParseRecoveryCode(typed)
		require.False(t, ok, typed)
	}
}

func TestAHelpCodeIsEightDigits(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		code := NewHelpCode()
		require.Regexp(t, regexp.MustCompile(`^[0-9]{8}$`), code)
		seen[code] = true
	}
	require.Greater(t, len(seen), 990)
}

// Whatever is read as a recovery code is read as the same one when it is shown.
func FuzzParseRecoveryCode(f *testing.F) {
	for _, s := range []string{"7K3M-9QXV-2T0WA", "7k3m 9qxv 2towa", "", "ok"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		code, ok := ParseRecoveryCode(typed)
		if !ok {
			return
		}
		again, ok := ParseRecoveryCode(ShowRecoveryCode(code))
		require.True(t, ok)
		require.Equal(t, code, again)
	})
}
