package store

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"vssgate/internal/login"
)

// leaseWrite is how long after it was listed a record may be written. The lease
// lasts twice as long (reserve.lua), so that clocks of two servers may differ.
const leaseWrite = micros(5 * time.Second / time.Microsecond)

// A saveOp is one Save under way.
type saveOp struct {
	*Redis
	login.Record
	cond     login.Condition
	op       string
	reserved []string // indexes that list the record by op, besides those it was in
	until    micros   // as long as that counts
}

// errAgain: something was made ready, so the record may be written now.
var errAgain = errors.New("write again")

// Save implements login.Store.
func (r *Redis) Save(ctx context.Context, rec login.Record, cond login.Condition) (login.Record, error) {
	if err := checkRecord(&rec); err != nil {
		return login.Record{}, err
	}
	ctx, cancel := limited(ctx)
	defer cancel()
	if rec.Value == nil {
		rec.Indexes = nil
	}
	s := &saveOp{Redis: r, Record: rec, cond: cond, op: newOp()}
	if rec.Version == 0 && r.slot() == "" { // all its indexes will be new
		if err := s.reserve(ctx, nil, rec.Indexes); err != nil {
			return login.Record{}, err
		}
	}
	for {
		saved, err := s.write(ctx)
		if !errors.Is(err, errAgain) {
			return saved, err
		}
	}
}

// write runs the script once, and makes ready what it asks for.
func (s *saveOp) write(ctx context.Context) (login.Record, error) {
	read, err := s.run(ctx, scriptSave, []string{s.recordKey(s.Key), s.streamKey(s.part(s.Key))}, s.args()...)
	if err != nil {
		s.hints.give(hint{change: login.Change{Key: s.Key, Indexes: s.Indexes}}) // it may have been written
		return login.Record{}, err
	}
	what, now, version := read.text(), read.at, read.number()
	listed, ops, need := read.names(), read.text(), read.names()
	id, epoch, replicas := read.text(), read.text(), read.number()
	if read.err != nil {
		return login.Record{}, read.err
	}
	switch what {
	case "ok", "done":
		s.hints.give(hint{id, login.Change{Key: s.Key, Indexes: union(listed, s.Indexes)}})
		if s.slot() == "" {
			s.unlist(ctx, without(append(listed, s.reserved...), s.Indexes), now, ops)
		}
		s.Version, s.Read = uint64(version), now.time()
		return s.Record, s.confirm(ctx, s.part(s.Key), epoch, replicas)
	case "full":
		return login.Record{}, login.ErrFull
	case "need":
		return login.Record{}, cmp.Or(s.reserve(ctx, listed, need), errAgain)
	case "slow":
		again := s.reserved
		s.reserved = nil
		return login.Record{}, cmp.Or(s.reserve(ctx, listed, again), errAgain)
	}
	s.unlist(ctx, without(s.reserved, listed), now, ops+s.op)
	if what == "late" {
		return login.Record{}, login.ErrLate
	}
	return login.Record{}, login.ErrConflict
}

func (s *saveOp) args() []any {
	return []any{
		s.op, s.Version, toMicros(s.cond.Before).String(), toMicros(s.Expires).String(),
		flag(s.Durable), flag(s.Value == nil), string(appendNames(nil, s.Indexes)), s.Value,
		string(appendNames(nil, s.reserved)), s.until.String(), s.Key, s.slot(), s.cond.Full, max(s.cond.AtMost, 0), packKeys(s.cond.But),
	}
}

// reserve lists the record where it is to be, first of all in cond.Full, which
// may refuse it. listed is where the record is already.
func (s *saveOp) reserve(ctx context.Context, listed, names []string) error {
	if slices.Contains(names, s.cond.Full) && !slices.Contains(listed, s.cond.Full) {
		if err := s.enter(ctx); err != nil {
			return err
		}
		names = without(names, []string{s.cond.Full})
	}
	calls := make([]call, len(names))
	for i, name := range names {
		calls[i] = s.reserveCall(name, -1)
	}
	answers, err := s.runAll(ctx, calls)
	if err != nil {
		return err
	}
	for i, answer := range answers {
		if _, _, err := s.note(names[i], answer); err != nil {
			return err
		}
	}
	return nil
}

