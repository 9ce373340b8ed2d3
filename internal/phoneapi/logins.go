package phoneapi

import (
	"context"
	"slices"
	"time"

	"vssgate/internal/enrol"
	"vssgate/internal/login"
)

// Engine is what the API needs of the login engine.
type Engine interface {
	// Logins are the person's open logins now.
	Logins(ctx context.Context, person string) (login.Logins, error)
	// Wait returns the person's open logins when their version is not since,
	// or when ctx ends: then as they are, without an error.
	Wait(ctx context.Context, person, since string) (login.Logins, error)
	// Answer takes an answer on. Its errors are those of package login;
	// others mean that it could not be taken.
	Answer(ctx context.Context, id login.ID, a login.Answering) (login.Answered, error)
	// Withdraw ends the person's open logins that match account and approver.
	Withdraw(ctx context.Context, person string, match func(account, approver string) bool) error
}

// ListInput and AnswerInput are exported so that huma sees them inside others.
type ListInput struct {
	Wait  int    `query:"wait" minimum:"0" maximum:"60" doc:"Seconds to wait while since is current; without since, while no login is open"`
	Since string `query:"since" maxLength:"200" doc:"The version that the phone has"`
}

type listOutput struct {
	Body struct {
		ServerTime time.Time   `json:"server_time"`
		Version    string      `json:"version"`
		Logins     []openLogin `json:"logins" nullable:"false" doc:"Newest first"`
	}
}

type openLogin struct {
	ID       string         `json:"id"`
	Code     string         `json:"code" doc:"The same each time it is shown"`
	Approval login.Approval `json:"approval" enum:"number,simple,off"`
	Username string         `json:"username"`
	Client   string         `json:"client"`
	From     string         `json:"from"`
	Created  time.Time      `json:"created"`
	Expires  time.Time      `json:"expires"`
	Waiting  int            `json:"waiting" doc:"How many requests asked in this login's name"`
}

func (a *API) list(ctx context.Context, in *ListInput) (*listOutput, error) {
	c := callOf(ctx)
	if err := a.mayAct(c.device); err != nil {
		return nil, a.translate(c, err)
	}
	logins, err := a.await(ctx, c.device.ID, c.device.Person, in)
	if err == nil && in.Wait > 0 && ctx.Err() == nil {
		err = a.reread(ctx, c)
	}
	if err != nil {
		return nil, a.translate(c, err)
	}
	return listed(withheld(logins, c.device.Enrolled), c.device), nil
}

// withheld takes the code and the approval off logins that were open before a
// device came in: who enrols one in the middle of a login cannot finish it.
func withheld(logins login.Logins, enrolled time.Time) login.Logins {
	logins.Open = slices.Clone(logins.Open)
	for i := range logins.Open {
		if l := &logins.Open[i]; !enrolled.Before(l.Created) {
			l.Code, l.Approval = "", login.ApprovalOff
		}
	}
	return logins
}

// listed shows logins to the devices.
func listed(logins login.Logins, to ...enrol.Device) *listOutput {
	out := &listOutput{}
	out.Body.ServerTime, out.Body.Version = logins.Now.UTC(), logins.Version
	out.Body.Logins = make([]openLogin, len(logins.Open))
	for i, l := range logins.Open {
		out.Body.Logins[i] = openLogin{
			ID: l.ID.String(), Code: l.Code, Approval: cut(l.Approval, to),
			Username: l.Username, Client: l.Client, From: l.From,
			Created: l.Created.UTC(), Expires: l.Expires.UTC(), Waiting: l.Waiting,
		}
	}
	return out
}

// mayAct: devices that are signed out or too old see and answer nothing.
func (a *API) mayAct(d enrol.Device) error {
	switch {
	case d.Revoked != nil:
		return problem(Revoked)
	case a.People.TooOld(d):
		return problem(OldApp)
	case !d.SignedIn:
		return problem(SignedOut)
	}
	return nil
}

