package enrol

import (
	"context"
	"errors"
	"strings"
	"time"

	"vssgate/internal/login"
)

// Peek tells what would stand in the way of whom the directory knows as id, at
// that time, and changes nothing: no account is made, no number pinned.
func (p *People) Peek(ctx context.Context, id login.Identity, at time.Time) (login.Reason, error) {
	r, _, err := load[accountRecord](ctx, p, accountKey(id.ID))
	if err != nil && !errors.Is(err, ErrNotFound) {
		return "", err
	}
	person, problem, err := p.foresee(ctx, r, id, at)
	if err != nil || problem != "" {
		return problem, err
	}
	devices, err := p.Devices(ctx, person)
	if err != nil {
		return "", err
	}
	return p.options.Load().judge(person, devices).Problem, nil
}

// foresee is pin, without the writing.
func (p *People) foresee(ctx context.Context, r accountRecord, id login.Identity, at time.Time) (person string, problem login.Reason, err error) {
	if !r.KindSet && id.Kind != "" {
		kind, err := ParseKind(id.Kind)
		if err != nil {
			return "", login.NoCustodian, nil
		}
		r.become(kind)
	}
	switch {
	case r.Kind == OfOrganisation:
		r, problem, err = p.custodian(ctx, r, id, at)
		return r.Person, problem, err
	case r.Source == FromHere:
		return r.Person, "", nil
	case strings.TrimSpace(id.Number) == "":
		return "", login.NoNumber, nil
	}
	number, err := ParseNumber(id.Number)
	switch {
	case err != nil && r.Person == "":
		return "", login.BadNumber, nil
	case err != nil:
		return "", login.NumberChanged, nil
	case number.Reveal() == r.BHXH || number.Reveal() == r.Personal:
		return r.Person, "", nil
	}
	found, _, err := p.personOf(ctx, number)
	switch {
	case errors.Is(err, ErrNotFound) && r.Person == "":
		return "", login.NoDevice, nil
	case errors.Is(err, ErrNotFound), err == nil && r.Person != "" && found != r.Person:
		return "", login.NumberChanged, nil
	}
	return found, "", err
}
