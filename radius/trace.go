package radius

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"
	"layeh.com/radius/rfc3162"
)

// A Traced is a packet that an Asker sent or received, for people to read. It
// holds no password.
type Traced struct {
	At         time.Time
	Sent       bool // else received
	Try        int  // 1 is the first
	Code       Code
	Identifier byte
	Attributes []string // `User-Name="an.nv"`, in the packet's order
}

// String is the packet on one line:
//
//	-> Access-Request 7 Message-Authenticator User-Name="an.nv" User-Password=[16 bytes]
func (t Traced) String() string {
	arrow := "<-"
	if t.Sent {
		arrow = "->"
	}
	line := fmt.Sprintf("%s %v %d %s", arrow, t.Code, t.Identifier, strings.Join(t.Attributes, " "))
	if t.Sent && t.Try > 1 {
		line += fmt.Sprintf(" (try %d)", t.Try)
	}
	return strings.TrimRight(line, " ")
}

func (a *Asker) trace(b []byte, sent bool, try int) {
	if a.Trace == nil || sent && try > a.tries() {
		return
	}
	p, err := layeh.Parse(b, a.client.secret)
	if err != nil {
		return // cannot be: we made it, or found it in order
	}
	t := Traced{At: time.Now(), Sent: sent, Try: try, Code: p.Code, Identifier: p.Identifier}
	for _, attribute := range p.Attributes {
		t.Attributes = append(t.Attributes, describe(attribute))
	}
	a.Trace(t)
}

// describe names an attribute and shows its value, unless that protects
// something.
func describe(a *layeh.AVP) string {
	switch a.Type {
	case rfc2869.MessageAuthenticator_Type:
		return "Message-Authenticator"
	case rfc2865.UserName_Type:
		return fmt.Sprintf("User-Name=%q", a.Attribute)
	case rfc2865.UserPassword_Type:
		return fmt.Sprintf("User-Password=[%d bytes]", len(a.Attribute))
	case rfc2865.State_Type:
		return fmt.Sprintf("State=[%d bytes]", len(a.Attribute))
	case rfc2865.ReplyMessage_Type:
		return fmt.Sprintf("Reply-Message=%q", a.Attribute)
	case rfc2865.NASIdentifier_Type:
		return fmt.Sprintf("NAS-Identifier=%q", a.Attribute)
	case rfc2865.CallingStationID_Type:
		return fmt.Sprintf("Calling-Station-Id=%q", a.Attribute)
	case rfc2865.NASIPAddress_Type, rfc3162.NASIPv6Address_Type:
		addr, _ := netip.AddrFromSlice(a.Attribute)
		return "NAS-Address=" + addr.String()
	case rfc2869.Prompt_Type:
		value, _ := layeh.Integer(a.Attribute)
		return fmt.Sprintf("Prompt=%v", rfc2869.Prompt(value))
	case rfc2865.ProxyState_Type:
		return fmt.Sprintf("Proxy-State=[%d bytes]", len(a.Attribute))
	}
	return fmt.Sprintf("attribute-%d=[%d bytes]", a.Type, len(a.Attribute))
}
