package trail

import (
	"strings"
	"time"

	"vssgate/internal/login"
)

// A NAS starts a session soon after its Access-Accept.
const startsWithin = 2 * time.Minute

// A Session is what accounting says of one that has just been told of.
type Session struct {
	Client, NAS, ID   string
	Username, Station string
	Began             time.Time
}

// Login is the one that let the session's user in: it was asked for under the
// session's id; or else it is the newest of the same client, user and station
// that was let in shortly before the session began.
func (t *Trail) Login(s Session) (id login.ID, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var best *entry
	for i := range t.recent.ids {
		e := t.entries[t.recent.ids[(t.recent.next+len(t.recent.ids)-1-i)%len(t.recent.ids)]]
		switch {
		case e == nil || e.ended.reason != string(login.Accepted) || e.ended.client != s.Client || e.ended.nas != s.NAS:
		case e.session != "" && e.session == s.ID && s.Began.Sub(e.ended.at) < 24*time.Hour:
			return e.id, true
		case e.ended.at.Before(s.Began.Add(-startsWithin)) || e.ended.at.After(s.Began.Add(startsWithin)):
		case best == nil && e.session == "" && e.user(s.Username) && (s.Station == "" || s.Station == e.from):
			best = e
		}
	}
	if best == nil {
		return id, false
	}
	return best.id, true
}

// user tells whether that is how the login's user is called.
func (e *entry) user(name string) bool {
	return name != "" && (strings.EqualFold(name, e.typed) || strings.EqualFold(name, e.ended.username))
}
