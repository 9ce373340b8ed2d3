package accounting

import "sync/atomic"

// A Keeper takes records on. done is called exactly once, from any goroutine:
// safe when the record will not be lost any more.
type Keeper interface {
	Account(r *Record, done func(safe bool))
	// Ready tells whether a record would be safe, as far as is known.
	Ready() bool
}

// Books are all places where records are kept.
type Books struct {
	Keepers  []Keeper // each must have a record before it is acknowledged
	Sessions *Sessions
}

// Ready tells whether records can be acknowledged.
func (b *Books) Ready() bool {
	for _, k := range b.Keepers {
		if !k.Ready() {
			return false
		}
	}
	return true
}

// Account has a record kept everywhere; safe: it is.
func (b *Books) Account(r *Record, done func(safe bool)) {
	b.Sessions.Note(r)
	var left, failed atomic.Int32
	left.Store(int32(len(b.Keepers)))
	for _, k := range b.Keepers {
		k.Account(r, func(safe bool) {
			if !safe {
				failed.Store(1)
			}
			if left.Add(-1) == 0 {
				done(failed.Load() == 0)
			}
		})
	}
}
