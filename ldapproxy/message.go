package ldapproxy

import (
	"bytes"
	"net"
	"strings"

	ber "github.com/nmcclain/asn1-ber"
	"github.com/nmcclain/ldap"
)

// Names of what is looked for in messages.
const (
	oidStartTLS              = "1.3.6.1.4.1.1466.20037"    // RFC 4511 section 4.14
	oidNoticeOfDisconnection = "1.3.6.1.4.1.1466.20036"    // RFC 4511 section 4.4.1
	oidPasswordModify        = "1.3.6.1.4.1.4203.1.11.1"   // RFC 3062
	oidProxiedAuthorization  = "2.16.840.1.113730.3.4.18"  // RFC 4370
	oidProxiedAuthorization1 = "2.16.840.1.113730.3.4.12"  // its draft, which some directories still know
	oidFastBind              = "1.2.840.113556.1.4.1781"   // Active Directory: binds that only test passwords
	oidPasswordPolicy        = "1.3.6.1.4.1.42.2.27.8.5.1" // draft-behera-ldap-password-policy-10
	oidVerifyCredentials     = "1.3.6.1.4.1.4203.666.6.5"  // OpenLDAP: tests a password without a bind
	resultAuthzDenied        = ldap.LDAPResultCode(123)    // RFC 4370 section 4; the package lacks it
	authSimple               = 0x80 | ldap.LDAPBindAuthSimple
	authSASL                 = 0x80 | constructed | ldap.LDAPBindAuthSASL
	authSicilyFirst          = 0x89 // Active Directory's: package discovery, negotiate, response
	authSicilyLast           = 0x8b
	extendedName             = 10 // [10] responseName of an ExtendedResponse
)

// bindRequest is a BindRequest as decoded: simple, version 3.
type bindRequest struct {
	id       int32
	name     string
	password string
	controls []byte // contents of the controls element, or nil

	// ownPolicy: we ask for the password policy's word, the client does not.
	ownPolicy bool
}

// refusedBind is a bind that is answered without asking anybody.
type refusedBind struct {
	code ldap.LDAPResultCode
	text string
}

// decodeBind reads a guarded frame with a BindRequest. The name and password
// that it returns are those that the LDAP package's own bind handler hands to a
// Binder; secure tells whether the client's connection is encrypted or need not
// be. An error: the frame is no BindRequest that RFC 4511 section 4.2 knows.
func decodeBind(h header, frame []byte, secure bool, conn net.Conn) (bindRequest, *refusedBind, error) {
	contents, controls := operation(h, frame)
	version, name, auth, credentials, err := bindShape(contents)
	switch {
	case err != nil:
		return bindRequest{}, nil, err
	case version != 3:
		return bindRequest{}, &refusedBind{ldap.LDAPResultProtocolError, "only LDAP version 3 is spoken here"}, nil
	case auth == authSASL || auth >= authSicilyFirst && auth <= authSicilyLast:
		return bindRequest{}, &refusedBind{ldap.LDAPResultAuthMethodNotSupported, "only simple binds are accepted here"}, nil
	case auth != authSimple:
		return bindRequest{}, nil, errMalformed
	}
	j := judge{secure: secure}
	op := &ber.Packet{Children: []*ber.Packet{ // what the package would decode, read already
		{Tag: ber.TagInteger, Value: uint64(version)}, {Tag: ber.TagOctetString, Value: string(name)}, {Tag: ldap.LDAPBindAuthSimple, Data: bytes.NewBuffer(credentials)}}}
	code := ldap.HandleBindRequest(op, map[string]ldap.Binder{"": &j}, conn)
	switch {
	case code != ldap.LDAPResultSuccess:
		return bindRequest{name: j.name}, &refusedBind{code, j.text}, nil
	case !j.asked: // the package must not have an answer of its own
		return bindRequest{}, nil, errMalformed
	}
	return bindRequest{id: h.id, name: j.name, password: j.password, controls: bytes.Clone(controls)}, nil, nil
}

func elementSize(b []byte) int {
	_, head, body, _ := element(b)
	return head + body
}

// bindShape splits a BindRequest into the three elements it must have, in their
// only encoding: version, name, and the authentication choice with its identifier
// octet, of which the LDAP package looks at the tag's number only.
func bindShape(b []byte) (version int, name []byte, auth byte, credentials []byte, err error) {
	tag, v, b, err := next(b)
	if err != nil || tag != tagInteger || len(v) != 1 {
		return 0, nil, 0, nil, errMalformed
	}
	tag, name, b, err = next(b)
	if err != nil || tag != tagOctets {
		return 0, nil, 0, nil, errMalformed
	}
	auth, credentials, b, err = next(b)
	if err != nil || len(b) != 0 {
		return 0, nil, 0, nil, errMalformed
	}
	return int(v[0]), name, auth, credentials, nil
}

