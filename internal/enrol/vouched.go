package enrol

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"vssgate/internal/login"
	"vssgate/internal/secret"
)

// A Vouched is a device that VssID's own servers bring in, for a person whom
// they have signed in. One without a key of its own is answered for by them.
type Vouched struct {
	Backend string // who vouches
	TheirID string // what the device is called there, for good
	Person  string

	ID            string // thumbprint of the key; "" none, or as before
	Key           []byte // uncompressed P-256 point
	Name          string
	Platform      string
	AppVersion    string
	PushToken     secret.Secret
	Can           []string
	Notifications string
}

// vouchedRecord says which device a backend means by its name for it now, and
// by which it was before: the last few, oldest first. They never are again.
type vouchedRecord struct {
	Person string   `json:"person"`
	Device string   `json:"device"`
	Former []string `json:"former,omitempty"`
}

// formers bounds Former. It is for devices that are not revoked yet.
const formers = 8

// become makes id what the name means from now on.
func (r vouchedRecord) become(person, id string) vouchedRecord {
	if r.Device != "" {
		r.Former = append(slices.Clone(r.Former), r.Device)
	}
	return vouchedRecord{person, id, r.Former[max(0, len(r.Former)-formers):]}
}

func (r vouchedRecord) indexes() []string { return []string{personVouched(r.Person)} }

func personVouched(person string) string { return "person-vouched:" + person }

// key hashes who vouches for what of whom.
func (v Vouched) key() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q", v.Backend, v.Person, v.TheirID))
	return "vouched:" + encode(sum[:])
}

// deviceID is the device's id: that of its key, or one made of its names.
func (v Vouched) deviceID(linked string) string {
	switch {
	case v.ID != "":
		return v.ID
	case linked != "":
		return linked
	}
	sum := sha256.Sum256([]byte(v.key()))
	return encode(sum[:])
}

// PersonWith finds the person with these numbers, either of which may be "".
// ErrNotFound when no account has them, ErrNumber, ErrTwoPersons.
func (p *People) PersonWith(ctx context.Context, bhxh, personal string) (string, error) {
	var numbers []secret.Secret
	for digits, s := range map[int]string{bhxhDigits: bhxh, personalDigits: personal} {
		if s == "" {
			continue
		}
		number, err := ParseNumber(s)
		if err != nil || len(number) != digits {
			return "", ErrNumber
		}
		numbers = append(numbers, number)
	}
	if len(numbers) == 0 {
		return "", ErrNumber
	}
	person, _, err := p.known(ctx, numbers)
	if err != nil {
		return "", err
	}
	return person, p.Has(ctx, person)
}

// Has says ErrNotFound when the person has no account, or is nobody.
func (p *People) Has(ctx context.Context, person string) error {
	if person == "" || len(person) > 64 {
		return ErrNotFound
	}
	found, err := p.store.Find(ctx, personAccounts(person), "", 1)
	if err == nil && len(found) == 0 {
		err = ErrNotFound
	}
	return err
}

// Vouch brings a device in, or up to date; replaced are the devices that were
// called the same before, with other keys: they are revoked. What was revoked
// by somebody else stays so under that name, whatever its key: a lost phone
// must not come back with the next sign-in. ErrFull, ErrKeyInUse, ErrRevoked,
// ErrPlatform.
func (p *People) Vouch(ctx context.Context, v Vouched) (d Device, replaced []Device, err error) {
	if !slices.Contains(p.options.Load().Platforms, v.Platform) {
		return Device{}, nil, ErrPlatform
	}
	for range saveTries {
		var gone []Device
		d, gone, err = p.vouch(ctx, v)
		replaced = append(replaced, gone...)
		if !errors.Is(err, login.ErrConflict) {
			return d, replaced, err
		}
	}
	return d, replaced, fmt.Errorf("device %s of backend %s: %w", v.deviceID(""), v.Backend, errBusy)
}

// vouch makes the name mean the device before there is one, and takes all
// others off that name before and after: of two that come at once the later one
// is left, whoever is faster.
func (p *People) vouch(ctx context.Context, v Vouched) (d Device, replaced []Device, err error) {
	known, err := p.name(ctx, &v)
	if err != nil {
		return d, nil, err
	}
	if replaced, err = p.replace(ctx, v); err != nil {
		return d, replaced, err
	}
	if known {
		d, err = p.refresh(ctx, v)
		return d, replaced, err
	}
	if d, err = p.bring(ctx, v); err != nil {
		return d, replaced, err
	}
	late, err := p.replace(ctx, v) // this very one, when another came meanwhile
	return d, append(replaced, late...), err
}

