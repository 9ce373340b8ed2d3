package config_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/configs"
	"vssgate/internal/config"
)

// Whatever a file holds: nothing panics, every problem has a place in the file
// and one line of text, there is a Config exactly when there is no mistake, and
// reading the same file again gives the same.
func FuzzParse(f *testing.F) {
	dir := folder(f)
	f.Add(configs.Sample)
	f.Add([]byte(commentedOut.ReplaceAllString(string(configs.Sample), "$1")))
	f.Add([]byte(general + nas))
	for _, m := range mistakes {
		f.Add([]byte(m.src))
	}
	for _, w := range warnings {
		f.Add([]byte(w.src))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		if strings.Contains(string(src), "users") {
			return // that file's decoder has a target of its own, and hashes take their time
		}
		c, all := parse(dir, string(src))
		require.Equal(t, c == nil, all.Mistaken())
		lines := 1 + strings.Count(string(src), "\n") + strings.Count(string(src), "\r")
		for _, p := range all {
			require.Contains(t, p.File, dir)
			require.True(t, p.Line >= 1 && p.Line <= lines, "%v", p)
			require.True(t, p.Column >= 1 && p.Column <= len(src)+2, "%v", p)
			require.NotEmpty(t, p.Message)
			require.NotContains(t, p.Message, "\n")
			require.NotContains(t, p.Message, "%!", "a broken format")
		}
		again, same := parse(dir, string(src))
		require.Equal(t, all, same)
		if c != nil {
			require.Equal(t, c, again)
			require.Equal(t, []config.Problem(all), c.Warnings)
		}
	})
}
