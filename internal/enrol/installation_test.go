package enrol

import (
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
	"vssgate/otp"
)

func TestWhoHasAnotherKeyIsForeignToTheStore(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	line := otp.NewKeyLine()
	node := func(file string) *People {
		t.Helper()
		keys, err := otp.ParseKeys([]byte(file))
		require.NoError(t, err)
		p, err := New(f.store, keys, testOptions)
		require.NoError(t, err)
		return p
	}
	first, other := node(line), node(otp.NewKeyLine())
	require.NoError(t, first.Claim(ctx))
	require.NoError(t, other.Claim(ctx), "nothing is in the store: nobody is foreign")
	mention := func(p *People, id login.Identity) {
		t.Helper()
		_, _, err := p.Mention(ctx, id)
		require.NoError(t, err)
	}

	mention(first, ann(annNumber))
	require.ErrorIs(t, other.Claim(ctx), ErrForeign, "accounts of before this was noted say it too")
	_, err := f.store.Load(ctx, installationKey)
	require.ErrorIs(t, err, login.ErrNotFound, "and a foreign node notes nothing")
	require.NoError(t, first.Belongs(ctx))
	_, err = f.store.Load(ctx, installationKey)
	require.ErrorIs(t, err, login.ErrNotFound, "who only looks notes nothing")

	require.NoError(t, first.Claim(ctx))
	mention(other, binh(binhNumber))
	require.ErrorIs(t, other.Belongs(ctx), ErrForeign, "an account of its own makes it no less foreign")
	require.NoError(t, first.Claim(ctx))

	require.NoError(t, node(line+otp.NewKeyLine()).Belongs(ctx), "a new line behind the old one")
	require.NoError(t, node(otp.NewKeyLine()+line).Belongs(ctx), "before the old one")
}

func TestANodeThatWasWrongForAWhileDoesNotTakeTheStore(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	node := func() *People {
		keys, err := otp.ParseKeys([]byte(otp.NewKeyLine()))
		require.NoError(t, err)
		p, err := New(f.store, keys, testOptions)
		require.NoError(t, err)
		return p
	}
	first, wrong := node(), node()
	ours, _, err := first.Mention(ctx, ann(annNumber))
	require.NoError(t, err)
	theirs, _, err := wrong.Mention(ctx, binh(binhNumber))
	require.NoError(t, err)
	require.NoError(t, wrong.Claim(ctx))
	require.NoError(t, first.Claim(ctx), "whose accounts both are, nobody may say for both")

	_, err = wrong.Remove(ctx, theirs.ID)
	require.NoError(t, err)
	require.NoError(t, first.Claim(ctx))
	require.ErrorIs(t, wrong.Claim(ctx), ErrForeign)

	_, err = first.Remove(ctx, ours.ID)
	require.NoError(t, err)
	require.NoError(t, wrong.Claim(ctx), "after a trial that left nothing another key may begin")
	_, _, err = wrong.Mention(ctx, binh(binhNumber))
	require.NoError(t, err)
	require.NoError(t, wrong.Claim(ctx))
	require.ErrorIs(t, first.Claim(ctx), ErrForeign)
}
