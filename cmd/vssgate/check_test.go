package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCheckPrintsEveryProblemAtItsPlace(t *testing.T) {
	dir := t.TempDir()
	require.Equal(t, exitOK, vssgate(t, "", "init", dir).code)
	file := filepath.Join(dir, "vssgate.yaml")
	sample, err := os.ReadFile(file)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		more  string // is put before the sample
		code  int
		lines []string // in this order, and no other
	}{
		"a good file": {"", 0, nil},
		"a warning":   {"second_factor: {valid_for: 3m}\n", 0, []string{`:1:28: warning: second_factor\.valid_for`}},
		"mistakes, with the warnings among them": {"languag: vi\nsecond_factor:\n  valid_for: 3m\n  code_digits: four\n", 1, []string{
			`:1:1: languag is unknown; did you mean language\?`, `:3:14: warning: second_factor\.valid_for`, `:4:16: second_factor\.code_digits: want a whole number`,
		}},
		"no YAML": {"a: [\n", 1, []string{`:\d+:\d+: `}},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, os.WriteFile(file, append([]byte(c.more), sample...), 0o600))
			got := vssgate(t, "", "check", "--config", file)
			require.Equal(t, c.code, got.code, "%+v", got)
			if c.code == exitOK {
				require.Contains(t, got.out, file+" is good: 1 RADIUS and 0 LDAP clients, 1 first factors")
			} else {
				require.Empty(t, got.out)
			}
			lines := strings.Split(strings.TrimSuffix(got.errOut, "\n"), "\n")
			if len(c.lines) == 0 {
				require.Empty(t, got.errOut)
				return
			}
			require.Len(t, lines, len(c.lines), got.errOut)
			for i, line := range lines {
				require.Regexp(t, "^"+regexp.QuoteMeta(file)+c.lines[i], line)
			}
		})
	}
}

func TestInit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "etc", "vssgate")
	got := vssgate(t, "", "init", dir)
	require.Equal(t, exitOK, got.code, got.errOut)
	file := filepath.Join(dir, "vssgate.yaml")
	require.Contains(t, got.out, "wrote "+file)
	require.Regexp(t, `(?s)Next: .*vssgate check --config .*vssgate doctor --config .*vssgate serve --config `, got.out)

	before := contents(t, dir)
	require.Contains(t, before, "secret.key")
	for name := range before {
		info, err := os.Stat(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, fs.FileMode(0o600), info.Mode().Perm(), name)
		require.Contains(t, got.out, "wrote "+filepath.Join(dir, name))
	}

	again := vssgate(t, "", "init", dir)
	require.Equal(t, exitError, again.code)
	require.Contains(t, again.errOut, "is there already; nothing was written")
	require.Equal(t, before, contents(t, dir), "it never overwrites")

	other := filepath.Join(t.TempDir(), "other")
	require.Equal(t, exitOK, vssgate(t, "", "init", other).code)
	require.NotEqual(t, before["secret.key"], contents(t, other)["secret.key"], "keys are made afresh")

	checked := vssgate(t, "", "check", "--config", file)
	require.Equal(t, exitOK, checked.code, checked.errOut)
}

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	all := map[string]string{}
	for _, e := range entries {
		raw, err := os.ReadFile(filepath.Join(dir, e.Name()))
		require.NoError(t, err)
		all[e.Name()] = string(raw)
	}
	return all
}
