package audit

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
)

func TestALoginIsFoundFromTheEndBackwards(t *testing.T) {
	l, path, _ := open(t)
	var ids []login.ID
	for i := range 3000 { // several blocks
		id := login.NewID()
		ids = append(ids, id)
		require.NoError(t, l.Login(login.AuditRecord{Attempt: id, Time: time.Now(), Username: "an.nv", Client: strings.Repeat("x", i%300), Reason: login.Denied, Took: time.Second}))
		if i == 1500 {
			require.NoError(t, l.Admin(Admin{Action: "account unlock", Target: ids[0].Trace()}))
		}
	}
	require.NoError(t, l.Close())
	before := filepath.Join(t.TempDir(), "older.jsonl")
	old, err := os.ReadFile(path)
	require.NoError(t, err)
	half := strings.Index(string(old[len(old)/2:]), "\n") + len(old)/2 + 1
	require.NoError(t, os.WriteFile(before, old[:half], 0o600))
	require.NoError(t, os.WriteFile(path, old[half:], 0o600))
	files := []string{before, path}
	for _, i := range []int{0, 1, 1499, 1500, 2998, 2999} {
		for _, which := range []string{ids[i].Trace(), strings.ToLower(ids[i].Trace()), ids[i].String()} {
			found, err := Find(files, which, 1<<30)
			require.NoError(t, err)
			require.NotNil(t, found, "%d %s", i, which)
			require.Equal(t, []string{ids[i].String(), "an.nv", "denied"}, []string{found.Attempt, found.Username, found.Reason})
			require.EqualValues(t, 1000, found.TookMS)
		}
	}
	found, err := Find(files, ids[0].Trace(), 1000)
	require.NoError(t, err)
	require.Nil(t, found, "no more is read than was allowed")
	found, err = Find(append([]string{filepath.Join(t.TempDir(), "gone")}, files...), login.NewID().String(), 1<<30)
	require.NoError(t, err)
	require.Nil(t, found)
	require.NoError(t, os.WriteFile(path, []byte(`{"kind":"login","trace":"torn`), 0o600))
	found, err = Find(files, ids[0].Trace(), 1<<30)
	require.NoError(t, err)
	require.Equal(t, ids[0].String(), found.Attempt)
}

// Whatever stands in a file, what is found is about that login.
func FuzzFind(f *testing.F) {
	id := login.ID{1}
	f.Add([]byte(`{"kind":"login","trace":"`+id.Trace()+`","attempt":"x"}`+"\n"), id.Trace())
	f.Add([]byte("\n\n{\"kind\":\"login\"}\nx"), "LOGIN")
	f.Fuzz(func(t *testing.T, lines []byte, which string) {
		var all []byte
		linesBackwards(lines, func(line []byte) bool {
			all = append(append([]byte(nil), line...), all...)
			if f := loginWith(line, quoted(which)); f != nil && !bytes.Contains(bytes.ToUpper(line), bytes.ToUpper([]byte(which))) {
				t.Fatalf("%+v is not %q", f, which)
			}
			return true
		})
		if !bytes.Equal(all, lines) {
			t.Fatalf("%q was read as %q", lines, all)
		}
	})
}

func TestTheLatestLoginsOfAnAccountComeNewestFirst(t *testing.T) {
	l, path, _ := open(t)
	id := func(n int) login.ID { return login.ID{1, byte(n >> 8), byte(n)} }
	for n := range 2000 {
		account := "id-1"
		if n%3 > 0 {
			account = "id-10"
		}
		require.NoError(t, l.Login(login.AuditRecord{Attempt: id(n), Time: time.Now(), Account: account, Client: "hq-vpn", Reason: login.Denied}))
		require.NoError(t, l.Admin(Admin{Action: "account unlock", Target: "id-1"}))
	}
	require.NoError(t, l.Close())
	latest, err := Latest([]string{path}, "id-1", 3, 1<<30)
	require.NoError(t, err)
	require.Len(t, latest, 3)
	for i, n := range []int{1998, 1995, 1992} {
		require.Equal(t, id(n).String(), latest[i].Attempt)
	}
	none, err := Latest([]string{path}, "id-1", 3, 0)
	require.NoError(t, err)
	require.Empty(t, none)
	all, err := Latest([]string{path}, "id-1", 10_000, 1<<30)
	require.NoError(t, err)
	require.Len(t, all, 667)
}
