package enrol

import (
	"context"
	"errors"
	"net/url"
	"time"

	"vssgate/internal/login"
	"vssgate/internal/secret"
	"vssgate/otp"
)

// give puts new codes into the account's record, which is for its person of now.
// ErrNotFound, ErrNoNumber.
func (p *People) give(ctx context.Context, account string, put func(r *fallbackRecord, now time.Time)) error {
	a, err := p.Lookup(ctx, account)
	if err != nil {
		return err
	}
	if a.Person == "" {
		return ErrNoNumber
	}
	return p.changeFallback(ctx, account, func(r *fallbackRecord, now time.Time) (bool, error) {
		if r.Person != a.Person {
			*r = fallbackRecord{Person: a.Person}
		}
		put(r, now)
		return true, nil
	})
}

// An App is what an authenticator app is given, once.
type App struct {
	Secret secret.Secret // base32
	URL    secret.Secret // otpauth://totp/..., what the QR code says
}

// NewApp makes the secret of the account's authenticator app; the one before
// counts no more. ErrNotFound, ErrNoNumber.
func (p *People) NewApp(ctx context.Context, account Account) (App, error) {
	raw := otp.NewTimeSecret()
	text, err := otp.TimeURL(raw, p.options.Load().issuer(), account.Username)
	if err != nil {
		return App{}, err
	}
	err = p.give(ctx, account.ID, func(r *fallbackRecord, now time.Time) { r.App = &timeApp{Secret: raw, Made: now} })
	return App{secret.Secret(otp.TimeSecretText(raw)), secret.Secret(text)}, err
}

// issuer is what an app shows the codes under.
func (o *Options) issuer() string {
	if u, err := url.Parse(o.PublicURL); err == nil && u.Hostname() != "" {
		return u.Hostname()
	}
	return "vssgate"
}

// RecoveryCodes is how many there are in a list.
const RecoveryCodes = 10

// NewRecoveryCodes makes RecoveryCodes codes, each good once, as they are
// printed; those before count no more. ErrNotFound, ErrNoNumber.
func (p *People) NewRecoveryCodes(ctx context.Context, account Account) (printed []secret.Secret, err error) {
	var macs [][]byte
	for range RecoveryCodes {
		code := otp.NewRecoveryCode()
		printed = append(printed, secret.Secret(otp.ShowRecoveryCode(code)))
		macs = append(macs, p.codeMAC(account.ID, "recovery", code))
	}
	err = p.give(ctx, account.ID, func(r *fallbackRecord, _ time.Time) { r.Recovery = macs })
	return printed, err
}

// NewHelpCode makes a code that the help desk tells, good once and for so long;
// the one before counts no more. ErrNotFound, ErrNoNumber.
func (p *People) NewHelpCode(ctx context.Context, account Account, valid time.Duration) (code secret.Secret, expires time.Time, err error) {
	code = secret.Secret(otp.NewHelpCode())
	err = p.give(ctx, account.ID, func(r *fallbackRecord, now time.Time) {
		expires = now.Add(valid)
		r.Help = &helpCode{MAC: p.codeMAC(account.ID, "help", code.Reveal()), Expires: expires}
	})
	return code, expires, err
}

// DropFallbacks takes codes of those kinds from an account, and tells which
// there were.
func (p *People) DropFallbacks(ctx context.Context, account Account, kinds login.FactorSet) (dropped login.FactorSet, err error) {
	err = p.changeFallback(ctx, account.ID, func(r *fallbackRecord, now time.Time) (bool, error) {
		dropped = r.kinds(r.Person, now) & kinds
		if kinds&login.AllowTOTP != 0 {
			r.App = nil
		}
		if kinds&login.AllowRecovery != 0 {
			r.Recovery = nil
		}
		if kinds&login.AllowHelp != 0 {
			r.Help = nil
		}
		r.Used = nil
		return r.Person != "", nil
	})
	return dropped, err
}

// OwnCodes is what is known of an account's own codes: never a code.
type OwnCodes struct {
	App       bool      // an authenticator app has its secret
	Confirmed bool      // and was used
	Recovery  int       // unused recovery codes
	Help      time.Time // until when there is a help-desk code; zero: there is none
}

// OwnCodes tells what codes of its own an account has now.
func (p *People) OwnCodes(ctx context.Context, account Account) (s OwnCodes, err error) {
	r, rec, err := load[fallbackRecord](ctx, p, fallbackKey(account.ID))
	if errors.Is(err, ErrNotFound) {
		return s, nil
	}
	kinds := r.kinds(account.Person, rec.Read)
	if kinds&login.AllowTOTP != 0 {
		s.App, s.Confirmed = true, r.App.Confirmed != nil
	}
	if kinds&login.AllowRecovery != 0 {
		s.Recovery = len(r.Recovery)
	}
	if kinds&login.AllowHelp != 0 {
		s.Help = r.Help.Expires
	}
	return s, err
}
