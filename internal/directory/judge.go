package directory

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"vssgate/internal/login"
)

// Judge turns a directory's answer to a bind into what it says of the
// password: the result code, the diagnosticMessage, and the value of the
// password policy's response control (nil: there was none). An error: the
// answer is no judgement, and nobody knows whether the password is right.
//
// Some refusals come before the password is looked at, so a refusal is a wrong
// password unless the directory says otherwise in a way that only whoever has
// the right password gets to see.
func Judge(code uint64, text string, policy []byte) (login.Checked, error) {
	switch code {
	case ldap.LDAPResultSuccess:
		return login.Checked{First: login.FirstRight}, nil
	case ldap.LDAPResultInvalidCredentials,
		ldap.LDAPResultInappropriateAuthentication, // the entry has no password
		ldap.LDAPResultUnwillingToPerform,          // inactive, in some directories
		ldap.LDAPResultConstraintViolation,         // too many tries, in some directories
		ldap.LDAPResultInsufficientAccessRights,
		ldap.LDAPResultNoSuchObject,
		ldap.LDAPResultInvalidDNSyntax:
		reason, detail := refusalOf(code, text, policy)
		return login.Checked{First: login.FirstWrong, Reason: reason, Detail: detail}, nil
	}
	return login.Checked{}, fmt.Errorf("the directory answered a bind with result %d", code)
}

// A refusal of a directory in its own words.
type refusalKind struct {
	reason login.Reason
	detail string // for the log
}

// subCodes are Active Directory's, in hexadecimal behind `data` in a
// diagnosticMessage ("80090308: LdapErr: DSID-0C090439, comment:
// AcceptSecurityContext error, data 52e, v4563"): Windows error codes. All but
// 525, 52e and 775 are given only when the password is right.
var subCodes = map[string]refusalKind{
	"525": {login.BadPassword, "no such user"},
	"52e": {login.BadPassword, "wrong password"},
	"530": {login.NotAllowed, "not permitted to log on at this time"},
	"531": {login.NotAllowed, "not permitted to log on at this workstation"},
	"532": {login.PasswordExpired, "password expired"},
	"533": {login.AccountDisabled, "account disabled"},
	"701": {login.AccountDisabled, "account expired"},
	"773": {login.PasswordExpired, "password must be changed"},
	"775": {login.AccountLocked, "account locked"},
}

var subCode = regexp.MustCompile(`\bdata ([0-9A-Fa-f]{1,8})\b`)

// policyErrors are those of draft-behera-ldap-password-policy-10, section 6.2.
// OpenLDAP looks at a password's age after the password itself, at a lock
// before.
var policyErrors = map[byte]refusalKind{
	0: {login.PasswordExpired, "password expired"},
	1: {login.AccountLocked, "account locked"},
	2: {login.PasswordExpired, "password must be changed"},
}

func refusalOf(code uint64, text string, policy []byte) (login.Reason, string) {
	if code != ldap.LDAPResultInvalidCredentials {
		return login.BadPassword, fmt.Sprintf("result %d", code)
	}
	if found := subCode.FindStringSubmatch(text); found != nil {
		data := strings.ToLower(found[1])
		if r, known := subCodes[data]; known {
			return r.reason, "data " + data + ", " + r.detail
		}
		return login.BadPassword, "data " + data
	}
	if n, ok := policyError(policy); ok {
		if r, known := policyErrors[n]; known {
			return r.reason, "password policy: " + r.detail
		}
	}
	return login.BadPassword, ""
}

// policyError reads PasswordPolicyResponseValue ::= SEQUENCE { warning [0]
// CHOICE OPTIONAL, error [1] ENUMERATED OPTIONAL }, each element shorter than
// 128 bytes.
func policyError(value []byte) (n byte, ok bool) {
	if len(value) < 2 || value[0] != 0x30 || int(value[1]) != len(value)-2 {
		return 0, false
	}
	for rest := value[2:]; len(rest) >= 2 && rest[1] < 0x80 && int(rest[1]) <= len(rest)-2; rest = rest[2+int(rest[1]):] {
		if rest[0] == 0x81 && rest[1] == 1 {
			return rest[2], true
		}
	}
	return 0, false
}
