package radius_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/nas"
	"vssgate/internal/testenv"
	"vssgate/test/site"
)

// recipe is what `vssgate nas show` tells to type, with the secret in the place
// of SECRET, by place.
func recipe(t *testing.T, s *site.Site, kind, client string) map[string]string {
	t.Helper()
	var r nas.Recipe
	printed := s.Command("nas", "show", kind, "--client", client, "--json")
	require.NotContains(t, printed, s.Secret)
	require.NoError(t, json.Unmarshal([]byte(printed), &r))
	lines := map[string]string{}
	for _, step := range r.Steps {
		lines[step.Where] = strings.ReplaceAll(step.Lines, "SECRET", s.Secret) + "\n"
	}
	return lines
}

// onPort is a site whose port stands in its configuration, as it does where
// NASes are told of it.
func onPort(t *testing.T, o site.Options) *site.Site {
	t.Helper()
	s := site.New(t, o)
	raw, err := os.ReadFile(s.Config)
	require.NoError(t, err)
	config := strings.Replace(string(raw), `radius:
  listen: ["127.0.0.1:0"]`, fmt.Sprintf("radius:\n  listen: [%q]", freeAddr(t)), 1)
	require.NotEqual(t, string(raw), config)
	require.NoError(t, os.WriteFile(s.Config, []byte(config), 0o600))
	s.Start()
	return s
}

func TestTheRecipeOfPAMRadius(t *testing.T) {
	s := onPort(t, site.Options{})
	phone := s.Phone(1)
	lines := recipe(t, s, "pam-radius", "asks")["/etc/pam_radius_auth.conf, readable by root alone"]
	require.NotEmpty(t, lines)
	p := newPAM(t, s)
	require.NoError(t, os.WriteFile(p.conf, []byte(lines), 0o600))
	at := p.login(password)
	p.tell(phone.Code())
	require.Contains(t, at.said(), "LOGGED-IN")
}

func TestTheRecipeOfPostgreSQL(t *testing.T) {
	s := onPort(t, site.Options{Appends: "127.0.0.1", Asks: "127.0.0.3"})
	phone := s.Phone(1)
	lines := recipe(t, s, "postgresql", "appends")["pg_hba.conf"]
	require.True(t, strings.HasPrefix(lines, "hostssl "), lines)
	db := testenv.Postgres(t, "host "+strings.TrimPrefix(lines, "hostssl "), "")
	db.Role(user)
	_, err := db.Ask(user, password)
	require.Error(t, err)
	out, err := db.Ask(user, password+","+phone.Code())
	require.NoError(t, err, "%s\n%s", out, db.Log())
}

// FreeRADIUS reads the lines, with no more than the main section around them,
// and finds no fault.
func TestTheRecipeOfAFreeRADIUSProxy(t *testing.T) {
	s := onPort(t, site.Options{})
	program, err := exec.LookPath("freeradius")
	require.NoError(t, err, "freeradius is missing: apt-get install freeradius")
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "radiusd.conf"), []byte("proxy_requests = yes\nmodules {\n}\n"+
		recipe(t, s, "freeradius-proxy", "asks")["proxy.conf"]+"server default {\n  listen {\n    type = auth\n    ipaddr = 127.0.0.1\n    port = 0\n  }\n  authorize {\n  }\n}\n"), 0o600))
	out, err := exec.CommandContext(t.Context(), program, "-C", "-X", "-l", "stdout", "-d", dir).CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "Configuration appears to be OK")
	require.Regexp(t, `home_server vssgate0 \{\s+ipaddr = 127.0.0.1`, string(out))
}
