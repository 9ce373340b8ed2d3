package enrol

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
)

// What is foreseen is what then comes, and looking changes nothing.
func TestPeekForeseesWhatAccountSays(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	f.enrolled(t, binh(binhNumber), nil)
	steps := []struct {
		name string
		do   func() error
		who  login.Identity
	}{
		{"no number", nil, ann("")},
		{"a bad number", nil, ann("12")},
		{"a number nobody has", nil, ann(annNumber)},
		{"another person's number", nil, login.Identity{ID: "third", Username: "third", Number: binhNumber}},
		{"pinned, no phone", func() error { _, _, err := f.Mention(ctx, ann(annNumber)); return err }, ann(annNumber)},
		{"changed to nobody's", nil, ann(annPersonal)},
		{"changed to another's", nil, ann(binhNumber)},
		{"a phone", func() error { f.enrolled(t, ann(annNumber), nil); return nil }, ann(annNumber)},
		{"set here", func() error { _, err := f.SetNumbers(ctx, ann(""), binhNumber, ""); return err }, ann(annNumber)},
		{"an organisation without custodian", nil, office()},
		{"with one", func() error { _, err := f.Assign(ctx, office(), given(binhNumber)); return err }, office()},
		{"another one in the directory", nil, func() login.Identity { w := office(); w.Custodian = annNumber; return w }()},
		{"a kind of its own", nil, login.Identity{ID: "robot", Kind: "robot"}},
	}
	for _, s := range steps {
		if s.do != nil {
			require.NoError(t, s.do(), s.name)
		}
		saves := f.store.saves.Load()
		now, err := f.store.Now(ctx)
		require.NoError(t, err)
		foreseen, err := f.Peek(ctx, s.who, now)
		require.NoError(t, err)
		require.Equal(t, saves, f.store.saves.Load(), s.name)
		got, err := f.Account(ctx, s.who)
		require.NoError(t, err)
		require.Equal(t, got.Problem, foreseen, s.name)
	}
	a := given(annNumber)
	a.Until = time.Now().Add(time.Hour)
	_, err := f.Assign(ctx, office(), a)
	require.NoError(t, err)
	problem, err := f.Peek(ctx, office(), time.Now().Add(2*time.Hour))
	require.NoError(t, err)
	require.Empty(t, problem, "then the assignment before holds again")
}
