package otp

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func keyFile(seeds ...byte) []byte {
	var lines []string
	for _, s := range seeds {
		lines = append(lines, base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{s}, KeySize)))
	}
	return []byte(strings.Join(lines, "\n") + "\n")
}

func keys(t testing.TB, seeds ...byte) *Keys {
	t.Helper()
	k, err := ParseKeys(keyFile(seeds...))
	require.NoError(t, err)
	return k
}

func TestACodeIsTheSameEachTimeAndAnotherForEachLogin(t *testing.T) {
	k := keys(t, 1)
	id := []byte("sixteen byte id!")
	code := k.Code(id, 6)
	require.Regexp(t, `^[0-9]{6}$`, code)
	require.Equal(t, code, keys(t, 1).Code(id, 6))
	require.NotEqual(t, code, keys(t, 2).Code(id, 6))
	require.Len(t, k.Code(id, 8), 8)
	seen := map[string]bool{}
	for i := range 1000 {
		seen[k.Code(fmt.Append(nil, i), 6)] = true
	}
	require.Greater(t, len(seen), 990)
}

func TestVerifyCode(t *testing.T) {
	id := []byte("login")
	k := keys(t, 1)
	code := k.Code(id, 6)
	for name, c := range map[string]struct {
		keys  *Keys
		typed string
		right bool
	}{
		"the right code": {k, code, true},
		"under a new key while the old one stands": {keys(t, 2, 1), code, true},
		"under another key":                        {keys(t, 2), code, false},
		"one digit less":                           {k, code[:5], false},
		"one digit more":                           {k, code + "0", false},
		"nothing":                                  {k, "", false},
		"another code":                             {k, fmt.Sprintf("%06d", (int(code[0]-'0')*100000+1)%1000000), false},
	} {
		require.Equal(t, c.right, c.keys.VerifyCode(id, 6, c.typed), name)
	}
}

func TestDigitsAreSpreadEvenly(t *testing.T) {
	k := keys(t, 3)
	var count [10]int
	for i := range 10000 {
		count[k.Code(fmt.Append(nil, i), 6)[0]-'0']++
	}
	for d, n := range count {
		require.InDelta(t, 1000, n, 150, "digit %d", d)
	}
}

func TestSealedIsBoundToItsPlaceAndKey(t *testing.T) {
	k := keys(t, 1)
	sealed := k.Seal("place", []byte("secret"))
	plain, err := keys(t, 2, 1).Open("place", sealed)
	require.NoError(t, err)
	require.Equal(t, "secret", string(plain))
	for name, c := range map[string]struct {
		keys   *Keys
		place  string
		sealed []byte
	}{
		"elsewhere":   {k, "other", sealed},
		"another key": {keys(t, 2), "place", sealed},
		"cut":         {k, "place", sealed[:len(sealed)-1]},
		"too short":   {k, "place", sealed[:5]},
		"empty":       {k, "place", nil},
	} {
		_, err := c.keys.Open(c.place, c.sealed)
		require.ErrorIs(t, err, ErrSealed, name)
	}
}

func TestFieldsOfAMACCannotBeShifted(t *testing.T) {
	k := keys(t, 1)
	require.NotEqual(t, k.MAC(PurposeJoin, []byte("ab"), []byte("c")), k.MAC(PurposeJoin, []byte("a"), []byte("bc")))
	require.NotEqual(t, k.MAC(PurposeJoin, []byte("ab")), k.MAC(PurposeState, []byte("ab")), "purposes are apart")
	long := bytes.Repeat([]byte("x"), 72)
	require.NotEqual(t, k.MAC(PurposeJoin, long, []byte("p1")), k.MAC(PurposeJoin, long, []byte("p2")), "nothing is cut off")
	require.False(t, k.VerifyMAC(PurposeJoin, nil))
	require.False(t, k.VerifyMAC(PurposeJoin, k.MAC(PurposeJoin)[:7]), "seven bytes are too few")
	require.True(t, keys(t, 2, 1).VerifyMAC(PurposeJoin, k.MAC(PurposeJoin, []byte("x"))[:8], []byte("x")))
	require.Len(t, keys(t, 1, 2).MACs(PurposeJoin), 2)
}

// What is kept under names must be found again by every version.
func TestANameIsItsKindAndHalfAMAC(t *testing.T) {
	k := keys(t, 1)
	many := strings.Split(strings.Repeat("field ", 12), " ")
	raw := [][]byte{[]byte("kind:")}
	for _, field := range many {
		raw = append(raw, []byte(field))
	}
	require.Equal(t, "kind:"+base64.RawURLEncoding.EncodeToString(k.MAC(PurposeJoin, raw...)[:16]), k.Name(PurposeJoin, "kind:", many...))
	require.NotEqual(t, k.Name(PurposeJoin, "kind:", "ab", "c"), k.Name(PurposeJoin, "kind:", "a", "bc"))
}

func TestBadKeyFilesAreNamed(t *testing.T) {
	for file, want := range map[string]string{
		"":                                "no key in it",
		"# only a comment\n":              "no key in it",
		"too short\n":                     "line 1",
		string(keyFile(1)) + "c2hvcnQ=\n": "line 2",
	} {
		_, err := ParseKeys([]byte(file))
		require.ErrorContains(t, err, want)
	}
	_, err := ParseKeys([]byte("# new\n" + NewKeyLine() + "\n# old\n" + NewKeyLine()))
	require.NoError(t, err)
}

func TestKeysDoNotPrintThemselves(t *testing.T) {
	require.Equal(t, "[keys] [keys] [keys]", fmt.Sprintf("%v %+v %#v", keys(t, 1), keys(t, 1), keys(t, 1)))
}

// What is sealed opens to the same; one flipped bit does not open.
func FuzzSeal(f *testing.F) {
	f.Add([]byte("plain"), uint(3))
	k := keys(f, 1)
	f.Fuzz(func(t *testing.T, plain []byte, bit uint) {
		sealed := k.Seal("here", plain)
		got, err := k.Open("here", sealed)
		require.NoError(t, err)
		require.Equal(t, plain, append([]byte{}, got...))
		sealed[bit/8%uint(len(sealed))] ^= 1 << (bit % 8)
		_, err = k.Open("here", sealed)
		require.ErrorIs(t, err, ErrSealed)
	})
}

func BenchmarkCode(b *testing.B) {
	k := keys(b, 1)
	id := make([]byte, 16)
	b.ReportAllocs()
	for b.Loop() {
		k.Code(id, 6)
	}
}
