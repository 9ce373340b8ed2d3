package texts

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write docs/vssid-texts.json anew")

// What VssID shows is handed to those who build it as a file, in both
// languages; a variable is {{.Name}}.
func TestTheTextsHandedOverAreOurs(t *testing.T) {
	const file = "../../docs/vssid-texts.json"
	all := map[string]map[string]string{}
	for _, lang := range languages {
		raw, err := files.ReadFile(lang + ".json")
		require.NoError(t, err)
		var texts map[string]any
		require.NoError(t, json.Unmarshal(raw, &texts))
		all[lang] = map[string]string{}
		for key, text := range texts {
			of, _, _ := strings.Cut(key, ".")
			if s, ok := text.(string); ok && (of == "phone" || of == "push" || of == "notice" || of == "problem") {
				all[lang][key] = s
			}
		}
	}
	require.NotEmpty(t, all["vi"]["phone.login"])
	require.Len(t, all["en"], len(all["vi"]))
	var want bytes.Buffer
	e := json.NewEncoder(&want)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	require.NoError(t, e.Encode(all))
	if *update {
		require.NoError(t, os.WriteFile(file, want.Bytes(), 0o644))
	}
	is, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, want.String(), string(is), "docs/vssid-texts.json is old: go test ./internal/texts -run Handed -update")
}
