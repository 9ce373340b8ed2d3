package site

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Codes of RADIUS packets (RFC 2865 section 3, RFC 5997).
const (
	AccessRequest   = 1
	AccessAccept    = 2
	AccessReject    = 3
	AccessChallenge = 11
	StatusServer    = 12
)

// Types of attributes.
const (
	userName             = 1
	userPassword         = 2
	replyMessage         = 18
	state                = 24
	callingStationID     = 31
	nasIdentifier        = 32
	proxyState           = 33
	messageAuthenticator = 80
)

// Patience is how long an answer may take.
const Patience = 45 * time.Second

// A NAS sends from one port until the test ends. One that was not dialled can
// put packets together and read answers.
type NAS struct {
	Secret string
	Name   string // NAS-Identifier

	t          testing.TB
	conn       *net.UDPConn
	identifier byte
}

// NAS makes a NAS at that loopback address.
func (s *Site) NAS(from string) *NAS {
	s.t.Helper()
	return DialNAS(s.t, from, s.RADIUS[0], s.Secret)
}

// DialNAS makes a NAS that asks the server at that address.
func DialNAS(t testing.TB, from, server, secret string) *NAS {
	t.Helper()
	to, err := net.ResolveUDPAddr("udp", server)
	require.NoError(t, err)
	conn, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(from)}, to)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return &NAS{Secret: secret, Name: "nas-of-the-test", t: t, conn: conn}
}

// A Request is an Access-Request to be.
type Request struct {
	User, Password string
	State          string // of the challenge that is answered
	Station        string // Calling-Station-Id
	Unsigned       bool   // no Message-Authenticator
	ProxyState     string // as a proxy adds it
	Identifier     byte   // 0: the next one
}

// Saying is r with something else typed, in answer to that State.
func (r Request) Saying(typed, state string) Request {
	r.Password, r.State = typed, state
	return r
}

// Packet puts a request together, with an Identifier and an authenticator of
// its own.
func (n *NAS) Packet(r Request) []byte {
	n.identifier++
	if r.Identifier != 0 {
		n.identifier = r.Identifier
	}
	p := n.header(AccessRequest)
	if !r.Unsigned {
		p = attribute(p, messageAuthenticator, make([]byte, md5.Size))
	}
	p = attribute(p, userName, []byte(r.User))
	p = attribute(p, userPassword, n.hide([]byte(r.Password), p[4:20]))
	if r.State != "" {
		p = attribute(p, state, []byte(r.State))
	}
	p = attribute(p, nasIdentifier, []byte(n.Name))
	if r.Station != "" {
		p = attribute(p, callingStationID, []byte(r.Station))
	}
	if r.ProxyState != "" {
		p = attribute(p, proxyState, []byte(r.ProxyState))
	}
	return n.finish(p, !r.Unsigned)
}

// Status is a Status-Server packet.
func (n *NAS) Status() []byte {
	n.identifier++
	return n.finish(attribute(n.header(StatusServer), messageAuthenticator, make([]byte, md5.Size)), true)
}

func (n *NAS) header(code byte) []byte {
	p := make([]byte, 20, 4096)
	p[0], p[1] = code, n.identifier
	rand.Read(p[4:20])
	return p
}

func attribute(p []byte, kind byte, value []byte) []byte {
	return append(append(p, kind, byte(len(value)+2)), value...)
}

// finish writes the length, and the signature into the first attribute.
func (n *NAS) finish(p []byte, signed bool) []byte {
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	if signed {
		copy(p[22:38], n.mac(p))
	}
	return p
}

func (n *NAS) mac(p []byte) []byte {
	h := hmac.New(md5.New, []byte(n.Secret))
	h.Write(p)
	return h.Sum(nil)
}

// hide is RFC 2865 section 5.2; a password that is too long is hidden all the
// same.
func (n *NAS) hide(password, authenticator []byte) []byte {
	blocks := max(1, (len(password)+md5.Size-1)/md5.Size)
	hidden := make([]byte, blocks*md5.Size)
	copy(hidden, password)
	before := authenticator
	for at := 0; at < len(hidden); at += md5.Size {
		pad := md5.Sum(append([]byte(n.Secret), before...))
		for i := range pad {
			hidden[at+i] ^= pad[i]
		}
		before = hidden[at : at+md5.Size]
	}
	return hidden
}

// An Answer is what came back, found genuine.
type Answer struct {
	Code  byte
	Text  string // all Reply-Messages
	State string
	Raw   []byte
}

