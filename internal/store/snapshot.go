package store

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
)

// A snapshot is a file beside the store's that holds what is volatile between
// a clean stop and the next start:
//
//	magic | nonce | since | stopped | frames ... | 'e' | SHA-256 of all before
//
// It counts only if the store's file names its nonce. Opening the store takes
// that name out, in one transaction, before anything can be changed: a
// snapshot counts once, whatever happens to its file.
const (
	snapshotMagic = "vssgate volatile state 1\n"
	snapshotEnd   = 'e'
	nonceSize     = 16
	maxFrame      = 2 * maxValue
)

var keyClean = []byte("clean") // in bucketMeta: the nonce of the snapshot that counts

func (e *Embedded) snapshotPath() string { return e.path + ".volatile" }

// loadVolatile takes over the snapshot of a clean stop, or starts with nothing
// and says so, unless the file is fresh.
func (e *Embedded) loadVolatile(now int64, fresh bool) error {
	e.since = now
	var nonce []byte
	err := e.db.Update(func(tx *bolt.Tx) error {
		nonce = bytes.Clone(tx.Bucket(bucketMeta).Get(keyClean))
		return nil
	})
	if err != nil {
		return err
	}
	if nonce == nil {
		if !fresh {
			e.tellVoid(now, "cause", "it was unclean: a crash, kill -9, or the power")
		}
		return e.forgetSnapshot()
	}
	s, err := readSnapshot(e.snapshotPath(), nonce)
	switch {
	case err != nil:
		e.tellVoid(now, "error", err)
	case now < s.stopped:
		e.tellVoid(now, "cause", "the clock was set back", "stopped", instant(s.stopped))
	default:
		e.takeOver(s)
	}
	return e.forgetSnapshot()
}

// tellVoid says that nothing volatile survived the last stop, and what follows.
func (e *Embedded) tellVoid(now int64, why ...any) {
	e.log.Warn("what was open at the last stop is void", append(why, "alert", "unclean_stop", "void", "open logins, approvals that nobody has collected, counts of wrong passwords and prompts",
		"kept", "accounts, phones, lockouts, used codes, audit", "refused", "what phones signed before "+instant(now).UTC().Format(time.RFC3339),
		"hint", "users who were waiting log in again; the six characters that they read before lead nowhere")...)
}

func (e *Embedded) takeOver(s *snapshot) {
	e.since = s.since
	for _, rec := range s.records {
		e.table.put(rec)
	}
	for key, expires := range s.marks {
		if _, known := e.marksOf(key)[key]; !known {
			e.marksOf(key)[key] = mark{expires: expires}
		}
	}
	for key, w := range s.windows {
		e.windowsOf(key)[key] = w
	}
}

// forgetSnapshot makes this process's own stop the only clean one.
func (e *Embedded) forgetSnapshot() error {
	err := e.db.Update(func(tx *bolt.Tx) error { return tx.Bucket(bucketMeta).Delete(keyClean) })
	if err != nil {
		return err
	}
	if err := os.Remove(e.snapshotPath()); err != nil && !errors.Is(err, os.ErrNotExist) {
		e.log.Warn("cannot remove what was kept at the last stop", "error", err)
	}
	return nil
}

// saveVolatile writes the snapshot and then names it in the store's file.
func (e *Embedded) saveVolatile() error {
	nonce := make([]byte, nonceSize)
	rand.Read(nonce)
	if err := e.writeSnapshot(nonce); err != nil {
		return fmt.Errorf("keep what is open for the next start: %w", err)
	}
	return e.db.Update(func(tx *bolt.Tx) error { return tx.Bucket(bucketMeta).Put(keyClean, nonce) })
}

func (e *Embedded) writeSnapshot(nonce []byte) (err error) {
	f, err := os.OpenFile(e.snapshotPath(), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), syncFolder(filepath.Dir(e.path))) }()
	w := &snapshotWriter{w: bufio.NewWriterSize(f, 1<<16), sum: sha256.New()}
	e.dump(w, nonce)
	if w.err != nil {
		return w.err
	}
	if err := w.w.Flush(); err != nil {
		return err
	}
	return f.Sync()
}

// dump writes all that is volatile. The store is closed: nothing changes.
func (e *Embedded) dump(w *snapshotWriter, nonce []byte) {
	w.write([]byte(snapshotMagic))
	w.write(nonce)
	w.write(binary.BigEndian.AppendUint64(nil, uint64(e.since)))
	w.write(binary.BigEndian.AppendUint64(nil, uint64(e.clock.now())))
	for i := range shards {
		e.table.each(i, func(rec entry) {
			if !rec.durable {
				w.frame(recordFrame(rec))
			}
		})
		for key, m := range e.marks[i] {
			if !m.durable {
				w.frame(markFrame(key, m.expires))
			}
		}
		for key, win := range e.windows[i] {
			w.frame(windowFrame(key, win))
		}
	}
	w.end()
}

