package site

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/nas"
	"vssgate/internal/testenv"
)

// OnPort is Start with a port of RADIUS that stands in the configuration, as it
// does where NASes are told of it.
func OnPort(t testing.TB, o Options) *Site {
	t.Helper()
	o.Listen = fmt.Sprintf("%q", testenv.FreeAddr(t))
	return Start(t, o)
}

// Recipe is what `vssgate nas show` tells to type for a client, by place, with
// the secret in the place of SECRET and the port that the node really has.
func (s *Site) Recipe(kind, client string) map[string]string {
	s.t.Helper()
	printed := s.Command("nas", "show", kind, "--client", client, "--json")
	require.NotContains(s.t, printed, s.Secret)
	var r nas.Recipe
	require.NoError(s.t, json.Unmarshal([]byte(printed), &r))
	lines := map[string]string{}
	for _, step := range r.Steps {
		lines[step.Where] = strings.ReplaceAll(step.Lines, "SECRET", s.Secret) + "\n"
	}
	return lines
}
