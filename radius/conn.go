package radius

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	layeh "layeh.com/radius"
)

// maxWaiting is how much may wait to be written to one connection: several
// thousand answers. Who takes none is not there any more.
const maxWaiting = 1 << 20

// A conn is one TLS connection of a client. What is to be written is put
// together by whoever answers, and written by one goroutine: a NAS that does
// not read keeps nobody waiting.
type conn struct {
	socket
	limits limits
	tls    *tls.Conn
	client *client
	peer   netip.AddrPort

	mu      sync.Mutex
	change  sync.Cond // of what follows
	waiting []byte    // answers, end to end
	ending  bool      // what waits is the last
}

func newConn(raw *tls.Conn, c *client, peer netip.AddrPort, takes codes, l limits) *conn {
	k := &conn{tls: raw, client: c, peer: peer, limits: l}
	k.byKey, k.send, k.takes = map[key]*exchange{}, k.enqueue, takes
	k.change.L = &k.mu
	return k
}

var errSlow = errors.New("the NAS does not read its answers")

// enqueue has b written.
func (c *conn) enqueue(b []byte, _ netip.Addr, _ netip.AddrPort) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending {
		return net.ErrClosed
	}
	if len(c.waiting)+len(b) > maxWaiting {
		c.tls.NetConn().Close() // the reader ends, and with it all
		return errSlow
	}
	c.waiting = append(c.waiting, b...)
	c.change.Signal()
	return nil
}

// write writes what waits until end is called, or the connection fails.
func (c *conn) write() {
	var batch []byte
	for {
		var last bool
		batch, last = c.next(batch)
		if len(batch) > 0 {
			c.tls.SetWriteDeadline(time.Now().Add(c.limits.write))
			if _, err := c.tls.Write(batch); err != nil {
				c.tls.NetConn().Close()
				return
			}
		}
		if last {
			return
		}
	}
}

// next takes what waits, once there is something, and leaves the space of used
// for more.
func (c *conn) next(used []byte) (batch []byte, last bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.waiting) == 0 && !c.ending {
		c.change.Wait()
	}
	if cap(used) > maxWaiting/16 { // a burst is no reason to keep so much
		used = nil
	}
	batch, c.waiting = c.waiting, used[:0]
	return batch, c.ending
}

// end has what waits written as the last.
func (c *conn) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ending = true
	c.change.Signal()
}

// serveConn answers what comes over c until the NAS leaves, breaks the rules or
// is silent for too long, or until ctx ends and what is held had its time.
// What is held when the NAS leaves is given up: no other connection gets its
// answer, and the attempt stays open for a retry.
func (s *Server) serveConn(ctx context.Context, c *conn) {
	var writing sync.WaitGroup
	writing.Go(c.write)
	stop := context.AfterFunc(ctx, func() { c.tls.SetReadDeadline(time.Unix(1, 0)) })
	why := s.readConn(ctx, c)
	stop()
	switch {
	case why != "":
		s.closed(c.client.name(), why, c.peer)
		s.giveUp(&c.socket)
	case ctx.Err() != nil:
		s.drain(&c.socket)
	default:
		s.giveUp(&c.socket)
	}
	c.end()
	writing.Wait()
	c.tls.Close()
}

// readConn serves packets. "": the NAS has left, or ctx has ended.
func (s *Server) readConn(ctx context.Context, c *conn) Drop {
	r := bufio.NewReaderSize(c.tls, layeh.MaxPacketLength)
	buf := make([]byte, layeh.MaxPacketLength)
	k := key{socket: &c.socket, source: c.peer}
	for {
		c.tls.SetReadDeadline(time.Now().Add(c.limits.idle))
		if ctx.Err() != nil { // its deadline may just have been overwritten
			return ""
		}
		b, err := readPacket(r, buf)
		switch {
		case errors.Is(err, errLength):
			s.drop(c.client, BadLength, k)
			return BadLength
		case errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil:
			return Idle
		case err != nil:
			return ""
		}
		switch drop := s.take(b, c.client, k); drop {
		case BadLength, BadAttributes, BadAuthenticator, BadRequestAuthenticator: // RFC 6613 section 2.6.4
			return drop
		}
	}
}

var errLength = errors.New("no RADIUS packet has that length")

// readPacket reads the next packet of a stream into buf: its Length says where
// it ends (RFC 6613 section 2.6.1). errLength: the stream is lost.
func readPacket(r io.Reader, buf []byte) ([]byte, error) {
	if _, err := io.ReadFull(r, buf[:4]); err != nil {
		return nil, err
	}
	length := int(binary.BigEndian.Uint16(buf[2:4]))
	if length < headerLen || length > layeh.MaxPacketLength {
		return nil, errLength
	}
	_, err := io.ReadFull(r, buf[4:length])
	return buf[:length], err
}
