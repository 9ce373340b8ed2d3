package enrol

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"vssgate/internal/login"
	"vssgate/internal/secret"
)

// An Account is what logs in.
type Account struct {
	ID          string    `json:"id"` // the directory's immutable id
	Username    string    `json:"username"`
	DisplayName string    `json:"display_name"`
	Person      string    `json:"person,omitempty"` // "" while no number is known
	Source      Source    `json:"source,omitempty"`
	Kind        Kind      `json:"kind,omitempty"`
	KindSet     bool      `json:"kind_set,omitempty"` // by an administrator: wins over the directory
	Created     time.Time `json:"created"`

	BHXH        secret.Secret `json:"-"` // social insurance number, or ""
	Personal    secret.Secret `json:"-"` // personal identification number, or ""
	Assignments []Assignment  `json:"-"` // of an organisation's account, oldest first
}

// Source is who said the number.
type Source string

// The sources. What is set here wins over the directory for good.
const (
	FromDirectory Source = "directory" // pinned when the account was first used
	FromHere      Source = "vssgate"   // set by an administrator
)

// accountRecord is an Account as it is kept: with the numbers.
type accountRecord struct {
	Account
	BHXH        string             `json:"bhxh_number,omitempty"`
	Personal    string             `json:"personal_id,omitempty"`
	Assignments []assignmentRecord `json:"assignments,omitempty"`
}

func (r accountRecord) account() Account {
	a := r.Account
	a.BHXH, a.Personal, a.Assignments = secret.Secret(r.BHXH), secret.Secret(r.Personal), nil
	for _, held := range r.Assignments {
		a.Assignments = append(a.Assignments, held.assignment())
	}
	return a
}

const indexAccounts = "accounts"

func personAccounts(person string) string { return "person-accounts:" + person }

func (r accountRecord) indexes() []string {
	if r.Person == "" {
		return []string{indexAccounts}
	}
	return []string{indexAccounts, personAccounts(r.Person)}
}

// accountKey hashes the directory's id, which may be of any length and script.
func accountKey(id string) string {
	sum := sha256.Sum256([]byte(id))
	return "account:" + encode(sum[:])
}

// Account implements login.People: two reads of the store for an account that
// was seen before and has not changed.
func (p *People) Account(ctx context.Context, id login.Identity) (login.Account, error) {
	a, problem, former, err := p.mention(ctx, id)
	if err != nil || problem != "" {
		return login.Account{Problem: problem, Former: former}, err
	}
	devices, err := p.Devices(ctx, a.Person)
	if err != nil {
		return login.Account{}, fmt.Errorf("devices of %s: %w", id.ID, err)
	}
	account := p.options.Load().judge(a.Person, devices)
	account.Former = former
	return account, nil
}

// Mention finds the account of whom the directory knows as id, makes it when
// this is its first mention, pins its number when it has none yet, and tells
// what is wrong with the number.
func (p *People) Mention(ctx context.Context, id login.Identity) (Account, login.Reason, error) {
	a, problem, _, err := p.mention(ctx, id)
	return a, problem, err
}

// mention tells besides whose the account was before, or is no longer.
func (p *People) mention(ctx context.Context, id login.Identity) (a Account, problem login.Reason, former string, err error) {
	for range saveTries {
		before, rec, err := load[accountRecord](ctx, p, accountKey(id.ID))
		now := rec.Read.UTC()
		if errors.Is(err, ErrNotFound) {
			before.ID = id.ID
			now, err = p.store.Now(ctx)
			before.Created = now.UTC()
		}
		if err != nil {
			return Account{}, "", "", fmt.Errorf("account %s: %w", id.ID, err)
		}
		r, problem, err := p.pin(ctx, before, id, now, p.person)
		if err != nil {
			return Account{}, "", "", fmt.Errorf("account %s: %w", id.ID, err)
		}
		if before.Person != "" && (problem != "" || r.Person != before.Person) {
			former = before.Person
		}
		if rec.Version != 0 && r.same(before) {
			return r.account(), problem, former, nil
		}
		if _, err = p.save(ctx, rec, r, login.Condition{}); err == nil {
			return r.account(), problem, former, nil
		}
		if !errors.Is(err, login.ErrConflict) {
			return Account{}, "", "", fmt.Errorf("account %s: %w", id.ID, err)
		}
	}
	return Account{}, "", "", fmt.Errorf("account %s: %w", id.ID, errBusy)
}

