package ldapproxy

import (
	"context"
	"errors"
	"fmt"

	"github.com/nmcclain/ldap"

	"vssgate/internal/login"
)

// Resolve finds whom the bind name means. An exempt DN means itself.
func (b *bind) Resolve(ctx context.Context, name string) (login.Identity, error) {
	if b.rule != nil {
		return login.Identity{ID: "dn:" + b.normal, DN: b.rule.DN, Username: b.rule.DN}, nil
	}
	ctx, cancel := b.c.within(ctx)
	defer cancel()
	return b.c.client.Directory.ResolveBind(ctx, name)
}

// Check binds as id on the client's own upstream connection. Success is kept
// until the login is decided.
func (b *bind) Check(ctx context.Context, id login.Identity, password []byte) (login.Checked, error) {
	dn, err := b.bindDN(id)
	switch {
	case err != nil:
		return login.Checked{}, err
	case blank(string(password)): // a code behind a separator was all there was
		return login.Checked{First: login.FirstWrong, Reason: login.EmptyPassword}, nil
	case !b.once():
		return login.Checked{}, errors.New("a bind is checked once")
	}
	ctx, cancel := b.c.within(ctx)
	defer cancel()
	frame, code, err := b.ask(ctx, dn, string(password))
	if err != nil {
		return login.Checked{}, fmt.Errorf("bind at the directory: %w", err)
	}
	checked, err := judgeResult(code)
	if err != nil {
		return login.Checked{}, err
	}
	if id.ID == "" {
		return login.Checked{First: login.FirstWrong, Reason: login.BadPassword}, nil
	}
	if checked.First == login.FirstRight && !b.keep(frame) {
		return login.Checked{}, errGone
	}
	return checked, nil
}

// bindDN is as whom an identity is checked. An entry without a DN is refused: an
// empty one would bind anonymously, which always succeeds.
func (b *bind) bindDN(id login.Identity) (string, error) {
	switch {
	case id.ID == "":
		return b.c.client.Directory.NobodyDN(), nil
	case id.DN != "":
		return id.DN, nil
	}
	return "", errors.New("this account has no DN and cannot bind")
}

func (b *bind) once() bool {
	b.c.mu.Lock()
	defer b.c.mu.Unlock()
	first := !b.asked
	b.asked = true
	return first
}

// keep holds the directory's success for the answer.
func (b *bind) keep(frame []byte) bool {
	b.c.mu.Lock()
	defer b.c.mu.Unlock()
	if b.done || b.c.up == nil {
		return false
	}
	b.frame, b.by = frame, b.c.up
	return true
}

// ask binds upstream with the client's message id and controls, and returns the
// directory's BindResponse as it came.
func (b *bind) ask(ctx context.Context, dn, password string) ([]byte, uint64, error) {
	u, err := b.c.upstream(ctx)
	if err != nil {
		return nil, 0, err
	}
	return u.bind(ctx, bindRequest{id: b.request.id, name: dn, password: password, controls: b.request.controls})
}

// within is ctx, ending with the connection too, and after the time a directory
// has for an answer.
func (c *conn) within(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, c.server.limits.answer)
	stop := context.AfterFunc(c.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

// judgeResult turns a directory's answer to a bind into what it says of the
// password. Some refusals come before the password is looked at, so they all
// are one. What is no judgement is an error.
func judgeResult(code uint64) (login.Checked, error) {
	switch code {
	case ldap.LDAPResultSuccess:
		return login.Checked{First: login.FirstRight}, nil
	case ldap.LDAPResultInvalidCredentials, ldap.LDAPResultNoSuchObject, ldap.LDAPResultInappropriateAuthentication,
		ldap.LDAPResultInvalidDNSyntax, ldap.LDAPResultUnwillingToPerform, ldap.LDAPResultConstraintViolation,
		ldap.LDAPResultInsufficientAccessRights:
		return login.Checked{First: login.FirstWrong, Reason: login.BadPassword}, nil
	}
	return login.Checked{}, fmt.Errorf("the directory answered a bind with result %d", code)
}
