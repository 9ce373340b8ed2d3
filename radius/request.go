package radius

import (
	"bytes"
	"crypto/md5"
	"net"
	"net/netip"
	"strings"
	"unicode/utf8"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc3162"

	"vssgate/internal/login"
	"vssgate/radius/wire"
)

// A reading is what an Access-Request comes down to: a request for the
// Handler, or a refusal that needs nobody's opinion.
type reading struct {
	request *login.Request // Reply and Packet are still to be filled in
	refused string         // why, if request is nil, or a probe that nobody can check
	reply   login.Reply
	detail  string // of refused, for the log
	eap     bool   // EAP came, in the EAP packet eapID: EAP answers
	eapID   byte
	ask     []byte // an EAP request that is the answer; with state
	state   []byte
}

// read turns an Access-Request into a reading, or says why it is dropped.
func (p *packet) read(c *client, source netip.Addr) (r reading, drop Drop) {
	if !p.named() {
		return refuse(rejectedName, login.Reject), ""
	}
	state, again := p.Lookup(rfc2865.State_Type)
	if again && len(state) == 0 {
		return refuse(rejectedState, login.BadAnswer), ""
	}
	if c.Upstream != nil {
		if r, passed := p.passed(c, source, again); passed {
			return r, ""
		}
	}
	password, why, drop := p.password(c, again)
	if drop != "" {
		return r, drop
	}
	if !again {
		why = or(p.noLogin(password), why)
	}
	probe := (why == rejectedCHAP || why == rejectedMSCHAP) && !again
	if why != "" && !probe {
		return refuse(why, refusal(why, again)), ""
	}
	r.request = p.request(c, source)
	r.request.Password = password
	if probe { // refused, unless it is better not answered at all
		r.refused, r.request.Probe, r.request.Conversation, r.request.First = why, true, true, nil
	}
	return r, ""
}

// named: there is a User-Name that can be one.
func (p *packet) named() bool {
	name := p.Get(rfc2865.UserName_Type)
	return len(name) > 0 && bytes.IndexByte(name, 0) < 0
}

// request is what all kinds of logins have in common.
func (p *packet) request(c *client, source netip.Addr) *login.Request {
	nas, station := p.where(source)
	r := &login.Request{
		FrontEnd: login.RADIUS,
		Client:   c.Login,
		NAS:      nas,
		Station:  station,
		Source:   source,
		Username: readable(p.Get(rfc2865.UserName_Type)),
		State:    p.Get(rfc2865.State_Type),
		Session:  p.session(),
		First:    c.First,
	}
	if c.Upstream != nil {
		r.First = c.Upstream.Asking(p.forUpstream())
	}
	return r
}

func refuse(why string, kind login.ReplyKind) reading {
	id := login.NewID()
	reply := login.Reply{Kind: kind, Trace: id.Trace(), Attempt: id}
	switch {
	case kind == login.Reject:
		reply.Reason = login.BadPassword
	case why != rejectedState && why != rejectedForeign:
		reply.Reason = login.BadMethod
	}
	return reading{refused: why, reply: reply}
}

func or(why, other string) string {
	if why != "" {
		return why
	}
	return other
}

// refusal keeps "wrong user name or password" for those who gave a password.
func refusal(why string, again bool) login.ReplyKind {
	if why == rejectedPassword && !again {
		return login.Reject
	}
	return login.BadAnswer
}

