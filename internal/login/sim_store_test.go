package login_test

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"vssgate/internal/login"
)

// A simServer is the memory of one primary, as nodes see it through store.Redis:
// what is durable counts in every epoch, the rest in its own only (internal/store,
// doc.go). It can be rolled back, as when a replica that lags is promoted: never
// behind a durable write that was acknowledged.
type simServer struct {
	s       *simulation
	epoch   int
	skew    time.Duration // of its clock
	since   time.Time     // when this epoch was first seen; zero: not yet
	records map[string]simRecord
	marks   map[string]simMark
	windows map[string][]time.Time
	undo    []func(*simServer) // the latest write last
	floor   int                // so many of the writes are at the replicas for certain
	alone   bool               // its replicas have another primary by now
}

type simRecord struct {
	login.Record
	epoch int
}

type simMark struct {
	until time.Time
	epoch int // -1: durable
}

func newSimServer(s *simulation) *simServer {
	return &simServer{s: s, records: map[string]simRecord{}, marks: map[string]simMark{}, windows: map[string][]time.Time{}}
}

func (m *simServer) now() time.Time { return time.Now().Add(m.skew) }

// clone is m cut off from its replicas.
func (m *simServer) clone() *simServer {
	c := *m
	c.records, c.marks, c.windows = maps.Clone(m.records), maps.Clone(m.marks), map[string][]time.Time{}
	for key, w := range m.windows {
		c.windows[key] = slices.Clone(w)
	}
	c.undo, c.alone = nil, true
	return &c
}

// fail over to a replica that has all writes but the last lost ones.
func (m *simServer) failOver(lost int, skew time.Duration) {
	keep := max(m.floor, len(m.undo)-lost)
	for _, undo := range slices.Backward(m.undo[keep:]) {
		undo(m)
	}
	m.undo, m.floor = nil, 0
	m.restart()
	m.skew = skew
}

func (m *simServer) restart() {
	m.epoch++
	m.since = time.Time{}
}

// wrote keeps how to take a write back, and whether it cannot be any more.
func (m *simServer) wrote(undo func(*simServer), durable bool) error {
	m.undo = append(m.undo, undo)
	switch {
	case !durable:
	case m.alone:
		return errUnconfirmed
	default:
		m.floor = len(m.undo)
	}
	return nil
}

func restore[V any](of func(*simServer) map[string]V, key string, old V, was bool) func(*simServer) {
	return func(m *simServer) {
		if delete(of(m), key); was {
			of(m)[key] = old
		}
	}
}

var errUnconfirmed = errors.New("no replica has confirmed it")

// get is the record under key, if it counts now.
func (m *simServer) get(key string) (r simRecord, alive bool) {
	r, alive = m.records[key]
	alive = alive && (r.Expires.IsZero() || m.now().Before(r.Expires)) && (r.Durable || r.epoch == m.epoch)
	return r, alive
}

func (r simRecord) seen(now time.Time) login.Record {
	r.Value, r.Indexes, r.Read = slices.Clone(r.Value), slices.Clone(r.Indexes), now
	return r.Record
}

func (m *simServer) load(key string) (login.Record, error) {
	r, alive := m.get(key)
	if !alive {
		return login.Record{}, login.ErrNotFound
	}
	return r.seen(m.now()), nil
}

func (m *simServer) find(index, after string, limit int) (found []login.Record) {
	for key := range m.records {
		if r, alive := m.get(key); alive && key > after && slices.Contains(r.Indexes, index) {
			found = append(found, r.seen(m.now()))
		}
	}
	slices.SortFunc(found, func(a, b login.Record) int { return cmp.Compare(a.Key, b.Key) })
	if limit > 0 && len(found) > limit {
		found = found[:limit]
	}
	return found
}

// counted are the records that cond counts.
func (m *simServer) counted(cond login.Condition) int {
	return len(slices.DeleteFunc(m.find(cond.Full, "", 0), func(r login.Record) bool { return slices.Contains(cond.But, r.Key) }))
}

func (m *simServer) save(r login.Record, cond login.Condition) (login.Record, error) {
	old, alive := m.get(r.Key)
	version := uint64(0)
	if alive {
		version = old.Version
	}
	listed := alive && slices.Contains(old.Indexes, cond.Full)
	switch {
	case version != r.Version:
		return login.Record{}, login.ErrConflict
	case !cond.Before.IsZero() && !m.now().Before(cond.Before):
		return login.Record{}, login.ErrLate
	case cond.Full != "" && !listed && slices.Contains(r.Indexes, cond.Full) && m.counted(cond) >= cond.AtMost:
		return login.Record{}, login.ErrFull
	}
	was, there := m.records[r.Key]
	r.Version, r.Read = r.Version+1, m.now()
	if r.Value == nil {
		r.Version = 0
		delete(m.records, r.Key)
	} else {
		m.records[r.Key] = simRecord{Record: login.Record{
			Key: r.Key, Value: slices.Clone(r.Value), Version: r.Version, Indexes: slices.Clone(r.Indexes), Expires: r.Expires, Durable: r.Durable,
		}, epoch: m.epoch}
	}
	before := old.Indexes
	if !alive {
		before = nil
	}
	m.s.saved(m, r, alive && slices.ContainsFunc(before, isPerson))
	m.s.tell(m, login.Change{Key: r.Key, Indexes: append(slices.Clone(r.Indexes), before...)})
	return r, m.wrote(restore(func(m *simServer) map[string]simRecord { return m.records }, r.Key, was, there), r.Durable)
}

