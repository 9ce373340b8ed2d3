package radius

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"os"
	"sync"
	"time"

	layeh "layeh.com/radius"
)

// A conn is one TLS connection of a client.
type conn struct {
	socket
	outbox
	limits limits
	client *client
	peer   netip.AddrPort
}

func newConn(raw *tls.Conn, c *client, peer netip.AddrPort, takes codes, l limits) *conn {
	k := &conn{client: c, peer: peer, limits: l}
	k.outbox.init(raw, l.write)
	k.socket.init(func(b []byte, _ netip.Addr, _ netip.AddrPort) error { return k.put(b) })
	k.takes = takes
	return k
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
		if speaks := s.speaks(c.tls.ConnectionState(), c.peer); speaks != nil {
			c.client = speaks
		} else { // it is a client no more; what it asked before is still answered
			s.drop(c.client, UnknownCertificate, k)
			continue
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
