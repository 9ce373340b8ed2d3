package phoneapi

import (
	"context"
	"errors"
	"time"

	"vssgate/internal/enrol"
	"vssgate/internal/login"
	"vssgate/internal/secret"
)

type enrolInput struct {
	Body struct {
		ActivationCode string    `json:"activation_code" minLength:"1" maxLength:"300" doc:"From the QR code, or typed: USER:ABCD-EFGH"`
		PublicKey      PublicKey `json:"public_key"`
		Name           string    `json:"name" minLength:"1" maxLength:"100" doc:"What the user calls the device"`
		Platform       string    `json:"platform" enum:"ios,android,web"`
		AppVersion     string    `json:"app_version" maxLength:"50"`
		PushToken      string    `json:"push_token,omitempty" maxLength:"1024"`
		Can            []string  `json:"can,omitempty" enum:"code,approve,number" uniqueItems:"true" doc:"Default: code"`
		Notifications  string    `json:"notifications,omitempty" enum:"allowed,denied"`
	}
}

type enrolOutput struct {
	Body struct {
		DeviceID string      `json:"device_id"`
		Account  accountName `json:"account"`
	}
}

type accountName struct {
	Username    string `json:"username"`
	DisplayName string `json:"display_name"`
}

func (a *API) enrol(ctx context.Context, in *enrolInput) (*enrolOutput, error) {
	c, b := callOf(ctx), in.Body
	d, account, err := a.People.Enrol(ctx, enrol.Enrolment{
		Code: secret.Secret(b.ActivationCode), Device: c.device.ID, Key: c.device.Key,
		Name: b.Name, Platform: b.Platform, AppVersion: b.AppVersion, PushToken: secret.Secret(b.PushToken),
		Can: b.Can, Notifications: b.Notifications,
	})
	if err != nil {
		return nil, a.refused(c, err)
	}
	if err := a.announce(ctx, d, "device:"+d.ID); err != nil {
		return nil, a.translate(c, err)
	}
	out := &enrolOutput{}
	out.Body.DeviceID = d.ID
	out.Body.Account = accountName{account.Username, account.DisplayName}
	return out, nil
}

// announcedFor is how long a device is new: it is announced once in that time,
// however often a phone repeats its enrolment because the answer was lost.
const announcedFor = time.Hour

// announce tells of a new device: the audit, and the person's other devices,
// so that nobody gets one more unseen.
func (a *API) announce(ctx context.Context, d enrol.Device, by string) error {
	now, err := a.Store.Now(ctx)
	if err != nil || now.Sub(d.Enrolled) >= announcedFor {
		return err
	}
	if first, err := a.Store.Count(ctx, login.Quota{Key: "announced:" + d.ID, Limit: login.Limit{Count: 1, Within: announcedFor}}); err != nil || !first {
		return err
	}
	a.Log.Info("device enrolled", "device", d.ID, "by", by, "account", d.Account, "platform", d.Platform)
	a.Notice(login.Notice{Person: d.Person, Word: login.NoticeDevice, Except: d.ID})
	if err = a.Record(by, "device enrol", d.ID); err != nil { // the phone asks again, and it is told again
		err = errors.Join(err, a.Store.Uncount(ctx, "announced:"+d.ID))
	}
	return err
}

// refused charges the address for an activation code that was refused: codes
// are not to be tried out.
func (a *API) refused(c *call, err error) *Problem {
	if errors.Is(err, enrol.ErrActivation) || errors.Is(err, enrol.ErrTries) {
		a.limits.refused(c.remote)
	}
	return a.translate(c, err)
}

// ownRecord is a device as it sees itself.
type ownRecord struct {
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

type deviceOutput struct{ Body ownRecord }

func own(d enrol.Device) *deviceOutput {
	return &deviceOutput{ownRecord{
		DeviceID: d.ID, Name: d.Name, Platform: d.Platform, AppVersion: d.AppVersion,
		PushToken: d.PushToken.Reveal(), Can: d.Can, Notifications: d.Notifications,
		SignedIn: d.SignedIn, Enrolled: d.Enrolled,
	}}
}

func (a *API) device(ctx context.Context, _ *struct{}) (*deviceOutput, error) {
	return own(callOf(ctx).device), nil
}

type changeInput struct {
	Body struct {
		PushToken     *string   `json:"push_token,omitempty" maxLength:"1024" doc:"Empty: none"`
		AppVersion    *string   `json:"app_version,omitempty" maxLength:"50"`
		Can           *[]string `json:"can,omitempty" enum:"code,approve,number" uniqueItems:"true"`
		Notifications *string   `json:"notifications,omitempty" enum:"allowed,denied"`
		SignedIn      *bool     `json:"signed_in,omitempty" doc:"false: no prompts, and no logins, until true"`
	}
}

func (a *API) change(ctx context.Context, in *changeInput) (*deviceOutput, error) {
	c := callOf(ctx)
	d, err := a.People.Update(ctx, c.device.ID, enrol.Change(in.Body))
	if err != nil {
		return nil, a.translate(c, err)
	}
	return own(d), nil
}

func (a *API) signOut(ctx context.Context, _ *struct{}) (*struct{}, error) {
	c := callOf(ctx)
	if _, err := a.People.Revoke(ctx, c.device.ID); err != nil {
		return nil, a.translate(c, err)
	}
	// What it approved a moment ago is not to be collected any more.
	err := a.Engine.Withdraw(ctx, c.device.Person, func(_, approver string) bool { return approver == c.device.ID })
	if err == nil {
		err = a.Record("device:"+c.device.ID, "device sign out", c.device.ID)
	}
	if err != nil {
		return nil, a.translate(c, err)
	}
	a.Log.Info("device signed out for good", "device", c.device.ID)
	return nil, nil
}

type activationOutput struct {
	Body struct {
		ActivationCode string    `json:"activation_code" doc:"For POST /v1/devices, once"`
		Expires        time.Time `json:"expires"`
		URL            string    `json:"url" doc:"The same for a QR code"`
	}
}

// successor lets the old phone bring in the next one, without an administrator.
func (a *API) successor(ctx context.Context, _ *struct{}) (*activationOutput, error) {
	c := callOf(ctx)
	if err := a.mayAct(c.device); err != nil {
		return nil, a.translate(c, err)
	}
	act, account, err := a.People.AddSuccessor(ctx, c.device)
	if errors.Is(err, enrol.ErrNotFound) {
		err = problem(NotFound)
	}
	if err == nil {
		err = a.Record("device:"+c.device.ID, "device add", account.ID)
	}
	if err != nil {
		return nil, a.translate(c, err)
	}
	p := act.Print()
	out := &activationOutput{}
	out.Body.ActivationCode, out.Body.Expires, out.Body.URL = p.ActivationCode, p.Expires, p.URL
	return out, nil
}