// judge is the Binder: it tells which simple binds may be asked about at all.
type judge struct {
	secure         bool
	asked          bool
	name, password string
	text           string
}

// Bind says success for a bind that nothing stands against yet.
func (j *judge) Bind(name, password string, _ net.Conn) (ldap.LDAPResultCode, error) {
	j.asked, j.name, j.password = true, name, password
	switch {
	case !j.secure && password != "":
		j.text = "passwords are accepted on encrypted connections only"
		return ldap.LDAPResultConfidentialityRequired, nil
	case name == "" && password == "":
		return ldap.LDAPResultSuccess, nil
	case blank(password): // directories take it for anonymous and say success (RFC 4513 section 5.1.2)
		j.text = "a bind with a name needs a password"
		return ldap.LDAPResultUnwillingToPerform, nil
	}
	return ldap.LDAPResultSuccess, nil
}

// blank tells whether a password is empty, or NULs only.
func blank(password string) bool { return strings.Trim(password, "\x00") == "" }

// encodeBind writes a BindRequest, in one piece: it is on the way of every bind.
func encodeBind(b bindRequest) []byte {
	controls, some := len(b.controls), b.controls != nil || b.ownPolicy
	if b.ownPolicy {
		controls += len(policyRequest)
	}
	op := 3 + elementLen(len(b.name)) + elementLen(len(b.password))
	body := 2 + idLen(b.id) + elementLen(op)
	if some {
		body += elementLen(controls)
	}
	f := appendHead(make([]byte, 0, elementLen(body)), tagSequence, body)
	f = appendHead(f, tagInteger, idLen(b.id))
	for shift := 8 * (idLen(b.id) - 1); shift >= 0; shift -= 8 {
		f = append(f, byte(b.id>>shift))
	}
	f = append(appendHead(f, opBindRequest, op), tagInteger, 1, 3)
	f = append(appendHead(f, tagOctets, len(b.name)), b.name...)
	f = append(appendHead(f, authSimple, len(b.password)), b.password...)
	if some {
		f = append(appendHead(f, tagControls, controls), b.controls...)
	}
	if b.ownPolicy {
		f = append(f, policyRequest...)
	}
	return f
}

// idLen is how many octets a message id has.
func idLen(id int32) int {
	n := 1
	for id > 0x7f {
		id >>= 8
		n++
	}
	return n
}

// elementLen is how long an element with so many octets of contents is.
func elementLen(n int) int { return 2 + lengthOctets(n) + n }

// lengthOctets is how many octets follow the first one of a length.
func lengthOctets(n int) (octets int) {
	for ; n > 0x7f || n > 0 && octets > 0; n >>= 8 {
		octets++
	}
	return octets
}

func appendHead(b []byte, tag byte, n int) []byte {
	octets := lengthOctets(n)
	if octets == 0 {
		return append(b, tag, byte(n))
	}
	b = append(b, tag, 0x80|byte(octets))
	for octets--; octets >= 0; octets-- {
		b = append(b, byte(n>>(8*octets)))
	}
	return b
}

// encodeResult writes the response with that operation (its tag number).
func encodeResult(id int32, op uint8, code ldap.LDAPResultCode, text string) []byte {
	return message(id, result(op, code, text)).Bytes()
}

// encodeExtended writes an ExtendedResponse with a name. Id 0: unsolicited.
func encodeExtended(id int32, name string, code ldap.LDAPResultCode, text string) []byte {
	op := result(ldap.ApplicationExtendedResponse, code, text)
	op.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, extendedName, name, ""))
	return message(id, op).Bytes()
}

func result(op uint8, code ldap.LDAPResultCode, text string) *ber.Packet {
	p := ber.Encode(ber.ClassApplication, ber.TypeConstructed, op, nil, "")
	p.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, uint64(code), ""))
	p.AppendChild(octets("")) // matchedDN
	p.AppendChild(octets(text))
	return p
}

func message(id int32, op *ber.Packet) *ber.Packet {
	m := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
	m.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, uint64(id), ""))
	m.AppendChild(op)
	return m
}

func octets(s string) *ber.Packet {
	return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, s, "")
}

// bindResponse is what a directory answered a bind.
type bindResponse struct {
	code   uint64 // may be larger than the LDAP package's type
	text   string
	policy []byte // value of the password policy's control; nil: none
}

