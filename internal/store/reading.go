package store

import "time"

// countOn is how long a node counts the server's time on by its own clock, which
// runs monotonically. A busy node hears the time with every other answer, and a
// login asks for it a dozen times. An instant that decides is looked at by the
// script that saves (Condition.Before), never by this.
const countOn = 100 * time.Millisecond

// A reading is what the server's clock said, and when that was here.
type reading struct {
	said micros
	here time.Time
}

// at is the server's time at an instant here, or a little before it: by as much
// as the answer was on its way.
func (g *reading) at(here time.Time) micros { return g.said + micros(here.Sub(g.here).Microseconds()) }

// heard notes the time that an answer told. One that was longer on its way than
// another just before puts no clock back.
func (r *Redis) heard(said micros) {
	if said == 0 {
		return // the answer was none
	}
	now := time.Now()
	if last := r.reading.Load(); last == nil || now.Sub(last.here) > countOn || last.at(now) < said {
		r.reading.Store(&reading{said, now})
	}
}

// countedOn is the time of the server, where there is one alone and it was heard
// a moment ago.
func (r *Redis) countedOn() (now time.Time, ok bool) {
	here := time.Now()
	last := r.reading.Load()
	if last == nil || r.slot() == "" || here.Sub(last.here) > countOn {
		return now, false
	}
	return last.at(here).time(), true
}