// password finds what the user typed. With a State nothing at all is an answer
// too: the user pressed OK. Anything but PAP is refused: it could be checked
// only by who has the password itself, and a directory has not.
func (p *packet) password(c *client, again bool) (typed []byte, why string, drop Drop) {
	hidden, given := p.Lookup(rfc2865.UserPassword_Type)
	switch {
	case given:
	case p.counts.of(rfc2865.CHAPPassword_Type) > 0 && c.version == overV11 && p.counts.of(rfc2865.CHAPChallenge_Type) == 0:
		return nil, rejectedChallenge, ""
	case p.counts.of(rfc2865.CHAPPassword_Type) > 0:
		return nil, rejectedCHAP, ""
	case p.msCHAP():
		return nil, rejectedMSCHAP, ""
	case again:
		return nil, "", ""
	default:
		return nil, rejectedNone, ""
	}
	switch {
	case len(hidden) == 0 || len(hidden) > wire.MaxPassword:
		return nil, rejectedPassword, ""
	case c.version == overV11: // as it is (RFC 9765 section 5.1.1)
		typed = bytes.Clone(hidden)
	case len(hidden)%md5.Size != 0:
		return nil, rejectedPassword, ""
	default:
		// The library's own cuts at the first NUL, and would turn
		// "password\0,123456" into a password without code.
		typed = bytes.TrimRight(wire.RevealPassword(hidden, c.secret, p.Authenticator), "\x00")
	}
	if !utf8.Valid(typed) && !p.authentic {
		return nil, "", WrongSecret // to hand it on could lock the user out
	}
	typed, why = asText(typed)
	return typed, why, ""
}

// asText is what was typed as UTF-8; what is none is Latin-1. why says that it
// can be no password.
func asText(typed []byte) (text []byte, why string) {
	if !utf8.Valid(typed) {
		typed = []byte(latin1(typed))
	}
	if bytes.IndexByte(typed, 0) >= 0 {
		return nil, rejectedPassword
	}
	return typed, ""
}

// hideable: User-Password can be as long as that (RFC 2865 section 5.2).
func hideable(hidden []byte) bool {
	return len(hidden) > 0 && len(hidden) <= wire.MaxPassword && len(hidden)%md5.Size == 0
}

// where says which NAS asks and from where the user came. A station that is
// the NAS itself says nothing about the user.
func (p *packet) where(source netip.Addr) (nas, station string) {
	identifier := label(p.Get(rfc2865.NASIdentifier_Type))
	v4, v6 := p.address(rfc2865.NASIPAddress_Type), p.address(rfc3162.NASIPv6Address_Type)
	station, at := withoutPort(label(p.Get(rfc2865.CallingStationID_Type)))
	if strings.EqualFold(station, identifier) || at.IsValid() && (at == source || at == v4 || at == v6 || at.IsUnspecified()) {
		station = ""
	}
	switch {
	case identifier != "":
		return identifier, station
	case v4.IsValid():
		return v4.String(), station
	case v6.IsValid():
		return v6.String(), station
	}
	return source.String(), station
}

// address is the address in the first attribute of that type, if it is one.
func (p *packet) address(t layeh.Type) netip.Addr {
	a, _ := netip.AddrFromSlice(p.Get(t))
	return a.Unmap()
}

// withoutPort cuts the port off an address, which changes with each try of the
// same user, and leaves everything else, MAC addresses above all. at is the
// address, if station is one.
func withoutPort(station string) (cut string, at netip.Addr) {
	if isMAC(station) {
		return station, at
	}
	bare := strings.Trim(station, "[]")
	if address, port, found := strings.Cut(bare, "["); found && port != "" { // ADDRESS[PORT], as strongSwan writes it
		bare = address
	}
	at, err := netip.ParseAddr(bare)
	if err != nil {
		with, err := netip.ParseAddrPort(station)
		if err != nil {
			return station, at
		}
		at = with.Addr()
	}
	at = at.Unmap()
	return at.String(), at
}

// isMAC: a hardware address in one of its usual forms. Only what can be one is
// parsed, because the parser's error costs an allocation.
func isMAC(s string) bool {
	if len(s) < len("0011.2233.4455") || strings.Count(s, ":") < 5 && strings.Count(s, "-") < 5 && strings.Count(s, ".") != 2 {
		return false
	}
	_, err := net.ParseMAC(s)
	return err == nil
}

// label reads an attribute that people see: valid UTF-8 without what hides
// around it.
func label(a layeh.Attribute) string {
	return strings.Trim(readable(a), " \t\r\n\x00")
}

// readable is a as text: UTF-8 as it is, else read as Latin-1.
func readable(a []byte) string {
	if utf8.Valid(a) {
		return string(a)
	}
	return latin1(a)
}

func latin1(b []byte) string {
	r := make([]rune, len(b))
	for i, c := range b {
		r[i] = rune(c)
	}
	return string(r)
}
