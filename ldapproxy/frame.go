package ldapproxy

import (
	"errors"

	"github.com/nmcclain/ldap"
)

// Identifier octets of LDAP's elements (RFC 4511 section 5.1).
const (
	tagEnd         = 0x00 // ends contents of indefinite length: none in LDAP
	tagBoolean     = 0x01
	tagInteger     = 0x02
	tagOctets      = 0x04
	tagEnumerated  = 0x0a
	tagSequence    = 0x30
	tagControls    = 0xa0
	tagRequestName = 0x80 // of an ExtendedRequest

	constructed = 0x20
	highTag     = 0x1f // a tag number that goes on in the next octet: none in LDAP

	application = 0x40 // primitive
	structure   = application | constructed
)

// Identifier octets of the operations.
const (
	opBindRequest     = structure | ldap.ApplicationBindRequest
	opBindResponse    = structure | ldap.ApplicationBindResponse
	opUnbindRequest   = application | ldap.ApplicationUnbindRequest
	opSearchRequest   = structure | ldap.ApplicationSearchRequest
	opSearchEntry     = structure | ldap.ApplicationSearchResultEntry
	opSearchReference = structure | ldap.ApplicationSearchResultReference
	opModifyRequest   = structure | ldap.ApplicationModifyRequest
	opAddRequest      = structure | ldap.ApplicationAddRequest
	opDelRequest      = application | ldap.ApplicationDelRequest
	opModifyDNRequest = structure | ldap.ApplicationModifyDNRequest
	opCompareRequest  = structure | ldap.ApplicationCompareRequest
	opAbandonRequest  = application | ldap.ApplicationAbandonRequest
	opExtendedRequest = structure | ldap.ApplicationExtendedRequest
	opIntermediate    = structure | 25
)

// response is which operation answers a request; a request that is not here
// has no answer. What is in neither this table nor answerless is no request.
var response = map[byte]uint8{
	opBindRequest:     ldap.ApplicationBindResponse,
	opSearchRequest:   ldap.ApplicationSearchResultDone,
	opModifyRequest:   ldap.ApplicationModifyResponse,
	opAddRequest:      ldap.ApplicationAddResponse,
	opDelRequest:      ldap.ApplicationDelResponse,
	opModifyDNRequest: ldap.ApplicationModifyDNResponse,
	opCompareRequest:  ldap.ApplicationCompareResponse,
	opExtendedRequest: ldap.ApplicationExtendedResponse,
}

// How much of a frame is looked at, and how deep.
const (
	maxInspected = 64 << 10 // a frame that is decoded or searched as a whole
	maxBound     = 8 << 20  // a frame of a client that has bound
	maxUpstream  = 1 << 30  // a frame of the directory; it passes without being kept
	maxDepth     = 6        // of what is decoded: message, controls, control, and room
	maxNesting   = 64       // of what is relayed: filters nest
)

// Why a frame is refused.
var (
	errShort     = errors.New("more bytes are needed")
	errMalformed = errors.New("malformed message")
	errTooLarge  = errors.New("message too large")
	errTooDeep   = errors.New("message nested too deeply")
	errMessageID = errors.New("bad message id")
)

// header is what is known of a frame from its first bytes.
type header struct {
	size int   // of the whole frame
	id   int32 // message id
	op   byte  // identifier octet of the operation
	opAt int   // where the operation begins
}

// parseHeader reads the beginning of a frame: a definite length of at most four
// octets, within limit, a message id and the operation's identifier octet. It
// returns errShort as long as b is too short to tell. A client's message id must
// be the one encoding of a number from 1 to 2^31-1: a directory answers in its
// own encoding, and an id written in two ways would be two ids to a matcher.
func parseHeader(b []byte, limit int, fromClient bool) (header, error) {
	if len(b) > 0 && b[0] != tagSequence {
		return header{}, errMalformed
	}
	_, at, body, err := element(b)
	if err != nil {
		return header{}, err
	}
	h := header{size: at + body}
	if h.size > limit {
		return header{}, errTooLarge
	}
	short := errShort
	if len(b) >= h.size {
		b, short = b[:h.size], errMalformed
	}
	if len(b) < at+2 {
		return header{}, short
	}
	length := int(b[at+1])
	if b[at] != tagInteger || length < 1 || length > 4 {
		return header{}, errMessageID
	}
	h.opAt = at + 2 + length
	if len(b) <= h.opAt {
		return header{}, short
	}
	if h.id, err = messageID(b[at+2:h.opAt], fromClient); err != nil {
		return header{}, err
	}
	h.op = b[h.opAt]
	return h, nil
}

