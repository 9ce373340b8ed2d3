package otp

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"strings"
)

// HelpDigits is the length of a help-desk code: it is good for hours.
const HelpDigits = 8

// NewHelpCode makes a help-desk code.
func NewHelpCode() string {
	raw := make([]byte, sha256.Size)
	rand.Read(raw)
	return code(raw, HelpDigits)
}

// Recovery codes are 64 bits in letters and digits that nobody mixes up: I, L,
// O and U do not occur, and I and L are read as 1, O as 0.
const (
	recoveryBytes   = 8
	recoveryLetters = 13
)

var (
	recoveryAlphabet = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)
	recoveryReader   = strings.NewReplacer(" ", "", "-", "", "I", "1", "L", "1", "O", "0")
)

// NewRecoveryCode makes a recovery code, as ParseRecoveryCode returns it.
func NewRecoveryCode() string {
	raw := make([]byte, recoveryBytes)
	rand.Read(raw)
	return recoveryAlphabet.EncodeToString(raw)
}

// ShowRecoveryCode is a recovery code as it is printed: XXXX-XXXX-XXXXX.
func ShowRecoveryCode(code string) string { return code[:4] + "-" + code[4:8] + "-" + code[8:] }

// ParseRecoveryCode reads a recovery code as somebody typed it, and tells
// whether it has the form of one. Case, spaces and hyphens do not count.
func ParseRecoveryCode(typed string) (code string, ok bool) {
	if len(typed) > 3*recoveryLetters {
		return "", false
	}
	code = recoveryReader.Replace(strings.ToUpper(typed))
	raw, err := recoveryAlphabet.DecodeString(code)
	// The last letter has a bit that no code has set.
	return code, err == nil && len(code) == recoveryLetters && recoveryAlphabet.EncodeToString(raw) == code
}
