package otp

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base32"
	"time"

	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"
)

// Time-based codes of authenticator apps (RFC 6238): SHA-1, 6 digits, steps of
// 30 s, the only form that every app understands.
const (
	TimeDigits  = 6
	TimeStep    = 30 * time.Second
	timeWindow  = 1  // steps before and after now that count too (RFC 6238 section 5.2)
	timeSecrets = 20 // bytes of a secret (RFC 4226 section 4, R6)
)

// NewTimeSecret makes the secret that an authenticator app is given.
func NewTimeSecret() []byte {
	secret := make([]byte, timeSecrets)
	rand.Read(secret)
	return secret
}

// TimeCode is the code of a step, which is counted in TimeStep from 1970 on.
func TimeCode(secret []byte, step uint64) string {
	code, err := hotp.GenerateCode(TimeSecretText(secret), step)
	if err != nil {
		panic("otp: base32 that we have written cannot be read: " + err.Error())
	}
	return code
}

// VerifyTimeCode tells of which step near now typed is the code: one after
// last, the step that was accepted last. It remembers nothing: the caller keeps
// the step, so that it is accepted once.
func VerifyTimeCode(secret []byte, typed string, now time.Time, last uint64) (step uint64, ok bool) {
	current := uint64(now.Unix()) / uint64(TimeStep/time.Second)
	for at := current - timeWindow; at <= current+timeWindow; at++ {
		if subtle.ConstantTimeCompare([]byte(TimeCode(secret, at)), []byte(typed)) == 1 && at > last && !ok {
			step, ok = at, true
		}
	}
	return step, ok
}

// StepBegins is when a step begins.
func StepBegins(step uint64) time.Time {
	return time.Unix(int64(step)*int64(TimeStep/time.Second), 0)
}

// TimeSecretText is a secret as it is typed into an app: base32 without padding.
func TimeSecretText(secret []byte) string {
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(secret)
}

// TimeURL is what the QR code for an app says: otpauth://totp/ISSUER:ACCOUNT
// with the secret. The error says that a name is missing.
func TimeURL(secret []byte, issuer, account string) (string, error) {
	key, err := totp.Generate(totp.GenerateOpts{Issuer: issuer, AccountName: account, Secret: secret})
	if err != nil {
		return "", err
	}
	return key.URL(), nil
}
