package enrol

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
)

func vouched(person string, key bool) Vouched {
	v := Vouched{Backend: "vssid", TheirID: "installation-1", Person: person, Name: "phone", Platform: "android", AppVersion: "1.6.8"}
	if key {
		v.ID, v.Key = someKey()
	}
	return v
}

func TestAPersonIsFoundByEitherNumber(t *testing.T) {
	f := newFixture(t)
	a, _, err := f.Mention(t.Context(), ann(annNumber))
	require.NoError(t, err)
	_, err = f.SetNumbers(t.Context(), ann(annNumber), annNumber, annPersonal)
	require.NoError(t, err)
	for _, c := range [][2]string{{annNumber, ""}, {"", annPersonal}, {annNumber, annPersonal}, {annNumber, "009999999999"}} {
		person, err := f.PersonWith(t.Context(), c[0], c[1])
		require.NoError(t, err)
		require.Equal(t, a.Person, person)
	}
	_, err = f.PersonWith(t.Context(), "", "009999999999")
	require.ErrorIs(t, err, ErrNotFound, "asking claims nothing")
}

func TestABackendsNameForADeviceMeansOneKey(t *testing.T) {
	f := newFixture(t)
	a, _, err := f.Mention(t.Context(), ann(annNumber))
	require.NoError(t, err)
	first, replaced, err := f.Vouch(t.Context(), vouched(a.Person, false))
	require.NoError(t, err)
	require.Empty(t, replaced)
	require.True(t, validID(first.ID))
	require.Equal(t, []string{CanCode}, first.Can)

	for range 3 { // more keys than devices are allowed: each takes the place of the one before
		v := vouched(a.Person, true)
		d, replaced, err := f.Vouch(t.Context(), v)
		require.NoError(t, err)
		require.Equal(t, v.ID, d.ID)
		require.Len(t, replaced, 1)
		all, err := f.Devices(t.Context(), a.Person)
		require.NoError(t, err)
		require.Len(t, all, 1)
	}
	other := vouched(a.Person, false)
	other.TheirID = "installation-2"
	d, _, err := f.Vouch(t.Context(), other)
	require.NoError(t, err)
	require.NotEqual(t, first.ID, d.ID)
	spoken, err := f.Spoken(t.Context(), "vssid", a.Person)
	require.NoError(t, err)
	require.Equal(t, []Device{d}, spoken, "the other one has a key")
	spoken, err = f.Spoken(t.Context(), "another", a.Person)
	require.NoError(t, err)
	require.Empty(t, spoken)
}

func TestAReplacementThatWasCutShortIsFinishedByTheNextTry(t *testing.T) {
	f := newFixture(t)
	a, _, err := f.Mention(t.Context(), ann(annNumber))
	require.NoError(t, err)
	old := vouched(a.Person, true)
	_, _, err = f.Vouch(t.Context(), old)
	require.NoError(t, err)
	next := vouched(a.Person, true)
	for _, at := range []string{"vouched:", deviceKey(old.ID), deviceKey(next.ID)} {
		f.store.failSave = func(r login.Record) error {
			if strings.HasPrefix(r.Key, at) {
				return errors.New("store is away")
			}
			return nil
		}
		_, _, err = f.Vouch(t.Context(), next)
		require.Error(t, err, at)
	}
	f.store.failSave = nil
	_, _, err = f.Vouch(t.Context(), next)
	require.NoError(t, err)
	all, err := f.Devices(t.Context(), a.Person)
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.Equal(t, next.ID, all[0].ID)
}

func TestOneDeviceIsLeftOfManyVouchedForAtOnce(t *testing.T) {
	f := newFixture(t)
	a, _, err := f.Mention(t.Context(), ann(annNumber))
	require.NoError(t, err)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			_, _, err := f.Vouch(t.Context(), vouched(a.Person, false))
			require.NoError(t, err)
		})
	}
	wg.Wait()
	all, err := f.Devices(t.Context(), a.Person)
	require.NoError(t, err)
	require.Len(t, all, 1)
}

func TestARemovedPersonLeavesNoVouchedName(t *testing.T) {
	f := newFixture(t)
	a, _, err := f.Mention(t.Context(), ann(annNumber))
	require.NoError(t, err)
	v := vouched(a.Person, false)
	_, _, err = f.Vouch(t.Context(), v)
	require.NoError(t, err)
	_, err = f.Remove(t.Context(), a.ID)
	require.NoError(t, err)
	_, err = f.store.Load(t.Context(), v.key())
	require.ErrorIs(t, err, login.ErrNotFound)
	require.ErrorIs(t, f.Has(t.Context(), a.Person), ErrNotFound)
}
