package ldapproxy

import (
	"context"
	"errors"
	"fmt"

	"vssgate/internal/directory"
	"vssgate/internal/login"
)

// Resolve finds whom the bind name means. An exempt DN means itself.
func (b *bind) Resolve(ctx context.Context, name string) (login.Identity, error) {
	if b.rule != nil {
		return login.Identity{ID: "dn:" + b.normal, DN: b.rule.DN, Username: b.rule.DN}, nil
	}
	ctx, cancel := b.c.within(ctx)
	defer cancel()
	return b.client.Directory.ResolveBind(ctx, name)
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
	frame, answer, err := b.ask(ctx, dn, string(password))
	if err != nil {
		return login.Checked{}, fmt.Errorf("bind at the directory: %w", err)
	}
	checked, err := directory.Judge(answer.code, answer.text, answer.policy)
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
		return b.client.Directory.NobodyDN(), nil
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
// directory's BindResponse as it came. A user's bind also asks what the
// directory's password policy says: that is how it tells an expired password.
func (b *bind) ask(ctx context.Context, dn, password string) ([]byte, bindResponse, error) {
	u, err := b.c.upstream(ctx)
	if err != nil {
		return nil, bindResponse{}, err
	}
	r := bindRequest{id: b.request.id, name: dn, password: password, controls: b.request.controls}
	r.ownPolicy = b.rule == nil && dn != "" && !asksPolicy(r.controls)
	return u.bind(ctx, r)
}

// within is ctx, ending with the connection too, and after the time a directory
// has for an answer.
func (c *conn) within(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, c.server.limits.answer)
	stop := context.AfterFunc(c.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}
