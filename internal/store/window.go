package store

import "time"

// A window is a sliding log: the instants of the events noted under one key,
// oldest first, never more than the limit.
type window struct {
	times []int64 // nanoseconds
	span  int64   // how long an event counts
}

// note adds an event unless there were limit of them within span before now.
// An event counts for exactly span, so no stretch of time that long, wherever
// it begins, holds more than limit of them.
func (w *window) note(now int64, limit int, span time.Duration) bool {
	w.span = int64(span)
	gone := 0
	for gone < len(w.times) && w.times[gone] <= now-w.span {
		gone++
	}
	w.times = append(w.times[:0], w.times[gone:]...)
	if len(w.times) >= limit {
		return false
	}
	w.times = append(w.times, now)
	return true
}

// counting are those of these instants that count still.
func counting(times []int64, now int64, span time.Duration) (at []time.Time) {
	for _, t := range times {
		if t > now-int64(span) {
			at = append(at, instant(t))
		}
	}
	return at
}

// takeBack forgets the latest event.
func (w *window) takeBack() {
	if n := len(w.times); n > 0 {
		w.times = w.times[:n-1]
	}
}

// over tells whether nothing in w counts any more.
func (w *window) over(now int64) bool {
	return len(w.times) == 0 || w.times[len(w.times)-1] <= now-w.span
}
