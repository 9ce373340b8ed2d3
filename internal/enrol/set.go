package enrol

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"vssgate/internal/login"
	"vssgate/internal/secret"
)

// SetNumbers gives the account of id the numbers of its person, either of them
// or both: they win over the directory from now on. It also confirms a number
// that the directory changed. An empty string says nothing about that number.
//
// Whose devices answer may change by this. Logins that are open are not
// touched: the caller ends those of the account.
func (p *People) SetNumbers(ctx context.Context, id login.Identity, bhxh, personal string) (Account, error) {
	numbers, err := parseBoth(bhxh, personal)
	if err != nil {
		return Account{}, err
	}
	if _, _, err := p.Mention(ctx, login.Identity{ID: id.ID, Username: id.Username, DisplayName: id.DisplayName, Kind: id.Kind}); err != nil {
		return Account{}, err
	}
	person, err := p.person(ctx, numbers...)
	if err != nil {
		return Account{}, fmt.Errorf("account %s: %w", id.ID, err)
	}
	r, err := edit(ctx, p, accountKey(id.ID), func(r *accountRecord, _ *login.Record) error {
		if r.Kind == OfOrganisation {
			return ErrOrganisation
		}
		*r = r.numbered(numbers...)
		r.Person, r.Source = person, FromHere
		return nil
	})
	if err != nil {
		return Account{}, fmt.Errorf("account %s: %w", id.ID, err)
	}
	return r.account(), p.dropReplaced(ctx, person, numbers)
}

// Agree tells, and changes nothing, whether SetNumbers could give an account
// these numbers: ErrTwoPersons when each finds somebody else, ErrNumber.
func (p *People) Agree(ctx context.Context, bhxh, personal string) error {
	numbers, err := parseBoth(bhxh, personal)
	if err == nil {
		_, _, err = p.known(ctx, numbers)
	}
	return err
}

func parseBoth(bhxh, personal string) (numbers []secret.Secret, err error) {
	for i, s := range []string{bhxh, personal} {
		if s == "" {
			continue
		}
		number, err := ParseNumber(s)
		if err != nil || len(number) != []int{bhxhDigits, personalDigits}[i] {
			return nil, ErrNumber
		}
		numbers = append(numbers, number)
	}
	if len(numbers) == 0 {
		return nil, ErrNumber
	}
	return numbers, nil
}

// dropReplaced unties from person what was their number of the same kind
// before, so that who really has that number is somebody else again, and so are
// the accounts that were tied to the person by it.
func (p *People) dropReplaced(ctx context.Context, person string, numbers []secret.Secret) error {
	known, err := list[numberRecord](ctx, p, "person-numbers:"+person)
	if err != nil {
		return err
	}
	for _, n := range known {
		old := secret.Secret(n.Digits)
		if slices.Contains(numbers, old) || !slices.ContainsFunc(numbers, func(s secret.Secret) bool { return len(s) == len(old) }) {
			continue
		}
		_, rec, err := p.personOf(ctx, old)
		if err == nil {
			err = p.forget(ctx, []login.Record{rec})
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		if err := p.retie(ctx, person, old); err != nil {
			return err
		}
	}
	return nil
}

// retie finds the person anew for accounts tied to person by number.
func (p *People) retie(ctx context.Context, person string, number secret.Secret) error {
	tied, err := p.AccountsOf(ctx, person)
	if err != nil {
		return err
	}
	for _, a := range tied {
		if a.BHXH != number && a.Personal != number {
			continue
		}
		other, err := p.person(ctx, number)
		if err != nil {
			return err
		}
		_, err = edit(ctx, p, accountKey(a.ID), func(r *accountRecord, _ *login.Record) error {
			*r = r.numbered(number)
			r.Person = other
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
