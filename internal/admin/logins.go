package admin

import "time"

// Logins asks for logins: all that fit what is given, the newest first.
type Logins struct {
	User   string `json:"user,omitempty"`
	Client string `json:"client,omitempty"`
	Open   bool   `json:"open,omitempty"` // those without a verdict only
	Last   int    `json:"last,omitempty"` // at most so many; 0: all
}

// Login is one line of the list.
type Login struct {
	Attempt  string     `json:"attempt"`
	Trace    string     `json:"trace"`
	FrontEnd string     `json:"front_end"`
	Client   string     `json:"client"`
	Username string     `json:"username"`
	From     string     `json:"from"`
	Stage    string     `json:"stage"` // asking, held, open, approved, ended, elsewhere, void, no_answer, refused, dropped
	Reason   string     `json:"reason"`
	Created  time.Time  `json:"created"`
	Ended    *time.Time `json:"ended"` // null: not yet
}

// WhichLogin names one by the six characters that its user read, or by its
// attempt.
type WhichLogin struct {
	Login string `json:"login"`
}

// ShownLogin is all that is known of one.
type ShownLogin struct {
	Login
	Typed    string       `json:"typed,omitempty"` // if the directory writes it otherwise, or knows nobody
	Account  string       `json:"account,omitempty"`
	NAS      string       `json:"nas,omitempty"`
	Factor   string       `json:"factor,omitempty"`
	WouldBe  string       `json:"would_be,omitempty"` // observed: the reason that there would have been
	Device   string       `json:"device,omitempty"`
	Requests int          `json:"requests"`
	Pushes   int          `json:"pushes"`
	TookMS   int64        `json:"took_ms"`          // from the right password to the verdict
	Read     string       `json:"read,omitempty"`   // what the user read last; ** stands for a number to match
	Source   string       `json:"source"`           // memory, store (another node has it), or audit (it is older than the memory)
	Events   []LoginEvent `json:"events"`           // on this node
	Sessions []Session    `json:"sessions"`         // that it began, by accounting
	Timers   []Timers     `json:"timers"`           // what the client's NASes have shown of their patience
	More     []string     `json:"others,omitempty"` // other attempts with the same trace
}

// LoginEvent is one thing that happened to a login.
type LoginEvent struct {
	AtMS   int64     `json:"at_ms"` // since it was created
	Time   time.Time `json:"time"`
	Kind   string    `json:"kind"`
	What   string    `json:"what"`
	TookMS float64   `json:"took_ms,omitempty"`
	Count  int       `json:"count,omitempty"`  // if more than once in a row
	Device string    `json:"device,omitempty"` // by its name
}

// Session is what accounting says of one.
type Session struct {
	ID      string     `json:"session"`
	NAS     string     `json:"nas"`
	Address string     `json:"address,omitempty"`
	Started *time.Time `json:"started,omitempty"`
	Updated time.Time  `json:"updated"`
	Stopped *time.Time `json:"stopped,omitempty"`
	LastedS int64      `json:"session_time_s"`
	In      uint64     `json:"input_octets"`
	Out     uint64     `json:"output_octets"`
	Cause   string     `json:"terminate_cause,omitempty"`
}

// FollowLogins says whose logins are to be told of as they happen.
type FollowLogins struct {
	User   string `json:"user,omitempty"`
	Client string `json:"client,omitempty"`
	Trace  string `json:"trace,omitempty"`
}

// FollowedEvent is an event as it happens, and whose it is.
type FollowedEvent struct {
	LoginEvent
	Attempt  string `json:"attempt"`
	Trace    string `json:"trace"`
	Client   string `json:"client"`
	Username string `json:"username"`
	From     string `json:"from"`
	Missed   int    `json:"missed,omitempty"` // events before it that could not be told in time
}