// Send sends a packet.
func (n *NAS) Send(packet []byte) {
	n.t.Helper()
	_, err := n.conn.Write(packet)
	require.NoError(n.t, err)
}

// Ask sends a request, once, and waits for its answer.
func (n *NAS) Ask(r Request) Answer {
	n.t.Helper()
	p := n.Packet(r)
	n.Send(p)
	return n.Answer(p)
}

// Insist is Ask for a NAS that sends the same packet again while no answer
// comes.
func (n *NAS) Insist(r Request) Answer {
	n.t.Helper()
	return n.InsistOn(n.Packet(r))
}

// InsistOn sends a packet until it is answered.
func (n *NAS) InsistOn(p []byte) Answer {
	n.t.Helper()
	for range int(Patience / resend) {
		n.Send(p)
		if a, ok := n.Maybe(p, resend); ok {
			return a
		}
	}
	require.FailNow(n.t, "no answer", "within %v", Patience)
	return Answer{}
}

const resend = 250 * time.Millisecond

// Answer waits for the answer to a packet.
func (n *NAS) Answer(request []byte) Answer {
	n.t.Helper()
	raw := n.receive(Patience)
	require.NotNil(n.t, raw, "no answer within %v", Patience)
	return n.read(raw, request)
}

// Maybe is Answer when it is not sure that there will be one: false, none came
// within that time.
func (n *NAS) Maybe(request []byte, within time.Duration) (Answer, bool) {
	n.t.Helper()
	raw := n.receive(within)
	if raw == nil {
		return Answer{}, false
	}
	return n.read(raw, request), true
}

// Silent wants no datagram within that time.
func (n *NAS) Silent(within time.Duration) {
	n.t.Helper()
	raw := n.receive(within)
	require.Nil(n.t, raw, "an answer where none was to come")
}

// Any is whatever comes within that time, genuine or not; nil: nothing.
func (n *NAS) Any(within time.Duration) []byte {
	n.t.Helper()
	return n.receive(within)
}

// receive waits for a datagram; nil: none came.
func (n *NAS) receive(within time.Duration) []byte {
	n.t.Helper()
	until := time.Now().Add(within)
	require.NoError(n.t, n.conn.SetReadDeadline(until))
	buf := make([]byte, 5000)
	for {
		size, err := n.conn.Read(buf)
		switch {
		case err == nil:
			return buf[:size]
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case errors.Is(err, net.ErrClosed):
			require.NoError(n.t, err)
		case time.Now().After(until): // nobody listens there
			return nil
		}
	}
}

// read finds an answer genuine, or ends the test.
func (n *NAS) read(raw, request []byte) Answer {
	n.t.Helper()
	a, err := n.Genuine(raw, request)
	require.NoError(n.t, err)
	return a
}

// Genuine reads the answer to a request, and tells why it is not genuine.
func (n *NAS) Genuine(raw, request []byte) (a Answer, err error) {
	switch {
	case len(raw) < 38 || len(raw) != int(binary.BigEndian.Uint16(raw[2:])):
		return a, fmt.Errorf("the answer's length: %x", raw)
	case request[1] != raw[1]:
		return a, fmt.Errorf("the answer's Identifier is %d, the request's %d", raw[1], request[1])
	case !bytes.Equal(n.responseAuthenticator(raw, request), raw[4:20]):
		return a, errors.New("the Response Authenticator is wrong")
	case raw[20] != messageAuthenticator || raw[21] != 18:
		return a, errors.New("Message-Authenticator does not come first")
	}
	unsigned := bytes.Clone(raw)
	copy(unsigned[4:20], request[4:20])
	clear(unsigned[22:38])
	if !bytes.Equal(n.mac(unsigned), raw[22:38]) {
		return a, errors.New("Message-Authenticator")
	}
	a = Answer{Code: raw[0], Raw: raw}
	for rest := raw[20:]; len(rest) > 0; rest = rest[rest[1]:] {
		if len(rest) < 2 || rest[1] < 2 || int(rest[1]) > len(rest) {
			return a, errors.New("an attribute's length")
		}
		switch value := string(rest[2:rest[1]]); rest[0] {
		case replyMessage:
			a.Text += value
		case state:
			a.State = value
		}
	}
	return a, nil
}

// responseAuthenticator is RFC 2865 section 3.
func (n *NAS) responseAuthenticator(raw, request []byte) []byte {
	sum := md5.New()
	sum.Write(raw[:4])
	sum.Write(request[4:20])
	sum.Write(raw[20:])
	sum.Write([]byte(n.Secret))
	return sum.Sum(nil)
}
