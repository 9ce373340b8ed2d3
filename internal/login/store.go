package login

import (
	"context"
	"errors"
	"time"
)

// Store keeps the records that outlive one packet: attempts, accounts,
// devices, counters. It knows nothing of what they mean. One conformance suite
// (internal/store/storetest) runs against every implementation.
//
// Every method has its own short time limit besides the context's and returns
// an error when the store cannot be asked: no answer is ever made up.
type Store interface {
	// Now is the store's clock, the only one that decides deadlines. It is never
	// ahead, nor before anything that this caller has read, but an answer takes
	// its time: who must not be late says so in Condition.Before.
	Now(ctx context.Context) (time.Time, error)

	// Since is the instant from which the store remembers everything volatile
	// (one-time marks, attempts). What was issued before it may have been used
	// already: callers refuse it.
	Since(ctx context.Context) (time.Time, error)

	// Load returns the record under the first of these keys that has one, or
	// ErrNotFound.
	Load(ctx context.Context, keys ...string) (Record, error)

	// Find returns the records listed under index, in ascending order of key,
	// from the first key after `after` on, at most limit of them (0: all).
	Find(ctx context.Context, index, after string, limit int) ([]Record, error)

	// Save writes r if the stored version still is r.Version (0: no such record
	// yet) and every condition holds, in one transition, and returns the record
	// with its new version. A nil Value deletes. ErrConflict when the version
	// differs, ErrLate when the store's clock has reached cond.Before, ErrFull
	// when cond.Full lists cond.AtMost records besides cond.But. Safe to repeat: a Save whose
	// answer was lost and is sent again by the implementation takes place once.
	Save(ctx context.Context, r Record, cond Condition) (Record, error)

	// Count notes one event under each quota's key, unless under one of them there
	// have been Limit.Count within the last Limit.Within: then it notes nothing and
	// counted is false. After an error some may be noted.
	Count(ctx context.Context, quotas ...Quota) (counted bool, err error)

	// Uncount takes the latest noted event under each key back.
	Uncount(ctx context.Context, keys ...string) error

	// UseOnce marks key as used until expiry and tells whether it was unused.
	// Among all nodes exactly one caller gets true. Durable marks survive an
	// unclean stop; the others are complete only from Since on: ask for Since
	// after UseOnce, so that it tells of the memory the mark is in. An expiry that
	// has passed is ErrLate: refused, not a broken store.
	UseOnce(ctx context.Context, key string, expiry time.Time, durable bool) (first bool, err error)

	// Changes calls changed for each record saved anywhere, soon after it was
	// saved, until ctx ends; changed must not block. Changes may come twice,
	// and a change may be seen in Load before it is told here.
	Changes(ctx context.Context, changed func(Change)) error
}

// Counting is what a Store may tell besides, for administrators: no login is
// decided by it.
type Counting interface {
	// Counted are the instants of the events noted under key that count still for
	// that window, oldest first.
	Counted(ctx context.Context, key string, window time.Duration) ([]time.Time, error)
}

// Beside ends the part of a key that says where it lies: what belongs to a record,
// and must be forgotten with it, has its key, Beside, and a word.
const Beside = "#"

// A Record is what the Store keeps under one key.
type Record struct {
	Key     string    // unique, at most 200 bytes
	Value   []byte    // opaque to the store
	Version uint64    // 1 after the first Save; set by the store
	Indexes []string  // where Find lists it; replaced by each Save
	Expires time.Time // forgotten after that by the store's clock; zero: never
	Durable bool      // committed to disk (embedded) or to the replicas (Redis) before Save returns
	Read    time.Time // the store's clock when Load, Find or Save answered; set by the store
}

// A Condition is what must hold at the instant of a Save besides the version.
type Condition struct {
	Before time.Time // the store's clock must be before it; zero: any time
	Full   string    // an index, looked at when the record is new in it; "": none
	AtMost int       // how many records it may list, this one included
	But    []string  // keys of records there that do not count: the caller knows of them
}

// A Quota is how many events may be noted under a key.
type Quota struct {
	Key   string // at most 200 bytes
	Limit Limit
}

// A Change tells that a record was saved.
type Change struct {
	Key     string
	Indexes []string // those it is listed under now and those it was under before
}

// What Save and Load may answer besides a broken store's error.
var (
	ErrNotFound = errors.New("no such record")
	ErrConflict = errors.New("the record was changed meanwhile")
	ErrLate     = errors.New("the deadline has passed")
	ErrFull     = errors.New("too many records there")
)
