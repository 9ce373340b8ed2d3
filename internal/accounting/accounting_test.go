package accounting

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/audit"
	"vssgate/internal/login"
)

var at = time.Date(2026, 11, 24, 14, 20, 0, 0, time.FixedZone("+07", 7*3600))

func record(status, session string, after time.Duration) *Record {
	return &Record{Received: at.Add(after), Client: "hq-vpn", NAS: "fw1", Source: netip.MustParseAddr("192.0.2.10"), Status: status, Session: session,
		Username: "an.nv", Station: "203.0.113.7", Attributes: []byte{2, 3, 'x'}}
}

// running is a File at path that runs until the test ends.
func running(t *testing.T, path string) (f *File, log *strings.Builder) {
	t.Helper()
	log = &strings.Builder{}
	f, err := Open(path, slog.New(slog.NewTextHandler(log, nil)))
	require.NoError(t, err)
	return f, log
}

// run runs f until stop is called.
func run(t *testing.T, f *File) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- f.Run(ctx) }()
	return func() {
		cancel()
		require.NoError(t, <-ended)
		require.NoError(t, f.Close())
	}
}

// kept has a record written and tells whether it was.
func kept(k Keeper, r *Record) bool {
	done := make(chan bool, 1)
	k.Account(r, func(safe bool) { done <- safe })
	return <-done
}

func lines(t *testing.T, path string) (all []map[string]any) {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		var l map[string]any
		require.NoError(t, json.Unmarshal(s.Bytes(), &l), s.Text())
		all = append(all, l)
	}
	return all
}

func TestARecordIsOneLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "accounting.jsonl")
	f, _ := running(t, path)
	stop := run(t, f)
	r := record("Stop", "5F\n\"00", 0)
	r.In, r.Out, r.Lasted, r.Cause, r.Address, r.Event = 5<<32, 7, time.Minute, "User-Request", netip.MustParseAddr("10.8.0.2"), at.Add(-time.Second)
	require.True(t, kept(f, r))
	stop()
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, `{"kind":"accounting","time":"2026-11-24T07:20:00.000Z","client":"hq-vpn","nas":"fw1","source":"192.0.2.10","status":"Stop",`+
		`"session":"5F\n\"00","username":"an.nv","from":"203.0.113.7","address":"10.8.0.2","event_time":"2026-11-24T07:19:59Z","session_time_s":60,`+
		`"input_octets":21474836480,"output_octets":7,"input_packets":0,"output_packets":0,"terminate_cause":"User-Request"}`+"\n", string(raw))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

func TestManyWritersShareTheirSyncs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "accounting.jsonl")
	f, _ := running(t, path)
	stop := run(t, f)
	var all sync.WaitGroup
	for i := range 500 {
		all.Go(func() { require.True(t, kept(f, record("Start", fmt.Sprint(i), 0))) })
	}
	all.Wait()
	stop()
	seen := map[any]bool{}
	for _, l := range lines(t, path) {
		seen[l["session"]] = true
	}
	require.Len(t, seen, 500)
}

func TestATornLineIsCutOff(t *testing.T) {
	path := filepath.Join(t.TempDir(), "accounting.jsonl")
	require.NoError(t, os.WriteFile(path, []byte("{\"session\":\"1\"}\n{\"session\":\"2"+strings.Repeat("x", 100_000)), 0o600))
	f, _ := running(t, path)
	stop := run(t, f)
	require.True(t, kept(f, record("Start", "2", 0)))
	stop()
	require.Len(t, lines(t, path), 2)
}

func TestOneProcessWritesAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "accounting.jsonl")
	f, _ := running(t, path)
	_, err := Open(path, slog.Default())
	require.ErrorContains(t, err, "another process")
	require.NoError(t, f.Close())
}

// A disk of so many bytes, whose syncs may fail.
type disk struct {
	*os.File
	left   int
	broken bool
}

func (d *disk) Write(b []byte) (int, error) {
	n := min(len(b), d.left)
	d.left -= n
	if _, err := d.File.Write(b[:n]); err != nil || n == len(b) {
		return n, err
	}
	return n, syscall.ENOSPC
}

func (d *disk) Sync() error {
	if d.broken {
		return syscall.EIO
	}
	return d.File.Sync()
}

