package login

import (
	"context"
	"time"
)

// An Overview is what administrators see of an open attempt, whichever node
// has it.
type Overview struct {
	ID       ID
	FrontEnd FrontEnd
	Client   string
	NAS      string
	From     string
	Account  string
	Username string // the directory's
	Typed    string
	Created  time.Time
	Deadline time.Time
	Waits    bool // somebody waits for the verdict now
	Approved bool // and nobody has collected it yet
	Requests int
	Pushes   int
	Device   string // that approved; "" none
}

// Overviews calls visit for each open attempt, until it returns false.
func (e *Engine) Overviews(ctx context.Context, visit func(Overview) bool) error {
	for after := ""; ; {
		recs, err := e.Store.Find(ctx, indexOpen, after, 1000)
		if err != nil || len(recs) == 0 {
			return err
		}
		for _, rec := range recs {
			after = rec.Key
			if s, err := e.open(rec); err == nil && s.Attempt.Verdict == nil && !visit(s.overview(e.PolicyNow().Grace)) {
				return nil
			}
		}
	}
}

func (s *saved) overview(grace time.Duration) Overview {
	a := &s.Attempt
	return Overview{
		ID: a.ID, FrontEnd: a.FrontEnd, Client: a.Client, NAS: a.NAS, From: a.From, Account: a.Who.ID, Username: a.Who.Username, Typed: a.Typed,
		Created: a.Created, Deadline: a.Deadline, Waits: a.waited(s.rec.Read), Approved: a.approved(s.rec.Read, grace), Requests: a.Requests,
		Pushes: a.Pushes, Device: a.approver(),
	}
}
