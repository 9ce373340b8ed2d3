package enrol

import (
	"context"
	"errors"
	"fmt"

	"vssgate/internal/login"
)

// Removed says what Remove erased.
type Removed struct {
	Numbers int  // the person's numbers, when this was their last account
	Devices int  // the person's devices, likewise
	Codes   bool // codes of the account's own
}

// Remove erases an account, and the person behind it when it was their last
// one: numbers, device names, push tokens. Of a device stays that its key is
// revoked, so that it never comes back. Logins that are open are not touched:
// the caller ends those of the account. ErrNotFound.
func (p *People) Remove(ctx context.Context, account string) (done Removed, err error) {
	r, rec, err := load[accountRecord](ctx, p, accountKey(account))
	if err != nil {
		return done, err
	}
	persons := map[string]bool{r.Person: r.Person != ""}
	for _, held := range r.Assignments {
		persons[held.Person] = true
	}
	if done.Codes, err = p.eraseCodes(ctx, account); err != nil {
		return done, fmt.Errorf("account %s: %w", account, err)
	}
	if err := p.erase(ctx, rec); err != nil {
		return done, fmt.Errorf("account %s: %w", account, err)
	}
	for person, is := range persons {
		if !is {
			continue
		}
		left, err := p.AccountsOf(ctx, person)
		if err == nil && len(left) == 0 {
			err = p.removePerson(ctx, person, &done)
		}
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

func (p *People) eraseCodes(ctx context.Context, account string) (had bool, err error) {
	rec, err := p.store.Load(ctx, fallbackKey(account))
	if errors.Is(err, login.ErrNotFound) {
		return false, nil
	}
	if err == nil {
		err = p.erase(ctx, rec)
	}
	return true, err
}

func (p *People) removePerson(ctx context.Context, person string, done *Removed) error {
	devices, err := p.Devices(ctx, person)
	if err != nil {
		return err
	}
	for _, d := range devices {
		if err := p.reduce(ctx, d.ID); err != nil {
			return err
		}
		done.Devices++
	}
	vouched, err := p.store.Find(ctx, personVouched(person), "", 0)
	if err != nil {
		return err
	}
	for _, rec := range vouched {
		if err := p.erase(ctx, rec); err != nil {
			return err
		}
	}
	numbers, err := p.store.Find(ctx, "person-numbers:"+person, "", 0)
	if err != nil {
		return err
	}
	for _, rec := range numbers {
		if err := p.erase(ctx, rec); err != nil {
			return err
		}
		done.Numbers++
	}
	return nil
}

// reduce leaves of a device that its key is revoked, and nothing that a newer
// version may have added.
func (p *People) reduce(ctx context.Context, id string) error {
	_, err := edit(ctx, p, deviceKey(id), func(r *deviceRecord, rec *login.Record) error {
		now := rec.Read.UTC()
		rec.Value = nil
		*r = deviceRecord{Device: Device{ID: r.ID, Revoked: &now}, Key: r.Key}
		return nil
	})
	return err
}

// erase deletes a record, whatever it holds by now.
func (p *People) erase(ctx context.Context, rec login.Record) error {
	for range saveTries {
		rec.Value, rec.Indexes, rec.Durable = nil, nil, true
		_, err := p.store.Save(ctx, rec, login.Condition{})
		if !errors.Is(err, login.ErrConflict) {
			return err
		}
		if rec, err = p.store.Load(ctx, rec.Key); errors.Is(err, login.ErrNotFound) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return errBusy
}
