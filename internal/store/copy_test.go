package store

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
)

func embeddedAt(t *testing.T, path string) *Embedded {
	t.Helper()
	e, err := OpenEmbedded(path, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func TestWhatIsDurableIsCopiedToRedisAndBack(t *testing.T) {
	for name, start := range redisKinds {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			first := embeddedAt(t, filepath.Join(t.TempDir(), "first.db"))
			expires := time.Now().Add(time.Hour).Truncate(time.Microsecond)
			for i := range 300 {
				r := login.Record{Key: fmt.Sprintf("account/%d", i), Value: []byte{byte(i)}, Indexes: []string{"accounts", fmt.Sprintf("person/%d", i%7)}, Durable: i%3 > 0}
				if i%5 == 0 {
					r.Expires = expires
				}
				_, err := first.Save(ctx, r, login.Condition{})
				require.NoError(t, err)
				_, err = first.UseOnce(ctx, fmt.Sprintf("code/%d", i), expires, i%3 > 0)
				require.NoError(t, err)
			}
			redis := openRedis(t, start(t))
			done, err := Copy(ctx, first, redis, false)
			require.NoError(t, err)
			require.Equal(t, Copied{Records: 200, Marks: 200}, done)
			_, err = Copy(ctx, first, redis, false)
			require.ErrorIs(t, err, ErrNotEmpty)
			_, err = Copy(ctx, first, redis, true)
			require.NoError(t, err)

			path := filepath.Join(t.TempDir(), "second.db")
			second := embeddedAt(t, path)
			done, err = Copy(ctx, redis, second, false)
			require.NoError(t, err)
			require.Equal(t, Copied{Records: 200, Marks: 200}, done)
			before := time.Now()
			back := embeddedAt(t, path)
			since, err := back.Since(ctx)
			require.NoError(t, err)
			require.False(t, since.Before(before), "signed requests used before the copy must not be taken again")
			want, err := first.Find(ctx, "accounts", "", 0)
			require.NoError(t, err)
			got, err := back.Find(ctx, "accounts", "", 0)
			require.NoError(t, err)
			require.Len(t, got, 200)
			byKey := map[string]login.Record{}
			for _, r := range want {
				byKey[r.Key] = r
			}
			for _, r := range got {
				w := byKey[r.Key]
				require.True(t, w.Durable)
				require.Equal(t, w.Value, r.Value)
				require.ElementsMatch(t, w.Indexes, r.Indexes)
				require.True(t, w.Expires.Equal(r.Expires))
				require.True(t, r.Durable)
			}
			for i := range 300 {
				first, err := back.UseOnce(ctx, fmt.Sprintf("code/%d", i), expires, true)
				require.NoError(t, err)
				require.Equal(t, i%3 == 0, first, "a code that was used stays used")
			}
		})
	}
}

func TestNodesThatUseARedisAreCounted(t *testing.T) {
	for name, start := range redisKinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := start(t)
			asks := openRedis(t, o)
			counts := func(want int) {
				t.Helper()
				require.Eventually(t, func() bool {
					n, err := asks.Nodes(t.Context())
					return err == nil && n == want
				}, time.Minute, 10*time.Millisecond)
			}
			counts(0)
			ctx, leave := context.WithCancel(t.Context())
			var nodes sync.WaitGroup
			for range 2 {
				node := openRedis(t, o)
				nodes.Go(func() { _ = node.Changes(ctx, func(login.Change) {}) })
			}
			counts(2)
			leave()
			nodes.Wait()
			counts(0)
		})
	}
}