func (s *saveOp) reserveCall(name string, atMost int) call {
	return call{scriptReserve, []string{s.indexKey(name), s.leaseKey(name, s.Key)}, []any{s.Key, s.op, atMost, toMicros(s.Expires).String(), packKeys(s.cond.But)}}
}

// note takes down a reservation, or returns who fills the index.
func (s *saveOp) note(name string, read *reply) (full bool, members []string, err error) {
	what, now := read.text(), read.at
	if what == "full" {
		for _, member := range read.list() {
			key, _ := member.(string)
			members = append(members, key)
		}
		return true, members, read.err
	}
	if until := now + leaseWrite; len(s.reserved) == 0 || until < s.until {
		s.until = until
	}
	s.reserved = append(s.reserved, name)
	return false, nil, read.err
}

// placeTries is how often a Save looks whether a place that another one holds
// becomes free: some 200 ms.
const placeTries = 40

// enter takes a place in cond.Full. Members that are there without a record
// were left behind, then they are taken out, or are about to be written: that
// is waited for a while, since such a Save may still fail. A place that a dead
// node holds counts as taken until its lease is over.
func (s *saveOp) enter(ctx context.Context) error {
	c := s.reserveCall(s.cond.Full, max(s.cond.AtMost, 0))
	for range placeTries {
		answer, err := s.run(ctx, c.script, c.keys, c.args...)
		if err != nil {
			return err
		}
		full, members, err := s.note(s.cond.Full, answer)
		if err != nil || !full {
			return err
		}
		n, cleaned, err := s.census(ctx, members)
		if err != nil {
			return err
		}
		if n >= s.cond.AtMost {
			return login.ErrFull
		}
		if !cleaned {
			if err := pause(ctx, 4*time.Millisecond); err != nil {
				return context.Cause(ctx)
			}
		}
	}
	return login.ErrFull
}

// census counts the records besides this one and cond.But that are listed in cond.Full.
func (s *saveOp) census(ctx context.Context, members []string) (n int, cleaned bool, err error) {
	seen, err := s.peek(ctx, members)
	if err != nil {
		return 0, false, err
	}
	var stale []sighting
	for _, m := range seen {
		switch {
		case m.Key == s.Key || slices.Contains(s.cond.But, m.Key):
		case m.lists(s.cond.Full):
			n++
		default:
			stale = append(stale, m)
		}
	}
	return n, s.clean(ctx, s.cond.Full, stale) > 0, nil
}

// unlist takes the record out of indexes that no longer list it. It is cleaning
// only: what it cannot do now, whoever finds the member there does.
func (s *saveOp) unlist(ctx context.Context, names []string, seen micros, ops string) {
	calls := make([]call, len(names))
	for i, name := range names {
		calls[i] = s.dropCall(name, s.Key, seen, ops)
	}
	if _, err := s.runAll(ctx, calls); err != nil {
		s.log.Debug("index not cleaned", "error", err)
	}
}

func (r *Redis) dropCall(index, key string, seen micros, ops string) call {
	return call{scriptDrop, []string{r.indexKey(index), r.leaseKey(index, key)}, []any{key, seen.String(), ops}}
}

// clean takes members out of index whose records were seen not to be listed
// there, and tells how many it could.
func (r *Redis) clean(ctx context.Context, index string, stale []sighting) (cleaned int) {
	calls := make([]call, len(stale))
	for i, s := range stale {
		calls[i] = r.dropCall(index, s.Key, toMicros(s.Read), s.ops)
	}
	answers, err := r.runAll(ctx, calls)
	if err != nil {
		r.log.Debug("index not cleaned", "error", err)
	}
	for _, answer := range answers {
		if answer.number() == 1 {
			cleaned++
		}
	}
	return cleaned
}

// without is a fresh slice of the names of a that are not in b, each once.
func without(a, b []string) (left []string) {
	for _, name := range a {
		if !slices.Contains(b, name) && !slices.Contains(left, name) {
			left = append(left, name)
		}
	}
	return left
}
