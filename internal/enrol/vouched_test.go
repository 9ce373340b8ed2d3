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

// meant is the only device that a backend's name leads to, and the key that
// still may be used under it.
func (f *fixture) meant(t *testing.T, person string, tried ...Vouched) {
	t.Helper()
	all, err := f.Devices(t.Context(), person)
	require.NoError(t, err)
	require.Len(t, all, 1)
	for _, v := range tried {
		d, _, err := f.Vouch(t.Context(), v)
		if v.ID != all[0].ID {
			require.ErrorIs(t, err, ErrRevoked, "replaced for good")
			continue
		}
		require.NoError(t, err)
		require.Equal(t, all[0].ID, d.ID)
	}
	after, err := f.Devices(t.Context(), person)
	require.NoError(t, err)
	require.Equal(t, all[0].ID, after[0].ID)
	_, _, err = f.Vouch(t.Context(), vouched(person, true))
	require.NoError(t, err, "the name is good for the next installation")
}

// Of two keys under one name that come at the same time the later one is left,
// wherever the earlier one was when it came.
func TestOfTwoKeysUnderOneNameTheLaterOneIsLeft(t *testing.T) {
	for _, at := range []string{"vouched:", "device:"} { // the earlier one is about to write that
		t.Run(at, func(t *testing.T) {
			f := newFixture(t)
			a, _, err := f.Mention(t.Context(), ann(annNumber))
			require.NoError(t, err)
			earlier, later := vouched(a.Person, true), vouched(a.Person, true)
			between := func(r login.Record) error {
				if !strings.HasPrefix(r.Key, at) {
					return nil
				}
				f.store.failSave = nil
				_, _, err := f.Vouch(t.Context(), later)
				return err
			}
			f.store.failSave = between
			d, replaced, err := f.Vouch(t.Context(), earlier)
			require.NoError(t, err)
			require.Equal(t, earlier.ID, d.ID)
			require.Len(t, replaced, 1, "one of them, so that what it approved is withdrawn")
			f.meant(t, a.Person, earlier, later)
		})
	}
}

func TestOneKeyIsLeftOfManyUnderOneNameAtOnce(t *testing.T) {
	for range 10 {
		f := newFixture(t)
		a, _, err := f.Mention(t.Context(), ann(annNumber))
		require.NoError(t, err)
		tried, gone := make([]Vouched, 4), make([][]Device, 4)
		var wg sync.WaitGroup
		for i := range tried {
			tried[i] = vouched(a.Person, true)
			wg.Go(func() { _, gone[i], _ = f.Vouch(t.Context(), tried[i]) })
		}
		wg.Wait()
		f.meant(t, a.Person, tried...)
		for _, replaced := range gone {
			for _, d := range replaced {
				now, _, err := f.Device(t.Context(), d.ID)
				require.NoError(t, err)
				require.NotNil(t, now.Revoked)
			}
		}
	}
}

// A key belongs to one installation; the one that came too late can have another.
func TestOneKeyUnderTwoNamesAtOnceIsOnesAlone(t *testing.T) {
	f := newFixture(t)
	a, _, err := f.Mention(t.Context(), ann(annNumber))
	require.NoError(t, err)
	one := vouched(a.Person, true)
	two := one
	two.TheirID = "installation-2"
	f.store.failSave = func(r login.Record) error {
		if !strings.HasPrefix(r.Key, "device:") {
			return nil
		}
		f.store.failSave = nil
		_, _, err := f.Vouch(t.Context(), two)
		return err
	}
	_, _, err = f.Vouch(t.Context(), one)
	require.ErrorIs(t, err, ErrKeyInUse)
	all, err := f.Devices(t.Context(), a.Person)
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.Equal(t, "installation-2", all[0].TheirID)
	_, _, err = f.Vouch(t.Context(), vouched(a.Person, true))
	require.NoError(t, err)
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
