package radius

import (
	"bytes"
	"strings"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"
)

// aclDownload begins the User-Name of a Cisco device that asks for an access
// list it was told the name of.
var aclDownload = []byte("#ACSACL#")

// noLogin says why a request is no person's: "" if it may be. typed is the
// password, nil if none came that can be read.
//
// A device authenticates by its MAC address when that is its name, and its
// password too, or when the NAS says so (Call-Check, RFC 2865 section 5.6), or
// when there is no password that could be somebody's.
func (p *packet) noLogin(typed []byte) string {
	name := p.Get(rfc2865.UserName_Type)
	if bytes.HasPrefix(name, aclDownload) {
		return rejectedACL
	}
	mac, ok := hardware(name)
	station, there := hardware(p.Get(rfc2865.CallingStationID_Type))
	if !ok || !there || mac != station {
		return ""
	}
	service, err := layeh.Integer(p.Get(rfc2865.ServiceType_Type))
	callCheck := err == nil && rfc2865.ServiceType(service) == rfc2865.ServiceType_Value_CallCheck
	if same, ok := hardware(typed); callCheck || len(typed) == 0 || ok && same == mac {
		return rejectedMAC
	}
	return ""
}

// hardware is the MAC address that s is, in one of its usual forms.
func hardware(s []byte) (mac [6]byte, ok bool) {
	group := macGroups[len(s)]
	if group == 0 {
		return mac, false
	}
	digits := 0
	for i, c := range s {
		if i%(group+1) == group {
			if !strings.ContainsRune(":-. ", rune(c)) {
				return mac, false
			}
			continue
		}
		value := strings.IndexByte("0123456789abcdef", c|0x20)
		if value < 0 {
			return mac, false
		}
		mac[digits/2] = mac[digits/2]<<4 | byte(value)
		digits++
	}
	return mac, true
}

// macGroups tells by a text's length how many digits it has between signs.
var macGroups = map[int]int{len("001122334455"): 12, len("001122-334455"): 6, len("0011.2233.4455"): 4, len("00:11:22:33:44:55"): 2}
