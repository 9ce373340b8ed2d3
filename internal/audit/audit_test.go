package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
	"vssgate/otp"
)

func TestALoginsLineHasTheFieldsInTheirOrder(t *testing.T) {
	l, path, keys := open(t)
	record := login.AuditRecord{
		Time: time.Date(2026, 11, 24, 14, 20, 0, 123456789, time.FixedZone("+07", 7*3600)), Attempt: login.ID{1, 2, 3},
		FrontEnd: login.RADIUS, Client: "hq-vpn", NAS: "fw1", From: "203.0.113.7", Account: "id-1", Username: "an.nv",
		Accepted: true, Reason: login.Accepted, Factor: login.FactorApproval, Device: "dev", Presence: "device_key",
		Signed: "a.b.c", Pushes: 2, Requests: 3, Took: 1234567 * time.Microsecond,
	}
	require.NoError(t, l.Login(record))
	require.NoError(t, l.Admin(Admin{Time: record.Time, By: "uid 0", Action: "account unlock", Target: "an.nv", Why: "<asked>"}))
	record.Accepted, record.Reason, record.Signed, record.Factor = false, login.Denied, "", ""
	require.NoError(t, l.Login(record))
	require.NoError(t, l.Close())

	lines := read(t, path)
	require.Len(t, lines, 3)
	require.Regexp(t, `^\{"kind":"login","time":"2026-11-24T07:20:00.123Z","attempt":"01020300000000000000000000000000","trace":"[A-Z][A-Z0-9]{5}",`+
		`"front_end":"radius","client":"hq-vpn","nas":"fw1","from":"203.0.113.7","account":"id-1","username":"an.nv",`+
		`"verdict":"accepted","reason":"accepted","factor":"approval","device":"dev","presence":"device_key","signed":"a.b.c",`+
		`"pushes":2,"requests":3,"took_ms":1234,"prev":"0{64}","hash":"[0-9a-f]{64}"\}$`, lines[0])
	require.Regexp(t, `^\{"kind":"admin","time":"2026-11-24T07:20:00.123Z","by":"uid 0","action":"account unlock","target":"an.nv",`+
		`"why":"\\u003casked\\u003e","prev":"[0-9a-f]{64}","hash":"[0-9a-f]{64}"\}$`, lines[1])
	require.Contains(t, lines[2], `"verdict":"rejected","reason":"denied","factor":"",`)
	require.NotContains(t, lines[2], "signed")
	for i := 1; i < len(lines); i++ {
		require.Equal(t, field(t, lines[i-1], "hash"), field(t, lines[i], "prev"))
	}
	verified(t, path, keys, 3)

	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

func TestEveryFlippedBitIsFound(t *testing.T) {
	l, path, keys := open(t)
	for range 3 {
		require.NoError(t, l.Login(login.AuditRecord{Attempt: login.NewID(), Client: "c", Time: time.Unix(1, 0)}))
	}
	require.NoError(t, l.Close())
	good, err := os.ReadFile(path)
	require.NoError(t, err)
	second := bytes.IndexByte(good, '\n') + 1
	third := second + bytes.IndexByte(good[second:], '\n') + 1
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1 << (i % 8)
		n, err := Verify(bytes.NewReader(bad), keys)
		var broken *BrokenError
		require.ErrorAs(t, err, &broken, "byte %d", i)
		switch {
		case i < second:
			require.Equal(t, 1, broken.Line)
		case i < third:
			require.Equal(t, 2, broken.Line, "byte %d of %d", i, third)
		default:
			require.Equal(t, 3, broken.Line)
		}
		require.Equal(t, broken.Line-1, n)
	}
}

