package enrol

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"vssgate/internal/login"
	"vssgate/otp"
)

// A fallbackRecord holds an account's own codes, for when no phone is at hand:
// of an authenticator app, from a printed list, from the help desk. They are an
// account's, not a person's, as wrong guesses are counted for an account. They
// count for the person they were made for alone: another custodian, or a number
// that leads to somebody else, makes them void.
//
// Everything is in one record, so a use is one compare-and-set: among all nodes
// one caller wins, and the record is committed before it is told.
type fallbackRecord struct {
	Person   string    `json:"person"`
	App      *timeApp  `json:"app,omitempty"`
	Recovery [][]byte  `json:"recovery,omitempty"` // MACs of the codes that are unused
	Help     *helpCode `json:"help,omitempty"`     // unused
	Used     *usedCode `json:"used,omitempty"`
}

// timeApp is what an authenticator app was given.
type timeApp struct {
	Secret    []byte     `json:"secret"`
	Made      time.Time  `json:"made"`
	Confirmed *time.Time `json:"confirmed,omitempty"` // the first use
	Step      uint64     `json:"step,omitempty"`      // accepted last
}

type helpCode struct {
	MAC     []byte    `json:"mac"`
	Expires time.Time `json:"expires"`
}

// usedCode is the code that was used last, and for which login: that one may
// ask again, on another node too, for it ends when it lets somebody in.
type usedCode struct {
	Attempt string       `json:"attempt"`
	MAC     []byte       `json:"mac"`
	Factor  login.Factor `json:"factor"`
	Step    uint64       `json:"step,omitempty"`
}

func (fallbackRecord) indexes() []string { return nil }

// ConfirmApp is how long a secret that was never used stays good.
const ConfirmApp = 7 * 24 * time.Hour

var errNotThat = errors.New("no such code")

func fallbackKey(account string) string {
	sum := sha256.Sum256([]byte(account))
	return "fallback:" + encode(sum[:])
}

// usable tells whether the app's codes count: confirmed, or young enough to be.
func (t *timeApp) usable(now time.Time) bool {
	return t != nil && (t.Confirmed != nil || now.Before(t.Made.Add(ConfirmApp)))
}

// kinds are the codes there are for that person now.
func (r *fallbackRecord) kinds(person string, now time.Time) (kinds login.FactorSet) {
	if person == "" || r.Person != person {
		return 0
	}
	if r.App.usable(now) {
		kinds |= login.AllowTOTP
	}
	if len(r.Recovery) > 0 {
		kinds |= login.AllowRecovery
	}
	if r.Help != nil && now.Before(r.Help.Expires) {
		kinds |= login.AllowHelp
	}
	return kinds
}

var _ login.Fallbacks = (*People)(nil)

// Fallbacks implements login.Fallbacks.
func (p *People) Fallbacks(ctx context.Context, account string) (kinds login.FactorSet, person string, err error) {
	r, rec, err := load[fallbackRecord](ctx, p, fallbackKey(account))
	if errors.Is(err, ErrNotFound) {
		return 0, "", nil
	}
	return r.kinds(r.Person, rec.Read), r.Person, err
}

// UseFallback implements login.Fallbacks.
func (p *People) UseFallback(ctx context.Context, c login.FallbackCode) (login.Factor, error) {
	var used usedCode
	var made time.Time
	err := p.changeFallback(ctx, c.Account, func(r *fallbackRecord, now time.Time) (save bool, err error) {
		allowed := r.kinds(c.Person, now) & c.Kinds
		if r.Used != nil && r.Person == c.Person && r.Used.Attempt == c.Attempt.String() && p.isCode(r.Used.MAC, c.Account, "used", c.Code) {
			used, save = *r.Used, true // once more: nobody knows whether the first time it was committed everywhere
		} else if used = p.match(r, c, allowed, now); used.Factor == login.FactorNone {
			return false, errNotThat
		} else {
			used.Attempt, used.MAC = c.Attempt.String(), p.codeMAC(c.Account, "used", c.Code)
			copied := used
			r.Used, save = &copied, true
		}
		if r.App != nil {
			made = r.App.Made
		}
		return save, nil
	})
	if errors.Is(err, errNotThat) {
		return login.FactorNone, nil
	}
	if err == nil && used.Factor == login.FactorTOTP {
		err = p.remembered(ctx, &used, made)
	}
	if err != nil {
		return login.FactorNone, fmt.Errorf("use a code of account %s: %w", c.Account, err)
	}
	return used.Factor, nil
}

// match finds which of the account's codes that is, and takes it from the
// record.
func (p *People) match(r *fallbackRecord, c login.FallbackCode, allowed login.FactorSet, now time.Time) (used usedCode) {
	if allowed&login.AllowTOTP != 0 {
		if step, ok := otp.VerifyTimeCode(r.App.Secret, c.Code, now, r.App.Step); ok {
			if r.App.Step = step; r.App.Confirmed == nil {
				r.App.Confirmed = &now
			}
			return usedCode{Factor: login.FactorTOTP, Step: step}
		}
	}
	if allowed&login.AllowHelp != 0 && p.isCode(r.Help.MAC, c.Account, "help", c.Code) {
		r.Help = nil
		return usedCode{Factor: login.FactorHelp}
	}
	code, ok := otp.ParseRecoveryCode(c.Code)
	if allowed&login.AllowRecovery == 0 || !ok {
		return used
	}
	for i, mac := range r.Recovery {
		if p.isCode(mac, c.Account, "recovery", code) {
			r.Recovery = append(r.Recovery[:i:i], r.Recovery[i+1:]...)
			return usedCode{Factor: login.FactorRecovery}
		}
	}
	return used
}

// remembered makes a step none that began before the store remembers anything,
// where the secret did too: it may have been used before a failover.
func (p *People) remembered(ctx context.Context, used *usedCode, made time.Time) error {
	since, err := p.store.Since(ctx)
	if err == nil && made.Before(since) && otp.StepBegins(used.Step).Before(since) {
		used.Factor = login.FactorNone
	}
	return err
}

func (p *People) codeMAC(account, kind, code string) []byte {
	return p.keys.MAC(otp.PurposeFallback, []byte(kind), []byte(account), []byte(code))
}

func (p *People) isCode(mac []byte, account, kind, code string) bool {
	return p.keys.VerifyMAC(otp.PurposeFallback, mac, []byte(kind), []byte(account), []byte(code))
}

// changeFallback changes an account's codes, and commits that before it
// returns. change may run several times.
func (p *People) changeFallback(ctx context.Context, account string, change func(*fallbackRecord, time.Time) (save bool, err error)) error {
	for range saveTries {
		r, rec, err := load[fallbackRecord](ctx, p, fallbackKey(account))
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		now, err := p.store.Now(ctx)
		if err != nil {
			return err
		}
		save, err := change(&r, now.UTC())
		if err != nil || !save {
			return err
		}
		if _, err = p.save(ctx, rec, r, login.Condition{}); !errors.Is(err, login.ErrConflict) {
			return err
		}
	}
	return errBusy
}
