package login

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The page for readers has a row for each row of Decide, and one accept.
func TestThePageAndTheCodeHaveTheSameRows(t *testing.T) {
	code, err := os.ReadFile("decide.go")
	require.NoError(t, err)
	body := string(code)[strings.Index(string(code), "func Decide("):]
	body = body[:strings.Index(body, "\n}\n")]
	rows := len(regexp.MustCompile(`(?m)^\t(case .*|default):`).FindAllString(body, -1))
	require.Equal(t, 1, strings.Count(body, "ActAccept"), "an accept is made in exactly one row")

	page, err := os.ReadFile("../../docs/login-flow.md")
	require.NoError(t, err)
	require.Len(t, regexp.MustCompile(`(?m)^\| \d+ \|`).FindAllString(string(page), -1), rows)
}
