package store

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"vssgate/internal/login"
)

// A mark says until when a key counts as used.
type mark struct {
	expires int64
	durable bool
}

func (e *Embedded) marksOf(key string) map[string]mark {
	return e.marks[e.table.shardOf(key)]
}

func (e *Embedded) windowsOf(key string) map[string]*window {
	return e.windows[e.table.shardOf(key)]
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
