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
