package phoneapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"vssgate/internal/enrol"
	"vssgate/internal/login"
)

// A Code is the one word for what is wrong. There is a text for each under
// "problem." and the code.
type Code string

// The codes.
const (
	BadSignature   Code = "bad_signature"
	Clock          Code = "clock"
	Replayed       Code = "replayed"
	UnknownDevice  Code = "unknown_device"
	Revoked        Code = "revoked"
	BadToken       Code = "bad_token"
	NotAllowed     Code = "not_allowed"
	SignedOut      Code = "signed_out"
	WrongNumber    Code = "wrong_number"
	BadActivation  Code = "bad_activation"
	NotFound       Code = "not_found"
	Ended          Code = "ended"
	SeveralLogins  Code = "several_logins"
	TooManyDevices Code = "too_many_devices"
	Conflict       Code = "conflict"
	NumberMissing  Code = "number_missing"
	ApprovalOff    Code = "approval_off"
	ShownDiffers   Code = "shown_differs"
	BadBody        Code = "bad_body"
	OldApp         Code = "old_app"
	SlowDown       Code = "slow_down"
	Unavailable    Code = "unavailable"
)

// statuses are the HTTP statuses of the codes.
var statuses = map[Code]int{
	BadSignature: 401, Clock: 401, Replayed: 401, UnknownDevice: 401, Revoked: 401, BadToken: 401,
	SignedOut: 403, NotAllowed: 403, WrongNumber: 403,
	BadActivation: 404, NotFound: 404,
	Ended: 409, SeveralLogins: 409, TooManyDevices: 409, Conflict: 409,
	NumberMissing: 422, ApprovalOff: 422, ShownDiffers: 422, BadBody: 422,
	OldApp: 426, SlowDown: 429, Unavailable: 503,
}

// A Problem is an error as a phone reads it (RFC 9457).
type Problem struct {
	Type       string       `json:"type" format:"uri-reference" example:"about:blank"`
	Title      string       `json:"title" doc:"The HTTP status in words"`
	Status     int          `json:"status"`
	Detail     string       `json:"detail" doc:"For the user, in the language of Accept-Language: vi or en"`
	Code       Code         `json:"code"`
	ServerTime *time.Time   `json:"server_time,omitempty" doc:"With clock: what time it is"`
	Verdict    login.Reason `json:"verdict,omitempty" doc:"With ended: how the login ended"`
	MinVersion string       `json:"min_version,omitempty" doc:"With old_app: the oldest VssID that is asked"`
	Errors     []BadPlace   `json:"errors,omitempty" doc:"With bad_body: what is not as it should be"`

	retry time.Duration // after which it may be otherwise; 0: a second
}

// A BadPlace says what is wrong where, without repeating what was sent.
type BadPlace struct {
	Message  string `json:"message"`
	Location string `json:"location,omitempty"`
}

func problem(code Code) *Problem {
	status := statuses[code]
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code}
}

func (p *Problem) Error() string { return string(p.Code) }

// GetStatus and the two below are how huma writes it.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// GetHeaders implements huma.HeadersError.
func (p *Problem) GetHeaders() http.Header {
	if p.Code == SlowDown || p.Code == Unavailable {
		return http.Header{"Retry-After": {strconv.Itoa(int(max(p.retry, time.Second) / time.Second))}}
	}
	if p.Status == http.StatusUnauthorized {
		return http.Header{"Www-Authenticate": {"Bearer"}} // RFC 9110 section 15.5.2
	}
	return nil
}

// write sends the problem outside of huma.
func (p *Problem) write(w http.ResponseWriter) {
	for name, values := range p.GetHeaders() {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the phone has gone
}

// in counts the problem and puts it into words.
func (a *API) in(lang string, p *Problem) *Problem {
	a.Meter.Problem(string(p.Code))
	p.Detail = a.Texts.Get(lang, "problem."+string(p.Code), nil)
	if p.Code == OldApp {
		p.MinVersion = a.People.MinVersion()
	}
	return p
}

// codes say what the errors of the parts behind the API mean to a phone. What
// is not here is ours: unavailable.
var codes = []struct {
	err   error
	code  Code
	retry time.Duration
}{
	{errSignature, BadSignature, 0},
	{errKey, BadBody, 0},
	{enrol.ErrActivation, BadActivation, 0},
	{enrol.ErrTries, SlowDown, 10 * time.Minute},
	{enrol.ErrTooMany, SlowDown, 10 * time.Minute},
	{enrol.ErrFull, TooManyDevices, 0},
	{enrol.ErrKeyInUse, Conflict, 0},
	{enrol.ErrRevoked, Revoked, 0},
	{enrol.ErrPlatform, BadBody, 0},
	{enrol.ErrNotFound, UnknownDevice, 0},
	{enrol.ErrNumber, BadBody, 0},
	{enrol.ErrTwoPersons, Conflict, 0},
	{enrol.ErrOldApp, OldApp, 0},
	{login.ErrNotYours, NotFound, 0},
	{login.ErrSeveralLogins, SeveralLogins, 0},
	{login.ErrWrongNumber, WrongNumber, 0},
	{login.ErrNumberMissing, NumberMissing, 0},
	{login.ErrApprovalOff, ApprovalOff, 0},
	{login.ErrShown, ShownDiffers, 0},
}

// translate makes a Problem of any error. One that is ours goes to the log.
func (a *API) translate(c *call, err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return a.in(c.lang, p)
	}
	var ended *login.EndedError
	if errors.As(err, &ended) {
		p = problem(Ended)
		p.Verdict = ended.Verdict
		return a.in(c.lang, p)
	}
	for _, row := range codes {
		if errors.Is(err, row.err) {
			p := problem(row.code)
			p.retry = row.retry
			return a.in(c.lang, p)
		}
	}
	if !errors.Is(err, context.Canceled) { // the phone has gone: nobody reads the answer
		a.Log.Error("phone API cannot answer", "device", c.device.ID, "error", err)
	}
	return a.in(c.lang, problem(Unavailable))
}

// transform replaces huma's own errors: what it refuses is a bad body.
func (a *API) transform(ctx huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	p := problem(BadBody)
	if m.Status >= http.StatusInternalServerError {
		p = problem(Unavailable)
	}
	p.Status, p.Title = m.Status, m.Title
	for _, e := range m.Errors {
		p.Errors = append(p.Errors, BadPlace{Message: e.Message, Location: e.Location})
	}
	return a.in(callOf(ctx.Context()).lang, p), nil
}
