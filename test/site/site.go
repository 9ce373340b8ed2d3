package site

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
)

// Where the NASes of each mode are, unless Options say otherwise.
const (
	Asks    = "127.0.0.1" // mode challenge, approval with a number
	Holds   = "127.0.0.2" // mode hold
	Appends = "127.0.0.3" // mode append
)

// Options say what is different from a site of its own with ten users.
type Options struct {
	Asks, Holds, Appends string                // addresses of the NASes
	Hold                 string                // of the NAS that holds; 20s
	Listen               string                // of RADIUS, with commas; "127.0.0.1:0"
	Clients              string                // more lines of radius.clients; {{SECRET}} is the secret
	FirstFactors         string                // more lines of first_factors
	Slapd                *testenv.SlapdServer  // an existing directory
	Directory            testenv.SlapdOptions  // of a new one
	Secret               string                // shared with all NASes; random
	BindPassword         string                // of the directory's account; slapd's
	More                 string                // configuration, after what is there already
	Before               func(n *testenv.Node) // before the node starts
}

// A Site is a directory and a node in front of it.
type Site struct {
	*testenv.Node
	Slapd  *testenv.SlapdServer
	Secret string

	t testing.TB
}

// Start sets a site up; it ends with the test.
func Start(t testing.TB, o Options) *Site {
	t.Helper()
	s := New(t, o)
	s.Start()
	return s
}

// New is Start without starting the node.
func New(t testing.TB, o Options) *Site {
	t.Helper()
	if o.Slapd == nil {
		o.Slapd = testenv.Slapd(t, o.Directory)
	}
	if o.Secret == "" {
		o.Secret = rand.Text()
	}
	s := &Site{Slapd: o.Slapd, Secret: o.Secret, t: t}
	s.Node = testenv.NewNode(t, o.config())
	if o.Before != nil {
		o.Before(s.Node)
	}
	return s
}

func or(given, usual string) string {
	if given != "" {
		return given
	}
	return usual
}

func (o Options) config() string {
	return fmt.Sprintf(`
language: en
first_factors:
  - name: directory
    ldap:
      urls: [%q]
      bind_dn: %q
      bind_password: %q
      base_dns: [%q]
      attributes: {bhxh_number: employeeNumber}
%[13]s
radius:
  listen: [%[12]s]
  clients:
    - {name: asks, addresses: [%[5]s], secret: %[9]q, mode: challenge}
    - {name: holds, addresses: [%[6]s], secret: %[9]q, mode: hold, hold: %[7]s, approval: simple}
    - {name: appends, addresses: [%[8]s], secret: %[9]q, mode: append, approval: simple}
%[11]s
%[10]s
`, o.Slapd.URI, o.Slapd.BindDN, or(o.BindPassword, o.Slapd.BindPassword), testenv.SlapdPeople,
		or(o.Asks, Asks), or(o.Holds, Holds), or(o.Hold, "20s"), or(o.Appends, Appends), o.Secret, o.More,
		strings.ReplaceAll(o.Clients, "{{SECRET}}", o.Secret), or(o.Listen, `"127.0.0.1:0"`), o.FirstFactors)
}

// Command runs vssgate and returns what it printed; it must succeed.
func (s *Site) Command(args ...string) string {
	s.t.Helper()
	stdout, stderr, code := s.Run(args...)
	require.Zero(s.t, code, "vssgate %s: %s", strings.Join(args, " "), stderr)
	return stdout
}

// ShareKey gives a node that was not started the keys of another.
func ShareKey(t testing.TB, from *testenv.Node) func(to *testenv.Node) {
	return func(to *testenv.Node) {
		t.Helper()
		key, err := os.ReadFile(filepath.Join(from.Dir, "secret.key"))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(to.Dir, "secret.key"), key, 0o600))
	}
}
