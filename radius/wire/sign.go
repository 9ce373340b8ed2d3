package wire

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"hash"
	"sync"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2869"
)

// HeaderLen is the length of a packet without attributes.
const HeaderLen = 20

var zeros [md5.Size]byte

// ErrBusy says that a request could not be sent, because all Identifiers wait
// for their answers: that says nothing of the server.
var ErrBusy = errors.New("too many requests wait for their answers")

// A Key is a shared secret with its HMACs, which are kept: that saves the key
// schedule. It never prints itself.
type Key struct {
	secret []byte
	macs   sync.Pool // of *macer
}

// A macer makes HMAC-MD5 under one secret.
type macer struct {
	hash.Hash
	sum [md5.Size]byte
}

// NewKey makes a Key.
func NewKey(secret []byte) *Key {
	k := &Key{secret: secret}
	k.macs.New = func() any { return &macer{Hash: hmac.New(md5.New, secret)} }
	return k
}

// MAC is HMAC-MD5 over the parts.
func (k *Key) MAC(parts ...[]byte) [md5.Size]byte {
	m := k.macs.Get().(*macer)
	defer k.macs.Put(m)
	m.Reset()
	for _, p := range parts {
		m.Write(p)
	}
	m.Sum(m.sum[:0])
	return m.sum
}

// String keeps the secret out of whatever prints a Key.
func (k *Key) String() string { return "[redacted]" }

// Sign encodes a request with its Message-Authenticator before everything else
// (RFC 3579 section 3.2).
func (k *Key) Sign(p *layeh.Packet) ([]byte, error) {
	mac := make(layeh.Attribute, md5.Size)
	p.Attributes = append(layeh.Attributes{{Type: rfc2869.MessageAuthenticator_Type, Attribute: mac}}, p.Attributes...)
	unsigned, err := p.MarshalBinary()
	if err != nil {
		return nil, err
	}
	sum := k.MAC(unsigned)
	copy(mac, sum[:])
	return p.Encode()
}

// Respond makes b, which has the Request Authenticator in the place of its own
// and zeros in that of the Message-Authenticator at ma (0: it has none), the
// answer of who knows the secret (RFC 2869 section 5.14, RFC 2865 section 3).
func (k *Key) Respond(b []byte, ma int) {
	if ma != 0 {
		sum := k.MAC(b)
		copy(b[ma+2:], sum[:])
	}
	h := md5.New()
	h.Write(b)
	h.Write(k.secret)
	h.Sum(b[4:4:HeaderLen])
}

// A Fault says why a datagram is no answer to a request.
type Fault string

// The faults of answers.
const (
	BadFrame        Fault = "bad_length"
	BadCode         Fault = "bad_code"
	OtherIdentifier Fault = "other_identifier"
	BadResponse     Fault = "bad_response_authenticator" // another secret, an answer to an older request, or forged
	Unsigned        Fault = "no_message_authenticator"   // CVE-2024-3596: it may be forged
	BadSignature    Fault = "bad_message_authenticator"
)

// Genuine returns b without padding if it is an answer to request that only who
// knows the secret can have made: Response Authenticator and one valid
// Message-Authenticator. Anything else anybody can send.
func (k *Key) Genuine(b, request []byte) ([]byte, Fault) {
	if len(b) < HeaderLen {
		return nil, BadFrame
	}
	length := int(binary.BigEndian.Uint16(b[2:4]))
	if length < HeaderLen || length > len(b) || length > layeh.MaxPacketLength {
		return nil, BadFrame
	}
	b = b[:length]
	switch layeh.Code(b[0]) {
	case layeh.CodeAccessAccept, layeh.CodeAccessReject, layeh.CodeAccessChallenge:
	default:
		return nil, BadCode
	}
	if b[1] != request[1] {
		return nil, OtherIdentifier
	}
	ma, n, ok := findSignature(b)
	switch {
	case !ok:
		return nil, BadFrame
	case !respondsTo(b, request, k.secret):
		return nil, BadResponse
	case n == 0:
		return nil, Unsigned
	case n > 1 || !k.Authentic(b, request[4:HeaderLen], ma):
		return nil, BadSignature
	}
	return b, ""
}

// respondsTo verifies the Response Authenticator (RFC 2865 section 3).
func respondsTo(b, request, secret []byte) bool {
	h := md5.New()
	h.Write(b[:4])
	h.Write(request[4:HeaderLen])
	h.Write(b[HeaderLen:])
	h.Write(secret)
	return hmac.Equal(h.Sum(nil), b[4:HeaderLen])
}

// findSignature walks the attributes and finds the last Message-Authenticator,
// and how many there are.
func findSignature(b []byte) (at, n int, ok bool) {
	for i := HeaderLen; i < len(b); {
		if len(b)-i < 2 || b[i+1] < 2 || int(b[i+1]) > len(b)-i || b[i] == 0 {
			return 0, 0, false
		}
		if layeh.Type(b[i]) == rfc2869.MessageAuthenticator_Type {
			at, n = i, n+1
		}
		i += int(b[i+1])
	}
	return at, n, true
}

// Authentic verifies the Message-Authenticator at offset ma of b, made over b
// with itself as zeros and authenticator in the header (RFC 3579 section 3.2).
func (k *Key) Authentic(b, authenticator []byte, ma int) bool {
	if b[ma+1] != 2+md5.Size {
		return false
	}
	value := b[ma+2 : ma+2+md5.Size]
	want := k.MAC(b[:4], authenticator, b[HeaderLen:ma+2], zeros[:], b[ma+2+md5.Size:])
	return hmac.Equal(value, want[:])
}
