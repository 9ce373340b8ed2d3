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
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
)

// Who logs in.
var (
	user     = testenv.UserName(1)
	password = testenv.UserPassword(1)
)

// write puts a file into a folder and returns its path.
func write(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}
