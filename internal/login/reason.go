package login

// A Reason is the one word for why a login ended, or why a request was
// answered as it was. texts.md has a text for each that a user may read.
type Reason string

// Reasons of verdicts.
const (
	Accepted        Reason = "accepted"
	BadPassword     Reason = "bad_password"
	BadCode         Reason = "bad_code"
	WrongNumber     Reason = "wrong_number"
	Denied          Reason = "denied"
	Reported        Reason = "reported"
	Expired         Reason = "expired"
	Revoked         Reason = "revoked"
	SeveralLogins   Reason = "several_logins"
	NoDevice        Reason = "no_device"
	NoNumber        Reason = "no_bhxh_number"
	BadNumber       Reason = "bad_bhxh_number"
	NumberChanged   Reason = "number_changed"
	NoCustodian     Reason = "no_custodian"
	OldApp          Reason = "old_app"
	LockedOut       Reason = "locked_out"
	PasswordExpired Reason = "password_expired"
	AccountDisabled Reason = "account_disabled"
	NotAllowed      Reason = "not_allowed"
	AccountLocked   Reason = "account_locked" // by the directory, whatever the password; read as bad_password, which it may be
	EmptyPassword   Reason = "empty_password" // refused before the directory is asked; read as bad_password, LDAP 53
)

// Reasons of replies that leave the attempt open, or that end no attempt.
const (
	AppendNeeded Reason = "append_needed" // mode append: add the code to the password
	HoldOver     Reason = "hold_over"     // the NAS would not wait longer; the attempt stays open
	WrongCode    Reason = "wrong_code"    // an appended code was wrong, tries are left
	CodeUsed     Reason = "code_used"     // the attempt let another request in
	BadState     Reason = "bad_state"     // RADIUS State unknown, foreign or used up; no text tells which
	Probed       Reason = "probed"        // CHAP or MS-CHAP that a NAS tries beside a login by password, or that nobody can check
	Asked        Reason = "asked"         // of an observed login alone: the second factor would have been asked for
	BadMethod    Reason = "bad_method"    // a password that nobody here can check: CHAP, MS-CHAP or EAP before a directory, or none at all
	Shed         Reason = "shed"          // as Unavailable: too many were being decided at once
	Unavailable  Reason = "unavailable"   // directory, store or key: RADIUS stays silent, LDAP says 52
)

// A Factor says what let a login in. Audit names it.
type Factor string

// The factors. Rules that let in without a second factor are a Factor of
// their own: "exempt:<rule>" and the like, never code or approval.
const (
	FactorNone     Factor = ""
	FactorCode     Factor = "code"
	FactorApproval Factor = "approval"
	FactorTOTP     Factor = "totp"     // a code of an authenticator app
	FactorRecovery Factor = "recovery" // a printed code
	FactorHelp     Factor = "help"     // a code of the help desk
)

// typed tells whether that factor is a code that somebody typed.
func (f Factor) typed() bool {
	return f == FactorCode || f == FactorTOTP || f == FactorRecovery || f == FactorHelp
}
