package radius

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"time"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"

	"vssgate/internal/login"
	"vssgate/radius/wire"
)

// EAP-GTC (RFC 3748 section 5.6) shows us a password, as PAP does:
//
//	NAS -> EAP Identity            we -> GTC "Password: ", State A
//	NAS -> State A, GTC password   we -> (held) EAP-Success; or GTC "Enter code", State B
//	NAS -> State B, GTC code       we -> EAP-Success
//
// Nothing is kept of a conversation: what is to be known in its next round is in
// the State, signed, for a limited time. So there can be any number of them, and
// any node can go on. An upstream gets EAP of any method as it came.

// An eapStage is what was asked last.
type eapStage byte

const (
	askedIdentity eapStage = 1 + iota
	askedPassword
	askedCode // of a challenge: the engine's State is within ours
)

// An eapAsked is what a State of ours says.
type eapAsked struct {
	stage eapStage
	id    byte // of the EAP request: the response has the same
	state []byte
}

// eapPatience is how long a request may stay unanswered: as long as a login is
// valid, for people type their passwords.
const eapPatience = 2 * time.Minute

const (
	eapStateHeader = 6 // stage, id, expiry in Unix seconds
	eapStateMAC    = 16
)

// eapStates signs and reads States.
type eapStates struct{ key []byte }

func newEAPStates(key []byte) eapStates {
	if key == nil {
		key = make([]byte, sha256.Size)
		rand.Read(key)
	}
	return eapStates{key}
}

func (s eapStates) mac(client string, body []byte) []byte {
	h := hmac.New(sha256.New, s.key)
	h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(client))))
	h.Write([]byte(client))
	h.Write(body)
	return h.Sum(nil)[:eapStateMAC]
}

func (s eapStates) seal(client string, a eapAsked, now time.Time) []byte {
	b := binary.BigEndian.AppendUint32([]byte{byte(a.stage), a.id}, uint32(now.Add(eapPatience).Unix()))
	b = append(b, a.state...)
	return append(b, s.mac(client, b)...)
}

// open reads a State that seal made for that client, while it is fresh.
func (s eapStates) open(client string, state []byte, now time.Time) (a eapAsked, ok bool) {
	at := len(state) - eapStateMAC
	if at < eapStateHeader || !hmac.Equal(state[at:], s.mac(client, state[:at])) {
		return a, false
	}
	if now.Unix() >= int64(binary.BigEndian.Uint32(state[2:eapStateHeader])) {
		return a, false
	}
	return eapAsked{stage: eapStage(state[0]), id: state[1], state: bytes.Clone(state[eapStateHeader:at])}, true
}

// readEAP turns an Access-Request with EAP-Message, whose Message-Authenticator
// was found right, into a reading.
func (s *Server) readEAP(p *packet, c *client, source netip.Addr) (r reading) {
	raw := wire.Join(rfc2869.EAPMessage_Type, p.Attributes)
	e, err := wire.ParseEAP(raw)
	started := len(raw) == 0 // EAP-Start (RFC 3579 section 2.1)
	switch {
	case p.noLogin(nil) != "":
		r = refuse(p.noLogin(nil), login.BadAnswer)
	case !p.contiguousEAP(), !started && (err != nil || e.Code != wire.EAPResponse):
		r = refuse(rejectedBadEAP, login.BadAnswer)
	case started && c.Upstream == nil:
		r = s.askEAP(c, eapAsked{stage: askedIdentity, id: randomByte()}, wire.EAPIdentity, "")
	case !p.named():
		r = refuse(rejectedName, login.BadAnswer)
	default:
		r = s.converse(p, c, source, e)
	}
	r.eap = true
	if len(raw) > 1 {
		r.eapID = raw[1]
	}
	return r
}

func randomByte() byte {
	var b [1]byte
	rand.Read(b[:])
	return b[0]
}

// converse goes on with a conversation, or leaves that to the upstream. A State
// of ours tells what was asked.
func (s *Server) converse(p *packet, c *client, source netip.Addr, e wire.EAP) reading {
	state, again := p.Lookup(rfc2865.State_Type)
	asked, ours := s.eap.open(c.name(), state, time.Now())
	switch {
	case ours && e.ID != asked.id:
		return refuse(rejectedBadEAP, login.BadAnswer)
	case ours && asked.stage == askedCode && e.Type == wire.EAPGTC:
		return p.typedInEAP(c, source, e.Data, asked.state)
	case c.Upstream != nil && !ours:
		return p.passedEAP(c, source, e)
	case again && !ours:
		return refuse(rejectedForeign, login.BadAnswer)
	case ours && asked.stage == askedPassword && e.Type == wire.EAPGTC:
		return p.typedInEAP(c, source, e.Data, nil)
	case ours && asked.stage == askedIdentity && e.Type == wire.EAPIdentity, !ours && leadsToGTC(e):
		return s.askEAP(c, eapAsked{stage: askedPassword, id: e.ID + 1}, wire.EAPGTC, "Password: ")
	}
	r := refuse(rejectedEAP, login.BadAnswer)
	r.detail = wanted(e)
	return r
}

