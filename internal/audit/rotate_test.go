package audit

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
)

// days writes one record a day through as many files and returns them.
func days(t *testing.T, l *Log, path string, n int) []string {
	t.Helper()
	start := time.Now()
	for i := range n {
		require.NoError(t, l.Login(login.AuditRecord{Attempt: login.NewID(), Client: "c", Time: start}))
		if i < n-1 {
			require.NoError(t, l.rotate(start.Add(time.Duration(i+1)*24*time.Hour)))
		}
	}
	files, err := Files(path)
	require.NoError(t, err)
	require.Len(t, files, n)
	require.Equal(t, path, files[n-1], "the one in use is the last")
	return files
}

func TestAChainGoesOnAcrossItsFiles(t *testing.T) {
	l, path, keys := open(t)
	files := days(t, l, path, 4)
	n, err := VerifyFiles(files, keys)
	require.NoError(t, err)
	require.Equal(t, 4, n)
	for _, f := range files {
		info, err := os.Stat(f)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	}

	for _, missing := range []int{1, 2} {
		_, err := VerifyFiles(append(files[:missing:missing], files[missing+1:]...), keys)
		var broken *BrokenError
		require.ErrorAs(t, err, &broken)
		require.Equal(t, files[missing+1], broken.File)
		require.Equal(t, 1, broken.Line)
	}
	_, err = VerifyFiles(files[1:], keys)
	require.ErrorContains(t, err, "files before it are missing", "a first file that nobody removed for its age")
	_, err = VerifyFiles([]string{files[1], files[0], files[2], files[3]}, keys)
	require.Error(t, err)
}

func TestAFileIsSetAsideWhenItsDayIsOverAndNotBefore(t *testing.T) {
	l, path, _ := open(t)
	require.NoError(t, l.rotate(time.Now().Add(48*time.Hour)))
	require.Len(t, must(Files(path)), 1, "an empty file has no day")
	require.NoError(t, l.Admin(Admin{Action: "x"}))
	require.NoError(t, l.rotate(l.begun))
	require.Len(t, must(Files(path)), 1)
	l.size = maxSize
	require.NoError(t, l.rotate(l.begun))
	require.Len(t, must(Files(path)), 2, "a large one goes at once")
}

func TestAReopenedLogKnowsItsDayAndItsFileBefore(t *testing.T) {
	l, path, keys := open(t)
	days(t, l, path, 2)
	require.NoError(t, l.Close())
	l, err := Open(path, keys, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.False(t, l.begun.IsZero())
	require.NoError(t, l.rotate(time.Now().Add(72*time.Hour)))
	require.NoError(t, l.Close(), "a crash may leave the fresh file empty, or not yet made")
	for _, crash := range []func(){func() {}, func() { require.NoError(t, os.Remove(path)) }} {
		crash()
		l, err = Open(path, keys, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		require.NoError(t, l.Close())
	}
	l, err = Open(path, keys, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.NoError(t, l.Admin(Admin{Action: "goes on"}))
	require.NoError(t, l.Close())
	n, err := VerifyFiles(must(Files(path)), keys)
	require.NoError(t, err)
	require.Equal(t, 3, n)
}

func TestFilesOlderThanKeepAreRemovedAndTheChainSaysSo(t *testing.T) {
	l, path, keys := open(t)
	files := days(t, l, path, 5)
	require.NoError(t, l.expire(time.Now().Add(1000*time.Hour)))
	require.Len(t, must(Files(path)), 5, "without Keep nothing is removed")
	l.Keep = 48 * time.Hour
	at, _ := SetAside(path, files[1])
	require.NoError(t, l.expire(at.Add(l.Keep+time.Second)))
	left := must(Files(path))
	require.Equal(t, files[2:], left)
	n, err := VerifyFiles(left, keys)
	require.NoError(t, err)
	require.Equal(t, 3+2, n, "two records name what was removed")

	_, err = VerifyFiles(left[1:], keys)
	require.Error(t, err, "but not that a third one is gone")
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, []byte(strings.SplitAfter(string(raw), "\n")[0]), 0o600))
	_, err = VerifyFiles(left, keys)
	require.ErrorContains(t, err, "files before it are missing", "without those records the beginning is unexplained")
}

func TestOtherFilesAreNotTakenForTheLog(t *testing.T) {
	l, path, keys := open(t)
	dir := filepath.Dir(path)
	for _, name := range []string{"audit-old.jsonl", "audit-20261124.jsonl", "audit.jsonl.torn", "audit-20261124T000000.000000Z.jsonl.gz", "xaudit-20261124T000000.000000Z.jsonl"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("not ours"), 0o600))
	}
	require.NoError(t, l.Admin(Admin{Action: "x"}))
	n, err := VerifyFiles(must(Files(path)), keys)
	require.NoError(t, err)
	require.Equal(t, 1, n)
}

func TestAFileThatCannotBeSetAsideStaysInUse(t *testing.T) {
	l, path, keys := open(t)
	require.NoError(t, l.Admin(Admin{Action: "one"}))
	require.NoError(t, os.Rename(filepath.Dir(path), filepath.Dir(path)+"-away")) // the name no longer leads to the file
	require.Error(t, l.rotate(time.Now().Add(24*time.Hour)))
	require.NoError(t, l.Admin(Admin{Action: "two"}))
	require.NoError(t, os.Rename(filepath.Dir(path)+"-away", filepath.Dir(path)))
	require.NoError(t, l.Close())
	verified(t, path, keys, 2)
}

func must(files []string, err error) []string {
	if err != nil {
		panic(err)
	}
	return files
}
