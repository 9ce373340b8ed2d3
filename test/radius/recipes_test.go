package radius_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
	"vssgate/test/site"
)

func TestTheRecipeOfPAMRadius(t *testing.T) {
	s := site.OnPort(t, site.Options{})
	phone := s.Phone(1)
	lines := s.Recipe("pam-radius", "asks")["/etc/pam_radius_auth.conf, readable by root alone"]
	require.NotEmpty(t, lines)
	p := newPAM(t, s)
	require.NoError(t, os.WriteFile(p.conf, []byte(lines), 0o600))
	at := p.login(password)
	p.tell(phone.Code())
	require.Contains(t, at.said(), "LOGGED-IN")
}

func TestTheRecipeOfPostgreSQL(t *testing.T) {
	s := site.OnPort(t, site.Options{Appends: "127.0.0.1", Asks: "127.0.0.3"})
	phone := s.Phone(1)
	lines := s.Recipe("postgresql", "appends")["pg_hba.conf"]
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
	s := site.OnPort(t, site.Options{})
	program, err := exec.LookPath("freeradius")
	require.NoError(t, err, "freeradius is missing: apt-get install freeradius")
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "radiusd.conf"), []byte("proxy_requests = yes\nmodules {\n}\n"+
		s.Recipe("freeradius-proxy", "asks")["proxy.conf"]+"server default {\n  listen {\n    type = auth\n    ipaddr = 127.0.0.1\n    port = 0\n  }\n  authorize {\n  }\n}\n"), 0o600))
	out, err := exec.CommandContext(t.Context(), program, "-C", "-X", "-l", "stdout", "-d", dir).CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "Configuration appears to be OK")
	require.Regexp(t, `home_server vssgate0 \{\s+ipaddr = 127.0.0.1`, string(out))
}
