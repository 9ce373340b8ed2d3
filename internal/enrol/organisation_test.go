package enrol

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
	"vssgate/internal/secret"
)

const day1 = 24 * time.Hour

func office() login.Identity {
	return login.Identity{ID: "office-id", Username: "bhxh.hanoi", DisplayName: "BHXH Hà Nội", Kind: "Organisation"}
}

func given(number string) Assignment {
	return Assignment{Number: secret.Secret(number), Document: "836/BHXH-CNTT", DocumentDate: "2024-03-26"}
}

func TestAnOrganisationsAccountIsItsCustodiansForTheTime(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	now, err := f.store.Now(ctx)
	require.NoError(t, err)
	account := func() login.Account {
		t.Helper()
		got, err := f.Account(ctx, office())
		require.NoError(t, err)
		return got
	}
	require.Equal(t, login.Account{Problem: login.NoCustodian}, account(), "without a written assignment nobody answers")

	f.enrolled(t, ann(annNumber), nil)
	annsPerson, err := f.Lookup(ctx, ann("").ID)
	require.NoError(t, err)
	_, err = f.Assign(ctx, office(), given(annNumber))
	require.NoError(t, err)
	require.Equal(t, annsPerson.Person, account().Person, "the custodian's own phones answer")
	require.Empty(t, account().Former)

	a := given(binhNumber)
	a.From, a.Until = now.Add(-2*day1), now.Add(-day1)
	_, err = f.Assign(ctx, office(), a)
	require.NoError(t, err)
	require.Equal(t, annsPerson.Person, account().Person, "one whose time is over changes nothing")
	a.From, a.Until = now.Add(day1), time.Time{}
	_, err = f.Assign(ctx, office(), a)
	require.NoError(t, err)
	require.Equal(t, annsPerson.Person, account().Person, "nor one whose time is still to come")

	after, err := f.Assign(ctx, office(), given(binhNumber))
	require.NoError(t, err)
	require.NotEqual(t, annsPerson.Person, after.Person)
	require.Len(t, after.Assignments, 4, "the history stays")
	require.Equal(t, login.NoDevice, account().Problem, "the new custodian has no phone yet")
	_, err = f.Assign(ctx, office(), given(binhNumber))
	require.NoError(t, err)
	again, err := f.Lookup(ctx, office().ID)
	require.NoError(t, err)
	require.Len(t, again.Assignments, 4, "the same assignment again is none")
}

func TestACustodianWhoseTimeEndsAnswersNoMore(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	f.enrolled(t, ann(annNumber), nil)
	now, err := f.store.Now(ctx)
	require.NoError(t, err)
	a := given(annNumber)
	a.Until = now.Add(day1)
	after, err := f.Assign(ctx, office(), a)
	require.NoError(t, err)
	r, _, err := load[accountRecord](ctx, f.People, accountKey(office().ID))
	require.NoError(t, err)
	for _, c := range []struct {
		at   time.Time
		want login.Reason
	}{{a.Until.Add(-time.Nanosecond), ""}, {a.Until, login.NoCustodian}} {
		_, problem, err := f.pin(ctx, r, office(), c.at, f.person)
		require.NoError(t, err)
		require.Equal(t, c.want, problem)
	}
	// and whose open logins end is said
	_, err = edit(ctx, f.People, accountKey(office().ID), func(r *accountRecord, _ *login.Record) error {
		r.Assignments[0].Until = now
		return nil
	})
	require.NoError(t, err)
	got, err := f.Account(ctx, office())
	require.NoError(t, err)
	require.Equal(t, login.Account{Problem: login.NoCustodian, Former: after.Person}, got)
}

func TestTheDirectoryCannotMakeAnybodyTheCustodian(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	f.enrolled(t, ann(annNumber), nil)
	f.enrolled(t, binh(binhNumber), nil)
	who := office()
	who.Custodian = binhNumber
	problem := func() login.Reason {
		got, err := f.Account(ctx, who)
		require.NoError(t, err)
		return got.Problem
	}
	require.Equal(t, login.NoCustodian, problem(), "an attribute is no written assignment")
	_, err := f.Assign(ctx, who, given(annNumber))
	require.NoError(t, err)
	require.Equal(t, login.NumberChanged, problem(), "and where both say something they agree")
	who.Custodian = "?"
	require.Equal(t, login.NumberChanged, problem())
	who.Custodian = " " + annNumber
	require.Empty(t, problem())
	who.Number = binhNumber
	require.Empty(t, problem(), "its own number attribute says nothing")
}

func TestKindsOfAccounts(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	_, err := f.SetNumbers(ctx, office(), annNumber, "")
	require.ErrorIs(t, err, ErrOrganisation)
	_, err = f.Assign(ctx, ann(""), given(annNumber))
	require.ErrorIs(t, err, ErrNotOrganisation)
	for name, a := range map[string]Assignment{
		"no document":      {Number: annNumber, DocumentDate: "2024-03-26"},
		"no date":          {Number: annNumber, Document: "x"},
		"a date of no day": {Number: annNumber, Document: "x", DocumentDate: "2024-02-30"},
	} {
		_, err = f.Assign(ctx, office(), a)
		require.ErrorIs(t, err, ErrDocument, name)
	}
	_, err = f.Assign(ctx, office(), Assignment{Number: "12", Document: "x", DocumentDate: "2024-03-26"})
	require.ErrorIs(t, err, ErrNumber)
	backwards := given(annNumber)
	backwards.From, backwards.Until = time.Now(), time.Now().Add(-time.Hour)
	_, err = f.Assign(ctx, office(), backwards)
	require.ErrorIs(t, err, ErrPeriod)

	f.enrolled(t, ann(annNumber), nil)
	a, err := f.SetKind(ctx, ann(annNumber), OfOrganisation)
	require.NoError(t, err)
	require.Empty(t, a.Person, "the person who answered before answers no more")
	said := ann(annNumber)
	said.Kind = "person"
	got, err := f.Account(ctx, said)
	require.NoError(t, err)
	require.Equal(t, login.NoCustodian, got.Problem, "what is set here wins over the directory")
	strange := binh(binhNumber)
	strange.Kind = "robot"
	got, err = f.Account(ctx, strange)
	require.NoError(t, err)
	require.Equal(t, login.NoCustodian, got.Problem, "a kind that nobody knows lets nobody in")
}

