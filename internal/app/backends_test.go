package app

import (
	"crypto/sha256"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTokensAreReplacedWhileTheNodeRuns(t *testing.T) {
	dir := t.TempDir()
	current, next := filepath.Join(dir, "token"), filepath.Join(dir, "token.next")
	write := func(file, token string) { require.NoError(t, os.WriteFile(file, []byte(token+"\n"), 0o600)) }
	old, fresh := strings.Repeat("o", 40), strings.Repeat("f", 40)
	write(current, old)
	synctest.Test(t, func(t *testing.T) {
		tk := &tokens{files: []string{current, next}, log: slog.New(slog.DiscardHandler)}
		are := func(want ...string) {
			t.Helper()
			sums := [][sha256.Size]byte{}
			for _, token := range want {
				sums = append(sums, sha256.Sum256([]byte(token)))
			}
			require.ElementsMatch(t, sums, tk.sums())
		}
		are(old)
		write(next, fresh)
		are(old)
		time.Sleep(tokensEvery)
		are(old, fresh)
		require.NoError(t, os.Rename(next, current))
		time.Sleep(tokensEvery)
		are(fresh)
		write(current, "short")
		time.Sleep(tokensEvery)
		are()
	})
}
