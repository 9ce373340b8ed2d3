package upstream

import (
	"fmt"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"
	"layeh.com/radius/rfc4072"

	"vssgate/radius/dictionary"
)

// A pass says which attributes of an upstream go on to the NAS.
type pass struct {
	all   bool
	named map[number]bool
}

// A number is an attribute, of a vendor (0: none).
type number struct {
	vendor uint32
	kind   byte
}

// newPass reads pass_attributes.
func newPass(names []string) (pass, error) {
	p := pass{named: map[number]bool{}}
	for _, name := range names {
		if name == All {
			p.all = true
			continue
		}
		at := dictionary.Lookup(name)
		if at == nil {
			return p, fmt.Errorf("there is no attribute %q", name)
		}
		p.named[number{at.Vendor, at.Type}] = true
	}
	return p, nil
}

const microsoft = 311

// needed are the attributes without which the NAS cannot do with the answer
// what it asked for: EAP and its keys, MS-CHAP and its keys (RFC 2548).
var needed = map[number]bool{
	{0, byte(rfc2869.EAPMessage_Type)}: true,
	{0, byte(rfc4072.EAPKeyName_Type)}: true,
	{microsoft, 2}:                     true, // MS-CHAP-Error
	{microsoft, 7}:                     true, // MS-MPPE-Encryption-Policy
	{microsoft, 8}:                     true, // MS-MPPE-Encryption-Types
	{microsoft, 12}:                    true, // MS-CHAP-MPPE-Keys
	{microsoft, 16}:                    true, // MS-MPPE-Send-Key
	{microsoft, 17}:                    true, // MS-MPPE-Recv-Key
	{microsoft, 26}:                    true, // MS-CHAP2-Success
}

// accept is what goes on of an Access-Accept.
func (p pass) accept(list layeh.Attributes) layeh.Attributes {
	return chosen(list, func(n number) bool { return p.all || p.named[n] || needed[n] })
}

// reject is what goes on of an Access-Reject.
func (p pass) reject(list layeh.Attributes) layeh.Attributes { return p.accept(list) }

// challenge is what goes on of an Access-Challenge: the whole round.
func (p pass) challenge(list layeh.Attributes) layeh.Attributes {
	return chosen(list, func(number) bool { return true })
}

// chosen are those of list that may go on and are for the NAS: not what is
// between the upstream and us.
func chosen(list layeh.Attributes, may func(number) bool) (out layeh.Attributes) {
	for _, a := range list {
		switch a.Type {
		case rfc2869.MessageAuthenticator_Type, rfc2865.ProxyState_Type, rfc2865.State_Type:
			continue
		}
		if may(numberOf(a)) {
			out = append(out, a)
		}
	}
	return out
}

func numberOf(a *layeh.AVP) number {
	if a.Type == rfc2865.VendorSpecific_Type {
		if vendor, value, err := layeh.VendorSpecific(a.Attribute); err == nil && len(value) > 0 {
			return number{vendor, value[0]}
		}
	}
	return number{0, byte(a.Type)}
}
