package wire

import (
	"crypto/md5"
	"crypto/rand"
	"errors"
	"fmt"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2868"
)

// MaxPassword is how long a User-Password can be (RFC 2865 section 5.2).
const MaxPassword = 128

// HidePassword hides a password as User-Password (RFC 2865 section 5.2): padded
// with NULs to at least one block. The length must be at most MaxPassword.
func HidePassword(password, secret []byte, authenticator [16]byte) []byte {
	n := max((len(password)+md5.Size-1)/md5.Size, 1) * md5.Size
	hidden := make([]byte, n)
	copy(hidden, password)
	cipher(hidden, secret, authenticator[:], true)
	return hidden
}

// RevealPassword undoes HidePassword, padding included: what is a NUL in it is
// for the caller to say. The length must be a multiple of 16.
func RevealPassword(hidden, secret []byte, authenticator [16]byte) []byte {
	typed := append([]byte(nil), hidden...)
	cipher(typed, secret, authenticator[:], false)
	return typed
}

// cipher hides b in place, or reveals it: each block is XORed with MD5 over the
// secret and what was sent before it.
func cipher(b, secret, first []byte, hide bool) {
	h := md5.New()
	var pad, before [md5.Size]byte
	for at := 0; at < len(b); at += md5.Size {
		h.Reset()
		h.Write(secret)
		if at == 0 {
			h.Write(first)
		} else {
			h.Write(before[:])
		}
		h.Sum(pad[:0])
		block := b[at : at+md5.Size]
		if !hide {
			copy(before[:], block)
		}
		for i := range block {
			block[i] ^= pad[i]
		}
		if hide {
			copy(before[:], block)
		}
	}
}

// A hiding is how the value of an attribute is hidden.
type hiding uint8

const (
	notHidden  hiding = iota
	asPassword        // as User-Password (RFC 2865 section 5.2)
	salted            // a salt of two bytes, then length and value (RFC 2868 section 3.5)
	tagged            // the same behind a tag
)

// Vendors whose attributes carry hidden values. All have types and lengths of
// one byte.
const (
	microsoft = 311
	aruba     = 14823
	juniper   = 4874
	lancom    = 2356
	threeGPP2 = 5535
	nokia     = 6527
	nokiaAAA  = 831
	aerohive  = 26928
)

var hiddenOfVendor = map[uint32]map[byte]hiding{
	microsoft: {12: asPassword, 16: salted, 17: salted}, // MS-CHAP-MPPE-Keys, MS-MPPE-Send-Key, -Recv-Key (RFC 2548)
	aruba:     {44: salted},
	juniper:   {58: salted, 59: salted, 60: salted, 61: salted},
	lancom:    {19: tagged, 20: tagged},
	threeGPP2: {58: salted},
	nokia:     {122: salted, 123: salted, 124: salted, 125: salted, 138: salted, 139: salted, 142: salted},
	nokiaAAA:  {116: salted, 117: salted, 118: salted, 119: salted},
	aerohive:  {3: salted},
}

// Open returns the attributes of an answer with their hidden values as they
// are, and a Vendor-Specific that holds several of a vendor's attributes (RFC
// 2865 section 5.26) as several. RADIUS/1.1 sends them like this (RFC 9765
// section 5.1). The error: a value was not hidden under this secret.
func Open(list layeh.Attributes, secret []byte, authenticator [16]byte) (layeh.Attributes, error) {
	open := make(layeh.Attributes, 0, len(list))
	for _, a := range separate(list) {
		kind, at := hidingOf(a)
		if kind != notHidden {
			value, err := reveal(kind, a.Attribute[at:], secret, authenticator)
			if err != nil {
				return nil, fmt.Errorf("attribute %d: %w", a.Type, err)
			}
			a = &layeh.AVP{Type: a.Type, Attribute: append(append(layeh.Attribute(nil), a.Attribute[:at]...), value...)}
			fit(a, at)
		}
		open = append(open, a)
	}
	return open, nil
}

