package radius

import (
	"crypto/md5"
	"fmt"
	"unicode/utf8"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"

	"vssgate/radius/dictionary"
	"vssgate/radius/wire"
)

// An answer is what goes out for one request.
type answer struct {
	code   layeh.Code
	text   string
	state  []byte
	prompt bool             // tell the NAS to hide what the user types (Prompt = No-Echo)
	passed layeh.Attributes // from an upstream, their hidden values open
	eap    []byte           // the EAP packet; nil: none, or it is in passed
	more   []dictionary.AVP // what the NAS is to know of the user

	// unsigned: no Message-Authenticator. Of accounting no RFC says over which
	// authenticator it is made, and clients differ.
	unsigned bool
}

// maxValue is the longest value of an attribute.
const maxValue = 253

// encode makes the packet that answers the request with that Identifier, or
// Token, and Request Authenticator. Message-Authenticator comes first: behind
// anything that an attacker chooses it could be forged around (CVE-2024-3596);
// RADIUS/1.1 has none.
// Proxy-State comes last, as it came (RFC 2865 section 5.33). A text that does
// not fit into 4096 bytes beside the Proxy-States is left out.
func (a answer) encode(c *client, identifier uint32, authenticator [16]byte, proxyState [][]byte) ([]byte, error) {
	ma := 0 // where Message-Authenticator is; 0: there is none
	p := layeh.Packet{Code: a.code, Identifier: byte(identifier), Authenticator: authenticator, Secret: c.secret}
	p.Attributes = make(layeh.Attributes, 0, 5+len(a.passed)+len(a.more)+len(proxyState))
	switch {
	case c.version == overV11:
		p.Identifier, p.Authenticator = 0, tokenField(identifier)
	case a.unsigned:
	case !c.BareReplies || a.hasEAP(): // EAP-Message must not come without (RFC 3579 section 3.1)
		p.Add(rfc2869.MessageAuthenticator_Type, make(layeh.Attribute, md5.Size))
		ma = headerLen
	}
	for part, rest := split(a.text, maxValue); part != ""; part, rest = split(rest, maxValue) {
		p.Add(rfc2865.ReplyMessage_Type, layeh.Attribute(part))
	}
	switch {
	case c.version == overV11:
		p.Attributes = append(p.Attributes, a.passed...)
	case len(a.passed) > 0:
		p.Attributes = append(p.Attributes, wire.Hide(a.passed, c.secret, authenticator)...)
	}
	if a.state != nil {
		p.Add(rfc2865.State_Type, a.state)
	}
	if a.prompt {
		p.Add(rfc2869.Prompt_Type, layeh.NewInteger(uint32(rfc2869.Prompt_Value_NoEcho)))
	}
	if a.eap != nil {
		p.Attributes = append(p.Attributes, wire.Split(rfc2869.EAPMessage_Type, a.eap)...)
	}
	for _, m := range a.more {
		p.Add(layeh.Type(m.Type), m.Value)
	}
	for _, s := range proxyState {
		p.Add(rfc2865.ProxyState_Type, s)
	}
	b, err := p.MarshalBinary()
	if err != nil && a.text != "" {
		a.text = ""
		return a.encode(c, identifier, authenticator, proxyState)
	}
	if err != nil {
		return nil, fmt.Errorf("encode %v: %w", a.code, err)
	}
	if c.version != overV11 {
		c.key.Respond(b, ma)
	}
	return b, nil
}

func (a *answer) hasEAP() bool {
	return a.eap != nil || a.passed.Get(rfc2869.EAPMessage_Type) != nil
}

// split cuts off the first n bytes of text, or fewer, never inside a character.
func split(text string, n int) (part, rest string) {
	if len(text) <= n {
		return text, ""
	}
	cut := n
	for cut > n-utf8.UTFMax && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut], text[cut:]
}
