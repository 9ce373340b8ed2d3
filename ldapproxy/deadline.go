package ldapproxy

import "time"

// deadline is one that moves on with every message. To set one costs as much as
// a message does, so it is left where it is as long as it is late enough: it
// comes up to an eighth early.
type deadline struct {
	at  time.Time // as set; zero: none is
	set func(time.Time) error
}

// in puts the deadline d from now.
func (l *deadline) in(d time.Duration) {
	now := time.Now()
	if left := l.at.Sub(now); left > d || left < d-d/8 {
		l.put(now.Add(d))
	}
}

// none takes it away.
func (l *deadline) none() {
	if !l.at.IsZero() {
		l.put(time.Time{})
	}
}

func (l *deadline) put(at time.Time) {
	l.at = at
	l.set(at)
}
