package radius

import (
	"fmt"
	"strings"
	"time"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2869"

	"vssgate/radius/dictionary"
)

// A Traced is a packet that an Asker sent or received, for people to read. It
// holds no password.
type Traced struct {
	At         time.Time
	Sent       bool // else received
	Try        int  // 1 is the first
	Code       Code
	Identifier uint32   // or Token
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
	t := Traced{At: time.Now(), Sent: sent, Try: try, Code: p.Code, Identifier: uint32(p.Identifier)}
	if a.client.version == overV11 {
		t.Identifier = token(b)
	}
	for _, attribute := range p.Attributes {
		t.Attributes = append(t.Attributes, describe(attribute))
	}
	a.Trace(t)
}

// describe names an attribute and shows its value, unless that protects
// something.
func describe(a *layeh.AVP) string {
	if a.Type == rfc2869.MessageAuthenticator_Type {
		return "Message-Authenticator"
	}
	return dictionary.AVP{Type: byte(a.Type), Value: a.Attribute}.String()
}
