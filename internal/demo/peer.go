package demo

import (
	"bufio"
	"errors"
	"io"
	"net"
	"slices"
	"strings"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/nmcclain/ldap"

	"vssgate/internal/directory"
)

// longestMessage bounds what a client can make the demo directory read.
const longestMessage = 8192

// A peer is a client's connection as the package's Server sees it. The Server
// takes the whole process down at some ordinary messages (a critical control
// without a value, an Abandon hangs up) and rewrites filters on their way to
// the handler. So it is given plain binds, and for each search a stand-in; the
// real search is kept in asked. What else comes is answered here.
type peer struct {
	net.Conn
	in      *bufio.Reader
	pending []byte // for the Server to read
	id      int64  // of the message it is reading
	bound   string // normalised DN; "": anonymous
	asked   search
	closed  func(*peer)
}

func newPeer(conn net.Conn, closed func(*peer)) *peer {
	return &peer{Conn: conn, in: bufio.NewReader(conn), closed: closed}
}

// Read gives the Server the next message that it may see. Whatever cannot be
// read is the end of the connection.
func (p *peer) Read(b []byte) (int, error) {
	for len(p.pending) == 0 {
		if err := p.next(); err != nil {
			return 0, io.EOF
		}
	}
	n := copy(b, p.pending)
	p.pending = p.pending[n:]
	return n, nil
}

// Close closes the connection; the Server does so twice.
func (p *peer) Close() error {
	p.closed(p)
	return p.Conn.Close()
}

var errHangUp = errors.New("the connection ends")

func (p *peer) next() error {
	message, err := ber.ReadPacket(io.LimitReader(p.in, longestMessage))
	if err != nil || len(message.Children) < 2 {
		return errHangUp
	}
	id, ok := message.Children[0].Value.(int64)
	operation := message.Children[1]
	if !ok || id < 1 || id > 1<<31-1 || operation.ClassType != ber.ClassApplication {
		return errHangUp
	}
	p.id = id
	switch operation.Tag {
	case ldap.ApplicationBindRequest:
		return p.bind(operation)
	case ldap.ApplicationSearchRequest:
		return p.search(operation)
	case ldap.ApplicationAbandonRequest:
		return nil // searches are done before the next message is read
	case ldap.ApplicationExtendedRequest:
		return p.refuse(ldap.ApplicationExtendedResponse, ldap.LDAPResultProtocolError)
	case ldap.ApplicationModifyRequest, ldap.ApplicationAddRequest, ldap.ApplicationDelRequest,
		ldap.ApplicationModifyDNRequest, ldap.ApplicationCompareRequest:
		return p.refuse(operation.Tag+1, ldap.LDAPResultUnwillingToPerform)
	}
	return errHangUp // Unbind, or nothing that LDAP knows
}

func (p *peer) refuse(answer ber.Tag, code int64) error {
	_, err := p.Conn.Write(envelope(p.id, result(answer, code)).Bytes())
	return err
}

func (p *peer) bind(operation *ber.Packet) error {
	if len(operation.Children) != 3 {
		return errHangUp
	}
	version, name, auth := operation.Children[0], operation.Children[1], operation.Children[2]
	switch {
	case version.Value != int64(3):
		return p.refuse(ldap.ApplicationBindResponse, ldap.LDAPResultProtocolError)
	case auth.ClassType != ber.ClassContext || auth.TagType != ber.TypePrimitive || auth.Tag != ldap.LDAPBindAuthSimple:
		return p.refuse(ldap.ApplicationBindResponse, ldap.LDAPResultAuthMethodNotSupported)
	}
	bind := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationBindRequest, nil, "")
	bind.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, 3, ""))
	bind.AppendChild(octets(text(name)))
	bind.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, ldap.LDAPBindAuthSimple, text(auth), ""))
	p.pending = envelope(p.id, bind).Bytes()
	return nil
}

