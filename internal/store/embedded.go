package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"vssgate/internal/login"
)

// Embedded is the login.Store of one node, with no server beside it. What is
// durable is committed to a bbolt file before anyone can see it; of that keys and
// indexes are held in memory, of the rest everything. See doc.go for what survives which stop.
type Embedded struct {
	path    string
	log     *slog.Logger
	db      *bolt.DB
	clock   *clock
	changes *fanout
	stop    chan struct{}
	working sync.WaitGroup

	mu         sync.Mutex
	since      int64
	table      *table
	room       []byte // for the volatile record that is being saved
	marks      [shards]map[string]mark
	windows    [shards]map[string]*window
	saving     map[string]*saving // durable saves on their way to the disk, by record key
	staged     []*write
	committing bool
	broken     error // what the last commit said
	closed     bool
	swept      int // the shard that was swept last
}

var errClosed = errors.New("the store is closed")

var _ login.Store = (*Embedded)(nil)

// OpenEmbedded opens or creates the file at path. Nobody else may have it open.
func OpenEmbedded(path string, log *slog.Logger) (*Embedded, error) {
	return openEmbedded(path, log, systemClock())
}

func openEmbedded(path string, log *slog.Logger, clock *clock) (*Embedded, error) {
	db, fresh, err := openFile(path)
	if err != nil {
		return nil, err
	}
	e := &Embedded{
		path: path, log: log, db: db, clock: clock, table: newTable(),
		changes: &fanout{log: log, subs: map[*subscriber]struct{}{}},
		saving:  map[string]*saving{}, stop: make(chan struct{}),
	}
	for i := range shards {
		e.marks[i], e.windows[i] = map[string]mark{}, map[string]*window{}
	}
	if err := e.load(fresh); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if fresh {
		e.since = 0 // there is nothing that could have been forgotten
	}
	e.working.Add(1)
	go e.sweep()
	return e, nil
}

// openFile opens the file, or makes it: then it is fresh.
func openFile(path string) (db *bolt.DB, fresh bool, err error) {
	db, err = bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second, FreelistType: bolt.FreelistMapType})
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, false, fmt.Errorf("open %s: another vssgate is running on this data_dir: %w", path, err)
	}
	if err != nil {
		return nil, false, fmt.Errorf("open %s: %w", path, err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		fresh = tx.Bucket(bucketMeta) == nil
		for _, name := range [][]byte{bucketRecords, bucketMarks, bucketMeta} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		_ = db.Close()
		return nil, false, fmt.Errorf("prepare %s: %w", path, err)
	}
	return db, fresh, nil
}

// load reads what is durable, and what was volatile if the last stop was clean.
func (e *Embedded) load(fresh bool) error {
	now := e.clock.now()
	if err := e.db.View(e.loadDurable); err != nil {
		return err
	}
	return e.loadVolatile(now, fresh)
}

func (e *Embedded) loadDurable(tx *bolt.Tx) error {
	err := tx.Bucket(bucketRecords).ForEach(func(k, v []byte) error {
		rec, err := parseEntry(v)
		if err != nil || !bytes.Equal(rec.key(), k) {
			return fmt.Errorf("record %q: %w", k, errPacked)
		}
		rec.durable = true
		e.table.put(rec.listing())
		return nil
	})
	if err != nil {
		return err
	}
	return tx.Bucket(bucketMarks).ForEach(func(k, v []byte) error {
		if len(v) != 8 {
			return fmt.Errorf("mark %q: %w", k, errPacked)
		}
		e.marksOf(string(k))[string(k)] = mark{expires: int64(binary.BigEndian.Uint64(v)), durable: true}
		return nil
	})
}

// Now is the clock of doc.go.
func (e *Embedded) Now(ctx context.Context) (time.Time, error) {
	return instant(e.clock.now()), e.enter(ctx, nil)
}

// Since is the start of the first process after the last unclean stop; zero
// time while there was none: nothing was ever forgotten.
func (e *Embedded) Since(ctx context.Context) (since time.Time, err error) {
	err = e.enter(ctx, func() error {
		since = instant(e.since)
		return nil
	})
	return since, err
}

// enter runs do with the lock held, unless the store is closed.
func (e *Embedded) enter(ctx context.Context, do func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return errClosed
	}
	if do == nil {
		return nil
	}
	return do()
}

// Changes implements login.Store; see fanout for subscribers that lag.
func (e *Embedded) Changes(ctx context.Context, changed func(login.Change)) error {
	if err := e.enter(ctx, nil); err != nil {
		return err
	}
	e.changes.run(ctx, changed, e.eachRecord)
	return ctx.Err()
}

// eachRecord tells of every record as if it had just been saved.
func (e *Embedded) eachRecord(changed func(login.Change)) {
	for i := range shards {
		var all []login.Change
		e.mu.Lock()
		e.table.each(i, func(rec entry) {
			all = append(all, login.Change{Key: string(rec.key()), Indexes: rec.names()})
		})
		e.mu.Unlock()
		for _, c := range all {
			changed(c)
		}
	}
}

// Ping tells whether the store can keep something now.
func (e *Embedded) Ping(ctx context.Context) error {
	var probe *write
	err := e.enter(ctx, func() error {
		if e.broken != nil {
			probe = &write{bucket: bucketMeta, key: "ping", value: []byte{}}
			e.stage(probe)
		}
		return nil
	})
	if err != nil || probe == nil {
		return err
	}
	return errors.Join(probe.wait(ctx), probe.failure())
}

// Close commits what is on its way, keeps what is volatile for the next start,
// and closes the file. Closing twice is harmless.
func (e *Embedded) Close() error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil
	}
	e.closed = true
	e.mu.Unlock()
	close(e.stop)
	e.working.Wait()
	err := e.saveVolatile()
	return errors.Join(err, e.db.Close())
}