// decodeBindResponse reads a frame whose header says BindResponse.
func decodeBindResponse(h header, frame []byte) (r bindResponse, err error) {
	if err := sane(frame, maxDepth); err != nil {
		return r, err
	}
	if err := ends(h, frame); err != nil {
		return r, err
	}
	contents, controls := operation(h, frame)
	tag, code, contents, err := next(contents)
	if err != nil || tag != tagEnumerated || len(code) < 1 || len(code) > 4 || code[0] >= 0x80 {
		return r, errMalformed
	}
	for _, octet := range code {
		r.code = r.code<<8 | uint64(octet)
	}
	tag, _, contents, err = next(contents)
	if err != nil || tag != tagOctets {
		return r, errMalformed
	}
	tag, text, _, err := next(contents)
	if err != nil || tag != tagOctets {
		return r, errMalformed
	}
	r.text = string(text)
	for len(controls) > 0 {
		var control []byte
		if tag, control, controls, err = next(controls); err != nil || tag != tagSequence {
			return r, errMalformed
		}
		if oid, value := controlValue(control); string(oid) == oidPasswordPolicy {
			r.policy = bytes.Clone(value)
		}
	}
	return r, nil
}

// controlValue returns type and value of a control that is sane.
func controlValue(control []byte) (oid, value []byte) {
	_, oid, control, _ = next(control)
	for len(control) > 0 {
		var tag byte
		var contents []byte
		if tag, contents, control, _ = next(control); tag == tagOctets {
			value = contents
		}
	}
	return oid, value
}

// policyRequest is the password policy's request control
// (draft-behera-ldap-password-policy-10 section 6.1).
var policyRequest = []byte("\x30\x1b\x04\x19" + oidPasswordPolicy)

// asksPolicy tells whether a bind asks for the password policy's word itself.
func asksPolicy(controls []byte) (asks bool) {
	_ = eachControl(controls, func(oid []byte) { asks = asks || string(oid) == oidPasswordPolicy })
	return asks
}

// withoutPolicy is a BindResponse without the password policy's control, for a
// client that did not ask for it: what the directory would have answered it,
// byte for byte. A frame without that control is the frame itself.
func withoutPolicy(h header, frame []byte) []byte {
	op := frame[h.opAt : h.opAt+elementSize(frame[h.opAt:])]
	_, controls := operation(h, frame)
	var kept []byte
	found := false
	for rest := controls; len(rest) > 0; {
		whole := rest[:elementSize(rest)]
		_, control, _, _ := next(whole)
		if oid, _ := controlValue(control); string(oid) == oidPasswordPolicy {
			found = true
		} else {
			kept = append(kept, whole...)
		}
		rest = rest[len(whole):]
	}
	if !found {
		return frame
	}
	m := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
	m.Data.Write(messageIDElement(h, frame))
	m.Data.Write(op)
	if len(kept) > 0 {
		c := ber.Encode(ber.ClassContext, ber.TypeConstructed, 0, nil, "")
		c.Data.Write(kept)
		m.AppendChild(c)
	}
	return m.Bytes()
}

// messageIDElement is the element before the operation, as it came.
func messageIDElement(h header, frame []byte) []byte {
	_, head, _, _ := element(frame)
	return frame[head:h.opAt]
}

// extendedRequest returns the name of a guarded ExtendedRequest.
func extendedRequest(contents []byte) (oid string, err error) {
	tag, name, _, err := next(contents)
	if err != nil || tag != tagRequestName || !numericOID(name) {
		return "", errMalformed
	}
	return string(name), nil
}

// compareRequest returns the attribute description of a guarded CompareRequest.
func compareRequest(contents []byte) (description string, err error) {
	tag, _, contents, err := next(contents)
	if err != nil || tag != tagOctets {
		return "", errMalformed
	}
	tag, assertion, rest, err := next(contents)
	if err != nil || tag != tagSequence || len(rest) != 0 {
		return "", errMalformed
	}
	tag, name, _, err := next(assertion)
	if err != nil || tag != tagOctets {
		return "", errMalformed
	}
	return string(name), nil
}

// eachControl calls f with the type of every control; controls are the contents
// of a guarded controls element.
func eachControl(controls []byte, f func(oid []byte)) error {
	for len(controls) > 0 {
		tag, control, rest, err := next(controls)
		if err != nil || tag != tagSequence {
			return errMalformed
		}
		tag, oid, control, err := next(control)
		if err != nil || tag != tagOctets || !numericOID(oid) || !controlEnd(control) {
			return errMalformed
		}
		f(oid)
		controls = rest
	}
	return nil
}

// controlEnd tells whether b is what may follow a control's type: a criticality,
// then a value, each of them or not (RFC 4511 section 4.1.11).
func controlEnd(b []byte) bool {
	if len(b) > 0 && b[0] == tagBoolean {
		_, criticality, rest, err := next(b)
		if err != nil || len(criticality) != 1 {
			return false
		}
		b = rest
	}
	if len(b) == 0 {
		return true
	}
	tag, _, rest, err := next(b)
	return err == nil && tag == tagOctets && len(rest) == 0
}

// numericOID: digits and dots, so that no spelling hides an OID that we refuse
// and the directory would understand.
func numericOID(b []byte) bool {
	for _, c := range b {
		if c != '.' && (c < '0' || c > '9') {
			return false
		}
	}
	return len(b) > 0
}
