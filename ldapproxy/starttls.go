package ldapproxy

import (
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/nmcclain/ldap"
)

var errHandshake = errors.New("TLS handshake")

// startTLS answers StartTLS (RFC 4511 section 4.14) here: the client's TLS ends
// at us. queued: it waited behind a bind, which was outstanding when it came.
func (c *conn) startTLS(id int32, queued bool) error {
	refuse := func(code ldap.LDAPResultCode, text string) error {
		c.server.meter.Refused("tls")
		return c.send(encodeExtended(id, oidStartTLS, code, text))
	}
	switch {
	case c.server.o.TLS == nil:
		return refuse(ldap.LDAPResultProtocolError, "StartTLS is not offered here")
	case c.tls:
		return refuse(ldap.LDAPResultOperationsError, "TLS is on already")
	case queued || c.outstanding():
		return refuse(ldap.LDAPResultOperationsError, "operations are outstanding")
	case len(c.src.buffered()) > 0: // whoever put it there need not be the one who will prove itself by TLS
		return &farewell{ldap.LDAPResultProtocolError, "data behind StartTLS"}
	}
	return c.handshake(encodeExtended(id, oidStartTLS, ldap.LDAPResultSuccess, ""))
}

func (c *conn) outstanding() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.pending) > 0
}

// handshake sends consent, if any, and turns the connection to TLS. Nothing is
// said in plain after that, not even good-bye. The reader runs it.
func (c *conn) handshake(consent []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if consent != nil {
		if err := c.write(consent); err != nil {
			return err
		}
	}
	c.torn = true
	secured := tls.Server(c.raw, c.server.o.TLS)
	c.mu.Lock()
	if !c.closed {
		c.heard.in(c.server.limits.handshake)
		c.taken.in(c.server.limits.handshake)
	}
	c.mu.Unlock()
	if err := secured.HandshakeContext(c.ctx); err != nil {
		return fmt.Errorf("%w: %w", errHandshake, err)
	}
	c.torn = false
	c.out, c.src.r, c.tls = secured, secured, true
	return nil
}
