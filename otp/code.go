package otp

import (
	"crypto/subtle"
	"encoding/binary"
)

// MinDigits and MaxDigits bound the length of a code.
const (
	MinDigits = 6
	MaxDigits = 8
)

// Code is the code of the login with that id: `digits` decimal digits, leading
// zeros kept. The truncation is that of RFC 4226 section 5.3, taken over eight
// bytes instead of four, so that no code is noticeably likelier than another.
func (k *Keys) Code(id []byte, digits int) string {
	return code(k.sub[0][PurposeCode].mac([][]byte{id}), digits)
}

// VerifyCode tells whether typed is the code of the login with that id, under
// any of the keys. The time it takes depends on nothing but the lengths.
func (k *Keys) VerifyCode(id []byte, digits int, typed string) bool {
	right := 0
	for i := range k.sub {
		want := code(k.sub[i][PurposeCode].mac([][]byte{id}), digits)
		right |= subtle.ConstantTimeCompare([]byte(want), []byte(typed))
	}
	return right == 1
}

func code(mac []byte, digits int) string {
	offset := mac[len(mac)-1] & 0x0f
	n := binary.BigEndian.Uint64(mac[offset:offset+8]) & (1<<63 - 1)
	out := make([]byte, digits)
	for i := digits - 1; i >= 0; i-- {
		out[i] = '0' + byte(n%10)
		n /= 10
	}
	return string(out)
}

// IsCode tells whether s has the form of a code: exactly `digits` ASCII digits.
func IsCode(s []byte, digits int) bool {
	if len(s) != digits {
		return false
	}
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
