package ldapproxy

import (
	"strings"

	"github.com/nmcclain/ldap"
)

// refuses tells which requests are not relayed: those that test a password
// without a second factor, and those that borrow an identity. A service account
// that is exempt may do what the directory lets it do.
func (c *conn) refuses(op byte, contents, controls []byte) (*refusedBind, error) {
	c.mu.Lock()
	standing := c.standing
	c.mu.Unlock()
	if standing == exempted {
		return nil, nil
	}
	if refused, err := refusesControls(controls, false); refused != nil || err != nil {
		return refused, err
	}
	switch op {
	case opCompareRequest:
		description, err := compareRequest(contents)
		if err != nil {
			return nil, err
		}
		return refusesCompare(description), nil
	case opExtendedRequest:
		oid, err := extendedRequest(contents)
		if err != nil {
			return nil, err
		}
		return refusesExtended(oid, standing), nil
	}
	return nil, nil
}

// refusesControls also tells whether they are controls at all, an exempt
// connection's too.
func refusesControls(controls []byte, exempt bool) (refused *refusedBind, err error) {
	err = eachControl(controls, func(oid []byte) {
		switch {
		case exempt:
		case string(oid) == oidProxiedAuthorization, string(oid) == oidProxiedAuthorization1:
			refused = &refusedBind{resultAuthzDenied, "nobody may act as somebody else here"}
		case string(oid) == oidFastBind:
			refused = &refusedBind{ldap.LDAPResultUnwillingToPerform, "fast bind is not offered here"}
		}
	})
	return refused, err
}

func refusesExtended(oid string, s standing) *refusedBind {
	switch {
	case oid == oidFastBind || oid == oidVerifyCredentials:
		return &refusedBind{ldap.LDAPResultUnwillingToPerform, "passwords are tested by simple binds only"}
	case oid == oidPasswordModify && s == anonymous:
		return &refusedBind{ldap.LDAPResultStrongAuthRequired, "bind before a password is changed"}
	}
	return nil
}

// secretAttributes hold what a bind checks; comparing with them is a bind
// without a second factor.
var secretAttributes = map[string]bool{
	"userpassword": true, "2.5.4.35": true,
	"unicodepwd": true, "1.2.840.113556.1.4.90": true,
	"authpassword": true, "1.3.6.1.4.1.4203.1.3.4": true, // RFC 3112
}

// refusesCompare looks at an attribute description, "userPassword;lang-vi" say.
func refusesCompare(description string) *refusedBind {
	name, _, _ := strings.Cut(strings.ToLower(description), ";")
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.' && c != '_' {
			return &refusedBind{ldap.LDAPResultUndefinedAttributeType, "no attribute is called that"}
		}
	}
	if secretAttributes[strings.TrimPrefix(name, "oid.")] {
		return &refusedBind{ldap.LDAPResultInsufficientAccessRights, "passwords are not compared here"}
	}
	return nil
}

// relay sends a guarded frame on, byte for byte.
func (c *conn) relay(h header, frame []byte) error {
	u, err := c.upstream(c.ctx)
	if err != nil {
		c.log("an operation", err)
		return c.answer(h, ldap.LDAPResultUnavailable, c.unavailable())
	}
	if err := c.expect(h, frame); err != nil {
		return err
	}
	return u.write(frame)
}

// expect notes what the directory will answer.
func (c *conn) expect(h header, frame []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h.op == opAbandonRequest {
		contents, _ := operation(h, frame)
		if id, err := abandonedID(contents); err == nil {
			delete(c.pending, id)
		}
		return nil
	}
	if len(c.pending) >= maxOutstanding {
		return &farewell{ldap.LDAPResultBusy, "too many operations are unanswered"}
	}
	if c.pending == nil {
		c.pending = map[int32]struct{}{}
	}
	c.pending[h.id] = struct{}{}
	return nil
}

// stream sends a long frame on as it comes. Only searches and what writes an
// entry may be long. The controls stand at its end: if they are refused, the
// directory never sees the end of the frame, and so never acts on it.
func (c *conn) stream(h header) error {
	switch h.op {
	case opSearchRequest, opModifyRequest, opAddRequest:
	default:
		return errTooLarge
	}
	c.mu.Lock()
	busy, exempt := c.myTurn() != nil, c.standing == exempted
	c.mu.Unlock()
	if busy {
		return &farewell{ldap.LDAPResultBusy, "too much is sent behind a bind"}
	}
	operation, err := c.operationSize(h)
	if err != nil {
		return err
	}
	u, err := c.upstream(c.ctx)
	if err != nil {
		c.log("an operation", err)
		return &farewell{ldap.LDAPResultUnavailable, c.unavailable()}
	}
	if err := c.expect(h, nil); err != nil {
		return err
	}
	if err := c.pour(u, operation); err != nil {
		return err
	}
	return c.trail(u, h.size-operation, exempt)
}

// operationSize is where a long frame's operation ends.
func (c *conn) operationSize(h header) (int, error) {
	b, err := c.await(h.opAt + 6)
	if err != nil {
		return 0, err
	}
	_, head, body, err := element(b[h.opAt:])
	end := h.opAt + head + body
	if err != nil || end > h.size || h.size-end > maxInspected {
		return 0, errMalformed
	}
	return end, nil
}

// pour sends the next n bytes of the client on.
func (c *conn) pour(u *upstream, n int) error {
	for n > 0 {
		b, err := c.await(1)
		if err != nil {
			return err
		}
		part := b[:min(n, len(b))]
		if err := u.write(part); err != nil {
			return err
		}
		c.src.skip(len(part))
		n -= len(part)
	}
	return nil
}

// trail sends the controls at the end of a long frame on.
func (c *conn) trail(u *upstream, n int, exempt bool) error {
	if n == 0 {
		return nil
	}
	b, err := c.await(n)
	if err != nil {
		return err
	}
	b = b[:n]
	c.src.skip(n)
	if err := sane(b, maxDepth); err != nil {
		return err
	}
	tag, controls, rest, err := next(b)
	if err != nil || tag != tagControls || len(rest) != 0 {
		return errMalformed
	}
	refused, err := refusesControls(controls, exempt)
	if err != nil {
		return err
	}
	if refused != nil {
		return &farewell{refused.code, refused.text}
	}
	return u.write(b)
}
