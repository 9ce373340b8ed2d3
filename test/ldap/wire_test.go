package ldap_test

import (
	"bufio"
	"io"
	"net"
	"testing"
	"time"

	ber "github.com/nmcclain/asn1-ber"
	"github.com/stretchr/testify/require"
)

// Operations, as they stand in a message (RFC 4511 section 4.2 and following).
const (
	bindResponse     = 1
	searchEntry      = 4
	searchDone       = 5
	extendedResponse = 24

	success         = 0
	protocolError   = 2
	strongAuth      = 8
	confidentiality = 13
	invalid         = 49
	denied          = 50
	unavailable     = 52
	unwilling       = 53
)

// A wire is a connection on which frames are written by hand.
type wire struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
	id   int64
}

// A frame is a message that came back.
type frame struct {
	id   int64
	op   int
	code int64  // of a result
	text string // of a result
	oid  string // of an extended response
}

func (w *world) wire(from string) *wire {
	w.t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conn, err := dialer.Dial("tcp", w.LDAP[0])
	require.NoError(w.t, err)
	w.t.Cleanup(func() { conn.Close() })
	return &wire{t: w.t, conn: conn, in: bufio.NewReader(conn)}
}

// message wraps an operation; each has the next id.
func (c *wire) message(operation *ber.Packet) []byte {
	c.id++
	m := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
	m.AppendChild(integer(ber.TagInteger, c.id))
	m.AppendChild(operation)
	return m.Bytes()
}

func integer(tag uint8, n int64) *ber.Packet {
	return ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, tag, uint64(n), "")
}

func octets(s string) *ber.Packet {
	return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, s, "")
}

// bind is a simple bind.
func (c *wire) bind(name, password string) []byte {
	op := ber.Encode(ber.ClassApplication, ber.TypeConstructed, 0, nil, "")
	op.AppendChild(integer(ber.TagInteger, 3))
	op.AppendChild(octets(name))
	op.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 0, password, ""))
	return c.message(op)
}

// sasl is a SASL bind with that mechanism.
func (c *wire) sasl(mechanism, credentials string) []byte {
	op := ber.Encode(ber.ClassApplication, ber.TypeConstructed, 0, nil, "")
	op.AppendChild(integer(ber.TagInteger, 3))
	op.AppendChild(octets(""))
	auth := ber.Encode(ber.ClassContext, ber.TypeConstructed, 3, nil, "")
	auth.AppendChild(octets(mechanism))
	auth.AppendChild(octets(credentials))
	op.AppendChild(auth)
	return c.message(op)
}

// whoami is the Who am I? operation (RFC 4532).
func (c *wire) whoami() []byte { return c.extended("1.3.6.1.4.1.4203.1.11.3", "") }

// extended is an extended request; value may be empty.
func (c *wire) extended(oid, value string) []byte {
	op := ber.Encode(ber.ClassApplication, ber.TypeConstructed, 23, nil, "")
	op.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 0, oid, ""))
	if value != "" {
		op.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 1, value, ""))
	}
	return c.message(op)
}

// search looks for one entry by its uid.
func (c *wire) search(base, uid string) []byte {
	op := ber.Encode(ber.ClassApplication, ber.TypeConstructed, 3, nil, "")
	op.AppendChild(octets(base))
	op.AppendChild(integer(ber.TagEnumerated, 2))
	op.AppendChild(integer(ber.TagEnumerated, 0))
	op.AppendChild(integer(ber.TagInteger, 0))
	op.AppendChild(integer(ber.TagInteger, 0))
	op.AppendChild(ber.NewBoolean(ber.ClassUniversal, ber.TypePrimitive, ber.TagBoolean, false, ""))
	filter := ber.Encode(ber.ClassContext, ber.TypeConstructed, 3, nil, "")
	filter.AppendChild(octets("uid"))
	filter.AppendChild(octets(uid))
	op.AppendChild(filter)
	op.AppendChild(ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, ""))
	return c.message(op)
}

// compare tests an attribute of an entry.
func (c *wire) compare(name, attribute, value string) []byte {
	op := ber.Encode(ber.ClassApplication, ber.TypeConstructed, 14, nil, "")
	op.AppendChild(octets(name))
	assertion := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
	assertion.AppendChild(octets(attribute))
	assertion.AppendChild(octets(value))
	op.AppendChild(assertion)
	return c.message(op)
}

// send writes frames in one piece.
func (c *wire) send(frames ...[]byte) {
	c.t.Helper()
	var all []byte
	for _, f := range frames {
		all = append(all, f...)
	}
	_, err := c.conn.Write(all)
	require.NoError(c.t, err)
}

// next reads a frame; false: the connection has ended.
func (c *wire) next() (f frame, ok bool) {
	c.t.Helper()
	require.NoError(c.t, c.conn.SetReadDeadline(time.Now().Add(patience)))
	m, err := ber.ReadPacket(c.in)
	if err != nil {
		var timeout net.Error
		require.NotErrorAs(c.t, err, &timeout, "no answer")
		return f, false
	}
	return decode(c.t, m), true
}

func decode(t *testing.T, m *ber.Packet) (f frame) {
	t.Helper()
	require.GreaterOrEqual(t, len(m.Children), 2)
	op := m.Children[1]
	f.id = number(m.Children[0])
	f.op = int(op.Tag)
	if f.op == searchEntry {
		return f
	}
	f.code = number(op.Children[0])
	f.text = op.Children[2].Data.String()
	if last := op.Children[len(op.Children)-1]; f.op == extendedResponse && last.Tag >= 10 {
		f.oid = last.Data.String()
	}
	return f
}

func number(p *ber.Packet) int64 { return int64(ber.DecodeInteger(p.ByteValue)) }

// read wants a frame.
func (c *wire) read() frame {
	c.t.Helper()
	f, ok := c.next()
	require.True(c.t, ok, "the connection has ended")
	return f
}

// wants wants an answer to the message sent last, with that operation and code.
func (c *wire) wants(op int, code int64) frame {
	c.t.Helper()
	f := c.read()
	require.Equal(c.t, []int64{c.id, int64(op), code}, []int64{f.id, int64(f.op), f.code}, "%+v", f)
	return f
}

// who asks the directory who this connection is; "" nobody.
func (c *wire) who() string {
	c.t.Helper()
	c.send(c.whoami())
	return c.wants(extendedResponse, success).oid
}

// rest wants that nothing of what is still to come lets anybody in, until the
// connection ends, and returns the frames.
func (c *wire) rest() (all []frame) {
	c.t.Helper()
	for {
		f, ok := c.next()
		if !ok {
			return all
		}
		require.False(c.t, f.op == bindResponse && f.code == success, "let in")
		all = append(all, f)
	}
}

// quiet wants that nothing has come by the time that another client is
// answered: who comes later on another connection shows that the server had
// the time.
func (c *wire) quiet(w *world) {
	c.t.Helper()
	other := w.wire(wiki)
	other.send(other.bind("", ""))
	other.wants(bindResponse, success)
	require.NoError(c.t, c.conn.SetReadDeadline(time.Now().Add(time.Millisecond)))
	_, err := c.in.Peek(1)
	var timeout net.Error
	require.ErrorAs(c.t, err, &timeout, "something came")
	require.NotErrorIs(c.t, err, io.EOF)
}
