package app

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"vssgate/internal/config"
	"vssgate/internal/phoneapi"
)

// backends are VssID's own servers, as the phone API knows them.
func backends(c *config.Config, log *slog.Logger) (all []phoneapi.Backend) {
	for _, b := range c.VssID.BackendTokens {
		tokens := &tokens{files: b.TokenFiles, log: log.With("backend", b.Name)}
		one := phoneapi.Backend{Name: b.Name, Addresses: b.Addresses, Tokens: tokens.sums}
		for _, right := range b.May {
			one.May = append(one.May, phoneapi.Right(right))
		}
		all = append(all, one)
	}
	return all
}

// backends are those of now.
func (a *App) backends() []phoneapi.Backend { return a.now.Load().backends }

// enrols tells whether VssID's servers bring devices in, so that users need no
// activation code.
func enrols(all []config.BackendToken) bool {
	return slices.ContainsFunc(all, func(b config.BackendToken) bool { return slices.Contains(b.May, "devices") })
}

// tokensEvery is how soon a token that was put into a file counts, or one that
// was taken out does not.
const tokensEvery = 5 * time.Second

// tokens are the tokens in a few files, one in each.
type tokens struct {
	files []string
	log   *slog.Logger

	mu    sync.Mutex
	read  time.Time
	known [][sha256.Size]byte
}

// sums are the SHA-256 sums of the tokens that are there now. A file that is
// not there has none; neither has one that cannot be read: that is logged.
func (t *tokens) sums() [][sha256.Size]byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := time.Now(); now.Sub(t.read) >= tokensEvery {
		t.read, t.known = now, nil
		for _, file := range t.files {
			t.add(file)
		}
	}
	return t.known
}

func (t *tokens) add(file string) {
	raw, err := os.ReadFile(file)
	token := strings.TrimSpace(string(raw))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		t.log.Error("a backend's token cannot be read: it does not count", "error", err)
	case len(token) < config.LeastToken:
		t.log.Error("a backend's token is too short: it does not count", "file", file, "want_characters", config.LeastToken)
	default:
		t.known = append(t.known, sha256.Sum256([]byte(token)))
	}
}