// messageID reads one to four octets. Zero is the directory's alone.
func messageID(b []byte, fromClient bool) (int32, error) {
	var id int32
	for _, octet := range b {
		id = id<<8 | int32(octet)
	}
	padded := len(b) > 1 && b[0] == 0 && b[1] < 0x80
	switch {
	case b[0] >= 0x80: // negative
		return 0, errMessageID
	case fromClient && (id == 0 || padded):
		return 0, errMessageID
	}
	return id, nil
}

// abandonedID reads the contents of an AbandonRequest.
func abandonedID(contents []byte) (int32, error) {
	if len(contents) < 1 || len(contents) > 4 {
		return 0, errMessageID
	}
	return messageID(contents, false)
}

// element reads an identifier octet and a definite length of at most four
// octets, and returns how long both are and how long the contents. errShort:
// b ends before that.
func element(b []byte) (tag byte, head, body int, err error) {
	if len(b) < 2 {
		return 0, 0, 0, errShort
	}
	if b[0] == tagEnd || b[0]&highTag == highTag {
		return 0, 0, 0, errMalformed
	}
	if b[1] < 0x80 {
		return b[0], 2, int(b[1]), nil
	}
	octets := int(b[1] & 0x7f)
	if octets == 0 || octets > 4 {
		return 0, 0, 0, errMalformed
	}
	if len(b) < 2+octets {
		return 0, 0, 0, errShort
	}
	for _, octet := range b[2 : 2+octets] {
		body = body<<8 | int(octet)
	}
	if body < 0 { // where int has 32 bits
		return 0, 0, 0, errTooLarge
	}
	return b[0], 2 + octets, body, nil
}

// next splits the first element off b: its tag, its contents, what follows.
func next(b []byte) (tag byte, contents, rest []byte, err error) {
	tag, head, body, err := element(b)
	if err != nil || body > len(b)-head {
		return 0, nil, nil, errMalformed
	}
	return tag, b[head : head+body], b[head+body:], nil
}

// sane tells whether all elements in b lie inside their parents, at most depth
// constructed ones inside each other. Only then may b be decoded.
func sane(b []byte, depth int) error {
	for len(b) > 0 {
		tag, contents, rest, err := next(b)
		if err != nil {
			return err
		}
		if tag&constructed != 0 {
			if depth == 0 {
				return errTooDeep
			}
			if err := sane(contents, depth-1); err != nil {
				return err
			}
		}
		b = rest
	}
	return nil
}

// guard checks a client's whole frame: it is a request, its elements are sane,
// and behind the operation there is nothing but controls.
func guard(h header, frame []byte) error {
	depth := maxNesting
	switch h.op {
	case opBindRequest, opCompareRequest, opExtendedRequest, opAbandonRequest:
		depth = maxDepth
	}
	if !request(h.op) {
		return errMalformed
	}
	if err := sane(frame, depth); err != nil {
		return err
	}
	return ends(h, frame)
}

// ends checks that behind the operation of a sane frame there is nothing but
// controls.
func ends(h header, frame []byte) error {
	_, _, rest, err := next(frame[h.opAt:])
	if err != nil || len(rest) == 0 {
		return err
	}
	tag, _, rest, err := next(rest)
	if err != nil || tag != tagControls || len(rest) != 0 {
		return errMalformed
	}
	return nil
}

// request tells whether an operation is a client's to send.
func request(op byte) bool {
	_, answered := response[op]
	return answered || op == opUnbindRequest || op == opAbandonRequest
}

// operation returns the contents of a guarded frame's operation, and of its
// controls.
func operation(h header, frame []byte) (contents, controls []byte) {
	_, contents, rest, _ := next(frame[h.opAt:])
	if len(rest) > 0 {
		_, controls, _, _ = next(rest)
	}
	return contents, controls
}
