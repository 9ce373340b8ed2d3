package login

import (
	"sync"
	"time"
)

// strayOwn is how many replies about one topic have an id of their own in a
// minute.
const strayOwn = 10

// Strays gives ids to replies that no login stands behind, so that every trace
// that a user reads leads somewhere, and yet a flood fills nothing: strayOwn of
// a topic in a minute have an id of their own, and those behind them share one.
// The zero value is ready.
type Strays struct {
	mu sync.Mutex
	by map[string]*stray
}

type stray struct {
	minute int64
	n      int
	shared ID
}

// A Stray is the id of one more reply.
type Stray struct {
	ID     ID
	Shared bool // others have it too
	Known  bool // it was given before: told of already
}

// Of is the id of one more reply about a topic, of which there are few: own,
// unless many have come in this minute.
func (s *Strays) Of(topic string, own ID, now time.Time) Stray {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by == nil {
		s.by = map[string]*stray{}
	}
	t := s.by[topic]
	if minute := now.Unix() / 60; t == nil || t.minute != minute {
		t = &stray{minute: minute}
		s.by[topic] = t
	}
	switch t.n++; {
	case t.n <= strayOwn:
		return Stray{ID: own}
	case t.n == strayOwn+1:
		t.shared = own
		return Stray{ID: own, Shared: true}
	}
	return Stray{ID: t.shared, Shared: true, Known: true}
}
