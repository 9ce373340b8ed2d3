package directory

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/go-ldap/ldap/v3"
)

// Identifier octets of the messages that a first factor needs (RFC 4511).
const (
	tagBoolean    = 0x01
	tagInteger    = 0x02
	tagOctets     = 0x04
	tagEnumerated = 0x0a
	tagSequence   = 0x30
	tagSet        = 0x31
	tagSimple     = 0x80 // [0] simple, of an AuthenticationChoice
	tagControls   = 0xa0

	structure       = 0x60 // [APPLICATION n], constructed
	opBindRequest   = structure | ldap.ApplicationBindRequest
	opBindResponse  = structure | ldap.ApplicationBindResponse
	opSearchRequest = structure | ldap.ApplicationSearchRequest
	opSearchEntry   = structure | ldap.ApplicationSearchResultEntry
	opSearchDone    = structure | ldap.ApplicationSearchResultDone
	opReference     = structure | ldap.ApplicationSearchResultReference
	opIntermediate  = structure | ldap.ApplicationIntermediateResponse
)

var errMalformed = errors.New("the directory's answer is no LDAP message")

// appendMessage writes an LDAPMessage: what operation appends, and controls.
func appendMessage(b []byte, id int32, op byte, controls []byte, operation func([]byte) []byte) []byte {
	return appendElement(b, tagSequence, func(b []byte) []byte {
		b = appendElement(appendInteger(b, tagInteger, int(id)), op, operation)
		if len(controls) > 0 {
			b = appendOctets(b, tagControls, controls)
		}
		return b
	})
}

// appendBind writes a simple bind (section 4.2).
func appendBind(b []byte, id int32, dn, password string, controls []byte) []byte {
	return appendMessage(b, id, opBindRequest, controls, func(b []byte) []byte {
		b = appendInteger(b, tagInteger, 3)
		return appendOctets(appendOctets(b, tagOctets, dn), tagSimple, password)
	})
}

// appendSearch writes a search (section 4.5.1) with that filter, not r's own.
func appendSearch(b []byte, id int32, r *ldap.SearchRequest, filter []byte) []byte {
	var controls []byte
	for _, c := range r.Controls {
		controls = append(controls, c.Encode().Bytes()...)
	}
	return appendMessage(b, id, opSearchRequest, controls, func(b []byte) []byte {
		b = appendOctets(b, tagOctets, r.BaseDN)
		b = appendInteger(appendInteger(b, tagEnumerated, r.Scope), tagEnumerated, r.DerefAliases)
		b = appendInteger(appendInteger(b, tagInteger, r.SizeLimit), tagInteger, r.TimeLimit)
		b = append(b, tagBoolean, 1, 0) // values too
		b = append(b, filter...)
		return appendElement(b, tagSequence, func(b []byte) []byte {
			for _, name := range r.Attributes {
				b = appendOctets(b, tagOctets, name)
			}
			return b
		})
	})
}

// appendElement writes an element around what contents appends. Its length has
// four octets, as Active Directory writes it: so it can be filled in afterwards.
func appendElement(b []byte, tag byte, contents func([]byte) []byte) []byte {
	b = append(b, tag, 0x84, 0, 0, 0, 0)
	from := len(b)
	b = contents(b)
	binary.BigEndian.PutUint32(b[from-4:], uint32(len(b)-from))
	return b
}

func appendOctets[T string | []byte](b []byte, tag byte, value T) []byte {
	if len(value) < 0x80 {
		return append(append(b, tag, byte(len(value))), value...)
	}
	b = binary.BigEndian.AppendUint32(append(b, tag, 0x84), uint32(len(value)))
	return append(b, value...)
}

// appendInteger writes a number from 0 to 2^31-1 in as few octets as it needs.
func appendInteger(b []byte, tag byte, n int) []byte {
	octets := 1
	for n>>(8*octets-1) > 0 {
		octets++
	}
	b = append(b, tag, byte(octets))
	for octets--; octets >= 0; octets-- {
		b = append(b, byte(n>>(8*octets)))
	}
	return b
}

// A message is an LDAPMessage of a directory.
type message struct {
	id       uint32
	op       byte
	contents []byte
	controls []byte
}

