package wire

import (
	"encoding/binary"
	"errors"
)

// An EAP is one EAP packet (RFC 3748 section 4).
type EAP struct {
	Code byte
	ID   byte
	Type byte   // of a request or response; 0 otherwise
	Data []byte // behind the type
}

// Codes of EAP packets.
const (
	EAPRequest  = 1
	EAPResponse = 2
	EAPSuccess  = 3
	EAPFailure  = 4
)

// Types of EAP requests and responses (RFC 3748 section 5).
const (
	EAPIdentity = 1
	EAPNak      = 3
	EAPGTC      = 6
	EAPExpanded = 254
)

const eapHeader = 4

var errEAP = errors.New("no EAP packet")

// ParseEAP reads one packet, strictly: its length says how long it is, and
// success and failure hold nothing. Data is a part of b.
func ParseEAP(b []byte) (e EAP, err error) {
	if len(b) < eapHeader || int(binary.BigEndian.Uint16(b[2:4])) != len(b) {
		return e, errEAP
	}
	e.Code, e.ID = b[0], b[1]
	switch e.Code {
	case EAPRequest, EAPResponse:
		if len(b) == eapHeader || b[eapHeader] == 0 {
			return EAP{}, errEAP
		}
		e.Type, e.Data = b[eapHeader], b[eapHeader+1:]
	case EAPSuccess, EAPFailure:
		if len(b) != eapHeader {
			return EAP{}, errEAP
		}
	default:
		return EAP{}, errEAP
	}
	return e, nil
}

// Bytes undoes ParseEAP.
func (e EAP) Bytes() []byte {
	b := make([]byte, eapHeader, eapHeader+1+len(e.Data))
	b[0], b[1] = e.Code, e.ID
	if e.Code == EAPRequest || e.Code == EAPResponse {
		b = append(append(b, e.Type), e.Data...)
	}
	binary.BigEndian.PutUint16(b[2:4], uint16(len(b)))
	return b
}
