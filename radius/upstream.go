package radius

import (
	"bytes"
	"fmt"
	"net/netip"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"

	"vssgate/internal/login"
	"vssgate/radius/wire"
)

// An Upstream is a RADIUS server behind us as first factor.
type Upstream interface {
	// Asking is the first factor of the Access-Request with these attributes. They
	// lack what is between two neighbours alone: Message-Authenticator, State,
	// Proxy-State. User-Password stands where the password belongs that Check is
	// given. Checked.Relay and Checked.Keep are a []byte as of wire.Pack: what
	// goes on to the NAS, its hidden values open.
	Asking(attributes layeh.Attributes) login.FirstFactor
}

// passed reads a request that carries a proof of a password in place of one
// (CHAP, MS-CHAP), which only who knows the password can judge: the upstream.
func (p *packet) passed(c *client, source netip.Addr, again bool) (r reading, is bool) {
	proof, msCHAP := p.proof()
	if proof == nil || p.counts.of(rfc2865.UserPassword_Type) > 0 {
		return r, false
	}
	if c.version == overV11 && p.counts.of(rfc2865.CHAPPassword_Type) > 0 && p.counts.of(rfc2865.CHAPChallenge_Type) == 0 {
		return r, false // password says what is wrong
	}
	if why := p.noLogin(nil); why != "" && !again {
		return refuse(why, login.BadAnswer), true
	}
	r.request = p.request(c, source)
	r.request.Conversation, r.request.NoChallenge, r.request.Password = true, msCHAP, proof
	r.request.Probe = !again
	return r, true
}

// proof is what a CHAP or MS-CHAP response consists of, with its challenge: by
// that the same request is known again. nil: there is none.
func (p *packet) proof() (proof []byte, msCHAP bool) {
	if response := p.Get(rfc2865.CHAPPassword_Type); len(response) > 0 {
		return append(bytes.Clone(response), p.chapChallenge()...), false
	}
	if !p.msCHAP() {
		return nil, false
	}
	return wire.Pack(p.microsoft()), true
}

// chapChallenge: without CHAP-Challenge the Request Authenticator was the
// challenge (RFC 2865 section 5.40).
func (p *packet) chapChallenge() []byte {
	if challenge, given := p.Lookup(rfc2865.CHAPChallenge_Type); given {
		return challenge
	}
	return p.Authenticator[:]
}

const microsoftVendor = 311

// msCHAP finds Microsoft's CHAP attributes (RFC 2548): MS-CHAP-Response,
// MS-CHAP-Challenge, MS-CHAP2-Response.
func (p *packet) msCHAP() bool {
	for _, a := range p.microsoft() {
		if kind := a.Attribute[4]; kind == 1 || kind == 11 || kind == 25 {
			return true
		}
	}
	return false
}

func (p *packet) microsoft() (list layeh.Attributes) {
	for _, a := range p.Attributes {
		if a.Type != rfc2865.VendorSpecific_Type {
			continue
		}
		vendor, value, err := layeh.VendorSpecific(a.Attribute)
		if err == nil && vendor == microsoftVendor && len(value) > 0 {
			list = append(list, a)
		}
	}
	return list
}

// forUpstream are the attributes that go on. Our Request Authenticator is not
// the NAS's, so a CHAP challenge that was there alone is written out.
func (p *packet) forUpstream() layeh.Attributes {
	list := make(layeh.Attributes, 0, len(p.Attributes)+1)
	for _, a := range p.Attributes {
		switch a.Type {
		case rfc2869.MessageAuthenticator_Type, rfc2865.State_Type, rfc2865.ProxyState_Type:
		default:
			list = append(list, a)
		}
	}
	if p.counts.of(rfc2865.CHAPPassword_Type) > 0 && p.counts.of(rfc2865.CHAPChallenge_Type) == 0 {
		list.Add(rfc2865.CHAPChallenge_Type, bytes.Clone(p.chapChallenge()))
	}
	return list
}

// pass puts into a what an upstream says to the NAS: with a round or a reject
// as it came, with an accept what was kept of it.
func (x *exchange) pass(a *answer, r login.Reply) (err error) {
	raw := r.Keep
	if r.Kind != login.Accept {
		raw, _ = r.Data.([]byte)
	}
	if a.passed, err = wire.Unpack(raw); err != nil {
		return fmt.Errorf("what the upstream said: %w", err)
	}
	return nil
}