// leadsToGTC: a conversation that begins with a name, or with a method that the
// NAS chose by itself (RFC 3579 section 2.1), gets our method offered; but not
// one that has refused it.
func leadsToGTC(e wire.EAP) bool {
	return e.Type != wire.EAPNak || bytes.IndexByte(e.Data, wire.EAPGTC) >= 0
}

// wanted names the method that the user's device spoke, or asked for.
func wanted(e wire.EAP) string {
	if e.Type == wire.EAPNak && len(e.Data) > 0 {
		return fmt.Sprintf("the device asks for EAP type %s", method(e.Data[0]))
	}
	return fmt.Sprintf("the device speaks EAP type %s", method(e.Type))
}

func method(kind byte) string {
	names := map[byte]string{4: "MD5", 13: "TLS", 21: "TTLS", 25: "PEAP", 26: "MSCHAPv2", 43: "FAST", 55: "TEAP"}
	if name := names[kind]; name != "" {
		return fmt.Sprintf("%d (%s)", kind, name)
	}
	return fmt.Sprint(kind)
}

// askEAP is a reading that is answered at once with an EAP request.
func (s *Server) askEAP(c *client, a eapAsked, kind byte, text string) reading {
	return reading{
		ask:   wire.EAP{Code: wire.EAPRequest, ID: a.id, Type: kind, Data: []byte(text)}.Bytes(),
		state: s.eap.seal(c.name(), a, time.Now()),
	}
}

// typedInEAP is what a user typed, as if it had come by PAP: state is the
// engine's, nil for a password.
func (p *packet) typedInEAP(c *client, source netip.Addr, typed, state []byte) reading {
	text, why := asText(bytes.Clone(typed))
	if why != "" || len(text) > wire.MaxPassword {
		return refuse(rejectedPassword, login.Reject)
	}
	r := p.request(c, source)
	r.Password, r.State = text, state
	return reading{request: r}
}

// passedEAP hands a round of any method to the upstream. Only GTC could show
// the user another question after it.
func (p *packet) passedEAP(c *client, source netip.Addr, e wire.EAP) reading {
	r := p.request(c, source)
	r.Conversation, r.NoChallenge = true, e.Type != wire.EAPGTC
	if e.Code != 0 { // EAP-Start is like no other
		r.Password = e.Bytes()
	}
	return reading{request: r}
}

// contiguousEAP: the parts of an EAP packet come one behind the other (RFC 3579
// section 3.1).
func (p *packet) contiguousEAP() bool {
	is := func(a *layeh.AVP) bool { return a.Type == rfc2869.EAPMessage_Type }
	first := slices.IndexFunc(p.Attributes, is)
	n := p.counts.of(rfc2869.EAPMessage_Type)
	return first+n <= len(p.Attributes) && !slices.ContainsFunc(p.Attributes[first:first+n], func(a *layeh.AVP) bool { return !is(a) })
}

// inEAP makes a the answer to an EAP packet: what it says, EAP says. Texts do
// not come beside it (RFC 3579 section 2.6.5). Success and failure have the id
// of the response that they answer.
func (x *exchange) inEAP(a *answer, r login.Reply) {
	text := a.text
	a.text, a.prompt = "", false
	a.passed.Del(rfc2865.ReplyMessage_Type)
	switch r.Kind {
	case login.Relay:
	case login.Ask:
		asked := eapAsked{stage: askedCode, id: x.eapID + 1, state: r.State}
		a.state = x.server.eap.seal(x.client.name(), asked, time.Now())
		a.eap = wire.EAP{Code: wire.EAPRequest, ID: asked.id, Type: wire.EAPGTC, Data: []byte(text)}.Bytes()
	default:
		end := wire.EAP{Code: wire.EAPFailure, ID: x.eapID}
		if r.Kind == login.Accept {
			end.Code = wire.EAPSuccess
		}
		a.passed.Del(rfc2869.EAPMessage_Type)
		a.eap = end.Bytes()
	}
}