func (p *peer) search(operation *ber.Packet) error {
	asked, err := parseSearch(operation)
	if err != nil {
		return p.refuse(ldap.ApplicationSearchResultDone, ldap.LDAPResultProtocolError)
	}
	p.asked = asked
	p.pending = envelope(p.id, standIn()).Bytes()
	return nil
}

// standIn is a search that the Server can read.
func standIn() *ber.Packet {
	search := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchRequest, nil, "")
	search.AppendChild(octets(""))
	for _, n := range []int64{ldap.ScopeBaseObject, ldap.NeverDerefAliases} {
		search.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, n, ""))
	}
	for range 2 { // no limits
		search.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, 0, ""))
	}
	search.AppendChild(ber.NewBoolean(ber.ClassUniversal, ber.TypePrimitive, ber.TagBoolean, false, ""))
	search.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, ldap.FilterPresent, "objectClass", ""))
	search.AppendChild(ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, ""))
	return search
}

func envelope(id int64, operation *ber.Packet) *ber.Packet {
	message := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
	message.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, id, ""))
	message.AppendChild(operation)
	return message
}

func result(tag ber.Tag, code int64) *ber.Packet {
	r := ber.Encode(ber.ClassApplication, ber.TypeConstructed, tag, nil, "")
	r.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, code, ""))
	r.AppendChild(octets(""))
	r.AppendChild(octets(""))
	return r
}

func octets(s string) *ber.Packet {
	return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, s, "")
}

func text(p *ber.Packet) string { return p.Data.String() }

// A search is what a client asked for (RFC 4511 section 4.5.1).
type search struct {
	base      string // normalised; impossible when it is no DN
	scope     int64
	limit     int
	typesOnly bool
	filter    *ber.Packet
	wanted    []string // in lower case
}

// impossible is the base of a search that finds nothing.
const impossible = "\x00"

func parseSearch(operation *ber.Packet) (s search, err error) {
	if len(operation.Children) != 8 {
		return s, errors.New("a search has eight parts")
	}
	scope, ok := operation.Children[1].Value.(int64)
	limit, ok2 := operation.Children[3].Value.(int64)
	typesOnly, ok3 := operation.Children[5].Value.(bool)
	if !ok || !ok2 || !ok3 || limit < 0 || scope < ldap.ScopeBaseObject || scope > ldap.ScopeWholeSubtree {
		return s, errors.New("a part of the search is of the wrong type")
	}
	s = search{scope: scope, limit: int(limit), typesOnly: typesOnly, filter: operation.Children[6]}
	if s.base, err = directory.NormalizeDN(text(operation.Children[0])); err != nil {
		s.base = impossible
	}
	for _, name := range operation.Children[7].Children {
		s.wanted = append(s.wanted, strings.ToLower(text(name)))
	}
	return s, nil
}

// reaches tells whether e is within base and scope.
func (s search) reaches(e entry) bool {
	above, below := strings.CutSuffix(e.key, ","+s.base)
	switch {
	case e.key == s.base:
		return s.scope != ldap.ScopeSingleLevel
	case !below:
		return s.base == "" && e.key != "" && s.scope == ldap.ScopeWholeSubtree
	}
	return s.scope == ldap.ScopeWholeSubtree || s.scope == ldap.ScopeSingleLevel && !strings.Contains(above, ",")
}

// pick returns the attributes that were asked for.
func (s search) pick(all []attribute) (picked []*ldap.EntryAttribute) {
	for _, a := range all {
		if !s.wants(a) {
			continue
		}
		values := a.values
		if s.typesOnly {
			values = nil
		}
		picked = append(picked, &ldap.EntryAttribute{Name: a.name, Values: values})
	}
	return picked
}

// wants: no names or * mean all user attributes, + all operational ones
// (RFC 4511 section 4.5.1.8, RFC 3673).
func (s search) wants(a attribute) bool {
	if slices.Contains(s.wanted, strings.ToLower(a.name)) {
		return true
	}
	if a.operational {
		return slices.Contains(s.wanted, "+")
	}
	return len(s.wanted) == 0 || slices.Contains(s.wanted, "*")
}
