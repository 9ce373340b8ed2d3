package app

import (
	"context"
	"errors"
	"time"

	"vssgate/internal/admin"
	"vssgate/internal/enrol"
	"vssgate/internal/login"
)

// maxHelpValid bounds how long a help-desk code is good.
const maxHelpValid = 24 * time.Hour

// owner is the account of USER, for codes of its own; the change is noted in
// the audit first. There must be a person: whose codes are they?
func (a *App) owner(ctx context.Context, by, action string, in admin.OwnCodes) (enrol.Account, error) {
	_, account, err := a.mention(ctx, in.User)
	if err != nil {
		return account, err
	}
	if account.Person == "" && !in.Remove {
		return account, wrong("whose account %s is is not known: fill in the directory's attribute, or vssgate account set %s --bhxh-number N, or assign it to its custodian", account.Username, account.Username)
	}
	if in.Remove {
		action += " remove"
	}
	return account, a.record(by, action, account.ID, in.Why)
}

func (a *App) totp(ctx context.Context, by string, in admin.OwnCodes) (out admin.NewApp, err error) {
	account, err := a.owner(ctx, by, "account totp", in)
	if err != nil {
		return out, err
	}
	if out.Account = account.Username; in.Remove {
		out.Removed, err = a.dropCodes(ctx, account, login.AllowTOTP)
		return out, err
	}
	made, err := a.people.NewApp(ctx, account)
	out.Secret, out.URL = made.Secret.Reveal(), made.URL.Reveal()
	return out, err
}

func (a *App) recoveryCodes(ctx context.Context, by string, in admin.OwnCodes) (out admin.NewRecoveryCodes, err error) {
	out.Codes = []string{}
	account, err := a.owner(ctx, by, "account recovery-codes", in)
	if err != nil {
		return out, err
	}
	if out.Account = account.Username; in.Remove {
		out.Removed, err = a.dropCodes(ctx, account, login.AllowRecovery)
		return out, err
	}
	codes, err := a.people.NewRecoveryCodes(ctx, account)
	for _, code := range codes {
		out.Codes = append(out.Codes, code.Reveal())
	}
	return out, err
}

func (a *App) helpCode(ctx context.Context, by string, in admin.OwnCodes) (out admin.NewHelpCode, err error) {
	if in.Why == "" {
		return out, wrong("a help-desk code needs a reason: who asked, and how you knew him")
	}
	if !in.Remove && (in.Valid < time.Minute || in.Valid > maxHelpValid) {
		return out, wrong("--valid %s: want 1m to %s", in.Valid, maxHelpValid)
	}
	account, err := a.owner(ctx, by, "account help-code", in)
	if err != nil {
		return out, err
	}
	if out.Account = account.Username; in.Remove {
		out.Removed, err = a.dropCodes(ctx, account, login.AllowHelp)
		return out, err
	}
	code, expires, err := a.people.NewHelpCode(ctx, account, in.Valid)
	out.Code, out.Expires = code.Reveal(), &expires
	return out, err
}

func (a *App) dropCodes(ctx context.Context, account enrol.Account, kind login.FactorSet) (bool, error) {
	dropped, err := a.people.DropFallbacks(ctx, account, kind)
	if err == nil && dropped == 0 {
		err = wrong("%s has none", account.Username)
	}
	return dropped != 0, err
}

// fallbacks are what account show says of an account's own codes; nil: none.
func (a *App) fallbacks(ctx context.Context, account enrol.Account) (*admin.Fallbacks, error) {
	own, err := a.people.OwnCodes(ctx, account)
	if err != nil || own == (enrol.OwnCodes{}) {
		return nil, err
	}
	out := &admin.Fallbacks{Recovery: own.Recovery}
	switch {
	case own.Confirmed:
		out.TOTP = "confirmed"
	case own.App:
		out.TOTP = "unconfirmed"
	}
	if !own.Help.IsZero() {
		out.Help = &own.Help
	}
	return out, nil
}

// phoneless is what stands in an account's way where codes of its own count
// that it has: no phone is needed then.
func (a *App) phoneless(ctx context.Context, r *login.Request, who login.Identity, problem login.Reason, at time.Time) (login.Reason, error) {
	if problem != login.NoDevice && problem != login.OldApp {
		return problem, nil
	}
	account, err := a.people.Lookup(ctx, who.ID)
	if err != nil {
		if errors.Is(err, enrol.ErrNotFound) {
			err = nil
		}
		return problem, err
	}
	kinds, person, err := a.people.Fallbacks(ctx, who.ID)
	if err == nil && person == account.Person && a.engine.PolicyNow().FactorsFor(r, &who, at)&kinds != 0 {
		return "", nil
	}
	return problem, err
}
