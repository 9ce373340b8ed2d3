package accounting

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"vssgate/internal/audit"
)

// Limits of a File.
const (
	maxQueue  = 8192      // records that wait to be written; more are not acknowledged
	maxBatch  = 1024      // written and synced together
	maxSize   = 256 << 20 // a larger file is set aside before its day is over
	tellEvery = time.Second
	tidyEvery = time.Minute
)

// A File is where records are written, one JSON line each. It is synced before
// a record is acknowledged. Each day's file (UTC) is set aside as the audit's
// are: accounting-20261124T235959.000001Z.jsonl.
type File struct {
	// Keep is how long files that were set aside stay; 0: for ever. To be set
	// before Run.
	Keep time.Duration

	path   string
	log    *slog.Logger
	queue  chan entry
	failed atomic.Bool // the last write was of no use

	// Only Run's.
	file  file
	size  int64 // of the whole lines
	begun time.Time
	torn  bool // bytes of a failed write may stand behind size
	told  time.Time
	lost  int // records that were not acknowledged since it was told
}

// file is what File needs of an *os.File opened for appending.
type file interface {
	io.WriteCloser
	Truncate(size int64) error
	Sync() error
}

// An entry is a record that waits, and who waits for it.
type entry struct {
	line []byte
	done func(safe bool)
}

// Open opens or makes the file at path (mode 0600). A last line without its
// end, as a crash leaves one, is cut off: it was never acknowledged.
func Open(path string, log *slog.Logger) (*File, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, fmt.Errorf("accounting: %w", err)
	}
	a := &File{path: path, log: log, queue: make(chan entry, maxQueue), file: f}
	if a.size, a.begun, err = whole(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("accounting: %s: %w", path, err)
	}
	a.torn = true
	if err := a.mend(); err != nil {
		f.Close()
		return nil, err
	}
	return a, nil
}

func openFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: another process writes this file", path)
	}
	return f, nil
}

// whole is where the last whole line ends, and when the file was begun, as far
// as can be told: at its last change.
func whole(f *os.File) (size int64, begun time.Time, err error) {
	info, err := f.Stat()
	if err != nil {
		return 0, begun, err
	}
	if size = info.Size(); size > 0 {
		begun = info.ModTime()
	}
	buf := make([]byte, 64<<10)
	for size > 0 {
		n := min(size, int64(len(buf)))
		if _, err := f.ReadAt(buf[:n], size-n); err != nil {
			return 0, begun, err
		}
		if i := bytes.LastIndexByte(buf[:n], '\n'); i >= 0 {
			return size - n + int64(i) + 1, begun, nil
		}
		size -= n
	}
	return 0, begun, nil
}

// Ready tells whether the last write was of use.
func (a *File) Ready() bool { return !a.failed.Load() }

// Account has a record written, and says when it is on the disk.
func (a *File) Account(r *Record, done func(safe bool)) {
	raw, err := json.Marshal(r.line())
	if err != nil {
		done(false)
		return
	}
	select {
	case a.queue <- entry{append(raw, '\n'), done}:
	default: // the disk is slower than the NASes: they are to send it again
		done(false)
	}
}

// Run writes until ctx ends, and then what waits. It returns nil.
func (a *File) Run(ctx context.Context) error {
	tidy := time.NewTicker(tidyEvery)
	defer tidy.Stop()
	for {
		select {
		case e := <-a.queue:
			a.write(a.batch(e))
		case <-tidy.C:
			a.tidy(time.Now())
		case <-ctx.Done():
			for len(a.queue) > 0 {
				a.write(a.batch(<-a.queue))
			}
			return nil
		}
	}
}

// Close closes the file, once Run has returned.
func (a *File) Close() error { return a.file.Close() }

// batch is e and what waits behind it.
func (a *File) batch(e entry) []entry {
	all := []entry{e}
	for len(all) < maxBatch {
		select {
		case e := <-a.queue:
			all = append(all, e)
		default:
			return all
		}
	}
	return all
}

// write brings a batch to the disk, and tells those who wait. What a failed
// write left behind is cut off again.
func (a *File) write(batch []entry) {
	err := a.append(batch, time.Now())
	a.failed.Store(err != nil)
	if err != nil {
		a.tell(err, len(batch))
	}
	for _, e := range batch {
		e.done(err == nil)
	}
}

func (a *File) append(batch []entry, now time.Time) error {
	if err := a.mend(); err != nil {
		return err
	}
	var lines []byte
	for _, e := range batch {
		lines = append(lines, e.line...)
	}
	a.torn = true
	if _, err := a.file.Write(lines); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", a.path, err), a.mend())
	}
	if err := a.file.Sync(); err != nil {
		return errors.Join(fmt.Errorf("sync %s: %w", a.path, err), a.mend())
	}
	a.torn = false
	a.size += int64(len(lines))
	if a.begun.IsZero() {
		a.begun = now
	}
	return nil
}

func (a *File) mend() error {
	if !a.torn {
		return nil
	}
	if err := a.file.Truncate(a.size); err != nil {
		return fmt.Errorf("cut what a failed write left in %s: %w", a.path, err)
	}
	a.torn = false
	return nil
}

func (a *File) tell(err error, records int) {
	a.lost += records
	if now := time.Now(); now.Sub(a.told) >= tellEvery {
		a.log.Error("accounting records cannot be written; the NAS gets no answer and keeps them", "file", a.path, "records", a.lost, "error", err)
		a.told, a.lost = now, 0
	}
}

// tidy sets the file aside when its day is over, and removes old ones.
func (a *File) tidy(now time.Time) {
	if err := errors.Join(a.rotate(now), a.expire(now)); err != nil {
		a.log.Error("accounting files cannot be set aside or removed; records go on into the one in use", "file", a.path, "error", err)
	}
}

func (a *File) rotate(now time.Time) error {
	day := func(t time.Time) string { return t.UTC().Format(time.DateOnly) }
	if a.size == 0 || a.size < maxSize && day(a.begun) == day(now) {
		return nil
	}
	if err := a.mend(); err != nil {
		return err
	}
	aside := audit.Aside(a.path, now)
	if _, err := os.Lstat(aside); err == nil {
		return nil // at the next tick
	}
	if err := os.Rename(a.path, aside); err != nil {
		return err
	}
	fresh, err := openFile(a.path)
	if err != nil {
		return errors.Join(err, os.Rename(aside, a.path))
	}
	old := a.file
	a.file, a.size, a.begun = fresh, 0, time.Time{}
	return old.Close()
}

func (a *File) expire(now time.Time) error {
	if a.Keep <= 0 {
		return nil
	}
	files, err := audit.Files(a.path)
	if err != nil {
		return err
	}
	for _, name := range files {
		if at, aside := audit.SetAside(a.path, name); !aside || now.Sub(at) <= a.Keep {
			return nil
		}
		if err := os.Remove(name); err != nil {
			return err
		}
		a.log.Info("an accounting file older than audit.keep was removed", "file", filepath.Base(name), "keep", a.Keep)
	}
	return nil
}
