package login

import (
	"container/heap"
	"time"
)

// A known is what this node keeps of an attempt besides the store: its requests
// that are held here, and when to look at it next. There may be 100,000.
type known struct {
	id       ID
	asking   *asking       // its requests here; each names the next
	watched  bool          // its deadline is met here
	written  bool          // watched: its audit record stands, but the store does not know
	first    time.Duration // watched: since when, by this node's own clock
	deadline time.Duration // watched: when time is to ask for it
	due      time.Duration // the earliest of deadline and its requests' wake; 0: never
	place    int           // among the alarms, while due
}

// alarms are attempts in the order in which they are due (container/heap): one
// timer serves all of them.
type alarms []*known

func (a alarms) Len() int           { return len(a) }
func (a alarms) Less(i, j int) bool { return a[i].due < a[j].due }
func (a alarms) Swap(i, j int) {
	a[i], a[j] = a[j], a[i]
	a[i].place, a[j].place = i, j
}
func (a *alarms) Push(x any) {
	k := x.(*known)
	k.place = len(*a)
	*a = append(*a, k)
}
func (a *alarms) Pop() any {
	last := len(*a) - 1
	k := (*a)[last]
	(*a)[last] = nil
	*a = (*a)[:last]
	return k
}

// clock is this node's own, monotonic: never 0.
func (e *Engine) clock() time.Duration { return time.Since(e.born) + 1 }

// of returns the entry of an attempt, made if there is none. The caller holds e.mu.
func (e *Engine) of(id ID) *known {
	k := e.known[id]
	if k == nil {
		k = &known{id: id}
		e.known[id] = k
	}
	return k
}

// arm puts k where it belongs among the alarms, or forgets it when there is
// nothing left to know. The caller holds e.mu.
func (e *Engine) arm(k *known) {
	before := k.due
	k.due = k.earliest()
	switch {
	case k.due == before:
	case before == 0:
		heap.Push(&e.alarms, k)
	case k.due == 0:
		heap.Remove(&e.alarms, k.place)
	default:
		heap.Fix(&e.alarms, k.place)
	}
	if k.asking == nil && !k.watched {
		delete(e.known, k.id)
	}
	e.setAlarm()
}

func (k *known) earliest() (due time.Duration) {
	if k.watched {
		due = k.deadline
	}
	for q := k.asking; q != nil; q = q.next {
		if q.wake != 0 && (due == 0 || q.wake < due) {
			due = q.wake
		}
	}
	return due
}

// setAlarm sets the timer when something is due before it rings. The caller
// holds e.mu.
func (e *Engine) setAlarm() {
	if len(e.alarms) == 0 || e.rings != 0 && e.rings <= e.alarms[0].due {
		return
	}
	e.rings = e.alarms[0].due
	wait := e.rings - e.clock()
	if e.alarm == nil {
		e.alarm = time.AfterFunc(wait, e.ring)
	} else {
		e.alarm.Reset(wait)
	}
}

// ring wakes what is due.
func (e *Engine) ring() {
	e.mu.Lock()
	now := e.clock()
	var woken []*asking
	var late []ID
	for len(e.alarms) > 0 && e.alarms[0].due <= now {
		k := e.alarms[0]
		for q := k.asking; q != nil; q = q.next {
			if q.wake != 0 && q.wake <= now {
				q.wake = 0
				woken = append(woken, q)
			}
		}
		if k.watched && k.deadline != 0 && k.deadline <= now {
			k.deadline = 0 // tick says when to look again
			late = append(late, k.id)
		}
		e.arm(k)
	}
	e.rings = 0
	e.setAlarm()
	e.mu.Unlock()
	for _, q := range woken {
		e.poke(q)
	}
	for _, id := range late {
		e.working.Go(func() { e.tick(id) })
	}
}

// take and drop keep the table of requests by attempt, so that a change of the
// attempt reaches all of them.
func (e *Engine) take(q *asking) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.of(q.id).add(q)
}

func (k *known) add(q *asking) {
	for o := k.asking; o != nil; o = o.next {
		if o == q {
			return
		}
	}
	q.next, k.asking = k.asking, q
}

func (e *Engine) drop(q *asking) {
	e.mu.Lock()
	defer e.mu.Unlock()
	k := e.known[q.id]
	if k == nil {
		return
	}
	for at := &k.asking; *at != nil; at = &(*at).next {
		if *at == q {
			*at, q.next, q.wake = q.next, nil, 0
			break
		}
	}
	e.arm(k)
}

// wakeIn has q decided again after a time, unless its attempt changes before.
func (e *Engine) wakeIn(q *asking, after time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	q.wake = max(e.clock()+after, 1)
	k := e.of(q.id)
	k.add(q)
	e.arm(k)
}

// watch arms the deadline of an open attempt.
func (e *Engine) watch(s *saved) {
	e.mu.Lock()
	defer e.mu.Unlock()
	k := e.of(s.Attempt.ID)
	if k.watched {
		return
	}
	k.watched, k.first = true, e.clock()
	k.deadline = max(k.first+s.Attempt.Deadline.Sub(s.rec.Read), 1)
	e.arm(k)
	e.Meter.Open(1)
}

// watchAgain has a watched attempt looked at once more after a time.
func (e *Engine) watchAgain(id ID, after time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if k := e.known[id]; k != nil && k.watched {
		k.deadline = max(e.clock()+after, 1)
		e.arm(k)
	}
}

// forget ends the watch over an attempt that has ended.
func (e *Engine) forget(id ID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.unpaid, id)
	if k := e.known[id]; k != nil && k.watched {
		k.watched, k.written, k.deadline = false, false, 0
		e.arm(k)
		e.Meter.Open(-1)
	}
}

// late tells whether this node's own monotonic clock says that nobody may be
// let in by this attempt any more, whatever the store's clock says.
func (e *Engine) late(id ID) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	k := e.known[id]
	return k != nil && k.watched && e.clock()-k.first > e.PolicyNow().ValidFor+e.PolicyNow().Grace
}