func TestAChangedFileIsNamedByItsFirstWrongLine(t *testing.T) {
	l, path, keys := open(t)
	for i := range 5 {
		require.NoError(t, l.Admin(Admin{By: "me", Action: fmt.Sprint(i)}))
	}
	require.NoError(t, l.Close())
	lines := read(t, path)
	for _, c := range []struct {
		name   string
		change func([]string) []string
		line   int
		why    string
	}{
		{"a deleted line", func(l []string) []string { return append(l[:2:2], l[3:]...) }, 3, "missing"},
		{"a deleted first line", func(l []string) []string { return l[1:] }, 1, "missing"},
		{"two lines in another order", func(l []string) []string { l[1], l[2] = l[2], l[1]; return l }, 2, "moved"},
		{"a repeated line", func(l []string) []string { return append(l[:3:3], l[2:]...) }, 4, "added"},
		{"an added line", func(l []string) []string { return append(l[:1:1], append([]string{`{"kind":"login"}`}, l[1:]...)...) }, 2, "not an audit record"},
		{"an empty line", func(l []string) []string { return append(l[:1:1], append([]string{""}, l[1:]...)...) }, 2, "torn"},
		{"a hash in capitals", func(l []string) []string {
			l[4] = strings.Replace(l[4], field(t, l[4], "hash"), strings.ToUpper(field(t, l[4], "hash")), 1)
			return l
		}, 5, "hash"},
	} {
		t.Run(c.name, func(t *testing.T) {
			changed := strings.Join(c.change(append([]string(nil), lines...)), "\n") + "\n"
			_, err := Verify(strings.NewReader(changed), keys)
			var broken *BrokenError
			require.ErrorAs(t, err, &broken)
			require.Equal(t, c.line, broken.Line)
			require.Contains(t, broken.Why, c.why)
		})
	}
	_, err := Verify(strings.NewReader(strings.Join(lines, "\n")), keys)
	require.ErrorContains(t, err, "audit line 5: torn")
	_, err = Verify(strings.NewReader(strings.Repeat("x", maxLine+1)), keys)
	require.ErrorContains(t, err, "audit line 1: too long")
	_, err = Verify(strings.NewReader(strings.Join(lines, "\n")+"\n"), newKeys(t))
	require.ErrorContains(t, err, "audit line 1: changed after it was written, or written with another key")
}

func TestAReplacedKeyStillVerifiesWhatTheOldOneWrote(t *testing.T) {
	oldLine, newLine := otp.NewKeyLine(), otp.NewKeyLine()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	for _, file := range []string{oldLine, newLine + oldLine} {
		keys, err := otp.ParseKeys([]byte(file))
		require.NoError(t, err)
		l, err := Open(path, keys, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		require.NoError(t, l.Admin(Admin{Action: "x"}))
		require.NoError(t, l.Close())
	}
	both, err := otp.ParseKeys([]byte(newLine + oldLine))
	require.NoError(t, err)
	verified(t, path, both, 2)
}

func TestConcurrentWritersMakeOneChainInFewWrites(t *testing.T) {
	l, path, keys := open(t)
	counted := &countingFile{file: l.file}
	l.file = counted
	l.writing.Lock() // the disk is busy: everybody gathers
	const writers = 200
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() { require.NoError(t, l.Login(login.AuditRecord{Attempt: login.NewID()})) })
	}
	for gathered := 0; gathered < writers; {
		l.mu.Lock()
		if l.next != nil {
			gathered = len(l.next.bodies)
		}
		l.mu.Unlock()
	}
	l.writing.Unlock()
	wg.Wait()
	require.Equal(t, 1, counted.writes, "one write for all who waited")
	require.NoError(t, l.Close())
	verified(t, path, keys, writers)
}

