package radius

import (
	"bytes"
	"encoding/binary"
	"unicode"
	"unicode/utf8"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"

	"vssgate/radius/wire"
)

const (
	headerLen     = wire.HeaderLen
	maxAttributes = 200 // in one packet; each costs work and memory
)

// A packet is a request whose frame and Message-Authenticator are in order.
// Never print one: it holds the shared secret and what it protects.
type packet struct {
	*layeh.Packet
	id        uint32  // Identifier, or the Token of RADIUS/1.1
	client    *client // with the secret that the packet was made with
	counts    counts
	authentic bool // carried a valid Message-Authenticator, or is RADIUS/1.1
}

// counts tells how often each attribute type is there.
type counts [256]uint8

func (c *counts) of(t layeh.Type) int { return int(c[byte(t)]) }

// codes say which requests a socket takes: logins, accounting, or both.
// Status-Server is taken everywhere.
type codes uint8

const (
	takesLogins codes = 1 << iota
	takesAccounting
)

// refuses says why a packet with that code is not for this socket. Requests
// only: an answer to an answer could go on for ever.
func (t codes) refuses(c layeh.Code) Drop {
	switch {
	case c == layeh.CodeStatusServer, c == layeh.CodeAccessRequest && t&takesLogins != 0, c == layeh.CodeAccountingRequest && t&takesAccounting != 0:
		return ""
	case c == layeh.CodeAccountingRequest:
		return AccountingHere
	case c == layeh.CodeAccessRequest:
		return LoginHere
	}
	return BadCode
}

// open reads one packet from c. Nothing in it is believed before its
// authenticators are found right, as far as there are any. The answer is to be
// made with the secret of the packet's client.
func open(b []byte, c *client, takes codes) (p packet, drop Drop) {
	b, drop = frame(b)
	if drop != "" {
		return p, drop
	}
	if drop = takes.refuses(layeh.Code(b[0])); drop != "" {
		return p, drop
	}
	ma, drop := walk(b, &p.counts)
	if drop != "" {
		return p, drop
	}
	if drop = p.authenticate(b, ma, c); drop != "" {
		return p, drop
	}
	if drop = p.contradicts(layeh.Code(b[0])); drop != "" {
		return p, drop
	}
	p.Packet = unpack(b)
	p.id = uint32(p.Identifier)
	if c.version == overV11 {
		p.id, p.Authenticator = token(b), mark(b)
	}
	if !p.authentic && c.previous != nil && p.Code != layeh.CodeAccountingRequest {
		p.client, drop = c.madeWith(p.readsWith, "") // neither: nobody is asked, see password
	}
	p.Secret = p.client.secret
	return p, drop
}

// readsWith tells whether the password is text under c's secret; so is one that
// is not there, or that no secret makes right.
func (p *packet) readsWith(c *client) bool {
	hidden, given := p.Lookup(rfc2865.UserPassword_Type)
	if !given || !hideable(hidden) {
		return true
	}
	typed := bytes.TrimRight(wire.RevealPassword(hidden, c.secret, p.Authenticator), "\x00")
	return utf8.Valid(typed) && bytes.IndexFunc(typed, unicode.IsControl) < 0
}

// authenticate finds with whose secret b was made, a packet from c with its last
// Message-Authenticator at ma: by that, and by the Request Authenticator of an
// Accounting-Request. Of an Access-Request without either nothing is known yet.
func (p *packet) authenticate(b []byte, ma int, c *client) (drop Drop) {
	p.client, p.authentic = c, c.version == overV11
	if p.authentic {
		return ""
	}
	signed := func(k *client) bool { return k.key.Authentic(b, b[4:headerLen], ma) }
	if layeh.Code(b[0]) == layeh.CodeAccountingRequest {
		signed = func(k *client) bool { return k.key.AccountedToo(b, ma) }
		if p.client, drop = c.madeWith(func(k *client) bool { return k.key.Accounted(b) }, BadRequestAuthenticator); drop != "" {
			return drop
		}
	}
	switch p.counts.of(rfc2869.MessageAuthenticator_Type) {
	case 0:
		return ""
	case 1:
		p.client, drop = c.madeWith(signed, BadAuthenticator)
		p.authentic = drop == ""
		return drop
	}
	return BadAuthenticator
}

// frame cuts b to the packet's Length: what comes after it is padding and is
// ignored (RFC 2865 section 3).
func frame(b []byte) ([]byte, Drop) {
	if len(b) < headerLen || len(b) > layeh.MaxPacketLength {
		return nil, BadLength
	}
	length := int(binary.BigEndian.Uint16(b[2:4]))
	if length < headerLen || length > len(b) {
		return nil, BadLength
	}
	return b[:length], ""
}

// walk counts the attributes of a framed packet and finds the last
// Message-Authenticator's offset.
func walk(b []byte, n *counts) (ma int, drop Drop) {
	total := 0
	for at := headerLen; at < len(b); {
		if len(b)-at < 2 {
			return 0, BadAttributes
		}
		kind, length := b[at], int(b[at+1])
		total++
		if kind == 0 || length < 2 || length > len(b)-at || total > maxAttributes {
			return 0, BadAttributes
		}
		n[kind]++
		if layeh.Type(kind) == rfc2869.MessageAuthenticator_Type {
			ma = at
		}
		at += length
	}
	return ma, ""
}

// unpack reads a packet that walk has found in order. It is the library's Parse
// without an allocation or two for each attribute: their values share one.
func unpack(b []byte) *layeh.Packet {
	p := &layeh.Packet{Code: layeh.Code(b[0]), Identifier: b[1], Authenticator: [16]byte(b[4:headerLen])}
	rest, n := bytes.Clone(b[headerLen:]), 0
	for at := 0; at < len(rest); at += int(rest[at+1]) {
		n++
	}
	if n == 0 {
		return p
	}
	all := make([]layeh.AVP, n)
	p.Attributes = make(layeh.Attributes, n)
	for i := range all {
		length := int(rest[1])
		all[i].Type = layeh.Type(rest[0])
		if length > 2 {
			all[i].Attribute = layeh.Attribute(rest[2:length:length])
		}
		p.Attributes[i], rest = &all[i], rest[length:]
	}
	return p
}

// once lists what the server acts on and may come once (RFC 2865 section
// 5.44): neither "the first wins" nor "the last wins".
var once = []layeh.Type{
	rfc2865.UserName_Type, rfc2865.UserPassword_Type, rfc2865.CHAPPassword_Type, rfc2865.State_Type,
}

// contradicts finds what a request must not have, or must not have together.
func (p *packet) contradicts(code layeh.Code) Drop {
	eap := p.counts.of(rfc2869.EAPMessage_Type) > 0
	if code != layeh.CodeAccountingRequest && !p.authentic && (code == layeh.CodeStatusServer || eap) {
		return NoAuthenticator
	}
	for _, t := range once {
		if p.counts.of(t) > 1 {
			return RepeatedAttribute
		}
	}
	if p.counts.of(rfc2865.UserPassword_Type) > 0 && (eap || p.counts.of(rfc2865.CHAPPassword_Type) > 0) {
		return TwoPasswords
	}
	return ""
}
