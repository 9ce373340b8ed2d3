package enrol

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"vssgate/internal/secret"
)

// An Entry is what an administrator declares of one account, as a line of an
// import file does. Empty fields say nothing.
type Entry struct {
	Username     string
	Kind         string // person or organisation
	BHXH         string
	Personal     string
	Custodian    string // number of either kind
	Document     string
	DocumentDate string // days: YYYY-MM-DD or DD/MM/YYYY
	From         string // first day
	Until        string // last day
}

// Check finds what is wrong with an entry by itself. Its errors quote no number.
func (e Entry) Check() error {
	kind, err := ParseKind(e.Kind)
	if err != nil {
		return fmt.Errorf("kind: %w", err)
	}
	if strings.TrimSpace(e.Username) == "" {
		return errors.New("username is missing")
	}
	if kind == OfOrganisation {
		return e.checkOrganisation()
	}
	if e.assigns() {
		return ErrNotOrganisation
	}
	if e.BHXH == "" && e.Personal == "" {
		return nil
	}
	_, err = parseBoth(e.BHXH, e.Personal)
	return err
}

func (e Entry) checkOrganisation() error {
	if e.BHXH != "" || e.Personal != "" {
		return ErrOrganisation
	}
	if !e.assigns() {
		return nil
	}
	a, err := e.Assignment(time.UTC)
	if err != nil {
		return err
	}
	if _, err := ParseNumber(e.Custodian); err != nil {
		return fmt.Errorf("custodian: %w", err)
	}
	return a.check()
}

// assigns tells whether the entry names a custodian.
func (e Entry) assigns() bool {
	return e.Custodian+e.Document+e.DocumentDate+e.From+e.Until != ""
}

// Assignment is what the entry says of the custodian; its days begin and end in
// that time zone.
func (e Entry) Assignment(zone *time.Location) (a Assignment, err error) {
	date, err := day("document_date", e.DocumentDate, zone)
	if err != nil {
		return a, err
	}
	if a.From, err = day("from", e.From, zone); err != nil {
		return a, err
	}
	if a.Until, err = day("until", e.Until, zone); err != nil {
		return a, err
	}
	if !a.Until.IsZero() {
		a.Until = a.Until.AddDate(0, 0, 1) // the last day is one of its days
	}
	a.Number, a.Document = secret.Secret(strings.TrimSpace(e.Custodian)), strings.TrimSpace(e.Document)
	if !date.IsZero() {
		a.DocumentDate = date.Format(time.DateOnly)
	}
	return a, nil
}

// day reads a day in either of its two spellings; "" is the zero time.
func day(what, s string, zone *time.Location) (time.Time, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return time.Time{}, nil
	}
	for _, form := range []string{time.DateOnly, "02/01/2006"} {
		if t, err := time.ParseInLocation(form, s, zone); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%s: %q is no day; want 2026-11-30 or 30/11/2026", what, s)
}

// Conflicts finds entries that contradict one before them, by their places: a
// user who stands there twice, or one of a person's two numbers with another
// second one.
func Conflicts(entries []Entry) map[int]error {
	wrong := map[int]error{}
	users, other := map[string]int{}, map[string]string{}
	for i, e := range entries {
		name := fold(e.Username)
		if first, twice := users[name]; twice {
			wrong[i] = fmt.Errorf("%s stands in entry %d already", e.Username, first+1)
			continue
		}
		users[name] = i
		if e.BHXH == "" || e.Personal == "" {
			continue
		}
		for _, pair := range [][2]string{{e.BHXH, e.Personal}, {e.Personal, e.BHXH}} {
			if known, ok := other[pair[0]]; ok && known != pair[1] {
				wrong[i] = ErrTwoPersons
			}
			other[pair[0]] = pair[1]
		}
	}
	return wrong
}