func TestAReopenedFileContinuesItsChain(t *testing.T) {
	l, path, keys := open(t)
	require.NoError(t, l.Admin(Admin{Action: "one"}))
	require.NoError(t, l.Close())
	require.ErrorIs(t, l.Admin(Admin{Action: "late"}), ErrClosed)
	require.NoError(t, l.Close(), "closing twice is harmless")

	l, err := Open(path, keys, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	_, err = Open(path, keys, slog.New(slog.DiscardHandler))
	require.ErrorIs(t, err, ErrInUse)
	require.NoError(t, l.Admin(Admin{Action: "two"}))
	require.NoError(t, l.Close())
	verified(t, path, keys, 2)
}

func TestATornLastLineIsSetAsideAndSaid(t *testing.T) {
	for _, torn := range []string{`{"kind":"login","ti`, `{`, strings.Repeat("x", 3000)} {
		l, path, keys := open(t)
		require.NoError(t, l.Admin(Admin{Action: "one"}))
		require.NoError(t, l.Close())
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		require.NoError(t, err)
		_, err = f.WriteString(torn)
		require.NoError(t, errors.Join(err, f.Close()))

		var said bytes.Buffer
		l, err = Open(path, keys, slog.New(slog.NewTextHandler(&said, nil)))
		require.NoError(t, err)
		require.NoError(t, l.Admin(Admin{Action: "two"}))
		require.NoError(t, l.Close())
		verified(t, path, keys, 3)
		require.Contains(t, said.String(), "torn")
		require.Contains(t, read(t, path)[1], `"action":"audit torn line set aside"`)
		require.Equal(t, []string{torn}, read(t, path+".torn"))
	}
}

func TestALastLineThatDoesNotVerifyIsSaidAndLeftForVerify(t *testing.T) {
	for _, last := range []string{"not a record\n", "{\"kind\":\"admin\"}\n"} {
		path := filepath.Join(t.TempDir(), "audit.jsonl")
		require.NoError(t, os.WriteFile(path, []byte(last), 0o600))
		var said bytes.Buffer
		keys := newKeys(t)
		l, err := Open(path, keys, slog.New(slog.NewTextHandler(&said, nil)))
		require.NoError(t, err)
		require.NoError(t, l.Admin(Admin{Action: "goes on"}))
		require.NoError(t, l.Close())
		require.Contains(t, said.String(), "level=ERROR")
		_, err = Verify(strings.NewReader(strings.Join(read(t, path), "\n")+"\n"), keys)
		require.ErrorContains(t, err, "audit line 1")
	}
}

func TestAFailedWriteIsReturnedAndLeavesTheChainWhole(t *testing.T) {
	l, path, keys := open(t)
	require.NoError(t, l.Admin(Admin{Action: "one"}))
	disk := &fullDisk{file: l.file, room: 10}
	l.file = disk
	require.ErrorContains(t, l.Login(login.AuditRecord{}), "no space left")
	require.ErrorContains(t, l.Login(login.AuditRecord{}), "no space left", "and the next one too")
	disk.noTruncate = true
	require.ErrorContains(t, l.Login(login.AuditRecord{}), "cut what a failed write left")
	require.ErrorContains(t, l.Login(login.AuditRecord{}), "cut what a failed write left", "nothing is written behind a torn line")
	disk.noTruncate, disk.room = false, 1<<20
	require.NoError(t, l.Admin(Admin{Action: "two"}))
	require.NoError(t, l.Close())
	verified(t, path, keys, 2)
}

func TestRunSyncsOnceASecond(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		counted := &countingFile{file: &memoryFile{}}
		l := &Log{keys: newKeys(t), log: slog.New(slog.DiscardHandler), path: filepath.Join(dir, "audit.jsonl"), file: counted, prev: firstPrev}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Run(ctx) }()
		require.NoError(t, l.Admin(Admin{Action: "one"}))
		time.Sleep(SyncEvery + time.Millisecond)
		synctest.Wait()
		require.Equal(t, 1, counted.syncs)
		time.Sleep(5 * SyncEvery)
		synctest.Wait()
		require.Equal(t, 1, counted.syncs, "nothing new, nothing to sync")
		require.NoError(t, l.Close())
		stop()
		require.NoError(t, <-done)
	})
}

func TestAFileThatCannotBeOpenedIsAnError(t *testing.T) {
	_, err := Open(t.TempDir(), newKeys(t), slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, "audit:")
}

// What was written verifies; with one bit flipped it does not.
func FuzzVerify(f *testing.F) {
	keys, err := otp.ParseKeys([]byte(otp.NewKeyLine()))
	require.NoError(f, err)
	f.Add("fw\n1", "\xff\"\\", uint(77), uint8(3))
	f.Add("", "an.nv", uint(0), uint8(0))
	f.Fuzz(func(t *testing.T, nas, user string, at uint, bit uint8) {
		file := &memoryFile{}
		l := &Log{keys: keys, log: slog.New(slog.DiscardHandler), file: file, prev: firstPrev}
		require.NoError(t, l.Login(login.AuditRecord{NAS: nas, Username: user}))
		require.NoError(t, l.Admin(Admin{Why: nas}))
		n, err := Verify(bytes.NewReader(file.Bytes()), keys)
		require.NoError(t, err)
		require.Equal(t, 2, n)
		bad := bytes.Clone(file.Bytes())
		bad[at%uint(len(bad))] ^= 1 << (bit % 8)
		_, err = Verify(bytes.NewReader(bad), keys)
		require.Error(t, err)
	})
}