// name makes v's name mean v's device, and tells whether that is there already.
// It fills v.ID in.
func (p *People) name(ctx context.Context, v *Vouched) (known bool, err error) {
	link, rec, err := load[vouchedRecord](ctx, p, v.key())
	if err != nil && !errors.Is(err, ErrNotFound) {
		return false, err
	}
	if v.ID = v.deviceID(link.Device); slices.Contains(link.Former, v.ID) {
		return false, ErrRevoked
	}
	if known, err = p.mine(ctx, *v, v.ID); err != nil || v.ID == link.Device {
		return known, err
	}
	before, _, err := load[deviceRecord](ctx, p, deviceKey(link.Device))
	switch {
	case err == nil && v.names(before.Device) && before.Revoked != nil: // by somebody else
		return false, ErrRevoked
	case err != nil && !errors.Is(err, ErrNotFound):
		return false, err
	}
	_, err = p.save(ctx, rec, link.become(v.Person, v.ID), login.Condition{})
	return known, err
}

// mine tells whether the device is there; it must be the one that v means.
func (p *People) mine(ctx context.Context, v Vouched, id string) (known bool, err error) {
	r, _, err := load[deviceRecord](ctx, p, deviceKey(id))
	switch {
	case errors.Is(err, ErrNotFound):
		return false, nil
	case err != nil:
		return false, err
	case r.Revoked != nil:
		return false, ErrRevoked
	case !v.names(r.Device):
		return false, ErrKeyInUse
	}
	return true, nil
}

func (v Vouched) names(d Device) bool {
	return d.Backend == v.Backend && d.TheirID == v.TheirID && d.Person == v.Person
}

// replace revokes what v's name does not mean any more. The devices are read
// before the name: one that comes in between is meant by it.
func (p *People) replace(ctx context.Context, v Vouched) (replaced []Device, err error) {
	all, err := p.Devices(ctx, v.Person)
	if err != nil {
		return nil, err
	}
	link, _, err := load[vouchedRecord](ctx, p, v.key())
	if err != nil {
		return nil, err
	}
	for _, d := range all {
		if !v.names(d) || d.ID == link.Device {
			continue
		}
		if _, err := p.Revoke(ctx, d.ID); err != nil {
			return replaced, err
		}
		replaced = append(replaced, d)
	}
	return replaced, nil
}

// refresh makes a device what its backend says, its key and age excepted.
func (p *People) refresh(ctx context.Context, v Vouched) (Device, error) {
	r, err := edit(ctx, p, deviceKey(v.ID), func(r *deviceRecord, _ *login.Record) error {
		if r.Revoked != nil {
			return ErrRevoked
		}
		v.fill(r)
		return nil
	})
	return r.device(), err
}

func (p *People) bring(ctx context.Context, v Vouched) (Device, error) {
	now, err := p.store.Now(ctx)
	if err != nil {
		return Device{}, err
	}
	r := deviceRecord{Device: Device{ID: v.ID, Person: v.Person, Backend: v.Backend, TheirID: v.TheirID, Enrolled: now.UTC()}, Key: v.Key}
	v.fill(&r)
	cond := login.Condition{Full: personDevices(v.Person), AtMost: p.options.Load().MaxDevices}
	_, err = p.save(ctx, login.Record{Key: deviceKey(v.ID)}, r, cond)
	if errors.Is(err, login.ErrFull) {
		err = ErrFull
	}
	return r.device(), err
}

func (v Vouched) fill(r *deviceRecord) {
	r.Name, r.Platform, r.AppVersion = v.Name, v.Platform, v.AppVersion
	r.PushToken, r.Can, r.Notifications, r.SignedIn = v.PushToken.Reveal(), v.Can, v.Notifications, true
	if len(r.Can) == 0 {
		r.Can = []string{CanCode}
	}
}

// Spoken are the devices that the backend answers for: its own that have no
// key, oldest first. ErrOldApp when all of them are too old to be asked.
func (p *People) Spoken(ctx context.Context, backend, person string) ([]Device, error) {
	all, err := p.Devices(ctx, person)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(d Device) bool { return d.Backend != backend || len(d.Key) > 0 })
	usable := slices.DeleteFunc(slices.Clone(all), p.TooOld)
	if len(all) > 0 && len(usable) == 0 {
		return nil, ErrOldApp
	}
	return usable, nil
}