// decodeMessage reads the contents of an LDAPMessage.
func decodeMessage(b []byte) (m message, err error) {
	id, b, err := nextOf(b, tagInteger)
	if err != nil {
		return m, err
	}
	if m.id, err = number(id); err != nil {
		return m, err
	}
	if m.op, m.contents, b, err = next(b); err != nil || len(b) == 0 {
		return m, err
	}
	m.controls, _, err = nextOf(b, tagControls)
	return m, err
}

// decodeResult reads an LDAPResult (section 4.1.9). refusal is the directory's
// own word for what is no success.
func decodeResult(contents []byte) (refusal, err error) {
	code, contents, err := nextOf(contents, tagEnumerated)
	if err != nil {
		return nil, err
	}
	matched, contents, err := nextOf(contents, tagOctets)
	if err != nil {
		return nil, err
	}
	text, _, err := nextOf(contents, tagOctets)
	if err != nil {
		return nil, err
	}
	switch n, err := number(code); {
	case err != nil || n >= ldap.ErrorNetwork: // from there on the library has codes of its own
		return nil, errMalformed
	case n != ldap.LDAPResultSuccess:
		return &ldap.Error{ResultCode: uint16(n), MatchedDN: string(matched), Err: errors.New(string(text))}, nil
	}
	return nil, nil
}

// decodeEntry reads a SearchResultEntry (section 4.5.2).
func decodeEntry(contents []byte) (*ldap.Entry, error) {
	dn, contents, err := nextOf(contents, tagOctets)
	if err != nil {
		return nil, err
	}
	list, _, err := nextOf(contents, tagSequence)
	entry := &ldap.Entry{DN: string(dn)}
	for err == nil && len(list) > 0 {
		var attribute []byte
		if attribute, list, err = nextOf(list, tagSequence); err == nil {
			err = addAttribute(entry, attribute)
		}
	}
	return entry, err
}

func addAttribute(entry *ldap.Entry, b []byte) error {
	name, b, err := nextOf(b, tagOctets)
	if err != nil {
		return err
	}
	set, _, err := nextOf(b, tagSet)
	a := &ldap.EntryAttribute{Name: string(name)}
	for err == nil && len(set) > 0 {
		var value []byte
		if value, set, err = nextOf(set, tagOctets); err == nil {
			a.Values = append(a.Values, string(value))
			a.ByteValues = append(a.ByteValues, slices.Clone(value))
		}
	}
	entry.Attributes = append(entry.Attributes, a)
	return err
}

// controlValue is the value of the control of that type; nil if there is none.
func controlValue(controls []byte, oid string) []byte {
	for len(controls) > 0 {
		control, rest, err := nextOf(controls, tagSequence)
		if err != nil {
			return nil
		}
		controls = rest
		typ, control, err := nextOf(control, tagOctets)
		if err != nil || string(typ) != oid {
			continue
		}
		for len(control) > 0 { // behind the criticality, if that is there
			var tag byte
			var value []byte
			if tag, value, control, err = next(control); err == nil && tag == tagOctets {
				return value
			}
		}
	}
	return nil
}

// number reads an INTEGER or ENUMERATED from 0 to 2^31-1.
func number(b []byte) (n uint32, err error) {
	if len(b) < 1 || len(b) > 4 || b[0] >= 0x80 {
		return 0, errMalformed
	}
	for _, octet := range b {
		n = n<<8 | uint32(octet)
	}
	return n, nil
}

// nextOf splits the first element off b, which must be of that tag.
func nextOf(b []byte, tag byte) (contents, rest []byte, err error) {
	got, contents, rest, err := next(b)
	if err != nil || got != tag {
		return nil, nil, errMalformed
	}
	return contents, rest, nil
}

// next splits the first element off b: its tag, its contents, what follows.
func next(b []byte) (tag byte, contents, rest []byte, err error) {
	if len(b) < 2 {
		return 0, nil, nil, errMalformed
	}
	tag, n, b := b[0], int(b[1]), b[2:]
	if octets := n & 0x7f; n >= 0x80 {
		if octets == 0 || octets > 4 || octets > len(b) {
			return 0, nil, nil, errMalformed
		}
		n = 0
		for _, octet := range b[:octets] {
			n = n<<8 | int(octet)
		}
		b = b[octets:]
	}
	if n < 0 || n > len(b) {
		return 0, nil, nil, errMalformed
	}
	return tag, b[:n], b[n:], nil
}