// Hide undoes Open for another secret and request, with salts of its own.
func Hide(list layeh.Attributes, secret []byte, authenticator [16]byte) layeh.Attributes {
	hidden := make(layeh.Attributes, 0, len(list))
	salt := newSalts()
	for _, a := range list {
		if kind, at := hidingOf(a); kind != notHidden {
			value := hide(kind, a.Attribute[at:], secret, authenticator, salt)
			a = &layeh.AVP{Type: a.Type, Attribute: append(append(layeh.Attribute(nil), a.Attribute[:at]...), value...)}
			fit(a, at)
		}
		hidden = append(hidden, a)
	}
	return hidden
}

// hidingOf says how a's value is hidden, and where in a.Attribute that begins.
func hidingOf(a *layeh.AVP) (kind hiding, at int) {
	switch a.Type {
	case rfc2868.TunnelPassword_Type:
		return tagged, 0
	case rfc2865.VendorSpecific_Type:
		vendor, value, err := layeh.VendorSpecific(a.Attribute)
		if err == nil && len(value) >= 2 {
			return hiddenOfVendor[vendor][value[0]], vendorHeader
		}
	}
	return notHidden, 0
}

// vendorHeader is what comes before the value of a vendor's attribute: its
// number (4 bytes), type and length.
const vendorHeader = 6

// fit corrects a vendor's length byte after the value has changed.
func fit(a *layeh.AVP, at int) {
	if at == vendorHeader {
		a.Attribute[vendorHeader-1] = byte(len(a.Attribute) - 4)
	}
}

// separate splits what holds several attributes of a vendor that hides some.
func separate(list layeh.Attributes) layeh.Attributes {
	var all layeh.Attributes
	for _, a := range list {
		all = append(all, separated(a)...)
	}
	return all
}

func separated(a *layeh.AVP) (all layeh.Attributes) {
	if a.Type != rfc2865.VendorSpecific_Type {
		return layeh.Attributes{a}
	}
	vendor, value, err := layeh.VendorSpecific(a.Attribute)
	if err != nil || hiddenOfVendor[vendor] == nil {
		return layeh.Attributes{a}
	}
	for rest := value; len(rest) > 0; {
		if len(rest) < 2 || rest[1] < 2 || int(rest[1]) > len(rest) {
			return layeh.Attributes{a}
		}
		one := append(append(layeh.Attribute(nil), a.Attribute[:4]...), rest[:rest[1]]...)
		all = append(all, &layeh.AVP{Type: a.Type, Attribute: one})
		rest = rest[rest[1]:]
	}
	return all
}

var errHidden = errors.New("its hidden value does not open: is the shared secret the same on both sides?")

func reveal(kind hiding, value, secret []byte, authenticator [16]byte) ([]byte, error) {
	var tag []byte
	switch {
	case kind == asPassword && len(value) > 0 && len(value)%md5.Size == 0:
		return RevealPassword(value, secret, authenticator), nil
	case kind == asPassword:
		return nil, errHidden
	case kind == tagged && len(value) > 0:
		tag, value = value[:1:1], value[1:]
	}
	if len(value) < 2+md5.Size || (len(value)-2)%md5.Size != 0 {
		return nil, errHidden
	}
	plain := append([]byte(nil), value[2:]...)
	cipher(plain, secret, append(authenticator[:], value[:2]...), false)
	if n := int(plain[0]); n < len(plain) {
		return append(tag, plain[1:1+n]...), nil
	}
	return nil, errHidden
}

func hide(kind hiding, value, secret []byte, authenticator [16]byte, salt func() [2]byte) []byte {
	var tag []byte
	switch {
	case kind == asPassword:
		return HidePassword(value, secret, authenticator)
	case kind == tagged && len(value) > 0:
		tag, value = value[:1:1], value[1:]
	}
	n := (1 + len(value) + md5.Size - 1) / md5.Size * md5.Size
	block := make([]byte, n)
	block[0] = byte(len(value))
	copy(block[1:], value)
	s := salt()
	cipher(block, secret, append(authenticator[:], s[:]...), true)
	return append(append(tag, s[:]...), block...)
}

// newSalts makes salts for one packet: each with its first bit set, no two
// alike (RFC 2868 section 3.5).
func newSalts() func() [2]byte {
	var s [2]byte
	rand.Read(s[:])
	n := uint16(s[0])<<8 | uint16(s[1])
	return func() [2]byte {
		n++
		return [2]byte{byte(n>>8) | 0x80, byte(n)}
	}
}
