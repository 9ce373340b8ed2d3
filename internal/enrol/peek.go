package enrol

import (
	"context"
	"errors"
	"time"

	"vssgate/internal/login"
	"vssgate/internal/secret"
)

// Peek tells what would stand in the way of whom the directory knows as id, at
// that time, and changes nothing: no account is made, no number pinned.
func (p *People) Peek(ctx context.Context, id login.Identity, at time.Time) (login.Reason, error) {
	r, _, err := load[accountRecord](ctx, p, accountKey(id.ID))
	if err != nil && !errors.Is(err, ErrNotFound) {
		return "", err
	}
	r, problem, err := p.pin(ctx, r, id, at, p.whose)
	if err != nil || problem != "" {
		return problem, err
	}
	devices, err := p.Devices(ctx, r.Person)
	if err != nil {
		return "", err
	}
	return p.options.Load().judge(r.Person, devices).Problem, nil
}

// whose finds the person with these numbers, and makes none: "" is nobody yet.
func (p *People) whose(ctx context.Context, numbers ...secret.Secret) (string, error) {
	person, _, err := p.known(ctx, numbers)
	return person, err
}
