package phoneapi

import (
	"context"
	"errors"
	"time"

	"vssgate/internal/enrol"
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
	a.Log.Info("device enrolled", "device", d.ID, "account", account.ID, "platform", d.Platform)
	out := &enrolOutput{}
	out.Body.DeviceID = d.ID
	out.Body.Account = accountName{account.Username, account.DisplayName}
	return out, nil
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
	a.Log.Info("device signed out for good", "device", c.device.ID)
	return nil, nil
}
