package audit

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/otp"
)

// written is a log of three records that has ended.
func written(t *testing.T) (path string, keys *otp.Keys) {
	t.Helper()
	l, path, keys := open(t)
	for _, what := range []string{"one", "two", "three"} {
		require.NoError(t, l.Admin(Admin{Action: what}))
	}
	require.NoError(t, l.Close())
	return path, keys
}

// begun opens a log again and ends it; said is what was logged.
func begun(t *testing.T, path string, keys *otp.Keys) (said string) {
	t.Helper()
	var log bytes.Buffer
	l, err := Open(path, keys, slog.New(slog.NewTextHandler(&log, nil)))
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return log.String()
}

// upToMark verifies a log that is not in use.
func upToMark(t *testing.T, path string, keys *otp.Keys) error {
	t.Helper()
	head, err := Head(path, keys)
	require.NoError(t, err)
	require.NotEmpty(t, head)
	files, err := Files(path)
	require.NoError(t, err)
	_, err = VerifyUpTo(head, files, keys)
	return err
}

func TestWhatIsCutOffWhileNobodyWritesIsMissed(t *testing.T) {
	for name, cut := range map[string]func(lines []string) []string{
		"the last record": func(lines []string) []string { return lines[:2] },
		"but the first":   func(lines []string) []string { return lines[:1] },
		"all":             func([]string) []string { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			path, keys := written(t)
			require.NoError(t, upToMark(t, path, keys))
			left := cut(strings.SplitAfter(strings.Join(read(t, path), "\n")+"\n", "\n"))
			require.NoError(t, os.WriteFile(path, []byte(strings.Join(left, "")), 0o600))
			require.ErrorContains(t, upToMark(t, path, keys), "cut off the end")

			said := begun(t, path, keys)
			require.Contains(t, said, "level=ERROR")
			require.Contains(t, said, "alert=audit")
			require.Contains(t, read(t, path)[len(left)], `"action":"audit records missing"`)
			err := upToMark(t, path, keys)
			var broken *BrokenError
			require.ErrorAs(t, err, &broken, "though the chain goes on")
			require.Equal(t, []any{path, len(left) + 1}, []any{broken.File, broken.Line})
			require.Contains(t, err.Error(), "records before it are missing")
			require.NotContains(t, begun(t, path, keys), "level=ERROR", "said once")
			require.Len(t, read(t, path), len(left)+1)
		})
	}
}

// The mark is as old as the last sync: records behind it, also in another file,
// are no fault.
func TestACrashLeavesRecordsBehindTheMark(t *testing.T) {
	for name, goOn := range map[string]func(l *Log) error{
		"in the same file": func(*Log) error { return nil },
		"in a new one":     func(l *Log) error { return l.rotate(time.Now().Add(25 * time.Hour)) },
	} {
		t.Run(name, func(t *testing.T) {
			l, path, keys := open(t)
			require.NoError(t, l.Admin(Admin{Action: "one"}))
			require.NoError(t, l.Sync())
			require.NoError(t, l.Admin(Admin{Action: "two"}))
			require.NoError(t, goOn(l))
			require.NoError(t, l.Admin(Admin{Action: "three"}))
			crashed := t.TempDir()
			all, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
			require.NoError(t, err)
			for _, name := range all {
				raw, err := os.ReadFile(name)
				require.NoError(t, err)
				require.NoError(t, os.WriteFile(filepath.Join(crashed, filepath.Base(name)), raw, 0o600))
			}
			path = filepath.Join(crashed, filepath.Base(path))
			require.Empty(t, begun(t, path, keys))
			require.NoError(t, upToMark(t, path, keys))
		})
	}
}

func TestAMarkThatIsNoneSaysNothing(t *testing.T) {
	for name, change := range map[string]func(mark []byte) []byte{
		"empty, as a crash may leave it": func([]byte) []byte { return nil },
		"no mark":                        func([]byte) []byte { return []byte("no mark at all\n") },
		"of another record":              func(b []byte) []byte { b[0] ^= 1; return b },
		"with another MAC":               func(b []byte) []byte { b[100] ^= 1; return b },
		"with half a MAC":                func(b []byte) []byte { return b[:len(b)-33] },
	} {
		t.Run(name, func(t *testing.T) {
			path, keys := written(t)
			raw, err := os.ReadFile(path + ".end")
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(path+".end", change(raw), 0o600))
			head, err := Head(path, keys)
			require.NoError(t, err)
			require.Empty(t, head)
			require.Empty(t, begun(t, path, keys))
			require.Len(t, read(t, path), 3)
		})
	}
	path, _ := written(t)
	head, err := Head(path, newKeys(t))
	require.NoError(t, err)
	require.Empty(t, head, "of another installation")
}

// A version of before there was a mark leaves it behind.
func TestAnOldMarkOfARecordThatIsThereMissesNothing(t *testing.T) {
	path, keys := written(t)
	mark, err := os.ReadFile(path + ".end")
	require.NoError(t, err)
	l, err := Open(path, keys, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	for day := range 3 {
		require.NoError(t, l.rotate(time.Now().Add(time.Duration(day+1)*25*time.Hour)))
		require.NoError(t, l.Admin(Admin{Action: "by the older version"}))
	}
	require.NoError(t, l.Close())
	require.NoError(t, os.WriteFile(path+".end", mark, 0o600))
	require.Empty(t, begun(t, path, keys))
	require.NoError(t, upToMark(t, path, keys))
}

func TestAFileIsNotRemovedBeforeTheMarkHasLeftIt(t *testing.T) {
	l, path, keys := open(t)
	l.Keep = 24 * time.Hour
	require.NoError(t, l.Admin(Admin{Action: "one"}))
	require.NoError(t, l.Sync())
	now := time.Now()
	require.NoError(t, l.rotate(now.Add(25*time.Hour)))
	require.NoError(t, l.Sync())
	require.NoError(t, l.expire(now.Add(50*time.Hour)))
	require.NoError(t, l.file.Close()) // as a kill does
	require.Empty(t, begun(t, path, keys))
}
