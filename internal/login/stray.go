package login

import (
	"sync"
	"time"
)

// In a minute strayOwn replies about one topic have an id of their own, and then
// strayUsers users one each.
const (
	strayOwn   = 10
	strayUsers = 300
)

// Strays gives ids to replies that no login stands behind, so that every trace
// that a user reads leads to that user, and yet a flood fills nothing: the first
// of a topic in a minute have an id of their own, those behind them one for each
// user, and what is left shares one. The zero value is ready.
type Strays struct {
	mu sync.Mutex
	by map[string]*stray
}

type stray struct {
	minute int64
	n      int
	users  map[string]ID
	crowd  ID
}

// A Stray is the id of one more reply.
type Stray struct {
	ID     ID
	Shared bool // others have it too
	Crowd  bool // and those name other users, or nobody
	Known  bool // it was given before: told of already
}

// Of is the id of one more reply about a topic, of which there are few, to who
// calls himself user: own, unless many have come in this minute.
func (s *Strays) Of(topic, user string, own ID, now time.Time) Stray {
	user = ShownName(user)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by == nil {
		s.by = map[string]*stray{}
	}
	t := s.by[topic]
	if minute := now.Unix() / 60; t == nil || t.minute != minute {
		t = &stray{minute: minute, users: map[string]ID{}}
		s.by[topic] = t
	}
	if t.n++; t.n <= strayOwn {
		return Stray{ID: own}
	}
	id, known := t.users[user]
	switch {
	case known:
		return Stray{ID: id, Shared: true, Known: true}
	case user != "" && len(t.users) < strayUsers:
		t.users[user] = own
		return Stray{ID: own, Shared: true}
	case t.crowd == ID{}:
		t.crowd = own
		return Stray{ID: own, Shared: true, Crowd: true}
	}
	return Stray{ID: t.crowd, Shared: true, Crowd: true, Known: true}
}
