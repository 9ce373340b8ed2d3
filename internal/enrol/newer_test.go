package enrol

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
)

// plain is what stands under key; nil: nothing does.
func (f *fixture) plain(t *testing.T, key string) (login.Record, []byte) {
	t.Helper()
	rec, err := f.store.Load(t.Context(), key)
	require.NoError(t, err)
	b, err := f.keys.Open(key, rec.Value)
	require.NoError(t, err)
	return rec, b
}

// rewrite has a newer version add a field to a record and to each part of it.
func (f *fixture) rewrite(t *testing.T, key string) (added int) {
	t.Helper()
	rec, b := f.plain(t, key)
	var tree any
	require.NoError(t, json.Unmarshal(b, &tree))
	added = addNewer(tree)
	b, err := json.Marshal(tree)
	require.NoError(t, err)
	rec.Value = f.keys.Seal(key, b)
	_, err = f.store.Save(t.Context(), rec, login.Condition{})
	require.NoError(t, err)
	return added
}

func addNewer(tree any) (added int) {
	switch v := tree.(type) {
	case map[string]any:
		for _, part := range v {
			added += addNewer(part)
		}
		v["newer"] = "version"
		added++
	case []any:
		for _, part := range v {
			added += addNewer(part)
		}
	}
	return added
}

// A node of the next version and one of this share a store: what this one changes
// keeps what the other one has added.
func TestWhatANewerVersionHasAddedStaysInARecord(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	d := f.enrolled(t, ann(annNumber), nil)
	other := f.enrolled(t, binh(binhNumber), nil)
	a := f.owns(t)
	_, err := f.NewApp(ctx, a)
	require.NoError(t, err)
	help, _, err := f.NewHelpCode(ctx, a, 1e9)
	require.NoError(t, err)
	_, err = f.Assign(ctx, office(), given(annNumber))
	require.NoError(t, err)
	v := vouched(a.Person, true)
	_, _, err = f.Vouch(ctx, v)
	require.NoError(t, err)
	next := f.activation(t, ann(annNumber))

	signedOut := false
	for _, c := range []struct {
		name, key string
		change    func() error
		lost      int // with a part that goes
	}{
		{"an account's display name", accountKey(a.ID), func() error {
			id := ann(annNumber)
			id.DisplayName = "Nguyễn Thị An"
			_, _, err := f.Mention(ctx, id)
			return err
		}, 0},
		{"its number", accountKey(a.ID), func() error { _, err := f.SetNumbers(ctx, ann(""), annNumber, annPersonal); return err }, 0},
		{"another assignment", accountKey(office().ID), func() error { _, err := f.Assign(ctx, office(), given(binhNumber)); return err }, 0},
		{"a device that signs out", deviceKey(d.ID), func() error { _, err := f.Update(ctx, d.ID, Change{SignedIn: &signedOut}); return err }, 0},
		{"a push token of no use", deviceKey(d.ID), func() error { return f.ForgetToken(ctx, d.ID, d.PushToken.Reveal()) }, 0},
		{"a device that is revoked", deviceKey(d.ID), func() error { _, err := f.Revoke(ctx, d.ID); return err }, 0},
		{"a code that is used", fallbackKey(a.ID), func() error { f.uses(t, a, login.NewID(), help.Reveal()); return nil }, 1},
		{"an activation that is used", activationKey(next.Code.Reveal()), func() error { _, _, err := f.Enrol(ctx, phone(next.Code)); return err }, 0},
		{"a backend's name for another key", v.key(), func() error {
			again := vouched(a.Person, true)
			_, _, err := f.Vouch(ctx, again)
			return err
		}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			added := f.rewrite(t, c.key)
			before, _ := f.plain(t, c.key)
			require.NoError(t, c.change())
			after, b := f.plain(t, c.key)
			require.Greater(t, after.Version, before.Version, "something was changed")
			require.Equal(t, added-c.lost, bytes.Count(b, []byte(`"newer":"version"`)), "%s", b)
		})
	}

	f.rewrite(t, deviceKey(other.ID))
	for _, account := range []string{office().ID, binh("").ID} {
		_, err = f.Remove(ctx, account)
		require.NoError(t, err)
	}
	_, b := f.plain(t, deviceKey(other.ID))
	require.NotContains(t, string(b), "newer", "of a person who is removed nothing stays")
}
