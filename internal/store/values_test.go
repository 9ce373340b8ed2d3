package store

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
)

// The value of a durable record is read from the file: whoever reads while it
// changes sees one version after the other, each with its own value.
func TestARecordIsReadWholeWhileItIsCommitted(t *testing.T) {
	const versions = 300
	s, err := OpenEmbedded(filepath.Join(t.TempDir(), "db"), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer s.Close()
	ctx := context.Background()
	value := func(version uint64) []byte { return fmt.Appendf(nil, "value of version %d", version) }
	r, err := s.Save(ctx, login.Record{Key: "account:an", Value: value(1), Indexes: []string{"accounts"}, Durable: true}, login.Condition{})
	require.NoError(t, err)

	ended := make(chan error, 1)
	go func() {
		for r.Version < versions {
			r.Value, r.Durable = value(r.Version+1), r.Version%5 != 4 // now and then volatile, and durable again
			var err error
			if r, err = s.Save(ctx, r, login.Condition{}); err != nil {
				ended <- err
				return
			}
		}
		ended <- nil
	}()
	for last := uint64(0); last < versions; {
		loaded, err := s.Load(ctx, "account:an")
		require.NoError(t, err)
		found, err := s.Find(ctx, "accounts", "", 0)
		require.NoError(t, err)
		require.Len(t, found, 1)
		for _, r := range []login.Record{loaded, found[0]} {
			require.GreaterOrEqual(t, r.Version, last, "an older version after a newer one")
			require.Equal(t, string(value(r.Version)), string(r.Value))
			last = r.Version
		}
	}
	require.NoError(t, <-ended)
}

func TestTheTableKeepsNoValueOfADurableRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	for range 2 { // as saved, and as read at the start
		s, err := OpenEmbedded(path, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		if _, err := s.Load(t.Context(), "device:1"); err != nil {
			_, err = s.Save(t.Context(), login.Record{Key: "device:1", Value: make([]byte, 10_000), Indexes: []string{"devices"}, Durable: true}, login.Condition{})
			require.NoError(t, err)
		}
		listed := s.table.get("device:1")
		require.False(t, listed.none())
		require.Less(t, len(listed.packed), 50)
		r, err := s.Load(t.Context(), "device:1")
		require.NoError(t, err)
		require.Len(t, r.Value, 10_000)
		require.NoError(t, s.Close())
	}
}
