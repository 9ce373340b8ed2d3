package phoneapi

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// validatorDir is a folder with the validator of testdata/openapi in it, which
// is fetched once from npm, in the versions and with the sums of its lock file.
func validatorDir(t *testing.T) string {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		_, err := exec.LookPath(program)
		require.NoError(t, err, "the OpenAPI document is checked by a validator from npm, which needs %s: test/packages.sh installs it", program)
	}
	lock, err := os.ReadFile("testdata/openapi/package-lock.json")
	require.NoError(t, err)
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	sum := sha256.Sum256(lock)
	cache = filepath.Join(cache, "vssgate-test")
	dir := filepath.Join(cache, "openapi-"+hex.EncodeToString(sum[:8]))
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	require.NoError(t, os.MkdirAll(cache, 0o755))
	fresh, err := os.MkdirTemp(cache, "npm")
	require.NoError(t, err)
	defer os.RemoveAll(fresh) // it is gone when all went well
	for _, name := range []string{"package.json", "package-lock.json"} {
		raw, err := os.ReadFile(filepath.Join("testdata", "openapi", name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(fresh, name), raw, 0o644))
	}
	npm := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-progress")
	npm.Dir = fresh
	out, err := npm.CombinedOutput()
	require.NoError(t, err, "npm ci (is a registry within reach?):\n%s", out)
	if err := os.Rename(fresh, dir); err != nil { // another test run was faster
		require.DirExists(t, dir)
	}
	return dir
}

func TestAForeignValidatorAcceptsTheDocument(t *testing.T) {
	f := newFixture(t)
	got := f.send("GET", "/openapi.json", "", nil)
	require.Equal(t, 200, got.status)
	dir := validatorDir(t)
	script, err := os.ReadFile("testdata/openapi/check.mjs")
	require.NoError(t, err)
	own := t.TempDir()
	require.NoError(t, os.Symlink(filepath.Join(dir, "node_modules"), filepath.Join(own, "node_modules")))
	require.NoError(t, os.WriteFile(filepath.Join(own, "check.mjs"), script, 0o644))
	check := func(document string) (found struct {
		Valid   bool
		Version string
		Errors  any
	}) {
		t.Helper()
		file := filepath.Join(own, "openapi.json")
		require.NoError(t, os.WriteFile(file, []byte(document), 0o644))
		out, err := exec.CommandContext(t.Context(), "node", filepath.Join(own, "check.mjs"), file).Output()
		require.NoError(t, err, "%s", out)
		require.NoError(t, json.Unmarshal(out, &found))
		return found
	}
	found := check(got.raw)
	require.True(t, found.Valid, "%v", found.Errors)
	require.Equal(t, "3.1", found.Version)

	operation := got.body["paths"].(map[string]any)["/v1/logins"].(map[string]any)["get"].(map[string]any)
	operation["responses"] = "none"
	require.False(t, check(string(mustJSON(got.body))).Valid, "it would find a mistake")
}
