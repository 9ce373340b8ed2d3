package store

import (
	"context"
	"log/slog"
	"sync"

	"vssgate/internal/login"
)

// A fanout tells changes to any number of subscribers without making the saver
// wait. A subscriber that lags gets one change for each record instead of one
// for each save, with the indexes of all of them. Past maxLag records its
// queue is given up, which is logged, and every record that is there then is
// told to it as changed; only of records deleted meanwhile it hears nothing.
type fanout struct {
	log  *slog.Logger
	mu   sync.Mutex
	subs map[*subscriber]struct{}
}

const maxLag = 1 << 16

type subscriber struct {
	waiting map[string]int // record key -> its place in queue
	queue   []login.Change
	missed  bool          // the queue was given up
	wake    chan struct{} // holds one token when there is something to take
}

// tell hands a change to all subscribers.
func (f *fanout) tell(key string, before, now []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.subs) == 0 {
		return
	}
	c := login.Change{Key: key, Indexes: union(before, now)}
	for s := range f.subs {
		s.add(c)
	}
}

func (s *subscriber) add(c login.Change) {
	at, known := s.waiting[c.Key]
	switch {
	case s.missed:
		return
	case known:
		s.queue[at].Indexes = union(s.queue[at].Indexes, c.Indexes)
		return
	case len(s.queue) == maxLag:
		s.queue, s.waiting, s.missed = nil, map[string]int{}, true
	default:
		s.waiting[c.Key] = len(s.queue)
		s.queue = append(s.queue, c)
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// take empties the queue.
func (f *fanout) take(s *subscriber) (queue []login.Change, missed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	queue, missed = s.queue, s.missed
	s.queue, s.missed = nil, false
	clear(s.waiting)
	return queue, missed
}

// run calls changed until ctx ends. all walks every record there is.
func (f *fanout) run(ctx context.Context, changed func(login.Change), all func(func(login.Change))) {
	s := &subscriber{waiting: map[string]int{}, wake: make(chan struct{}, 1)}
	f.mu.Lock()
	f.subs[s] = struct{}{}
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.subs, s)
		f.mu.Unlock()
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		}
		queue, missed := f.take(s)
		if missed {
			f.log.Warn("the store's changes were not read in time; all records are looked at again", "limit", maxLag)
			all(changed)
		}
		for _, c := range queue {
			changed(c)
		}
	}
}
