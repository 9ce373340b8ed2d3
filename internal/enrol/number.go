package enrol

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"vssgate/internal/login"
	"vssgate/internal/secret"
	"vssgate/otp"
)

// How many digits the two kinds of number have.
const (
	bhxhDigits     = 10
	personalDigits = 12
)

// ParseNumber reads a social insurance number or a personal identification
// number: a directory attribute may hold either. Spaces around it do not count.
func ParseNumber(s string) (secret.Secret, error) {
	s = strings.TrimSpace(s)
	if len(s) != bhxhDigits && len(s) != personalDigits {
		return "", ErrNumber
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return "", ErrNumber
		}
	}
	return secret.Secret(s), nil
}

// Mask leaves the last four digits of a number: "******7890".
func Mask(number secret.Secret) string {
	s := number.Reveal()
	hidden := max(0, len(s)-4)
	return strings.Repeat("*", hidden) + s[hidden:]
}

// numberRecord is what makes a number find a person.
type numberRecord struct {
	Person string `json:"person"`
	Digits string `json:"digits"`
}

func (n numberRecord) indexes() []string { return []string{"person-numbers:" + n.Person} }

// numberKeys are the keys under which a number may be kept, the one of the
// making key first.
func (p *People) numberKeys(number secret.Secret) (keys []string) {
	for _, mac := range p.keys.MACs(otp.PurposeNumber, []byte("number"), []byte(number.Reveal())) {
		keys = append(keys, "number:"+encode(mac))
	}
	return keys
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// personOf is the person that a number finds, and its record; ErrNotFound.
func (p *People) personOf(ctx context.Context, number secret.Secret) (string, login.Record, error) {
	for _, key := range p.numberKeys(number) {
		n, rec, err := load[numberRecord](ctx, p, key)
		if !errors.Is(err, ErrNotFound) {
			return n.Person, rec, err
		}
	}
	return "", login.Record{}, ErrNotFound
}

// person finds the person with all these numbers, and adds those not known
// yet; a new one when none is known. ErrTwoPersons when they disagree.
func (p *People) person(ctx context.Context, numbers ...secret.Secret) (string, error) {
	for range saveTries {
		person, unknown, err := p.known(ctx, numbers)
		if err != nil {
			return "", err
		}
		if person == "" {
			person = newPersonID()
		}
		err = p.claim(ctx, person, unknown)
		if !errors.Is(err, login.ErrConflict) {
			return person, err
		}
	}
	return "", fmt.Errorf("person: %w", errBusy)
}

func newPersonID() string {
	var raw [16]byte
	rand.Read(raw[:])
	return hex.EncodeToString(raw[:])
}

// known tells whom the numbers find, "" for nobody, and which find nobody.
func (p *People) known(ctx context.Context, numbers []secret.Secret) (person string, unknown []secret.Secret, err error) {
	for _, number := range numbers {
		found, _, err := p.personOf(ctx, number)
		switch {
		case errors.Is(err, ErrNotFound):
			unknown = append(unknown, number)
		case err != nil:
			return "", nil, err
		case person != "" && person != found:
			return "", nil, ErrTwoPersons
		default:
			person = found
		}
	}
	return person, unknown, nil
}

// claim makes numbers find person. When one of them was claimed by somebody
// else meanwhile, those claimed before it are given back: ErrConflict.
func (p *People) claim(ctx context.Context, person string, numbers []secret.Secret) error {
	var claimed []login.Record
	for _, number := range numbers {
		rec := login.Record{Key: p.numberKeys(number)[0]}
		rec, err := p.save(ctx, rec, numberRecord{Person: person, Digits: number.Reveal()}, login.Condition{})
		if err != nil {
			return errors.Join(err, p.forget(ctx, claimed))
		}
		claimed = append(claimed, rec)
	}
	return nil
}

// forget deletes number records, unless somebody changed them.
func (p *People) forget(ctx context.Context, recs []login.Record) error {
	for _, rec := range recs {
		rec.Value, rec.Indexes, rec.Durable = nil, nil, true
		if _, err := p.store.Save(ctx, rec, login.Condition{}); err != nil && !errors.Is(err, login.ErrConflict) {
			return err
		}
	}
	return nil
}