// same tells whether nothing has changed that mention changes: assignments it
// does not.
func (r accountRecord) same(o accountRecord) bool {
	r.Assignments, r.Account.Assignments, o.Assignments, o.Account.Assignments = nil, nil, nil, nil
	return reflect.DeepEqual(r, o)
}

// pin brings the account up to what the directory says now. A number that
// leads to another person than the pinned one is not taken over: who may write
// that attribute could make his own phone the second factor. The same person's
// other number is no change; an attribute emptied later is a missing number.
// person finds the person with a number that is pinned to no account yet.
func (p *People) pin(ctx context.Context, r accountRecord, id login.Identity, now time.Time, person func(context.Context, ...secret.Secret) (string, error)) (accountRecord, login.Reason, error) {
	r.Username, r.DisplayName = id.Username, id.DisplayName
	if !r.KindSet && id.Kind != "" {
		kind, err := ParseKind(id.Kind)
		if err != nil {
			return r, login.NoCustodian, nil // who may it be? nobody's phone
		}
		r.become(kind)
	}
	if r.Kind == OfOrganisation {
		return p.custodian(ctx, r, id, now)
	}
	if r.Source == FromHere {
		return r, "", nil
	}
	if strings.TrimSpace(id.Number) == "" {
		return r, login.NoNumber, nil
	}
	number, err := ParseNumber(id.Number)
	switch {
	case err != nil && r.Person == "":
		return r, login.BadNumber, nil
	case err != nil:
		return r, login.NumberChanged, nil
	case number.Reveal() == r.BHXH || number.Reveal() == r.Personal:
		return r, "", nil
	case r.Person == "":
		r.Person, err = person(ctx, number)
		r.Source = FromDirectory
		return r.numbered(number), "", err
	}
	found, _, err := p.personOf(ctx, number)
	if errors.Is(err, ErrNotFound) || err == nil && found != r.Person {
		return r, login.NumberChanged, nil
	}
	return r.numbered(number), "", err
}

// numbered returns the account with these numbers and no others.
func (r accountRecord) numbered(numbers ...secret.Secret) accountRecord {
	r.BHXH, r.Personal = "", ""
	for _, number := range numbers {
		if len(number) == bhxhDigits {
			r.BHXH = number.Reveal()
		} else {
			r.Personal = number.Reveal()
		}
	}
	return r
}

// judge tells what a person's devices make possible. A device that is signed
// out gets no prompt, but its owner can sign in and see the code.
func (o *Options) judge(person string, devices []Device) login.Account {
	if len(devices) == 0 {
		return login.Account{Person: person, Problem: login.NoDevice, Notify: login.PushMissing}
	}
	usable := slices.DeleteFunc(devices, func(d Device) bool { return o.tooOld(d) })
	if len(usable) == 0 {
		return login.Account{Person: person, Problem: login.OldApp, Notify: login.PushMissing}
	}
	a := login.Account{Person: person, Notify: notify(usable)}
	for _, d := range usable {
		a.CanNumber = a.CanNumber || d.CanNumber()
		a.CanSimple = a.CanSimple || d.CanApprove()
	}
	return a
}

func notify(usable []Device) login.PushState {
	state := login.PushNotAllowed
	for _, d := range usable {
		switch {
		case d.promptable():
			return login.PushReady
		case d.Notifications != Denied:
			state = login.PushMissing
		}
	}
	return state
}

// Lookup is the account with that directory id, or ErrNotFound.
func (p *People) Lookup(ctx context.Context, id string) (Account, error) {
	r, _, err := load[accountRecord](ctx, p, accountKey(id))
	return r.account(), err
}

// Accounts lists all accounts by user name.
func (p *People) Accounts(ctx context.Context) ([]Account, error) {
	return p.accounts(ctx, indexAccounts)
}

// AccountsOf lists the accounts whose person that is now, by user name.
func (p *People) AccountsOf(ctx context.Context, person string) ([]Account, error) {
	return p.accounts(ctx, personAccounts(person))
}

func (p *People) accounts(ctx context.Context, index string) ([]Account, error) {
	recs, err := list[accountRecord](ctx, p, index)
	all := make([]Account, len(recs))
	for i, r := range recs {
		all[i] = r.account()
	}
	slices.SortFunc(all, func(a, b Account) int {
		return cmp.Or(strings.Compare(a.Username, b.Username), strings.Compare(a.ID, b.ID))
	})
	return all, err
}