func TestARemovedAccountLeavesNothingOfThePerson(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	d := f.enrolled(t, ann(annNumber), nil)
	_, err := f.SetNumbers(ctx, binh(""), annNumber, annPersonal) // the same person's other account
	require.NoError(t, err)
	before, err := f.Lookup(ctx, ann("").ID)
	require.NoError(t, err)

	done, err := f.Remove(ctx, ann("").ID)
	require.NoError(t, err)
	require.Equal(t, Removed{}, done, "the person has another account")
	_, err = f.Lookup(ctx, ann("").ID)
	require.ErrorIs(t, err, ErrNotFound)

	done, err = f.Remove(ctx, binh("").ID)
	require.NoError(t, err)
	require.Equal(t, Removed{Numbers: 2, Devices: 1}, done)
	gone, _, err := f.Device(ctx, d.ID)
	require.NoError(t, err)
	require.NotNil(t, gone.Revoked, "the key stays revoked")
	require.Empty(t, gone.Name+gone.Person+gone.Account+gone.PushToken.Reveal())
	for _, number := range []secret.Secret{annNumber, annPersonal} {
		_, _, err = f.personOf(ctx, number)
		require.ErrorIs(t, err, ErrNotFound)
	}
	_, err = f.Remove(ctx, binh("").ID)
	require.ErrorIs(t, err, ErrNotFound)

	got, err := f.Account(ctx, ann(annNumber)) // whoever logs in again begins anew
	require.NoError(t, err)
	require.Equal(t, login.NoDevice, got.Problem)
	fresh, err := f.Lookup(ctx, ann("").ID)
	require.NoError(t, err)
	require.NotEqual(t, before.Person, fresh.Person)
}

func TestEntriesOfAnImport(t *testing.T) {
	for _, c := range []struct {
		name  string
		entry Entry
		want  error
	}{
		{"a person with a number", Entry{Username: "a", BHXH: annNumber}, nil},
		{"a person with both", Entry{Username: "a", Kind: "person", BHXH: annNumber, Personal: annPersonal}, nil},
		{"a person without", Entry{Username: "a"}, nil},
		{"numbers in the wrong columns", Entry{Username: "a", BHXH: annPersonal}, ErrNumber},
		{"a kind of its own", Entry{Username: "a", Kind: "robot"}, ErrKind},
		{"a person with a custodian", Entry{Username: "a", Custodian: annNumber}, ErrNotOrganisation},
		{"an organisation with a number", Entry{Username: "a", Kind: "organisation", BHXH: annNumber}, ErrOrganisation},
		{"an organisation to be assigned later", Entry{Username: "a", Kind: "organisation"}, nil},
		{"an organisation with everything", Entry{Username: "a", Kind: "organisation", Custodian: annNumber, Document: "d", DocumentDate: "26/03/2024", From: "2024-04-01", Until: "31/12/2030"}, nil},
		{"without its document", Entry{Username: "a", Kind: "organisation", Custodian: annNumber, DocumentDate: "26/03/2024"}, ErrDocument},
		{"without its date", Entry{Username: "a", Kind: "organisation", Custodian: annNumber, Document: "d"}, ErrDocument},
		{"over before it begins", Entry{Username: "a", Kind: "organisation", Custodian: annNumber, Document: "d", DocumentDate: "26/03/2024", From: "2024-04-02", Until: "31/03/2024"}, ErrPeriod},
		{"without a custodian", Entry{Username: "a", Kind: "organisation", Document: "d", DocumentDate: "26/03/2024"}, ErrNumber},
	} {
		err := c.entry.Check()
		require.ErrorIs(t, err, c.want, c.name)
	}
	require.ErrorContains(t, Entry{Username: "a", Kind: "organisation", From: "13/13/2024"}.Check(), "want 2026-11-30 or 30/11/2026")
	require.ErrorContains(t, Entry{}.Check(), "username is missing")

	a, err := Entry{From: "01/04/2024", Until: "2024-04-01"}.Assignment(time.FixedZone("", 7*3600))
	require.NoError(t, err)
	require.Equal(t, day1, a.Until.Sub(a.From), "the last day is one of its days")
	require.Equal(t, "2024-03-31T17:00:00Z", a.From.UTC().Format(time.RFC3339))

	require.Len(t, Conflicts([]Entry{{Username: "a"}, {Username: "A "}}), 1)
	require.Len(t, Conflicts([]Entry{{Username: "a", BHXH: annNumber, Personal: annPersonal}, {Username: "b", BHXH: annNumber, Personal: "000000000000"}, {Username: "c", BHXH: annNumber}}), 1)
}
