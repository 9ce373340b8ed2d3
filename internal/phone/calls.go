package phone

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// An Enrolment is what a phone tells about itself to get in.
type Enrolment struct {
	ActivationCode string   `json:"activation_code"`
	PublicKey      any      `json:"public_key"` // set by Enrol
	Name           string   `json:"name"`
	Platform       string   `json:"platform"`
	AppVersion     string   `json:"app_version"`
	PushToken      string   `json:"push_token,omitempty"`
	Can            []string `json:"can,omitempty"`
	Notifications  string   `json:"notifications,omitempty"`
}

// Enrolled is how the server knows the phone from now on.
type Enrolled struct {
	DeviceID string `json:"device_id"`
	Account  struct {
		Username    string `json:"username"`
		DisplayName string `json:"display_name"`
	} `json:"account"`
}

// Enrol lets the phone in. To be repeated when the answer was lost.
func (c *Client) Enrol(ctx context.Context, e Enrolment) (out Enrolled, err error) {
	e.PublicKey = c.Key.Public()
	err = c.do(ctx, http.MethodPost, "/v1/devices", e, &out)
	return out, err
}

// Device is the phone's own record.
type Device struct {
	DeviceID      string    `json:"device_id"`
	Name          string    `json:"name"`
	Platform      string    `json:"platform"`
	AppVersion    string    `json:"app_version"`
	PushToken     string    `json:"push_token"`
	Can           []string  `json:"can"`
	Notifications string    `json:"notifications"`
	SignedIn      bool      `json:"signed_in"`
	Enrolled      time.Time `json:"enrolled"`
}

// Device reads the phone's own record.
func (c *Client) Device(ctx context.Context) (out Device, err error) {
	err = c.do(ctx, http.MethodGet, "/v1/device", nil, &out)
	return out, err
}

// Change changes the phone's own record: push_token, app_version, can,
// notifications, signed_in.
func (c *Client) Change(ctx context.Context, fields map[string]any) (out Device, err error) {
	err = c.do(ctx, http.MethodPatch, "/v1/device", fields, &out)
	return out, err
}

// SignOut ends this phone's enrolment for good.
func (c *Client) SignOut(ctx context.Context) error {
	return c.do(ctx, http.MethodDelete, "/v1/device", nil, nil)
}

// A Successor is what lets the person's next phone in.
type Successor struct {
	ActivationCode string    `json:"activation_code"`
	Expires        time.Time `json:"expires"`
	URL            string    `json:"url"`
}

// Activation makes an activation for the person's next phone.
func (c *Client) Activation(ctx context.Context) (out Successor, err error) {
	err = c.do(ctx, http.MethodPost, "/v1/device/activation", nil, &out)
	return out, err
}

// A List is the person's open logins.
type List struct {
	ServerTime time.Time `json:"server_time"`
	Version    string    `json:"version"`
	Logins     []Login   `json:"logins"`
}

// A Login waits to be confirmed.
type Login struct {
	ID       string    `json:"id"`
	Code     string    `json:"code"`
	Approval string    `json:"approval"` // number, simple or off
	Username string    `json:"username"`
	Client   string    `json:"client"`
	From     string    `json:"from"`
	Created  time.Time `json:"created"`
	Expires  time.Time `json:"expires"`
	Waiting  int       `json:"waiting"`
}

// Logins lists the open logins. With wait (whole seconds, up to a minute) it
// answers when the version is no longer since; without since, when a login is
// open.
func (c *Client) Logins(ctx context.Context, wait time.Duration, since string) (out List, err error) {
	query := url.Values{}
	if wait > 0 {
		query.Set("wait", strconv.Itoa(int(wait/time.Second)))
	}
	if since != "" {
		query.Set("since", since)
	}
	target := "/v1/logins"
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	err = c.do(ctx, http.MethodGet, target, nil, &out)
	return out, err
}

// An Answer is what the phone says to a login.
type Answer struct {
	Answer string `json:"answer"` // approve, deny or report
	Number string `json:"number,omitempty"`
	Shown  *Shown `json:"shown,omitempty"`
}

// Shown is what the phone showed when its user answered.
type Shown struct {
	Client   string    `json:"client"`
	From     string    `json:"from"`
	Username string    `json:"username"`
	Created  time.Time `json:"created"`
}

// Answered is what became of the answer.
type Answered struct {
	Verdict     string `json:"verdict"` // accepted, waiting_for_retry or rejected
	RetryWithin int    `json:"retry_within,omitempty"`
}

// Answer sends an answer.
func (c *Client) Answer(ctx context.Context, id string, a Answer) (out Answered, err error) {
	err = c.do(ctx, http.MethodPost, "/v1/logins/"+url.PathEscape(id)+"/answer", a, &out)
	return out, err
}

// Approve approves a login, with the number that it shows or without: "".
func (c *Client) Approve(ctx context.Context, id, number string) (Answered, error) {
	return c.Answer(ctx, id, Answer{Answer: "approve", Number: number})
}

// Deny denies a login; report says that somebody else knows the password.
func (c *Client) Deny(ctx context.Context, id string, report bool) (Answered, error) {
	if report {
		return c.Answer(ctx, id, Answer{Answer: "report"})
	}
	return c.Answer(ctx, id, Answer{Answer: "deny"})
}
