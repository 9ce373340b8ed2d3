package secret_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/secret"
)

func TestASecretNeverPrintsItself(t *testing.T) {
	const value = "canary-7f3a"
	s := secret.Secret(value)
	kept := struct{ Password secret.Secret }{s}
	var printed bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T %[1]v", "%10.3s", "%t"} {
		fmt.Fprintf(&printed, verb+" "+verb+" "+verb+"\n", s, &s, kept)
	}
	raw, err := json.Marshal(map[string]any{"a": s, "b": kept})
	require.NoError(t, err)
	printed.Write(raw)
	for _, h := range []slog.Handler{slog.NewTextHandler(&printed, nil), slog.NewJSONHandler(&printed, nil)} {
		slog.New(h).Info("secret", "s", s, "kept", kept, "error", fmt.Errorf("bind: %v", s))
	}
	require.NotContains(t, printed.String(), value)
	require.NotContains(t, printed.String(), fmt.Sprintf("%x", value))
	require.Contains(t, printed.String(), secret.Redacted)
	require.Equal(t, value, s.Reveal())
}
