package directory

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/alexedwards/argon2id"
	"github.com/stretchr/testify/require"
	"golang.org/x/text/unicode/norm"

	"vssgate/internal/login"
)

// cheap keeps the tests fast; real hashes cost 64 MiB.
var cheap = &argon2id.Params{Memory: 64, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32}

func hashOf(t testing.TB, password string) string {
	t.Helper()
	hash, err := argon2id.CreateHash(password, cheap)
	require.NoError(t, err)
	return hash
}

func usersFile(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func someUsers(t testing.TB) *File {
	t.Helper()
	f, err := NewFile(usersFile(t, fmt.Sprintf(`
- username: An.NV
  password_hash: %s
  display_name: Nguyễn Văn An
  groups: [vpn, staff]
  bhxh_number: "7900000001"
- username: hương
  password_hash: %s
  bhxh_number: 0123456789
`, hashOf(t, "mật khẩu"), hashOf(t, "b"))), nil)
	require.NoError(t, err)
	return f
}

func TestAFileKnowsItsUsersByAnySpelling(t *testing.T) {
	f := someUsers(t)
	for typed, want := range map[string]string{
		"An.NV": "file:An.NV", "an.nv": "file:An.NV", "AN.NV": "file:An.NV",
		"hương": "file:hương", "HƯƠNG": "file:hương", norm.NFD.String("hương"): "file:hương",
		"nobody": "", "": "", " ": "", "an.nv ": "", "an.nv\x00": "", "an\xff": "", "file:An.NV": "",
		strings.Repeat("a", 300): "",
	} {
		got, err := f.Resolve(t.Context(), typed)
		require.NoError(t, err)
		require.Equal(t, want, got.ID, "%q", typed)
	}
	got, err := f.Resolve(t.Context(), "an.nv")
	require.NoError(t, err)
	require.Equal(t, login.Identity{ID: "file:An.NV", Username: "An.NV", DisplayName: "Nguyễn Văn An",
		Groups: []string{"vpn", "staff"}, Number: "7900000001"}, got)
	got, err = f.Resolve(t.Context(), "hương")
	require.NoError(t, err)
	require.Equal(t, "0123456789", got.Number, "a number without quotes keeps its zero")
}

func TestAFileChecksPasswords(t *testing.T) {
	f := someUsers(t)
	for name, c := range map[string]struct {
		id, password string
		want         login.Checked
	}{
		"right":                       {"file:An.NV", "mật khẩu", right},
		"wrong":                       {"file:An.NV", "mat khau", wrong},
		"another user's":              {"file:An.NV", "b", wrong},
		"empty":                       {"file:An.NV", "", empty},
		"NUL bytes only":              {"file:An.NV", "\x00\x00", empty},
		"nobody":                      {"", "mật khẩu", wrong},
		"nobody with the decoy's":     {"", "decoy", wrong},
		"nobody with an empty one":    {"", "", empty},
		"an id of a user who is gone": {"file:gone", "decoy", wrong},
		"an id of a directory":        {"An.NV", "mật khẩu", wrong},
		"an id in another spelling":   {"file:an.nv", "mật khẩu", wrong},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := f.Check(t.Context(), login.Identity{ID: c.id}, []byte(c.password))
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}

var (
	right = login.Checked{First: login.FirstRight}
	wrong = login.Checked{First: login.FirstWrong, Reason: login.BadPassword}
	empty = login.Checked{First: login.FirstWrong, Reason: login.EmptyPassword}
)

func TestNobodyCostsWhatTheDearestUserCosts(t *testing.T) {
	f := someUsers(t)
	params, _, _, err := argon2id.DecodeHash(f.decoy.Reveal())
	require.NoError(t, err)
	require.Equal(t, cheap, params)
}

func TestHashesWaitTheirTurnNoLongerThanTheCaller(t *testing.T) {
	f := someUsers(t)
	for range cap(f.slots) {
		f.slots <- struct{}{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := f.Check(ctx, login.Identity{ID: "file:An.NV"}, []byte("mật khẩu"))
	require.ErrorIs(t, err, context.Canceled)
}

func TestManyChecksAtOnce(t *testing.T) {
	f := someUsers(t)
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() {
			password, want := "mật khẩu", right
			if i%2 == 0 {
				password, want = "wrong", wrong
			}
			got, err := f.Check(t.Context(), login.Identity{ID: "file:An.NV"}, []byte(password))
			if err != nil || got.First != want.First || got.Reason != want.Reason {
				t.Errorf("%d: %v %v", i, got, err)
			}
		})
	}
	all.Wait()
}

func TestMistakesInAFileAreToldByLineAndWithoutValues(t *testing.T) {
	hash := hashOf(t, "canary-password")
	user := "- username: a\n  password_hash: " + hash + "\n"
	short := "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$"
	for name, c := range map[string]struct{ text, want string }{
		"an unknown key":                       {user + "  password: canary\n", `3:3`},
		"a key twice":                          {user + "  username: canary\n", "3:3"},
		"a user twice":                         {user + user, "line 3: this username is the same as in line 1"},
		"a user twice in another case":         {user + strings.Replace(user, ": a", ": A", 1), "line 3"},
		"a user twice in another Unicode form": {strings.Replace(user, ": a", ": \u00e9", 1) + strings.Replace(user, ": a", ": e\u0301", 1), "line 3"},
		"no user name":                         {"- password_hash: " + hash, "line 1: username"},
		"a blank user name":                    {strings.Replace(user, ": a", `: " "`, 1), "line 1: username"},
		"no hash":                              {"- username: a", "line 1: password_hash"},
		"a password for a hash":                {"- username: a\n  password_hash: canary", "line 1: password_hash"},
		"a hash with no key":                   {"- username: a\n  password_hash: " + short, "line 1: password_hash"},
		"a hash with no rounds":                {"- username: a\n  password_hash: " + strings.Replace(hash, "t=1", "t=0", 1), "line 1: password_hash"},
		"a hash with too much memory":          {"- username: a\n  password_hash: " + strings.Replace(hash, "m=64", "m=4000000", 1), "line 1: password_hash"},
		"a number that is too short":           {user + "  bhxh_number: 79000000\n", "line 1: bhxh_number"},
		"a number with letters":                {user + "  bhxh_number: 79000000ab\n", "line 1: bhxh_number"},
		"no list":                              {"username: canary", "1:"},
		"a list for a name":                    {"- username: [canary]\n", "1:"},
		"a map for a number":                   {user + "  bhxh_number: {canary: 7900000001}\n", "3:"},
		"a tag before a word":                  {"! canary", "no YAML list"},
		"broken YAML":                          {"- username: \"canary\n", "1:"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewFile(usersFile(t, c.text), nil)
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "canary")
			require.NotContains(t, err.Error(), "790000")
			require.NotContains(t, err.Error(), hash)
		})
	}
	_, err := NewFile(filepath.Join(t.TempDir(), "none.yaml"), nil)
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = NewFile(usersFile(t, ""), nil)
	require.NoError(t, err, "no users is a list too")
}

func FuzzParseUsers(f *testing.F) {
	f.Add("- username: a\n  password_hash: $argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA\n")
	f.Add("- {username: é, groups: [a], bhxh_number: 0123456789}")
	f.Add("- &a {username: *a}")
	f.Fuzz(func(t *testing.T, text string) {
		users, err := parseUsers([]byte(text))
		if err != nil {
			return
		}
		for key, u := range users {
			require.Equal(t, key, nameKey(u.Username))
			require.NotNil(t, u.params)
			require.True(t, isNumber(u.Number))
		}
	})
}
