package admin

import "time"

// OwnCodes makes, or with Remove takes away, codes of an account's own. Valid
// counts for a help-desk code.
type OwnCodes struct {
	User   string        `json:"user"`
	Remove bool          `json:"remove,omitempty"`
	Valid  time.Duration `json:"valid,omitempty"`
	Why    string        `json:"why,omitempty"`
}

// NewApp is what an authenticator app is given, once.
type NewApp struct {
	Account string `json:"account"`
	Secret  string `json:"secret,omitempty"` // base32; SHA-1, 6 digits, 30 s
	URL     string `json:"url,omitempty"`    // otpauth://totp/...
	Removed bool   `json:"removed,omitempty"`
}

// NewRecoveryCodes are printed once.
type NewRecoveryCodes struct {
	Account string   `json:"account"`
	Codes   []string `json:"codes"`
	Removed bool     `json:"removed,omitempty"`
}

// NewHelpCode is told to the user.
type NewHelpCode struct {
	Account string     `json:"account"`
	Code    string     `json:"code,omitempty"`
	Expires *time.Time `json:"expires,omitempty"`
	Removed bool       `json:"removed,omitempty"`
}

// Fallbacks say which codes of its own an account has: never a code.
type Fallbacks struct {
	TOTP     string     `json:"totp,omitempty"`      // "" none, unconfirmed: never used, confirmed
	Recovery int        `json:"recovery,omitempty"`  // unused recovery codes
	Help     *time.Time `json:"help_code,omitempty"` // there is one, until then
}