// await is the list as soon as the phone should have it. Of one poller only so
// many wait.
func (a *API) await(ctx context.Context, poller, person string, in *ListInput) (login.Logins, error) {
	since := in.Since
	if in.Wait == 0 || since == "" {
		logins, err := a.Engine.Logins(ctx, person)
		if err != nil || in.Wait == 0 || len(logins.Open) > 0 {
			return logins, err
		}
		since = logins.Version
	}
	held, done := a.polls.hold(ctx, poller)
	defer done()
	held, cancel := context.WithTimeout(held, time.Duration(in.Wait)*time.Second)
	defer cancel()
	return a.Engine.Wait(held, person, since)
}

// reread looks at the device again after what may have been a long wait: it may have been revoked
// or signed out meanwhile, or its person's numbers moved.
func (a *API) reread(ctx context.Context, c *call) error {
	d, _, err := a.People.Device(ctx, c.device.ID)
	if err != nil {
		return err
	}
	c.device = d
	return a.mayAct(d)
}

// cut is the approval that the devices can give.
func cut(setting login.Approval, by []enrol.Device) login.Approval {
	for _, d := range by {
		if setting == login.ApprovalNumber && d.CanNumber() || setting == login.ApprovalSimple && d.CanApprove() {
			return setting
		}
	}
	return login.ApprovalOff
}

// AnswerInput is an answer to a login.
type AnswerInput struct {
	ID   string `path:"id" maxLength:"64"`
	Body struct {
		Answer string `json:"answer" enum:"approve,deny,report"`
		Number string `json:"number,omitempty" maxLength:"6" pattern:"^[0-9]*$" doc:"With approve: the number that the login screen shows"`
		Shown  *shown `json:"shown,omitempty" doc:"What the phone showed; must equal the record"`
	}
}

type shown struct {
	Client   string    `json:"client"`
	From     string    `json:"from"`
	Username string    `json:"username"`
	Created  time.Time `json:"created"`
}

type answerOutput struct {
	Body struct {
		Verdict     login.Outcome `json:"verdict" enum:"accepted,waiting_for_retry,rejected"`
		RetryWithin int           `json:"retry_within,omitempty" doc:"With waiting_for_retry: seconds in which to press OK or log in again"`
	}
}

func (a *API) answer(ctx context.Context, in *AnswerInput) (*answerOutput, error) {
	c := callOf(ctx)
	answered, err := a.answered(ctx, c, in)
	if err != nil {
		return nil, a.translate(c, err)
	}
	return answerOf(answered), nil
}

func answerOf(answered login.Answered) *answerOutput {
	out := &answerOutput{}
	out.Body.Verdict = answered.Outcome
	out.Body.RetryWithin = int(answered.RetryWithin / time.Second)
	return out
}

func (a *API) answered(ctx context.Context, c *call, in *AnswerInput) (login.Answered, error) {
	if err := a.mayAct(c.device); err != nil {
		return login.Answered{}, err
	}
	ans := by(c.device, in.answering())
	if err := able(ans.Kind, ans.Number, c.device); err != nil {
		return login.Answered{}, err
	}
	ans.Presence, ans.Signed = "device_key", c.signed()
	return a.take(ctx, in.ID, ans)
}

// answering is what was answered; who did is not said yet.
func (in *AnswerInput) answering() login.Answering {
	return login.Answering{Kind: login.AnswerKind(in.Body.Answer), Number: in.Body.Number, Shown: (*login.Shown)(in.Body.Shown)}
}

// take hands an answer to the engine.
func (a *API) take(ctx context.Context, attempt string, ans login.Answering) (login.Answered, error) {
	id, err := login.ParseID(attempt)
	if err != nil {
		return login.Answered{}, login.ErrNotYours
	}
	return a.Engine.Answer(ctx, id, ans)
}

// able: a device gives only the approvals that it said it can give. To deny,
// it needs nothing.
func able(kind login.AnswerKind, number string, d enrol.Device) error {
	switch {
	case kind != login.Approve:
		return nil
	case number != "" && d.CanNumber(), number == "" && d.CanApprove():
		return nil
	case number == "" && d.CanNumber():
		return login.ErrNumberMissing
	}
	return login.ErrApprovalOff
}
