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

// A Standing is what counts against an account now, whoever asks for it.
type Standing struct {
	Locked      bool
	Reported    bool      // Locked because a login was reported, not by wrong codes
	LockedUntil time.Time // Locked: zero: until an administrator unlocks
	WrongCodes  int       // that no right code has forgiven
	LocksAt     int       // of those: when it is locked next

	WrongPasswords int       // passed to the directory within Throttle.Within
	ThrottledUntil time.Time // no password is passed on before; zero: it is
	Prompts        int       // unanswered within PushLimit.Within
	PromptedFrom   time.Time // phones are not told of logins before; zero: they are
}

// Standing is what counts against an account: why its next login would fail
// whatever its user does, and until when.
func (e *Engine) Standing(ctx context.Context, account string) (s Standing, err error) {
	l, err := e.loadLock(ctx, account)
	if err != nil {
		return s, err
	}
	now, err := e.Store.Now(ctx)
	if err != nil {
		return s, err
	}
	p := e.PolicyNow()
	s.WrongCodes = l.wrong()
	s.LocksAt = (s.WrongCodes/p.Lockout.After + 1) * p.Lockout.After
	if s.Locked = l.locked(now); s.Locked {
		s.Reported = l.Reported && !l.Stopped
		if !l.Stopped {
			s.LockedUntil = l.Until
		}
	}
	throttle := Limit{Count: p.Throttle.PerAccount, Within: p.Throttle.Within}
	if s.WrongPasswords, s.ThrottledUntil, err = e.against(ctx, triesOfAccount, account, throttle); err == nil {
		s.Prompts, s.PromptedFrom, err = e.against(ctx, pushesOf, account, p.PushLimit)
	}
	return s, err
}

// against is how many events count against an account, and until when there is
// no room for another; zero: there is.
func (e *Engine) against(ctx context.Context, kind, account string, l Limit) (n int, until time.Time, err error) {
	counting, can := e.Store.(Counting)
	if !can || l.Count <= 0 {
		return 0, until, nil
	}
	at, err := counting.Counted(ctx, e.listedAs(kind, account), l.Within)
	if err == nil && len(at) >= l.Count {
		until = at[len(at)-l.Count].Add(l.Within)
	}
	return len(at), until, err
}
