package login

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
)

// saved is an attempt as it was read, or as it is about to be written.
type saved struct {
	Attempt Attempt
	rec     Record    // Version 0: not in the store
	entry   *asking   // who has entered this copy
	lock    *readLock // the account's, since a code was counted there; nil: not on this copy
}

// keyOf is the key of an attempt's record.
func keyOf(id ID) string { return attemptKey + base64.RawURLEncoding.EncodeToString(id[:]) }

func attemptOfKey(key string) (id ID, ok bool) {
	name, ok := strings.CutPrefix(key, attemptKey)
	if !ok || len(name) != base64.RawURLEncoding.EncodedLen(len(id)) {
		return id, false
	}
	_, err := base64.RawURLEncoding.Strict().Decode(id[:], []byte(name))
	return id, err == nil
}

// load reads an attempt. ErrNotFound: it never was, or is long over.
func (e *Engine) load(ctx context.Context, id ID) (*saved, error) {
	rec, err := e.Store.Load(ctx, keyOf(id))
	if err != nil {
		return nil, err
	}
	return e.open(rec)
}

// findAll reads the attempts under an index; what another key sealed is passed
// over, as if it were not there.
func (e *Engine) findAll(ctx context.Context, index string) ([]*saved, error) {
	recs, err := e.Store.Find(ctx, index, "", 0)
	if err != nil {
		return nil, err
	}
	var all []*saved
	for _, rec := range recs {
		s, err := e.open(rec)
		if err != nil {
			e.Log.Error("an attempt in the store was not made by this installation", "key", rec.Key, "error", err)
			continue
		}
		all = append(all, s)
	}
	return all, nil
}

// open unseals a record: what decides was written by a node with our key, at
// that place.
func (e *Engine) open(rec Record) (*saved, error) {
	plain, err := e.Keys.Open(rec.Key, rec.Value)
	if err != nil {
		return nil, fmt.Errorf("attempt %s: %w", rec.Key, err)
	}
	s := &saved{rec: rec}
	if s.Attempt, err = decodeAttempt(plain); err != nil {
		return nil, fmt.Errorf("attempt %s: %w", rec.Key, err)
	}
	id, ok := attemptOfKey(rec.Key) // that it is this one's record, its seal says
	if !ok {
		return nil, fmt.Errorf("attempt %s: not an attempt's key", rec.Key)
	}
	s.Attempt.ID = id
	return s, nil
}

// save writes the attempt if nobody else has meanwhile and, where before is
// given, the store's clock has not reached it.
func (e *Engine) save(ctx context.Context, s *saved, cond Condition) error {
	a := &s.Attempt
	rec := s.rec
	rec.Key = keyOf(a.ID)
	rec.Value = e.Keys.Seal(rec.Key, a.encode())
	rec.Indexes = e.indexes(a)
	rec.Expires = a.Deadline.Add(e.PolicyNow().Grace + keptFor)
	kept, err := e.Store.Save(ctx, rec, cond)
	if err != nil {
		s.rec = rec
		return err
	}
	s.rec = kept
	return nil
}

// keptFor is how long an attempt is kept when its time is over.
const keptFor = recogniseFor + cleanUpMargin

// isOver tells, without opening it, whether an attempt's time is over: its
// deadline, and as long as an approval could be collected.
func isOver(rec Record) bool { return !rec.Read.Before(rec.Expires.Add(-keptFor)) }

// indexes is where an attempt is listed: everywhere while it is open; after
// that only where late questions about it arrive.
func (e *Engine) indexes(a *Attempt) []string {
	list := []string{e.nameIndex(a.FrontEnd, a.Client, a.Typed)}
	if a.Typed != a.Who.Username { // a code may come appended under any spelling
		list = append(list, e.nameIndex(a.FrontEnd, a.Client, a.Who.Username))
	}
	if a.Verdict == nil || a.Owed {
		list = append(list, indexOpen)
	}
	if a.Verdict == nil {
		list = append(list, indexPerson+a.Person)
	}
	return list
}
