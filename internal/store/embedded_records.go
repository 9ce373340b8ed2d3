package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"

	"vssgate/internal/login"
)

// saving is a durable record that is checked and not yet committed. Nobody
// sees it, but it holds its place in every index it will be listed in.
type saving struct {
	*write
	next entry // its own; none: a delete
}

// alive returns the record under key unless it has expired, or none.
func (e *Embedded) alive(key string, now int64) entry {
	if rec := e.table.get(key); !past(rec.expires, now) {
		return rec
	}
	return entry{}
}

// Load implements login.Store.
func (e *Embedded) Load(ctx context.Context, keys ...string) (r login.Record, err error) {
	err = e.enter(ctx, func() error {
		now := e.clock.now()
		for _, key := range keys {
			if rec := e.alive(key, now); !rec.none() {
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
func (e *Embedded) read(rec entry, now int64) (r login.Record, err error) {
	if !rec.durable {
		return rec.record(now), nil
	}
	err = e.db.View(func(tx *bolt.Tx) error {
		v := tx.Bucket(bucketRecords).Get(rec.key())
		if v == nil {
			return login.ErrNotFound
		}
		if r, err = parseRecord(v); err != nil {
			return fmt.Errorf("record %q: %w", rec.key(), err)
		}
		r.Value, r.Durable, r.Read = bytes.Clone(r.Value), true, instant(now)
		return nil
	})
	if s := e.saving[string(rec.key())]; errors.Is(err, login.ErrNotFound) && s != nil && !s.next.none() {
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
	e.table.walk(index, after, func(rec entry) bool {
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
	version, next, before := r.Version+1, entry{}, []string(nil)
	staged := e.table.get(r.Key).durable || r.Durable && r.Value != nil
	switch {
	case r.Value == nil:
		version, r.Indexes = 0, nil
	case staged:
		next = newEntry(nil, *r, version)
	default:
		next = newEntry(e.room, *r, version)
		e.room = next.packed
	}
	r.Version, r.Read = version, instant(now)
	if !bytes.Equal(old.head(), next.head()) {
		before = old.names()
	}
	if staged {
		return e.stageRecord(r.Key, before, next), nil
	}
	e.apply(r.Key, before, r.Indexes, next)
	return nil, nil
}

// allowed checks the version and the conditions of a Save.
func (e *Embedded) allowed(old entry, r *login.Record, cond login.Condition, now int64) error {
	switch {
	case old.version != r.Version:
		return login.ErrConflict
	case !cond.Before.IsZero() && now >= nanos(cond.Before):
		return login.ErrLate
	case cond.Full == "" || r.Value == nil || !slices.Contains(r.Indexes, cond.Full) || old.lists(cond.Full):
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
		if s.next.lists(cond.Full) && !stored.lists(cond.Full) && !slices.Contains(cond.But, other) {
			n++
		}
	}
	e.table.walk(cond.Full, "", func(rec entry) bool {
		if !past(rec.expires, now) && string(rec.key()) != key && !slices.Contains(cond.But, string(rec.key())) {
			n++
		}
		return n < cond.AtMost
	})
	return n >= cond.AtMost
}

// stageRecord has a durable record written, or deleted, and then applies it.
func (e *Embedded) stageRecord(key string, before []string, next entry) *write {
	w := &write{bucket: bucketRecords, key: key}
	listed, after := next, next.names()
	if next.durable {
		w.value, listed = appendEntry(nil, next), next.listing()
	}
	e.saving[key] = &saving{write: w, next: next}
	w.after = func(err error) {
		delete(e.saving, key)
		if err == nil {
			e.apply(key, before, after, listed)
		}
	}
	e.stage(w)
	return w
}

// apply makes a Save visible and tells of it.
func (e *Embedded) apply(key string, before, after []string, next entry) {
	if next.none() {
		e.table.remove([]byte(key))
	} else {
		e.table.put(next)
	}
	e.changes.tell(key, before, after)
}
