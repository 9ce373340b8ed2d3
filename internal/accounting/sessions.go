package accounting

import (
	"container/list"
	"slices"
	"sync"
	"time"

	"vssgate/internal/login"
)

// maxSessions are remembered, those told of last: about 5 MB. They survive no
// restart; the file does.
const maxSessions = 10_000

// A Session is what is known of one, by all records so far.
type Session struct {
	Client, NAS, ID   string
	Attempt           login.ID // the login that began it; zero: not known
	Username, Station string
	Address           string
	Started           time.Time // at the NAS; zero: no Start came
	Updated           time.Time // the last record, of any kind
	Stopped           time.Time // zero: it goes on, as far as we know
	Lasted            time.Duration
	In, Out           uint64
	Cause             string // why it stopped
}

type sessionKey struct{ client, nas, id string }

// Sessions is the table of sessions, and of which login began each.
type Sessions struct {
	// Find tells which login a session belongs to. Required.
	Find func(r *Record) (login.ID, bool)

	mu        sync.Mutex
	byKey     map[sessionKey]*list.Element
	byAttempt map[login.ID][]*Session
	order     list.List // of *Session, the one told of last in front
}

// NewSessions makes a table; find tells which login a session belongs to.
func NewSessions(find func(r *Record) (login.ID, bool)) *Sessions {
	return &Sessions{Find: find, byKey: map[sessionKey]*list.Element{}, byAttempt: map[login.ID][]*Session{}}
}

// Note takes a record into account.
func (s *Sessions) Note(r *Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r.Status {
	case "Accounting-On", "Accounting-Off": // the NAS has forgotten all of its own (RFC 2866 section 5.1)
		s.endAll(r)
	case "Start", "Interim-Update", "Stop":
		if r.Session != "" {
			s.session(r).note(r)
		}
	}
}

func (s *Sessions) endAll(r *Record) {
	for e := s.order.Front(); e != nil; e = e.Next() {
		if x := e.Value.(*Session); x.Client == r.Client && x.NAS == r.NAS && x.Stopped.IsZero() {
			x.Stopped, x.Cause = r.When(), r.Status
		}
	}
}

// session is the one a record tells of, new where there is none.
func (s *Sessions) session(r *Record) *Session {
	k := sessionKey{r.Client, r.NAS, r.Session}
	if e := s.byKey[k]; e != nil {
		x := e.Value.(*Session)
		if r.Status != "Start" || x.Stopped.IsZero() || !r.When().After(x.Stopped) {
			s.order.MoveToFront(e)
			return x
		}
		s.forget(e) // its id is used again, for another one
	}
	if s.order.Len() >= maxSessions {
		s.forget(s.order.Back())
	}
	x := &Session{Client: r.Client, NAS: r.NAS, ID: r.Session}
	if id, ok := s.Find(r); ok {
		x.Attempt = id
		s.byAttempt[id] = append(s.byAttempt[id], x)
	}
	s.byKey[k] = s.order.PushFront(x)
	return x
}

func (s *Sessions) forget(e *list.Element) {
	x := s.order.Remove(e).(*Session)
	delete(s.byKey, sessionKey{x.Client, x.NAS, x.ID})
	if left := slices.DeleteFunc(s.byAttempt[x.Attempt], func(o *Session) bool { return o == x }); len(left) > 0 {
		s.byAttempt[x.Attempt] = left
	} else {
		delete(s.byAttempt, x.Attempt)
	}
}

// note takes a record in; what it does not tell stays.
func (x *Session) note(r *Record) {
	x.Updated = r.When()
	switch r.Status {
	case "Start":
		x.Started = r.When()
	case "Stop":
		x.Stopped, x.Cause = r.When(), r.Cause
	}
	if r.Username != "" {
		x.Username = r.Username
	}
	if r.Station != "" {
		x.Station = r.Station
	}
	if r.Address.IsValid() {
		x.Address = r.Address.String()
	} else if r.Prefix.IsValid() {
		x.Address = r.Prefix.String()
	}
	x.In, x.Out, x.Lasted = max(x.In, r.In), max(x.Out, r.Out), max(x.Lasted, r.Lasted)
}

// Of are the sessions that a login began, the oldest first.
func (s *Sessions) Of(attempt login.ID) (all []Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.byAttempt[attempt] {
		all = append(all, *x)
	}
	return all
}
