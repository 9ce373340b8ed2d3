package trail

import (
	"time"

	"vssgate/internal/login"
)

// maxUnseen events wait for a Watcher; more are not shown, but counted.
const maxUnseen = 1024

// A Seen is an event as it happens.
type Seen struct {
	Login Login // without events
	Event Event
	At    time.Time
}

// A Watcher sees what happens from now on.
type Watcher struct {
	C <-chan Seen

	trail  *Trail
	c      chan Seen
	missed int // guarded by Trail.mu
}

// Follow begins to watch; Stop must be called in the end.
func (t *Trail) Follow() *Watcher {
	w := &Watcher{trail: t, c: make(chan Seen, maxUnseen)}
	w.C = w.c
	t.mu.Lock()
	defer t.mu.Unlock()
	t.watchers[w] = struct{}{}
	return w
}

// Stop ends watching.
func (w *Watcher) Stop() {
	w.trail.mu.Lock()
	defer w.trail.mu.Unlock()
	delete(w.trail.watchers, w)
}

// Missed is how many events were not shown since it was asked last, because
// nobody took them in time.
func (w *Watcher) Missed() (n int) {
	w.trail.mu.Lock()
	defer w.trail.mu.Unlock()
	n, w.missed = w.missed, 0
	return n
}

// show tells all watchers. Held: mu.
func (t *Trail) show(e *entry, ev login.Event, word string, at time.Time) {
	if len(t.watchers) == 0 {
		return
	}
	seen := Seen{t.view(e, false), Event{After: at.Sub(e.began), Took: ev.Took, Kind: kinds[ev.Kind], Word: word, Count: 1}, at}
	for w := range t.watchers {
		select {
		case w.c <- seen:
		default:
			w.missed++
		}
	}
}
