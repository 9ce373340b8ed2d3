// Package vpn_test logs in through real VPN gateways: ocserv, OpenVPN and
// strongSwan ask vssgate, and their own clients knock at them.
//
// Nothing here needs the kernel's help: no tunnel is made, only the login. What
// needs more, or longer, has the build tag vpn and is run by `make vpn`, as root:
// strongSwan, whose daemon wants CAP_NET_ADMIN and xfrm.
//
//	terminal_test.go    a program with a person in front of it
//	ocserv_test.go      ocserv and openconnect
//	openvpn_test.go     openvpn with radiusplugin, at both ends without a tunnel
//	strongswan_test.go  charon as gateway and as client, IKEv2
package vpn_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/nas"
	"vssgate/internal/testenv"
	"vssgate/test/site"
)

// Who logs in.
var (
	user     = testenv.UserName(1)
	password = testenv.UserPassword(1)
)

// recipe is what `vssgate nas show` tells to type for a client, by place, with
// the secret in the place of SECRET and the port that the node really has.
func recipe(t *testing.T, s *site.Site, kind, client string) map[string]string {
	t.Helper()
	var r nas.Recipe
	require.NoError(t, json.Unmarshal([]byte(s.Command("nas", "show", kind, "--client", client, "--json")), &r))
	lines := map[string]string{}
	for _, step := range r.Steps {
		lines[step.Where] = strings.ReplaceAll(step.Lines, "SECRET", s.Secret) + "\n"
	}
	return lines
}

// onPort starts a site whose port stands in its configuration, as it does where
// NASes are told of it.
func onPort(t *testing.T, o site.Options) *site.Site {
	t.Helper()
	o.Listen = fmt.Sprintf("%q", freeUDPAddr(t))
	return site.Start(t, o)
}

// write puts a file into a folder and returns its path.
func write(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}
