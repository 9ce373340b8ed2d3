package enrol

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"vssgate/internal/login"
	"vssgate/internal/secret"
)

// An Enrolment is what a phone says to get in. That it holds the key has been
// verified by the caller.
type Enrolment struct {
	Code          secret.Secret // activation code, or USER:SHORT
	Device        string        // thumbprint of the key
	Key           []byte        // uncompressed P-256 point
	Name          string
	Platform      string
	AppVersion    string
	PushToken     secret.Secret
	Can           []string
	Notifications string
}

// Enrol binds a phone to the person of an activation code. The code works
// once: for the key that used it first, which gets the same answer again.
// ErrActivation, ErrTries, ErrFull, ErrKeyInUse, ErrRevoked, ErrPlatform.
//
// First the activation is taken, then the device is made. A crash between the
// two leaves a code that only the same phone can go on with.
func (p *People) Enrol(ctx context.Context, e Enrolment) (Device, Account, error) {
	if !slices.Contains(p.options.Load().Platforms, e.Platform) {
		return Device{}, Account{}, ErrPlatform
	}
	for range saveTries {
		d, a, err := p.enrol(ctx, e)
		if !errors.Is(err, login.ErrConflict) {
			return d, a, err
		}
	}
	return Device{}, Account{}, fmt.Errorf("enrol device %s: %w", e.Device, errBusy)
}

func (p *People) enrol(ctx context.Context, e Enrolment) (Device, Account, error) {
	act, rec, err := p.activation(ctx, e.Code.Reveal())
	if err != nil {
		return Device{}, Account{}, err
	}
	a, err := p.Lookup(ctx, act.Account)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Device{}, Account{}, err
	}
	if !act.open(e.Device, a, rec) {
		return Device{}, Account{}, ErrActivation
	}
	known, _, err := load[deviceRecord](ctx, p, deviceKey(e.Device))
	switch {
	case err == nil && known.Revoked != nil:
		return Device{}, Account{}, ErrRevoked
	case err == nil && known.Activation == rec.Key:
		return known.device(), a, nil
	case err == nil:
		return Device{}, Account{}, ErrKeyInUse
	case !errors.Is(err, ErrNotFound):
		return Device{}, Account{}, err
	}
	if rec, err = p.take(ctx, act, rec, e.Device); err != nil {
		return Device{}, Account{}, err
	}
	d, err := p.add(ctx, e, act, rec)
	return d, a, err
}

// open tells whether the device may use the activation: unused and in time, or
// used by this very device; and the account is still the same person's.
func (r activationRecord) open(device string, a Account, rec login.Record) bool {
	if a.Person == "" || a.Person != r.Person {
		return false
	}
	return r.UsedBy == device || r.UsedBy == "" && rec.Read.Before(r.Expires)
}

// take makes the activation the device's, if nobody else was faster.
func (p *People) take(ctx context.Context, act activationRecord, rec login.Record, device string) (login.Record, error) {
	if act.UsedBy == device {
		return rec, nil
	}
	act.UsedBy = device
	rec, err := p.save(ctx, rec, act, login.Condition{Before: act.Expires})
	if errors.Is(err, login.ErrLate) {
		err = ErrActivation
	}
	return rec, err
}

func (p *People) add(ctx context.Context, e Enrolment, act activationRecord, taken login.Record) (Device, error) {
	r := deviceRecord{
		Device: Device{
			ID: e.Device, Person: act.Person, Account: act.Account,
			Name: e.Name, Platform: e.Platform, AppVersion: e.AppVersion,
			Can: e.Can, Notifications: e.Notifications, SignedIn: true,
			Enrolled: taken.Read.UTC(),
		},
		PushToken: e.PushToken.Reveal(), Key: e.Key, Activation: taken.Key,
	}
	if len(r.Can) == 0 {
		r.Can = []string{CanCode}
	}
	cond := login.Condition{Full: personDevices(act.Person), AtMost: p.options.Load().MaxDevices}
	_, err := p.save(ctx, login.Record{Key: deviceKey(e.Device)}, r, cond)
	if errors.Is(err, login.ErrFull) {
		err = ErrFull
	}
	return r.device(), err
}
