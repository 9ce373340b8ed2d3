package directory

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// longestMessage bounds what a directory can make us keep: a group of Active
// Directory comes in parts far below that.
const longestMessage = 16 << 20

// A conn is a connection of a pool. It asks one thing at a time and waits for
// the answer itself, in the goroutine of whoever has borrowed it: a library that
// lets several ask at once needs two goroutines and four hand-overs for it.
type conn struct {
	raw    net.Conn // as servers.dial returns it
	in     *bufio.Reader
	out    []byte
	body   []byte // of the message read last
	last   int32  // message id
	closed atomic.Bool

	server *server
	used   time.Time
	kept   bool // it was idle before: the server may have left without our noticing
}

func newConn(raw net.Conn, s *server) *conn {
	return &conn{raw: raw, in: bufio.NewReader(raw), server: s}
}

// Close may be called while something is asked, which then fails.
func (c *conn) Close() {
	c.closed.Store(true)
	c.raw.Close()
}

// alive tells whether an idle connection can be used: it is open, and nothing
// came that nobody asked for, such as the notice that the server ends it.
func (c *conn) alive() bool {
	if c.closed.Load() || c.in.Buffered() > 0 {
		return false
	}
	below := c.raw
	if tls, ok := below.(interface{ NetConn() net.Conn }); ok {
		below = tls.NetConn()
	}
	tcp, ok := below.(syscall.Conn)
	if !ok {
		return true
	}
	control, err := tcp.SyscallConn()
	if err != nil {
		return false
	}
	var peeked error
	err = control.Read(func(fd uintptr) bool {
		_, _, peeked = syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return true
	})
	return err == nil && errors.Is(peeked, syscall.EAGAIN)
}

// within runs one operation on the connection and breaks the connection when
// ctx ends before it.
func (c *conn) within(ctx context.Context, operation func() error) error {
	stop := context.AfterFunc(ctx, c.Close)
	err := operation()
	if !stop() && err != nil {
		return ctx.Err()
	}
	return err
}

// Bind makes the connection that of dn. controls are to go with it; the
// directory's come back, valid until the next operation. An *ldap.Error is the
// directory's own word, any other error the loss of the connection.
func (c *conn) Bind(dn, password string, controls []byte) (answered []byte, err error) {
	if password == "" { // it would be anonymous, and a success (RFC 4513 section 5.1.2)
		return nil, errors.New("a bind with a name needs a password")
	}
	err = c.send(appendBind(c.out[:0], c.id(), dn, password, controls))
	clear(c.out) // of the password
	if err != nil {
		return nil, err
	}
	m, err := c.receive()
	switch {
	case err != nil:
		return nil, err
	case m.op != opBindResponse:
		return nil, errMalformed
	}
	refusal, err := decodeResult(m.contents)
	if err != nil {
		return nil, err
	}
	return m.controls, refusal
}

// Search asks and collects the answers; references to other servers are not
// followed. With an *ldap.Error, the directory's own word, comes what was found
// before it. Any other error: the connection is lost, or the filter is none.
func (c *conn) Search(r *ldap.SearchRequest) (*ldap.SearchResult, error) {
	filter, err := ldap.CompileFilter(r.Filter)
	if err != nil {
		return nil, err
	}
	return c.search(r, filter.Bytes())
}

// search is Search with a filter that is encoded already; r's own is not used.
func (c *conn) search(r *ldap.SearchRequest, filter []byte) (*ldap.SearchResult, error) {
	if err := c.send(appendSearch(c.out[:0], c.id(), r, filter)); err != nil {
		return nil, err
	}
	found := &ldap.SearchResult{}
	for {
		m, err := c.receive()
		if err != nil {
			return nil, err
		}
		switch m.op {
		case opReference, opIntermediate:
		case opSearchEntry:
			entry, err := decodeEntry(m.contents)
			if err != nil {
				return nil, err
			}
			found.Entries = append(found.Entries, entry)
		case opSearchDone:
			if cookie := pagingCookie(m.controls); cookie != nil {
				found.Controls = []ldap.Control{&ldap.ControlPaging{Cookie: cookie}}
			}
			refusal, err := decodeResult(m.contents)
			if err != nil {
				return nil, err
			}
			return found, refusal
		default:
			return nil, errMalformed
		}
	}
}

// pagingCookie is where the next page begins (RFC 2696); empty: nowhere.
func pagingCookie(controls []byte) []byte {
	value, _, err := nextOf(controlValue(controls, ldap.ControlTypePaging), tagSequence)
	if err != nil {
		return nil
	}
	_, value, err = nextOf(value, tagInteger)
	if err != nil {
		return nil
	}
	cookie, _, _ := nextOf(value, tagOctets)
	return append([]byte(nil), cookie...)
}

// id is the next message's: never 0.
func (c *conn) id() int32 {
	c.last = max(1, (c.last+1)&0x7fffffff)
	return c.last
}

func (c *conn) send(request []byte) error {
	c.out = request
	_, err := c.raw.Write(request)
	return err
}

// receive reads one answer to the last question. It is valid until the next
// one is read.
func (c *conn) receive() (message, error) {
	n, err := c.length()
	if err != nil {
		return message{}, err
	}
	if cap(c.body) < n || cap(c.body) > 64<<10 { // rarely that long
		c.body = make([]byte, n)
	}
	c.body = c.body[:n]
	if _, err := io.ReadFull(c.in, c.body); err != nil {
		return message{}, err
	}
	m, err := decodeMessage(c.body)
	switch {
	case err != nil:
		return message{}, err
	case m.id == 0: // RFC 4511 section 4.4.1
		return message{}, errors.New("the directory says that it ends the connection")
	case m.id != uint32(c.last):
		return message{}, errMalformed
	}
	return m, nil
}

// length reads the beginning of an LDAPMessage.
func (c *conn) length() (n int, err error) {
	head, err := c.in.Peek(2)
	if err != nil {
		return 0, err
	}
	octets, n := 0, int(head[1])
	if n >= 0x80 {
		octets = n & 0x7f
	}
	if head[0] != tagSequence || n == 0x80 || octets > 4 {
		return 0, errMalformed
	}
	if octets > 0 {
		if head, err = c.in.Peek(2 + octets); err != nil {
			return 0, err
		}
		n = 0
		for _, octet := range head[2:] {
			n = n<<8 | int(octet)
		}
	}
	if n < 0 || n > longestMessage {
		return 0, fmt.Errorf("the directory sends a message of %d bytes", n)
	}
	_, err = c.in.Discard(2 + octets)
	return n, err
}
