package wire

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/binary"

	layeh "layeh.com/radius"
)

// unsigned stands in the place of the Request Authenticator of an
// Accounting-Request while it is made, and its Message-Authenticator with it.
var unsigned = zeros[:]

// Accounted verifies an Accounting-Request of one frame: its Request
// Authenticator is MD5 over the packet with zeros in its place, and the secret
// (RFC 2866 section 3). b must be cut to its Length: padding is not in the sum.
func (k *Key) Accounted(b []byte) bool {
	sum := k.accounting(b)
	return hmac.Equal(sum[:], b[4:HeaderLen])
}

func (k *Key) accounting(b []byte) (sum [md5.Size]byte) {
	h := md5.New()
	h.Write(b[:4])
	h.Write(unsigned)
	h.Write(b[HeaderLen:])
	h.Write(k.secret)
	h.Sum(sum[:0])
	return sum
}

// AccountedToo verifies the Message-Authenticator at ma of an
// Accounting-Request.
func (k *Key) AccountedToo(b []byte, ma int) bool { return k.Authentic(b, unsigned, ma) }

// Account makes an Accounting-Request of packed attributes; signed: with a
// Message-Authenticator before them. nil: they do not fit.
func (k *Key) Account(identifier byte, attributes []byte, signed bool) []byte {
	b := append([]byte{byte(layeh.CodeAccountingRequest), identifier, 0, 0}, unsigned...)
	if signed {
		b = append(append(b, messageAuthenticator, 2+md5.Size), zeros[:]...)
	}
	if b = append(b, attributes...); len(b) > layeh.MaxPacketLength {
		return nil
	}
	binary.BigEndian.PutUint16(b[2:4], uint16(len(b)))
	if signed {
		mac := k.MAC(b)
		copy(b[HeaderLen+2:], mac[:])
	}
	sum := k.accounting(b)
	copy(b[4:], sum[:])
	return b
}

const messageAuthenticator = 80

// Acknowledges tells whether b is the Accounting-Response to request, by who
// knows the secret. A Message-Authenticator is not looked at: no RFC says how
// it is made there.
func (k *Key) Acknowledges(b, request []byte) bool {
	if len(b) < HeaderLen || layeh.Code(b[0]) != layeh.CodeAccountingResponse || b[1] != request[1] {
		return false
	}
	length := int(binary.BigEndian.Uint16(b[2:4]))
	return length >= HeaderLen && length <= len(b) && respondsTo(b[:length], request, k.secret)
}
