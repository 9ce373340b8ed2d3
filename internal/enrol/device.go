package enrol

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"vssgate/internal/login"
	"vssgate/internal/secret"
)

// A Device is one installation of VssID.
type Device struct {
	ID            string     `json:"device_id"` // RFC 7638 thumbprint of its key
	Person        string     `json:"person"`
	Account       string     `json:"account"`            // directory id of the account it was activated for
	Backend       string     `json:"backend,omitempty"`  // who vouched for it instead
	TheirID       string     `json:"their_id,omitempty"` // what it is called there
	Name          string     `json:"name"`
	Platform      string     `json:"platform"`
	AppVersion    string     `json:"app_version"`
	Can           []string   `json:"can"`
	Notifications string     `json:"notifications"`
	SignedIn      bool       `json:"signed_in"`
	Enrolled      time.Time  `json:"enrolled"` // by the store's clock
	Revoked       *time.Time `json:"revoked,omitempty"`

	PushToken secret.Secret `json:"-"`
	Key       []byte        `json:"-"` // its public key: uncompressed P-256 point, 65 bytes
}

// What a device can do with a login.
const (
	CanCode    = "code"
	CanApprove = "approve"
	CanNumber  = "number"
)

// Whether the user lets VssID notify. "" is not known, and tried.
const (
	Allowed = "allowed"
	Denied  = "denied"
)

// CanNumber tells whether the device can type the number shown at the login.
func (d Device) CanNumber() bool { return slices.Contains(d.Can, CanNumber) }

// CanApprove tells whether the device can approve without a number.
func (d Device) CanApprove() bool { return slices.Contains(d.Can, CanApprove) }

// promptable tells whether a push can reach the user of a usable device.
func (d Device) promptable() bool {
	return d.SignedIn && d.PushToken != "" && d.Notifications != Denied
}

// tooOld tells whether the device is never asked: its app is below the least
// version, or its platform is not allowed.
func (o *Options) tooOld(d Device) bool {
	return older(d.AppVersion, o.MinVersion) || !slices.Contains(o.Platforms, d.Platform)
}

// TooOld tells whether the device is never asked.
func (p *People) TooOld(d Device) bool { return p.options.Load().tooOld(d) }

// deviceRecord is a Device as it is kept.
type deviceRecord struct {
	Device
	PushToken  string `json:"push_token,omitempty"`
	Key        []byte `json:"key"`
	Activation string `json:"activation"` // key of the activation it used
}

func (r deviceRecord) device() Device {
	d := r.Device
	d.PushToken, d.Key = secret.Secret(r.PushToken), r.Key
	return d
}

func personDevices(person string) string { return "person-devices:" + person }

// indexes: a revoked device stays known by its key, and is nobody's.
func (r deviceRecord) indexes() []string {
	if r.Revoked != nil {
		return nil
	}
	return []string{personDevices(r.Person)}
}

func deviceKey(id string) string { return "device:" + id }

// validID tells whether id can be a thumbprint: 32 bytes in base64url.
func validID(id string) bool {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return len(id) == 43 && strings.Trim(id, alphabet) == ""
}

// Device is the device with that id, revoked or not, and the store's time;
// ErrNotFound.
func (p *People) Device(ctx context.Context, id string) (Device, time.Time, error) {
	if !validID(id) {
		return Device{}, time.Time{}, ErrNotFound
	}
	r, rec, err := load[deviceRecord](ctx, p, deviceKey(id))
	if err == nil {
		r, err = p.still(ctx, r)
	}
	return r.device(), rec.Read, err
}

// Devices lists the person's devices, oldest first, without revoked ones.
func (p *People) Devices(ctx context.Context, person string) ([]Device, error) {
	recs, err := list[deviceRecord](ctx, p, personDevices(person))
	all := make([]Device, 0, len(recs))
	for _, r := range recs {
		var lost error
		r, lost = p.still(ctx, r)
		if err = errors.Join(err, lost); r.Revoked == nil {
			all = append(all, r.device())
		}
	}
	slices.SortFunc(all, func(a, b Device) int { return a.Enrolled.Compare(b.Enrolled) })
	return all, err
}

// DevicesOf lists the devices that answer for the account now.
func (p *People) DevicesOf(ctx context.Context, account string) ([]Device, error) {
	a, err := p.Lookup(ctx, account)
	if err != nil || a.Person == "" {
		return nil, err
	}
	return p.Devices(ctx, a.Person)
}

// A Change is what a device says about itself later; nil: as before.
type Change struct {
	PushToken     *string
	AppVersion    *string
	Can           *[]string
	Notifications *string
	SignedIn      *bool
}

// Update changes a device. ErrNotFound, ErrRevoked.
func (p *People) Update(ctx context.Context, id string, c Change) (Device, error) {
	r, err := edit(ctx, p, deviceKey(id), func(r *deviceRecord, _ *login.Record) error {
		if r.Revoked != nil {
			return ErrRevoked
		}
		set(&r.PushToken, c.PushToken)
		set(&r.AppVersion, c.AppVersion)
		set(&r.Can, c.Can)
		set(&r.Notifications, c.Notifications)
		set(&r.SignedIn, c.SignedIn)
		return nil
	})
	return r.device(), err
}

func set[T any](field, value *T) {
	if value != nil {
		*field = *value
	}
}

// Revoke ends a device for good, whoever asked before. Its logins that are
// open are not touched: the caller ends what it approved. ErrNotFound.
func (p *People) Revoke(ctx context.Context, id string) (Device, error) {
	if !validID(id) {
		return Device{}, ErrNotFound
	}
	r, err := edit(ctx, p, deviceKey(id), func(r *deviceRecord, rec *login.Record) error {
		if r.Revoked == nil {
			now := rec.Read.UTC()
			r.Revoked, r.PushToken = &now, ""
		}
		return nil
	})
	if err == nil {
		p.revoked.remember(id, *r.Revoked)
	}
	return r.device(), err
}

// A Target is where a prompt goes.
type Target struct {
	Device   string
	Platform string // ios, android or web
	Token    string
	Since    time.Time // when it came in, by the store's clock
}

// Targets are the person's devices that a prompt can reach.
func (p *People) Targets(ctx context.Context, person string) (targets []Target, err error) {
	devices, err := p.Devices(ctx, person)
	for _, d := range devices {
		if d.promptable() && !p.TooOld(d) {
			targets = append(targets, Target{Device: d.ID, Platform: d.Platform, Token: d.PushToken.Reveal(), Since: d.Enrolled})
		}
	}
	return targets, err
}

// ForgetToken drops a push token that the push service no longer knows; the
// device and its key stay. One that the device has brought since stays too. A
// device that is gone has none.
func (p *People) ForgetToken(ctx context.Context, device, token string) error {
	_, err := edit(ctx, p, deviceKey(device), func(r *deviceRecord, _ *login.Record) error {
		if r.PushToken == token {
			r.PushToken = ""
		}
		return nil
	})
	if err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("forget push token of device %s: %w", device, err)
	}
	return nil
}