// isPerson: an attempt is listed by its person as long as it has no verdict.
func isPerson(index string) bool { return strings.HasPrefix(index, "p:") }

func (m *simServer) count(key string, limit int, window time.Duration) bool {
	was, there := m.windows[key]
	left := slices.DeleteFunc(slices.Clone(was), func(t time.Time) bool { return !t.After(m.now().Add(-window)) })
	counted := len(left) < limit
	if counted {
		left = append(left, m.now())
	}
	m.windows[key] = left
	_ = m.wrote(restore(func(m *simServer) map[string][]time.Time { return m.windows }, key, was, there), false)
	return counted
}

func (m *simServer) uncount(key string) {
	was, there := m.windows[key]
	if len(was) == 0 {
		return
	}
	m.windows[key] = slices.Clone(was[:len(was)-1])
	_ = m.wrote(restore(func(m *simServer) map[string][]time.Time { return m.windows }, key, was, there), false)
}

func (m *simServer) useOnce(key string, expiry time.Time, durable bool) (bool, error) {
	if !expiry.IsZero() && !m.now().Before(expiry) {
		return false, login.ErrLate
	}
	was, there := m.marks[key]
	if there && m.now().Before(was.until) && (was.epoch < 0 || was.epoch == m.epoch) {
		return false, nil
	}
	mark := simMark{expiry, m.epoch}
	if durable {
		mark.epoch = -1
	}
	m.marks[key] = mark
	err := m.wrote(restore(func(m *simServer) map[string]simMark { return m.marks }, key, was, there), durable)
	return err == nil, err
}

func (m *simServer) sinceNow() time.Time {
	if m.since.IsZero() {
		m.since = m.now()
	}
	return m.since
}

// A simStore is the login.Store of one node: each call waits until it is let
// through, and may be lost, late, or done with its answer lost. With node nil it
// is the world's own view, at once and never wrong.
type simStore struct {
	s    *simulation
	node *simNode
}

var _ login.Store = simStore{}

func (v simStore) at(ctx context.Context, what string, do func(*simServer) error) error {
	if v.node == nil {
		v.s.mu.Lock()
		defer v.s.mu.Unlock()
		return do(v.s.server)
	}
	return v.node.pass(ctx, what, func() error { return do(v.node.server) })
}

func (v simStore) Now(ctx context.Context) (now time.Time, err error) {
	err = v.at(ctx, "now", func(m *simServer) error { now = m.now(); return nil })
	return now, err
}

func (v simStore) Since(ctx context.Context) (since time.Time, err error) {
	err = v.at(ctx, "since", func(m *simServer) error { since = m.sinceNow(); return nil })
	return since, err
}

func (v simStore) Load(ctx context.Context, keys ...string) (r login.Record, err error) {
	err = v.at(ctx, "load "+strings.Join(keys, " "), func(m *simServer) (err error) {
		for _, key := range keys {
			if r, err = m.load(key); err == nil {
				break
			}
		}
		return err
	})
	return r, err
}

func (v simStore) Find(ctx context.Context, index, after string, limit int) (found []login.Record, err error) {
	err = v.at(ctx, "find "+index, func(m *simServer) error { found = m.find(index, after, limit); return nil })
	return found, err
}

func (v simStore) Save(ctx context.Context, r login.Record, cond login.Condition) (saved login.Record, err error) {
	err = v.at(ctx, "save "+r.Key, func(m *simServer) (err error) { saved, err = m.save(r, cond); return err })
	if err != nil {
		return login.Record{}, err
	}
	return saved, nil
}

func (v simStore) Count(ctx context.Context, quotas ...login.Quota) (counted bool, err error) {
	err = v.at(ctx, "count "+quotas[0].Key, func(m *simServer) error {
		for i, q := range quotas {
			if counted = m.count(q.Key, q.Limit.Count, q.Limit.Within); !counted {
				for _, noted := range quotas[:i] {
					m.uncount(noted.Key)
				}
				return nil
			}
		}
		return nil
	})
	return counted && err == nil, err
}

func (v simStore) Uncount(ctx context.Context, keys ...string) error {
	return v.at(ctx, "uncount "+keys[0], func(m *simServer) error {
		for _, key := range keys {
			m.uncount(key)
		}
		return nil
	})
}

func (v simStore) UseOnce(ctx context.Context, key string, expiry time.Time, durable bool) (first bool, err error) {
	err = v.at(ctx, "use "+key, func(m *simServer) (err error) { first, err = m.useOnce(key, expiry, durable); return err })
	return first && err == nil, err
}

func (v simStore) Changes(ctx context.Context, changed func(login.Change)) error {
	v.s.mu.Lock()
	v.node.changed = changed
	v.s.mu.Unlock()
	<-ctx.Done()
	return nil
}
