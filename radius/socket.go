package radius

import (
	"bytes"
	"net"
	"net/netip"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// readBuffer is what the kernel may keep for us while all readers are busy:
// about 5,000 requests.
const readBuffer = 4 << 20

// A socket is where requests come in and their answers leave: a UDP socket, or
// one TLS connection. Each has Identifiers of its own.
type socket struct {
	// send writes an answer to the NAS, from local if that is known. It does not
	// wait for a slow NAS.
	send  func(b []byte, local netip.Addr, to netip.AddrPort) error
	takes codes

	// Guarded by exchanges.mu.
	known    map[place]*exchange
	ports    map[origin]*port
	held     int
	sending  int // answers that are on their way out
	draining bool
	drained  func() // told when nothing is held or sent, once draining
}

func (s *socket) init(send func(b []byte, local netip.Addr, to netip.AddrPort) error) {
	s.send, s.known, s.ports = send, map[place]*exchange{}, map[origin]*port{}
}

// port is where a NAS asks from, for one more exchange with it; release says
// that one less is known. Both are called with exchanges.mu held.
func (s *socket) port(o origin) *port {
	p := s.ports[o]
	if p == nil {
		p = &port{socket: s, origin: o}
		s.ports[o] = p
	}
	p.exchanges++
	return p
}

func (p *port) release() {
	if p.exchanges--; p.exchanges == 0 {
		delete(p.socket.ports, p.origin)
	}
}

// check tells when s is drained. It is called with exchanges.mu held.
func (s *socket) check() {
	if s.draining && s.held == 0 && s.sending == 0 {
		s.drained()
	}
}

// A udpSocket answers from the address that was asked: a NAS drops an answer
// from another one. Bound to a wildcard it learns that address from the kernel
// with each datagram.
type udpSocket struct {
	socket
	conn     *net.UDPConn
	wildcard bool
}

func newUDPSocket(conn *net.UDPConn, takes codes) (*udpSocket, error) {
	_ = conn.SetReadBuffer(readBuffer) // the kernel may allow less; that is no failure
	s := &udpSocket{conn: conn}
	s.init(s.write)
	s.takes = takes
	local := conn.LocalAddr().(*net.UDPAddr)
	if !local.IP.IsUnspecified() {
		return s, nil
	}
	s.wildcard = true
	if local.IP.To4() != nil {
		return s, ipv4.NewPacketConn(conn).SetControlMessage(ipv4.FlagDst, true)
	}
	return s, ipv6.NewPacketConn(conn).SetControlMessage(ipv6.FlagDst, true)
}

// receive reads one datagram, and which address was asked where there may be
// several.
func (s *udpSocket) receive(buf, oob []byte, to *asked) (n int, k key, err error) {
	var source netip.AddrPort
	k.socket = &s.socket
	if s.wildcard {
		var oobn int
		n, oobn, _, source, err = s.conn.ReadMsgUDPAddrPort(buf, oob)
		k.local = to.address(oob[:oobn])
	} else {
		n, source, err = s.conn.ReadFromUDPAddrPort(buf)
	}
	k.source = netip.AddrPortFrom(source.Addr().Unmap(), source.Port())
	return n, k, err
}

func (s *udpSocket) write(b []byte, local netip.Addr, to netip.AddrPort) (err error) {
	if local.IsValid() {
		_, _, err = s.conn.WriteMsgUDPAddrPort(b, from(local), to)
	} else {
		_, err = s.conn.WriteToUDPAddrPort(b, to)
	}
	return err
}

// from is the control message that makes a datagram leave from local. An IPv4
// address goes as IP_PKTINFO, also on a socket for both families.
func from(local netip.Addr) []byte {
	switch {
	case !local.IsValid():
		return nil
	case local.Is4():
		return (&ipv4.ControlMessage{Src: local.AsSlice()}).Marshal()
	}
	return (&ipv6.ControlMessage{Src: local.AsSlice()}).Marshal()
}

// An asked reads which address a datagram was sent to. Most come to the same
// one, so the last is remembered.
type asked struct {
	oob   []byte
	local netip.Addr
}

func (a *asked) address(oob []byte) netip.Addr {
	if len(oob) == 0 {
		return netip.Addr{}
	}
	if !bytes.Equal(oob, a.oob) {
		a.oob, a.local = append(a.oob[:0], oob...), destination(oob)
	}
	return a.local
}

// destination is the local address in a received control message; on a socket
// for both families IPv4 comes as IPv6 (RFC 3493 section 3.7).
func destination(oob []byte) netip.Addr {
	var v4 ipv4.ControlMessage
	if v4.Parse(oob) == nil && v4.Dst != nil {
		a, _ := netip.AddrFromSlice(v4.Dst)
		return a.Unmap()
	}
	var v6 ipv6.ControlMessage
	if v6.Parse(oob) == nil && v6.Dst != nil {
		a, _ := netip.AddrFromSlice(v6.Dst)
		return a.Unmap()
	}
	return netip.Addr{}
}
