package accounting

import (
	"net/netip"
	"time"
)

// A Record is one Accounting-Request. Texts are as the NAS sent them; an empty
// or zero field was not in the packet.
type Record struct {
	Received time.Time
	Client   string
	NAS      string     // NAS-Identifier, else its address
	Source   netip.Addr // where the packet came from

	Status     string // Acct-Status-Type by its RFC's name: Start, Interim-Update, Stop, Accounting-On, ...
	Session    string // Acct-Session-Id
	Multi      string // Acct-Multi-Session-Id
	Username   string
	Station    string // Calling-Station-Id
	Called     string // Called-Station-Id
	Port       string // NAS-Port-Id, else NAS-Port
	Address    netip.Addr
	Prefix     netip.Prefix // Framed-IPv6-Prefix
	Event      time.Time    // Event-Timestamp
	Delay      time.Duration
	Lasted     time.Duration // Acct-Session-Time
	In, Out    uint64        // octets, gigawords included
	InPackets  uint32
	OutPackets uint32
	Cause      string // Acct-Terminate-Cause by its name
	Class      []byte

	// Attributes are all attributes as they came, but for passwords and the
	// Message-Authenticator: what is forwarded.
	Attributes []byte
	Signed     bool // it had a Message-Authenticator
}

// When is when it happened at the NAS.
func (r *Record) When() time.Time {
	if !r.Event.IsZero() {
		return r.Event
	}
	return r.Received.Add(-r.Delay)
}

// timeForm is RFC 3339 with milliseconds, always in UTC.
const timeForm = "2006-01-02T15:04:05.000Z07:00"

// line is a Record as it is written; the order of the fields is that of the
// line. No attribute is written that is not named here.
type line struct {
	Kind       string `json:"kind"`
	Time       string `json:"time"`
	Client     string `json:"client"`
	NAS        string `json:"nas"`
	Source     string `json:"source"`
	Status     string `json:"status"`
	Session    string `json:"session"`
	Multi      string `json:"multi_session,omitempty"`
	Username   string `json:"username"`
	From       string `json:"from,omitempty"`
	Called     string `json:"called,omitempty"`
	Port       string `json:"port,omitempty"`
	Address    string `json:"address,omitempty"`
	Prefix     string `json:"prefix,omitempty"`
	Event      string `json:"event_time,omitempty"`
	DelayS     int64  `json:"delay_s,omitempty"`
	LastedS    int64  `json:"session_time_s"`
	In         uint64 `json:"input_octets"`
	Out        uint64 `json:"output_octets"`
	InPackets  uint32 `json:"input_packets"`
	OutPackets uint32 `json:"output_packets"`
	Cause      string `json:"terminate_cause,omitempty"`
	Class      []byte `json:"class,omitempty"` // base64
}

func (r *Record) line() line {
	l := line{
		Kind: "accounting", Time: r.Received.UTC().Format(timeForm), Client: r.Client, NAS: r.NAS, Source: r.Source.String(),
		Status: r.Status, Session: r.Session, Multi: r.Multi, Username: r.Username, From: r.Station, Called: r.Called, Port: r.Port,
		DelayS: int64(r.Delay.Seconds()), LastedS: int64(r.Lasted.Seconds()), In: r.In, Out: r.Out,
		InPackets: r.InPackets, OutPackets: r.OutPackets, Cause: r.Cause, Class: r.Class,
	}
	if r.Address.IsValid() {
		l.Address = r.Address.String()
	}
	if r.Prefix.IsValid() {
		l.Prefix = r.Prefix.String()
	}
	if !r.Event.IsZero() {
		l.Event = r.Event.UTC().Format(time.RFC3339)
	}
	return l
}
