package radius

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
)

// RADIUS/1.1 (RFC 9765) has the header of RADIUS with other fields in it:
//
//	Code, Reserved-1 (0), Length, Token (4 bytes), Reserved-2 (12 bytes of 0)
//
// and is used inside TLS only, when both sides said so by ALPN. There is no
// MD5 in it: no authenticators, no Message-Authenticator, no hidden attributes.
const (
	protocolV10 = "radius/1.0"
	protocolV11 = "radius/1.1"
)

// token is what an answer repeats of the request b.
func token(b []byte) uint32 { return binary.BigEndian.Uint32(b[4:8]) }

// tokenField is Token and Reserved-2, where RADIUS/1.0 has its authenticator.
func tokenField(t uint32) (field [16]byte) {
	binary.BigEndian.PutUint32(field[:], t)
	return field
}

// marking is this process's own: marks are compared, never told.
var marking = func() []byte {
	k := make([]byte, sha256.Size)
	rand.Read(k)
	return k
}()

// mark takes the place of the Request Authenticator: it tells the same packet
// sent again from another one under the same Token, without keeping the packet.
func mark(b []byte) (m [16]byte) {
	h := hmac.New(sha256.New, marking)
	h.Write(b)
	copy(m[:], h.Sum(nil))
	return m
}