func TestWhatIsNotOnTheDiskIsNotSafe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "accounting.jsonl")
	f, log := running(t, path)
	d := &disk{File: f.file.(*os.File), left: 400}
	f.file = d
	write := func(session string) (safe bool) {
		f.write([]entry{{append(must(json.Marshal(record("Start", session, 0).line())), '\n'), func(s bool) { safe = s }}})
		return safe
	}
	require.True(t, write("1"))
	require.True(t, f.Ready())
	require.False(t, write("2"), "the disk is full")
	require.False(t, f.Ready())
	require.Contains(t, log.String(), "no space left")
	d.left = 10_000
	d.broken = true
	require.False(t, write("3"), "not synced")
	d.broken = false
	require.True(t, write("4"))
	require.True(t, f.Ready())
	var sessions []any
	for _, l := range lines(t, path) {
		sessions = append(sessions, l["session"])
	}
	require.Equal(t, []any{"1", "4"}, sessions)
	require.NoError(t, f.Close())
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestEachDayHasItsFileAndOldOnesGo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "accounting.jsonl")
	f, log := running(t, path)
	f.Keep = 48 * time.Hour
	day := func(n int, session string) {
		now := at.AddDate(0, 0, n)
		f.tidy(now)
		require.NoError(t, f.append([]entry{{append(must(json.Marshal(record("Start", session, 0).line())), '\n'), nil}}, now))
	}
	day(0, "1")
	day(0, "2")
	day(1, "3")
	files, err := audit.Files(path)
	require.NoError(t, err)
	require.Len(t, files, 2)
	require.Len(t, lines(t, files[0]), 2)
	require.Len(t, lines(t, path), 1)
	day(2, "4")
	day(4, "5")
	files, err = audit.Files(path)
	require.NoError(t, err)
	require.Len(t, files, 3, "that of the first day is older than 48 hours")
	require.Contains(t, log.String(), "was removed")
	require.NoError(t, f.Close())
}

// A place that keeps records or does not.
type place struct{ keeps, ready bool }

func (p place) Account(_ *Record, done func(bool)) { go done(p.keeps) }
func (p place) Ready() bool                        { return p.ready }

func TestEveryPlaceMustHaveARecord(t *testing.T) {
	for _, c := range []struct{ a, b bool }{{true, true}, {true, false}, {false, true}, {false, false}} {
		b := &Books{Keepers: []Keeper{place{c.a, c.a}, place{c.b, c.b}}, Sessions: NewSessions(nobody)}
		require.Equal(t, c.a && c.b, kept(b, record("Start", "1", 0)))
		require.Equal(t, c.a && c.b, b.Ready())
	}
}

func nobody(*Record) (login.ID, bool) { return login.ID{}, false }

func TestSessionsAreToldOfBesideTheirLogin(t *testing.T) {
	id := login.ID{1}
	s := NewSessions(func(r *Record) (login.ID, bool) { return id, r.Username == "an.nv" })
	start := record("Start", "1", 0)
	start.Address = netip.MustParseAddr("10.8.0.2")
	s.Note(start)
	other := record("Start", "2", 0)
	other.Username = "binh.tt"
	s.Note(other)
	interim := record("Interim-Update", "1", time.Minute)
	interim.In, interim.Out, interim.Lasted = 1000, 2000, time.Minute
	s.Note(interim)
	require.Equal(t, []Session{{Client: "hq-vpn", NAS: "fw1", ID: "1", Attempt: id, Username: "an.nv", Station: "203.0.113.7", Address: "10.8.0.2",
		Started: at, Updated: at.Add(time.Minute), Lasted: time.Minute, In: 1000, Out: 2000}}, s.Of(id))
	stop := record("Stop", "1", 2*time.Minute)
	stop.In, stop.Cause = 1500, "User-Request"
	s.Note(stop)
	s.Note(interim) // late
	got := s.Of(id)[0]
	require.Equal(t, at.Add(2*time.Minute), got.Stopped)
	require.Equal(t, "User-Request", got.Cause)
	require.EqualValues(t, 1500, got.In)

	s.Note(record("Start", "1", time.Hour)) // the NAS counts from the beginning again
	require.Len(t, s.Of(id), 1)
	require.True(t, s.Of(id)[0].Stopped.IsZero())
	s.Note(record("Accounting-On", "", 2*time.Hour))
	require.Equal(t, "Accounting-On", s.Of(id)[0].Cause)
	require.Empty(t, s.Of(login.ID{}), "the session of nobody's login is nobody's")
}

func TestTheTableOfSessionsIsBounded(t *testing.T) {
	n := 0
	s := NewSessions(func(*Record) (login.ID, bool) { n++; return login.ID{byte(n), byte(n >> 8)}, true })
	for i := range maxSessions + 10 {
		s.Note(record("Start", fmt.Sprint(i), 0))
	}
	require.Len(t, s.byKey, maxSessions)
	require.Len(t, s.byAttempt, maxSessions)
	require.Equal(t, maxSessions, s.order.Len())
	require.Empty(t, s.Of(login.ID{1}), "the oldest is gone")
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	_, err := Open(filepath.Join(t.TempDir(), "none", "accounting.jsonl"), slog.Default())
	require.True(t, errors.Is(err, os.ErrNotExist), err)
}
