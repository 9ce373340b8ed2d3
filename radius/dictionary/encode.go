package dictionary

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	layeh "layeh.com/radius"
	"layeh.com/radius/dictionary"
	"layeh.com/radius/rfc2865"
)

// An AVP is an attribute as it is sent; a vendor's is within Vendor-Specific.
type AVP struct {
	Type  byte
	Value []byte // at most 253 bytes
}

// Size is how many bytes of a packet it takes.
func (a AVP) Size() int { return 2 + len(a.Value) }

// A Field is an attribute that a reply may have, with its tag.
type Field struct {
	*Attribute
	tag byte // 0: none
}

// IsNumber tells whether its values are numbers, or names of numbers.
func (a *Attribute) IsNumber() bool { return a.kind == dictionary.AttributeInteger }

// ErrUnknown is Reply's for a name that nobody knows.
var ErrUnknown = errors.New("is unknown")

// Reply finds the attribute that a configuration wants to be sent, by name,
// `NAME:TAG` where it has tags. Errors say why it cannot be, without the name.
func Reply(name string) (Field, error) {
	plain, digits, tagged := strings.Cut(name, ":")
	a := Lookup(plain)
	if a == nil {
		return Field{}, ErrUnknown
	}
	if why := a.refused(); why != "" {
		return Field{}, fmt.Errorf("cannot be given: %s", why)
	}
	if !tagged {
		return Field{Attribute: a}, nil
	}
	tag, err := strconv.ParseUint(digits, 10, 8)
	if !a.tagged || err != nil || tag < 1 || tag > lastTag {
		return Field{}, errors.New("has a tag that it cannot have; only Tunnel attributes have one, of 1 to 31")
	}
	return Field{a, byte(tag)}, nil
}

const lastTag = 31 // RFC 2868 section 3.1: beyond, the byte is the text's first

// Longest values, in bytes (RFC 2865 sections 5 and 5.26).
const (
	longest       = 253
	vendorsHeader = 6
)

// Encode makes of a text from a configuration what is sent. Errors say what
// was wanted, and do not repeat the text.
func (f Field) Encode(text string) (AVP, error) {
	value, err := f.value(text)
	if err != nil {
		return AVP{}, err
	}
	if f.tagged {
		value = f.withTag(value)
	}
	most := longest
	if f.Vendor != 0 {
		most -= vendorsHeader
	}
	if len(value) > most {
		return AVP{}, fmt.Errorf("%d bytes; at most %d fit into this attribute", len(value), most)
	}
	if f.Vendor == 0 {
		return AVP{f.Type, value}, nil
	}
	inner := append([]byte{f.Type, byte(2 + len(value))}, value...)
	wrapped, err := layeh.NewVendorSpecific(f.Vendor, inner)
	return AVP{byte(rfc2865.VendorSpecific_Type), wrapped}, err
}

// withTag puts the tag where it belongs: into the first of an integer's four
// bytes, or before a text, which needs none where there is no tag.
func (f Field) withTag(value []byte) []byte {
	switch {
	case f.kind == dictionary.AttributeInteger:
		value[0] = f.tag
		return value
	case f.tag == 0:
		return value
	}
	return append([]byte{f.tag}, value...)
}

func (f Field) value(text string) ([]byte, error) {
	switch f.kind {
	case dictionary.AttributeInteger:
		return f.integer(text)
	case dictionary.AttributeIPAddr:
		return address(text, netip.Addr.Is4, "want an IPv4 address, like 192.0.2.1")
	case dictionary.AttributeIPv6Addr:
		return address(text, netip.Addr.Is6, `want an IPv6 address, like "2001:db8::1"`)
	case dictionary.AttributeIPv6Prefix:
		return prefix(text)
	case dictionary.AttributeOctets:
		return f.octets(text)
	}
	return plain(text)
}

func (f Field) integer(text string) ([]byte, error) {
	n, named := f.values[strings.ToLower(text)]
	if !named {
		number, err := strconv.ParseUint(text, 10, 32)
		if err != nil && len(f.shown) > 0 {
			return nil, fmt.Errorf("want %s, or a number", strings.Join(f.shown, ", "))
		}
		if err != nil {
			return nil, errors.New("want a whole number of 0 to 4294967295")
		}
		n = uint32(number)
	}
	if f.tagged && n >= 1<<24 {
		return nil, errors.New("want a whole number of 0 to 16777215: the first byte is the tag's")
	}
	return binary.BigEndian.AppendUint32(nil, n), nil
}

func address(text string, is func(netip.Addr) bool, want string) ([]byte, error) {
	a, err := netip.ParseAddr(text)
	if err != nil || !is(a) || a.Zone() != "" {
		return nil, errors.New(want)
	}
	return a.AsSlice(), nil
}

// prefix is RFC 3162 section 2.3: what is beyond its length must be zero.
func prefix(text string) ([]byte, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil || !p.Addr().Is6() || p != p.Masked() {
		return nil, errors.New(`want an IPv6 network, like "2001:db8:1::/64"`)
	}
	return layeh.NewIPv6Prefix(&net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 128)})
}

// octets are bytes in hexadecimal behind 0x, or a text as it is.
func (f Field) octets(text string) ([]byte, error) {
	value := []byte(text)
	if digits, ok := strings.CutPrefix(text, "0x"); ok {
		b, err := hex.DecodeString(digits)
		if err != nil {
			return nil, errors.New("want pairs of hexadecimal digits behind 0x")
		}
		value = b
	}
	switch {
	case f.size != 0 && len(value) != f.size:
		return nil, fmt.Errorf("%d bytes; want %d, in hexadecimal behind 0x", len(value), f.size)
	case len(value) == 0:
		return nil, errEmpty
	}
	return value, nil
}

var errEmpty = errors.New("want a value, or take it out")

func plain(text string) ([]byte, error) {
	switch {
	case text == "":
		return nil, errEmpty
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		return nil, errors.New("want text in UTF-8, without NUL")
	}
	return []byte(text), nil
}
