package system_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/app"
	"vssgate/internal/testenv"
	"vssgate/test/site"
)

// A node with another secret.key would reject what the others began, so that no
// NAS fails over: it does not start, and says why, and so does doctor.
func TestANodeWithAnotherSecretKeyDoesNotStart(t *testing.T) {
	more := fmt.Sprintf("store: {redis: {addresses: [%q]}}\n", testenv.StartRedis(t).Addr)
	s := site.Start(t, site.Options{More: more})
	s.Phone(1)

	other := site.New(t, site.Options{More: more, Slapd: s.Slapd})
	about := func() (found app.Finding) {
		t.Helper()
		stdout, _, _ := other.Run("doctor", "--json")
		var all []app.Finding
		require.NoError(t, json.Unmarshal([]byte(stdout), &all))
		for _, f := range all {
			if f.Check == "store.redis" && f.Target == "records" {
				found = f
			}
		}
		return found
	}
	_, stderr, code := other.Run("serve")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "secret_key_file")
	require.Contains(t, stderr, "another secret.key")
	found := about()
	require.Equal(t, app.Failed, found.Result, found.Found)
	require.Equal(t, "secret_key_file", found.Key)

	key, err := os.ReadFile(filepath.Join(s.Dir, "secret.key"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(other.Dir, "secret.key"), key, 0o600))
	require.Equal(t, app.Fine, about().Result)
	other.Start()
}