// snapshotWriter remembers the first error and sums what it writes.
type snapshotWriter struct {
	w   *bufio.Writer
	sum hash.Hash
	err error
}

func (s *snapshotWriter) write(b []byte) {
	if s.err == nil {
		s.sum.Write(b)
		_, s.err = s.w.Write(b)
	}
}

func (s *snapshotWriter) frame(b []byte) {
	s.write(b[:1])
	s.write(binary.BigEndian.AppendUint32(nil, uint32(len(b)-1)))
	s.write(b[1:])
}

func (s *snapshotWriter) end() {
	s.write([]byte{snapshotEnd})
	s.write(s.sum.Sum(nil))
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// snapshot is what a file held, not yet believed.
type snapshot struct {
	since, stopped int64
	records        []entry
	marks          map[string]int64
	windows        map[string]*window
}

func readSnapshot(path string, nonce []byte) (*snapshot, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s, err := parseSnapshot(bufio.NewReaderSize(f, 1<<16), nonce)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return s, nil
}

// parseSnapshot believes nothing before the sum at the end was right.
func parseSnapshot(file io.Reader, nonce []byte) (*snapshot, error) {
	sum := sha256.New()
	r := io.TeeReader(file, sum)
	head := make([]byte, len(snapshotMagic)+nonceSize+16)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	named := append([]byte(snapshotMagic), nonce...)
	if !bytes.HasPrefix(head, named) || len(named) != len(head)-16 {
		return nil, errors.New("it is of another stop")
	}
	times := head[len(named):]
	s := &snapshot{
		since: int64(binary.BigEndian.Uint64(times)), stopped: int64(binary.BigEndian.Uint64(times[8:])),
		marks: map[string]int64{}, windows: map[string]*window{},
	}
	for more := true; more; {
		var err error
		if more, err = s.readFrame(r); err != nil {
			return nil, err
		}
	}
	want := sum.Sum(nil)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(file, got); err != nil {
		return nil, err
	}
	if !bytes.Equal(want, got) {
		return nil, errPacked
	}
	return s, nil
}

func (s *snapshot) readFrame(r io.Reader) (more bool, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:1]); err != nil {
		return false, err
	}
	if head[0] == snapshotEnd {
		return false, nil
	}
	if _, err := io.ReadFull(r, head[1:]); err != nil {
		return false, err
	}
	size := binary.BigEndian.Uint32(head[1:])
	if size > maxFrame {
		return false, errPacked
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return false, err
	}
	return true, s.addFrame(head[0], body)
}

// Frames: a kind and what it says. Times are nanoseconds since 1970.
const (
	frameRecord = 'r' // as appendEntry
	frameMark   = 'm' // expiry | key
	frameWindow = 'w' // span | key length (1) | key | times
)

func recordFrame(rec entry) []byte { return appendEntry([]byte{frameRecord}, rec) }

func markFrame(key string, expires int64) []byte {
	return append(binary.BigEndian.AppendUint64([]byte{frameMark}, uint64(expires)), key...)
}

func windowFrame(key string, w *window) []byte {
	b := binary.BigEndian.AppendUint64([]byte{frameWindow}, uint64(w.span))
	b = append(b, byte(len(key)))
	b = append(b, key...)
	for _, t := range w.times {
		b = binary.BigEndian.AppendUint64(b, uint64(t))
	}
	return b
}

func (s *snapshot) addFrame(kind byte, body []byte) error {
	switch kind {
	case frameRecord:
		rec, err := parseEntry(body)
		if err == nil {
			s.records = append(s.records, rec)
		}
		return err
	case frameMark:
		return s.addMark(body)
	case frameWindow:
		return s.addWindow(body)
	}
	return errPacked
}

func (s *snapshot) addMark(body []byte) error {
	if len(body) < 8 {
		return errPacked
	}
	s.marks[string(body[8:])] = int64(binary.BigEndian.Uint64(body))
	return checkKey(string(body[8:]))
}

func (s *snapshot) addWindow(body []byte) error {
	if len(body) < 8 {
		return errPacked
	}
	key, rest, err := cutName(string(body[8:]))
	if err != nil || len(rest)%8 != 0 {
		return errPacked
	}
	w := &window{span: int64(binary.BigEndian.Uint64(body))}
	for ; rest != ""; rest = rest[8:] {
		w.times = append(w.times, int64(binary.BigEndian.Uint64([]byte(rest[:8]))))
	}
	s.windows[key] = w
	return checkKey(key)
}
