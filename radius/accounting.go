package radius

import (
	"net/netip"
	"strconv"
	"time"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2869"
	"layeh.com/radius/rfc3162"

	"vssgate/internal/accounting"
	"vssgate/radius/wire"
)

// An Accountant keeps records; accounting.Books is one. Account returns at
// once, and done is called exactly once, from any goroutine. Only a record that
// is safe is answered (RFC 2866 section 4.2).
type Accountant = accounting.Keeper

// overTLS is what a connection over TLS takes: everything that is served at all
// (RFC 6614 section 3.3).
func (s *Server) overTLS() codes {
	if s.opts.Accountant == nil {
		return takesLogins
	}
	return takesLogins | takesAccounting
}

// account has the record of an Accounting-Request kept, and answers when it is.
func (s *Server) account(p *packet, c *client, k key) {
	x := &exchange{server: s, client: c, authenticator: p.Authenticator, proxyState: p.proxyState(), accounting: true}
	if !s.begin(x, k) {
		return
	}
	defer s.survive(c, k, x)
	s.opts.Accountant.Account(p.record(c, k.source.Addr(), time.Now()), func(safe bool) {
		defer s.survive(c, k, x) // who kept it goes on with others
		if !safe {
			s.exchanges.forget(x) // sent again, it is tried again
			s.drop(c, NotKept, k)
			return
		}
		x.answerWith(answer{code: layeh.CodeAccountingResponse, unsigned: true})
	})
}

// record reads an Accounting-Request. What is malformed counts as not there.
func (p *packet) record(c *client, source netip.Addr, now time.Time) *accounting.Record {
	nas, _ := p.where(source)
	seconds := func(t layeh.Type) time.Duration { return time.Duration(p.integer(t)) * time.Second }
	octets := func(low, high layeh.Type) uint64 { return uint64(p.integer(high))<<32 | uint64(p.integer(low)) }
	r := &accounting.Record{
		Received: now, Client: c.name(), NAS: nas, Source: source,
		Status:  rfc2866.AcctStatusType(p.integer(rfc2866.AcctStatusType_Type)).String(),
		Session: label(p.Get(rfc2866.AcctSessionID_Type)), Multi: label(p.Get(rfc2866.AcctMultiSessionID_Type)),
		Username: label(p.Get(rfc2865.UserName_Type)), Called: label(p.Get(rfc2865.CalledStationID_Type)),
		Port: label(p.Get(rfc2869.NASPortID_Type)), Address: p.address(rfc2865.FramedIPAddress_Type), Prefix: p.prefix(),
		Delay: seconds(rfc2866.AcctDelayTime_Type), Lasted: seconds(rfc2866.AcctSessionTime_Type),
		In:        octets(rfc2866.AcctInputOctets_Type, rfc2869.AcctInputGigawords_Type),
		Out:       octets(rfc2866.AcctOutputOctets_Type, rfc2869.AcctOutputGigawords_Type),
		InPackets: p.integer(rfc2866.AcctInputPackets_Type), OutPackets: p.integer(rfc2866.AcctOutputPackets_Type),
		Class: p.Get(rfc2865.Class_Type), Signed: p.counts.of(rfc2869.MessageAuthenticator_Type) > 0,
		Attributes: p.relayed(),
	}
	r.Station, _ = withoutPort(label(p.Get(rfc2865.CallingStationID_Type)))
	if cause := p.integer(rfc2866.AcctTerminateCause_Type); cause != 0 {
		r.Cause = rfc2866.AcctTerminateCause(cause).String()
	}
	if at := p.integer(rfc2869.EventTimestamp_Type); at != 0 {
		r.Event = time.Unix(int64(at), 0)
	}
	if r.Port == "" && p.counts.of(rfc2865.NASPort_Type) > 0 {
		r.Port = strconv.FormatUint(uint64(p.integer(rfc2865.NASPort_Type)), 10)
	}
	return r
}

// integer is the value of the first attribute of that type; 0 where there is none.
func (p *packet) integer(t layeh.Type) uint32 {
	v, _ := layeh.Integer(p.Get(t))
	return v
}

// prefix is the Framed-IPv6-Prefix (RFC 3162 section 2.3).
func (p *packet) prefix() netip.Prefix {
	v := p.Get(rfc3162.FramedIPv6Prefix_Type)
	if len(v) < 2 || len(v) > 18 || v[1] > 128 {
		return netip.Prefix{}
	}
	var addr [16]byte
	copy(addr[:], v[2:])
	return netip.PrefixFrom(netip.AddrFrom16(addr), int(v[1]))
}

// relayed are the attributes as they came, in their order, but for what an
// Accounting-Request must not have (RFC 2866 section 4.1) and what each hop
// makes anew.
func (p *packet) relayed() []byte {
	var kept layeh.Attributes
	for _, a := range p.Attributes {
		switch a.Type {
		case rfc2865.UserPassword_Type, rfc2865.CHAPPassword_Type, rfc2865.ReplyMessage_Type, rfc2865.State_Type, rfc2869.MessageAuthenticator_Type:
		default:
			kept = append(kept, a)
		}
	}
	return wire.Pack(kept)
}
