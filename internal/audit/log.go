package audit

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"vssgate/internal/alert"
	"vssgate/internal/login"
	"vssgate/otp"
)

// Log writes the records. It implements login.Auditor and is safe for
// concurrent use.
type Log struct {
	// Keep is how long files that were set aside stay; 0: for ever. To be set
	// before Run.
	Keep time.Duration

	path string
	keys *otp.Keys
	log  *slog.Logger

	mu      sync.Mutex
	next    *batch // whom the next write takes along; nil: nobody yet
	stopped bool

	writing sync.Mutex // held for one write; guards what follows
	file    file
	size    int64     // of the whole lines
	begun   time.Time // when its first record was made; zero: it has none
	prev    string    // hash of the last line
	torn    bool      // bytes of a failed write may stand behind size
	broken  error     // why the last write failed; nil: it did not
	unsaved bool      // written, not yet synced
	buffer  []byte
}

// file is what Log needs of an *os.File opened for appending.
type file interface {
	io.WriteCloser
	Truncate(size int64) error
	Sync() error
}

// A batch is records that are written together.
type batch struct {
	bodies [][]byte
	done   chan struct{}
	err    error // set before done is closed
}

// ErrClosed is returned for records that come after Close.
var ErrClosed = errors.New("audit is closed")

// SyncEvery is how long a record may be in the kernel's hands only.
const SyncEvery = time.Second

// tidyEvery is how often is looked whether a file's day is over.
const tidyEvery = time.Minute

// Login writes how a login ended and returns after it is written.
func (l *Log) Login(r login.AuditRecord) error { return l.write(lineOf(r)) }

// Admin writes what an administrator did and returns after it is written.
func (l *Log) Admin(a Admin) error { return l.write(a.line(time.Now())) }

func (l *Log) write(line any) error {
	raw, err := body(line)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	b, first := l.join(raw)
	if b == nil {
		return ErrClosed
	}
	if first {
		l.commit(b)
	}
	<-b.done
	return b.err
}

// join adds a record to the next batch. Its first record's caller commits it
// for all; whoever comes while another batch is written joins.
func (l *Log) join(raw []byte) (b *batch, first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return nil, false
	}
	if first = l.next == nil; first {
		l.next = &batch{done: make(chan struct{})}
	}
	l.next.bodies = append(l.next.bodies, raw)
	return l.next, first
}

func (l *Log) commit(b *batch) {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	l.next = nil
	l.mu.Unlock()
	b.err = l.append(b.bodies)
	close(b.done)
}

// append chains the records and writes them in one call. What a failed write
// left behind is cut off again, so that the chain stays whole.
func (l *Log) append(bodies [][]byte) error {
	if err := l.mend(); err != nil {
		return err
	}
	lines, prev := l.buffer[:0], l.prev
	for _, b := range bodies {
		lines, prev = l.chain(lines, prev, b)
	}
	l.buffer = keep(lines)
	if n, err := l.file.Write(lines); err != nil {
		l.torn = n > 0
		l.broken = errors.Join(fmt.Errorf("audit: write %s: %w", l.path, err), l.mend())
		return l.broken
	}
	l.size += int64(len(lines))
	l.prev, l.unsaved, l.broken = prev, true, nil
	if l.begun.IsZero() {
		l.begun = time.Now()
	}
	return nil
}

func (l *Log) mend() error {
	if !l.torn {
		return nil
	}
	if err := l.file.Truncate(l.size); err != nil {
		return fmt.Errorf("audit: cut what a failed write left in %s: %w", l.path, err)
	}
	l.torn = false
	return nil
}

// chain appends one line and returns its hash.
func (l *Log) chain(lines []byte, prev string, body []byte) (all []byte, hash string) {
	start := len(lines)
	lines = append(lines, body...)
	lines = append(lines, prevField...)
	lines = append(lines, prev...)
	hash = hex.EncodeToString(l.keys.MAC(otp.PurposeAudit, lines[start:]))
	lines = append(lines, hashField...)
	lines = append(lines, hash...)
	return append(lines, lineEnd...), hash
}

// keep saves a buffer for the next batch, unless a rare burst made it large.
func keep(buffer []byte) []byte {
	if cap(buffer) > 1<<20 {
		return nil
	}
	return buffer[:0]
}

// Run syncs the file once every SyncEvery until ctx ends, begins a new one each
// day, and removes those that are older than Keep.
func (l *Log) Run(ctx context.Context) error {
	tick := time.NewTicker(SyncEvery)
	defer tick.Stop()
	var looked time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := l.Sync(); err != nil {
			l.log.Error("audit records may not survive a power failure, or it would not be seen when some are cut off", alert.Kind("audit"), "file", l.path, "error", err)
		}
		if now := time.Now(); now.Sub(looked) >= tidyEvery {
			looked = now
			if err := errors.Join(l.rotate(now), l.expire(now)); err != nil {
				l.log.Error("audit files cannot be set aside or removed; records go on into the one in use", alert.Kind("audit"), "file", l.path, "error", err)
			}
		}
	}
}

// Probe tells whether records can be written. After a write that failed it
// tries one of its own: nobody logs in meanwhile who would.
func (l *Log) Probe() error {
	l.writing.Lock()
	broken := l.broken
	l.writing.Unlock()
	if broken == nil {
		return nil
	}
	return l.Admin(Admin{By: "vssgate", Action: "audit works again", Why: broken.Error()})
}

// Head is the hash of the newest record.
func (l *Log) Head() string {
	l.writing.Lock()
	defer l.writing.Unlock()
	return l.prev
}

// Sync brings what is written to the disk.
func (l *Log) Sync() error {
	l.writing.Lock()
	defer l.writing.Unlock()
	if !l.unsaved {
		return nil
	}
	if err := l.file.Sync(); err != nil {
		return fmt.Errorf("audit: sync %s: %w", l.path, err)
	}
	if err := l.markEnd(); err != nil {
		return err
	}
	l.unsaved = false
	return nil
}

// Close writes what waits, syncs and closes. Records that come later get
// ErrClosed.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.stopped {
		l.mu.Unlock()
		return nil
	}
	l.stopped = true
	waiting := l.next
	l.mu.Unlock()
	if waiting != nil {
		<-waiting.done
	}
	err := l.Sync()
	l.writing.Lock()
	defer l.writing.Unlock()
	return errors.Join(err, l.file.Close())
}
