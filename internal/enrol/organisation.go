package enrol

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"vssgate/internal/login"
	"vssgate/internal/secret"
)

// Kind is what an account is: a person's own, or an organisation's, which an
// officer (its custodian) was given by a written document.
type Kind string

// The kinds. "" is a person's.
const (
	OfPerson       Kind = "person"
	OfOrganisation Kind = "organisation"
)

// ParseKind reads a kind as directories and import files write it.
func ParseKind(s string) (Kind, error) {
	switch k := Kind(strings.ToLower(strings.TrimSpace(s))); k {
	case "", OfPerson:
		return OfPerson, nil
	case OfOrganisation, "organization":
		return OfOrganisation, nil
	}
	return "", ErrKind
}

// An Assignment gives an organisation's account to its custodian for a time.
type Assignment struct {
	Number       secret.Secret // the custodian's, of either kind
	Document     string        // reference of the written assignment
	DocumentDate string        // YYYY-MM-DD
	From         time.Time     // zero: from when it was made
	Until        time.Time     // the first instant it no longer holds; zero: until another one is made
	Person       string        // the custodian; set here
	Made         time.Time     // set here, by the store's clock
}

// assignmentRecord is an Assignment as it is kept: with the number.
type assignmentRecord struct {
	Number       string    `json:"number"`
	Document     string    `json:"document"`
	DocumentDate string    `json:"document_date"`
	From         time.Time `json:"from"`
	Until        time.Time `json:"until,omitzero"`
	Person       string    `json:"person"`
	Made         time.Time `json:"made"`
}

func (r assignmentRecord) assignment() Assignment {
	return Assignment{secret.Secret(r.Number), r.Document, r.DocumentDate, r.From, r.Until, r.Person, r.Made}
}

func (r assignmentRecord) holds(now time.Time) bool {
	return !now.Before(r.From) && (r.Until.IsZero() || now.Before(r.Until))
}

// current is the assignment that holds now: the one made last of those that do.
func (r accountRecord) current(now time.Time) (assignmentRecord, bool) {
	for i := len(r.Assignments) - 1; i >= 0; i-- {
		if r.Assignments[i].holds(now) {
			return r.Assignments[i], true
		}
	}
	return assignmentRecord{}, false
}

// custodian brings an organisation's account up to who has it now. A directory
// that names a custodian must name the same one: a changed attribute makes
// nobody's phone the second factor.
func (p *People) custodian(ctx context.Context, r accountRecord, id login.Identity, now time.Time) (accountRecord, login.Reason, error) {
	r.BHXH, r.Personal = "", ""
	held, ok := r.current(now)
	if !ok {
		return r, login.NoCustodian, nil
	}
	r.Person = held.Person
	if strings.TrimSpace(id.Custodian) == "" {
		return r, "", nil
	}
	number, err := ParseNumber(id.Custodian)
	if err != nil {
		return r, login.NumberChanged, nil
	}
	person, _, err := p.personOf(ctx, number)
	if errors.Is(err, ErrNotFound) || err == nil && person != held.Person {
		return r, login.NumberChanged, nil
	}
	return r, "", err
}

// Assign gives the organisation's account of id to a custodian. Earlier
// assignments stay as history; of those that hold at a time the one made last
// counts; the same one again changes nothing. Logins that are open are not touched: the caller ends those of the
// account. ErrNumber, ErrDocument, ErrPeriod, ErrNotOrganisation.
func (p *People) Assign(ctx context.Context, id login.Identity, a Assignment) (Account, error) {
	number, err := ParseNumber(a.Number.Reveal())
	if err != nil {
		return Account{}, err
	}
	if err := a.check(); err != nil {
		return Account{}, err
	}
	if _, _, err := p.Mention(ctx, id); err != nil {
		return Account{}, err
	}
	person, err := p.person(ctx, number)
	if err != nil {
		return Account{}, fmt.Errorf("account %s: %w", id.ID, err)
	}
	r, err := edit(ctx, p, accountKey(id.ID), func(r *accountRecord, rec *login.Record) error {
		if r.Kind != OfOrganisation {
			return ErrNotOrganisation
		}
		if r.assigned(number, a) {
			return nil
		}
		made := rec.Read.UTC()
		from := a.From
		if from.IsZero() {
			from = made
		}
		r.Assignments = append(r.Assignments, assignmentRecord{
			Number: number.Reveal(), Document: a.Document, DocumentDate: a.DocumentDate, From: from.UTC(), Until: a.Until.UTC(), Person: person, Made: made,
		})
		if held, ok := r.current(made); ok {
			r.Person = held.Person
		}
		return nil
	})
	if err != nil {
		return Account{}, fmt.Errorf("account %s: %w", id.ID, err)
	}
	return r.account(), nil
}

func (a Assignment) check() error {
	if strings.TrimSpace(a.Document) == "" {
		return ErrDocument
	}
	if _, err := time.Parse(time.DateOnly, a.DocumentDate); err != nil {
		return ErrDocument
	}
	if !a.Until.IsZero() && !a.Until.After(a.From) {
		return ErrPeriod
	}
	return nil
}

// assigned tells whether the assignment made last says the same.
func (r *accountRecord) assigned(number secret.Secret, a Assignment) bool {
	if len(r.Assignments) == 0 {
		return false
	}
	last := r.Assignments[len(r.Assignments)-1]
	from := a.From
	if from.IsZero() {
		from = last.Made
	}
	return last.Number == number.Reveal() && last.Document == a.Document && last.DocumentDate == a.DocumentDate &&
		last.From.Equal(from) && last.Until.Equal(a.Until)
}

// SetKind says what the account of id is; it wins over the directory. A kind
// that changes takes numbers or assignments along: whoever answered before
// answers no more.
func (p *People) SetKind(ctx context.Context, id login.Identity, kind Kind) (Account, error) {
	if _, _, err := p.Mention(ctx, id); err != nil {
		return Account{}, err
	}
	r, err := edit(ctx, p, accountKey(id.ID), func(r *accountRecord, _ *login.Record) error {
		r.KindSet = true
		r.become(kind)
		return nil
	})
	return r.account(), err
}

// become makes the account of that kind.
func (r *accountRecord) become(kind Kind) {
	if r.Kind == kind || r.Kind == "" && kind == OfPerson {
		return
	}
	r.Kind = kind
	r.Person, r.Source, r.BHXH, r.Personal = "", "", "", ""
}
