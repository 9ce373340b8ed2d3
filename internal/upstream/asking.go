package upstream

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"

	"vssgate/internal/login"
	"vssgate/radius/wire"
)

// An asking is the first factor of one Access-Request: one round of a
// conversation with a server.
type asking struct {
	factor     *Factor
	attributes layeh.Attributes
	server     *server // that the conversation began with; nil: it begins
	state      []byte  // the server's, of its last challenge
}

// Resolve finds whom the typed name means, for the throttle. EAP tells an outer
// name that may be anybody's: whom it is about is known at its end.
func (a *asking) Resolve(ctx context.Context, username string) (login.Identity, error) {
	if _, eap := a.attributes.Lookup(rfc2869.EAPMessage_Type); eap {
		return login.Identity{}, nil
	}
	return a.factor.Resolve(ctx, username)
}

// Check asks the upstream.
func (a *asking) Check(ctx context.Context, _ login.Identity, password []byte) (login.Checked, error) {
	if a.hasPassword() && len(password) > wire.MaxPassword {
		return login.Checked{First: login.FirstWrong, Reason: login.BadPassword}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, a.factor.opts.Timeout)
	defer cancel()
	said, by, err := a.factor.ask(ctx, a.server, func(s *server, id uint32, v11 bool) (*layeh.Packet, error) {
		return a.packet(s, id, v11, password)
	})
	if err != nil {
		return login.Checked{}, err
	}
	pass := a.factor.pass
	switch said.Code {
	case layeh.CodeAccessAccept:
		return a.accepted(ctx, said.Attributes)
	case layeh.CodeAccessReject:
		return login.Checked{First: login.FirstWrong, Reason: login.BadPassword, Relay: wire.Pack(pass.reject(said.Attributes))}, nil
	case layeh.CodeAccessChallenge:
		state := said.Attributes.Get(rfc2865.State_Type)
		return login.Checked{First: login.FirstMore, Relay: wire.Pack(pass.challenge(said.Attributes)), Next: goOn(by, state)}, nil
	}
	return login.Checked{}, fmt.Errorf("upstream %s: an answer of code %v", by.address, said.Code)
}

// goOn makes the first factor of the next round out of its request.
func goOn(with *server, state []byte) func(r *login.Request) login.FirstFactor {
	return func(r *login.Request) login.FirstFactor {
		next, ok := r.First.(*asking)
		if !ok {
			return strayed{}
		}
		next.server, next.state = with, state
		return next
	}
}

// strayed is asked when a round comes by another way than the one before.
type strayed struct{}

var errStrayed = errors.New("a conversation with an upstream went on elsewhere")

func (strayed) Resolve(context.Context, string) (login.Identity, error) {
	return login.Identity{}, errStrayed
}

func (strayed) Check(context.Context, login.Identity, []byte) (login.Checked, error) {
	return login.Checked{}, errStrayed
}

// accepted keeps what the upstream granted, and says whom it is about.
func (a *asking) accepted(ctx context.Context, granted layeh.Attributes) (login.Checked, error) {
	who, err := a.identify(ctx, granted)
	if err != nil {
		return login.Checked{}, err
	}
	keep := wire.Pack(a.factor.pass.accept(granted))
	a.attributes = nil // a held request does not need them
	return login.Checked{First: login.FirstRight, Identity: &who, Keep: keep}, nil
}

// identify finds whom the upstream let in: the User-Name of its Access-Accept
// (RFC 2865 section 5.1), else the one it was asked about.
//
// It must be the upstream's, because within a tunnel (EAP-TTLS, PEAP) the user
// proves another name than the outer one that we see: whoever knows a stranger's
// password could put his own name outside, confirm on his own phone, and be let
// in with what the upstream grants the stranger. An upstream that tells no inner
// name must refuse outer names that differ (FreeRADIUS: filter_inner_identity);
// docs/upstream-radius.md says how. A name that nobody has lets nobody in.
func (a *asking) identify(ctx context.Context, granted layeh.Attributes) (login.Identity, error) {
	name, told := granted.Lookup(rfc2865.UserName_Type)
	if !told || len(name) == 0 {
		name = a.attributes.Get(rfc2865.UserName_Type)
	}
	who, err := a.factor.opts.Identify.Resolve(ctx, string(name))
	if err == nil && who.ID == "" {
		a.factor.opts.Log.Warn("the upstream let in somebody whom identify_with does not know: not let in", "first_factor", a.factor.opts.Name,
			"user_name", string(name[:min(len(name), 64)]), "hint", "let the upstream send the directory's user name in its Access-Accept, or add the user to the directory")
	}
	return who, err
}

func (a *asking) hasPassword() bool {
	_, is := a.attributes.Lookup(rfc2865.UserPassword_Type)
	return is
}

// packet makes the request that asks s: the attributes in order, the password
// hidden for s, the server's State.
func (a *asking) packet(s *server, id uint32, v11 bool, password []byte) (*layeh.Packet, error) {
	p := newPacket(s, layeh.CodeAccessRequest, id, v11)
	for _, at := range a.attributes {
		if at.Type == rfc2865.UserPassword_Type {
			at = &layeh.AVP{Type: at.Type, Attribute: hidden(p, password, v11)}
		}
		p.Attributes = append(p.Attributes, at)
	}
	if a.state != nil {
		p.Add(rfc2865.State_Type, a.state)
	}
	return p, nil
}

func hidden(p *layeh.Packet, password []byte, v11 bool) []byte {
	if v11 { // TLS hides it (RFC 9765 section 5.1.1)
		return password
	}
	return wire.HidePassword(password, p.Secret, p.Authenticator)
}

// newPacket is a packet without attributes: Request Authenticators are random;
// RADIUS/1.1 has a Token in their place.
func newPacket(s *server, code layeh.Code, id uint32, v11 bool) *layeh.Packet {
	p := &layeh.Packet{Code: code, Secret: s.secret}
	if v11 {
		binary.BigEndian.PutUint32(p.Authenticator[:], id)
		return p
	}
	p.Identifier = byte(id)
	rand.Read(p.Authenticator[:])
	return p
}
