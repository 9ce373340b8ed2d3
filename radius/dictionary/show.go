package dictionary

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	layeh "layeh.com/radius"
	"layeh.com/radius/dictionary"
	"layeh.com/radius/rfc2865"
)

// String is the attribute for people: `Fortinet-Group-Name="vpn"`,
// `Session-Timeout=3600`, and `State=[24 bytes]` where the value is no text or
// protects something.
func (a AVP) String() string {
	known, value := a.known()
	if known == nil {
		return fmt.Sprintf("Attr-%d=[%d bytes]", a.Type, len(value))
	}
	return known.Name + "=" + known.show(value)
}

// known is the attribute and its value, out of Vendor-Specific if it is there.
func (a AVP) known() (*Attribute, []byte) {
	if a.Type != byte(rfc2865.VendorSpecific_Type) {
		return ByNumber(0, a.Type), a.Value
	}
	vendor, inner, err := layeh.VendorSpecific(a.Value)
	if err != nil || len(inner) < 2 || int(inner[1]) != len(inner) {
		return nil, a.Value // several in one, or a form of the vendor's own
	}
	if known := ByNumber(vendor, inner[0]); known != nil {
		return known, inner[2:]
	}
	return &Attribute{Name: fmt.Sprintf("Attr-26.%d.%d", vendor, inner[0]), Vendor: vendor, Hidden: true}, inner[2:]
}

func (a *Attribute) show(value []byte) string {
	tag := ""
	if a.tagged && len(value) > 1 && (a.kind == dictionary.AttributeInteger || value[0] <= lastTag) {
		if value[0] != 0 {
			tag = fmt.Sprintf("%d:", value[0])
		}
		if value = append([]byte(nil), value...); a.kind == dictionary.AttributeInteger {
			value[0] = 0
		} else {
			value = value[1:]
		}
	}
	if shown := a.plain(value); shown != "" {
		return tag + shown
	}
	return fmt.Sprintf("[%d bytes]", len(value))
}

// plain is the value in the form of its type; "": it is not to be shown, or not
// of that type.
func (a *Attribute) plain(value []byte) string {
	secret := a.Hidden || never[number{a.Vendor, a.Type}] == password
	switch {
	case secret:
	case a.kind == dictionary.AttributeInteger && len(value) == 4:
		return a.numberOrName(binary.BigEndian.Uint32(value))
	case a.kind == dictionary.AttributeIPAddr && len(value) == 4, a.kind == dictionary.AttributeIPv6Addr && len(value) == 16:
		addr, _ := netip.AddrFromSlice(value)
		return addr.String()
	case a.kind == dictionary.AttributeString, a.kind == dictionary.AttributeOctets && never[number{a.Vendor, a.Type}] == "" && readable(value):
		return strconv.Quote(string(value))
	}
	return ""
}

func (a *Attribute) numberOrName(n uint32) string {
	for _, name := range a.shown {
		if a.values[strings.ToLower(name)] == n {
			return name
		}
	}
	return strconv.FormatUint(uint64(n), 10)
}

func readable(b []byte) bool {
	return utf8.Valid(b) && !strings.ContainsFunc(string(b), func(r rune) bool { return !unicode.IsPrint(r) })
}