// Whatever the file holds, Verify says so and does not break.
func FuzzVerifyForeignFiles(f *testing.F) {
	keys, err := otp.ParseKeys([]byte(otp.NewKeyLine()))
	require.NoError(f, err)
	f.Add([]byte("{}\n"))
	f.Add([]byte(`{"kind":"x","prev":"` + firstPrev + `","hash":"` + firstPrev + "\"}\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		n, err := Verify(bytes.NewReader(raw), keys)
		require.Zero(t, n)
		require.Equal(t, len(raw) == 0, err == nil)
	})
}

func BenchmarkLogin(b *testing.B) {
	l, err := Open(filepath.Join(b.TempDir(), "audit.jsonl"), newKeys(b), slog.New(slog.DiscardHandler))
	require.NoError(b, err)
	defer l.Close()
	record := login.AuditRecord{Attempt: login.NewID(), Time: time.Now(), Client: "hq-vpn", Username: "an.nv", Reason: login.Accepted}
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := l.Login(record); err != nil {
				b.Error(err)
			}
		}
	})
}

func open(t *testing.T) (*Log, string, *otp.Keys) {
	t.Helper()
	path, keys := filepath.Join(t.TempDir(), "audit.jsonl"), newKeys(t)
	l, err := Open(path, keys, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	return l, path, keys
}

func newKeys(t testing.TB) *otp.Keys {
	keys, err := otp.ParseKeys([]byte(otp.NewKeyLine()))
	require.NoError(t, err)
	return keys
}

func read(t *testing.T, path string) []string {
	t.Helper()
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	return strings.Split(strings.TrimSuffix(string(raw), "\n"), "\n")
}

func verified(t *testing.T, path string, keys *otp.Keys, want int) {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	n, err := Verify(f, keys)
	require.NoError(t, err)
	require.Equal(t, want, n)
}

func field(t *testing.T, line, name string) string {
	t.Helper()
	fields := map[string]any{}
	require.NoError(t, json.Unmarshal([]byte(line), &fields))
	return fields[name].(string)
}

type countingFile struct {
	file
	writes, syncs int
}

func (f *countingFile) Write(p []byte) (int, error) { f.writes++; return f.file.Write(p) }
func (f *countingFile) Sync() error                 { f.syncs++; return f.file.Sync() }

// fullDisk writes until there is no room left, and a part of what does not fit.
type fullDisk struct {
	file
	room       int
	noTruncate bool
}

func (f *fullDisk) Write(p []byte) (int, error) {
	if len(p) <= f.room {
		return f.file.Write(p)
	}
	n, _ := f.file.Write(p[:f.room])
	return n, errors.New("no space left on device")
}

func (f *fullDisk) Truncate(size int64) error {
	if f.noTruncate {
		return errors.New("read-only file system")
	}
	return f.file.Truncate(size)
}

type memoryFile struct{ bytes.Buffer }

func (f *memoryFile) Truncate(size int64) error { f.Buffer.Truncate(int(size)); return nil }
func (f *memoryFile) Sync() error               { return nil }
func (f *memoryFile) Close() error              { return nil }

func TestAFullDiskIsToldUntilARecordFitsAgain(t *testing.T) {
	l, path, keys := open(t)
	require.NoError(t, l.Probe())
	require.NoError(t, l.Admin(Admin{Action: "one"}))
	disk := &fullDisk{file: l.file, room: 10}
	l.file = disk
	require.NoError(t, l.Probe(), "nobody has seen it yet")
	require.Error(t, l.Login(login.AuditRecord{}))
	require.ErrorContains(t, l.Probe(), "no space left")
	disk.room = 1 << 20
	require.NoError(t, l.Probe())
	require.NoError(t, l.Close())
	require.Contains(t, read(t, path)[1], `"action":"audit works again"`)
	verified(t, path, keys, 2)
}
