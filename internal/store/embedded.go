package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"

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
	marks      [shards]map[string]mark
	windows    [shards]map[string]*window
	saving     map[string]*saving // durable saves on their way to the disk, by record key
	staged     []*write
	committing bool
	broken     error // what the last commit said
	closed     bool
	swept      int // the shard that was swept last
}

// A mark says until when a key counts as used.
type mark struct {
	expires int64
	durable bool
}

// saving is a durable record that is checked and not yet committed. Nobody
// sees it, but it holds its place in every index it will be listed in.
type saving struct {
	*write
	next *entry // nil: a delete
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

// unmap gives back the pages of the file that reading has made part of this
// process; the kernel keeps them as long as it has room, and gives them again
// without the disk. It may fail: nothing depends on it.
func (e *Embedded) unmap() {
	_ = e.db.View(func(tx *bolt.Tx) error {
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, e.db.Info().Data, uintptr(tx.Size()), unix.MADV_DONTNEED)
		return nil
	})
}

func (e *Embedded) loadDurable(tx *bolt.Tx) error {
	err := tx.Bucket(bucketRecords).ForEach(func(k, v []byte) error {
		rec, err := parseEntry(v)
		if err != nil || rec.key() != string(k) {
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

func (e *Embedded) marksOf(key string) map[string]mark {
	return e.marks[e.table.hash(key)%shards]
}

func (e *Embedded) windowsOf(key string) map[string]*window {
	return e.windows[e.table.hash(key)%shards]
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

// alive returns the record under key unless it has expired.
func (e *Embedded) alive(key string, now int64) *entry {
	if rec := e.table.get(key); rec != nil && !past(rec.expires, now) {
		return rec
	}
	return nil
}

// Load implements login.Store.
func (e *Embedded) Load(ctx context.Context, keys ...string) (r login.Record, err error) {
	err = e.enter(ctx, func() error {
		now := e.clock.now()
		for _, key := range keys {
			if rec := e.alive(key, now); rec != nil {
				if r, err = e.read(rec, now); !errors.Is(err, login.ErrNotFound) {
					return err
				}
			}
		}
		return login.ErrNotFound
	})
	return r, err
}

// read is rec as callers see it. The value of a durable record is in the file
// only: what is there is committed, and so at least as new as what the table
// lists. ErrNotFound: it was deleted a moment ago. The caller holds the lock.
func (e *Embedded) read(rec *entry, now int64) (r login.Record, err error) {
	if !rec.durable {
		return rec.record(now), nil
	}
	err = e.db.View(func(tx *bolt.Tx) error {
		v := tx.Bucket(bucketRecords).Get([]byte(rec.key()))
		if v == nil {
			return login.ErrNotFound
		}
		if r, err = parseRecord(v); err != nil {
			return fmt.Errorf("record %q: %w", rec.key(), err)
		}
		r.Value, r.Durable, r.Read = bytes.Clone(r.Value), true, instant(now)
		return nil
	})
	if s := e.saving[rec.key()]; errors.Is(err, login.ErrNotFound) && s != nil && s.next != nil {
		return s.next.record(now), nil // it has just ceased to be durable
	}
	return r, err
}

// page is how many records Find reads with the lock held. A Find that needs
// more is not a snapshot: a record saved meanwhile may be in it or not.
const page = 256

// Find implements login.Store.
func (e *Embedded) Find(ctx context.Context, index, after string, limit int) (found []login.Record, err error) {
	for more := true; more && err == nil; {
		room := page
		if limit > 0 {
			room = min(page, limit-len(found))
		}
		err = e.enter(ctx, func() error {
			before := len(found)
			found, err = e.find(found, index, after, room)
			more = len(found)-before == room && len(found) != limit
			return err
		})
		if len(found) > 0 {
			after = found[len(found)-1].Key
		}
	}
	if err != nil {
		return nil, err
	}
	return found, nil
}

func (e *Embedded) find(found []login.Record, index, after string, room int) (_ []login.Record, err error) {
	now := e.clock.now()
	e.table.walk(index, after, func(rec *entry) bool {
		if past(rec.expires, now) {
			return true
		}
		r, failed := e.read(rec, now)
		switch {
		case failed == nil:
			found = append(found, r)
			room--
		case !errors.Is(failed, login.ErrNotFound):
			err = failed
		}
		return room > 0 && err == nil
	})
	return found, err
}

// Save implements login.Store.
func (e *Embedded) Save(ctx context.Context, r login.Record, cond login.Condition) (login.Record, error) {
	if err := checkRecord(&r); err != nil {
		return login.Record{}, err
	}
	for {
		var earlier, own *write
		err := e.enter(ctx, func() (err error) {
			if s := e.saving[r.Key]; s != nil {
				earlier = s.write
				return nil
			}
			own, err = e.save(&r, cond)
			return err
		})
		switch {
		case err != nil:
			return login.Record{}, err
		case earlier != nil:
			err = earlier.wait(ctx) // then the version is known
		case own != nil:
			return r, errors.Join(own.wait(ctx), own.failure())
		default:
			return r, nil
		}
		if err != nil {
			return login.Record{}, err
		}
	}
}

// save checks and carries out, or stages, one Save; r becomes what it answers.
// The caller holds the lock.
func (e *Embedded) save(r *login.Record, cond login.Condition) (*write, error) {
	now := e.clock.now()
	old := e.alive(r.Key, now)
	if err := e.allowed(old, r, cond, now); err != nil {
		return nil, err
	}
	var before []string
	if old != nil {
		before = old.names()
	}
	version, next := r.Version+1, (*entry)(nil)
	if r.Value == nil {
		version, r.Indexes = 0, nil
	} else {
		next = newEntry(*r, version)
	}
	r.Version, r.Read = version, instant(now)
	stored := e.table.get(r.Key)
	if stored != nil && stored.durable || next != nil && next.durable {
		return e.stageRecord(r.Key, before, next), nil
	}
	e.apply(r.Key, before, next)
	return nil, nil
}

// allowed checks the version and the conditions of a Save.
func (e *Embedded) allowed(old *entry, r *login.Record, cond login.Condition, now int64) error {
	version := uint64(0)
	if old != nil {
		version = old.version
	}
	switch {
	case version != r.Version:
		return login.ErrConflict
	case !cond.Before.IsZero() && now >= nanos(cond.Before):
		return login.ErrLate
	case cond.Full == "" || r.Value == nil || !slices.Contains(r.Indexes, cond.Full) || old != nil && old.lists(cond.Full):
		return nil
	case e.full(cond, r.Key, now):
		return login.ErrFull
	}
	return nil
}

// full counts what cond.Full lists besides key, and what is about to be listed.
func (e *Embedded) full(cond login.Condition, key string, now int64) bool {
	n := 0
	for other, s := range e.saving {
		stored := e.alive(other, now)
		if slices.Contains(cond.But, other) {
			continue
		}
		if s.next != nil && s.next.lists(cond.Full) && (stored == nil || !stored.lists(cond.Full)) {
			n++
		}
	}
	e.table.walk(cond.Full, "", func(rec *entry) bool {
		if !past(rec.expires, now) && rec.key() != key && !slices.Contains(cond.But, rec.key()) {
			n++
		}
		return n < cond.AtMost
	})
	return n >= cond.AtMost
}

// stageRecord has a durable record written, or deleted, and then applies it.
func (e *Embedded) stageRecord(key string, before []string, next *entry) *write {
	w := &write{bucket: bucketRecords, key: key}
	listed := next
	if next != nil && next.durable {
		w.value, listed = appendEntry(nil, next), next.listing()
	}
	e.saving[key] = &saving{write: w, next: next}
	w.after = func(err error) {
		delete(e.saving, key)
		if err == nil {
			e.apply(key, before, listed)
		}
	}
	e.stage(w)
	return w
}

// apply makes a Save visible and tells of it.
func (e *Embedded) apply(key string, before []string, next *entry) {
	if next == nil {
		e.table.remove(key)
		e.changes.tell(key, before, nil)
		return
	}
	e.table.put(next)
	e.changes.tell(key, before, next.names())
}

// Count implements login.Store.
func (e *Embedded) Count(ctx context.Context, quotas ...login.Quota) (counted bool, err error) {
	for _, q := range quotas {
		if err := checkKey(q.Key); err != nil {
			return false, err
		}
	}
	err = e.enter(ctx, func() error {
		for i, q := range quotas {
			windows := e.windowsOf(q.Key)
			w := windows[q.Key]
			if w == nil {
				w = &window{}
				windows[q.Key] = w
			}
			if !w.note(e.clock.now(), q.Limit.Count, q.Limit.Within) {
				for _, noted := range quotas[:i] {
					e.takeBack(noted.Key)
				}
				return nil
			}
		}
		counted = true
		return nil
	})
	return counted, err
}

// Counted implements login.Counting.
func (e *Embedded) Counted(ctx context.Context, key string, span time.Duration) (at []time.Time, err error) {
	err = e.enter(ctx, func() error {
		if w := e.windowsOf(key)[key]; w != nil {
			at = counting(w.times, e.clock.now(), span)
		}
		return nil
	})
	return at, err
}

// Uncount implements login.Store.
func (e *Embedded) Uncount(ctx context.Context, keys ...string) error {
	return e.enter(ctx, func() error {
		for _, key := range keys {
			e.takeBack(key)
		}
		return nil
	})
}

func (e *Embedded) takeBack(key string) {
	windows := e.windowsOf(key)
	if w := windows[key]; w != nil {
		if w.takeBack(); len(w.times) == 0 {
			delete(windows, key) // most events are taken back at once: nothing of them is to stay
		}
	}
}

// UseOnce implements login.Store. A durable mark counts from the moment it is
// on its way to the disk; only who gets true has waited for it.
func (e *Embedded) UseOnce(ctx context.Context, key string, expiry time.Time, durable bool) (first bool, err error) {
	if err := checkKey(key); err != nil {
		return false, err
	}
	var w *write
	err = e.enter(ctx, func() error {
		now, until := e.clock.now(), nanos(expiry)
		marks := e.marksOf(key)
		if past(until, now) {
			return login.ErrLate // it could not be remembered
		}
		if m, used := marks[key]; used && !past(m.expires, now) {
			return nil
		}
		first = true
		marks[key] = mark{expires: until, durable: durable}
		if durable {
			w = e.stageMark(key, until)
		}
		return nil
	})
	if w != nil && err == nil {
		err = errors.Join(w.wait(ctx), w.failure())
	}
	return first && err == nil, err
}

func (e *Embedded) stageMark(key string, until int64) *write {
	w := &write{bucket: bucketMarks, key: key, value: binary.BigEndian.AppendUint64(nil, uint64(until))}
	w.after = func(err error) {
		if err != nil {
			delete(e.marksOf(key), key) // nobody was told that it was unused
		}
	}
	e.stage(w)
	return w
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
		for key, rec := range e.table.records[i] {
			all = append(all, login.Change{Key: key, Indexes: rec.names()})
		}
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

// sweepEvery is how often one of the shards is swept: each of them every 26 s.
// Each unmapEvery sweeps the pages of the file are given back.
const (
	sweepEvery = 100 * time.Millisecond
	unmapEvery = 100
)

func (e *Embedded) sweep() {
	defer e.working.Done()
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		if n%unmapEvery == 0 { // for the first time after loading
			e.unmap()
		}
		select {
		case <-e.stop:
			return
		case <-tick.C:
			e.sweepShard()
		}
	}
}

// sweepShard forgets what has expired in the next shard. Nobody sees what has
// expired, so this is about memory only.
func (e *Embedded) sweepShard() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return
	}
	e.swept = (e.swept + 1) % shards
	now := e.clock.now()
	for key, rec := range e.table.records[e.swept] {
		if past(rec.expires, now) && e.saving[key] == nil {
			if rec.durable {
				e.stage(&write{bucket: bucketRecords, key: key})
			}
			e.table.remove(key)
		}
	}
	for key, m := range e.marks[e.swept] {
		if past(m.expires, now) {
			if m.durable {
				e.stage(&write{bucket: bucketMarks, key: key})
			}
			delete(e.marks[e.swept], key)
		}
	}
	for key, w := range e.windows[e.swept] {
		if w.over(now) {
			delete(e.windows[e.swept], key)
		}
	}
}
