package app

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Which outside library only some parts may import, and what the core may.
func TestImportsPointInward(t *testing.T) {
	out, err := exec.Command("go", "list", "-tags", "disable_grpc_modules,grpcnotrace", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "vssgate/...").Output()
	require.NoError(t, err)
	only := map[string][]string{
		"layeh.com/radius":                    {"vssgate/radius", "vssgate/radius/dictionary", "vssgate/radius/wire", "vssgate/internal/upstream"},
		"github.com/nmcclain/ldap":            {"vssgate/ldapproxy", "vssgate/internal/demo"},
		"github.com/go-ldap/ldap":             {"vssgate/internal/directory"},
		"github.com/appleboy/go-fcm":          {"vssgate/push"},
		"github.com/redis/go-redis":           {"vssgate/internal/store"},
		"go.etcd.io/bbolt":                    {"vssgate/internal/store"},
		"vssgate/internal/config":             {"vssgate/internal/app", "vssgate/cmd/vssgate", "vssgate/internal/demo"},
		"vssgate/internal/app":                {"vssgate/cmd/vssgate", "vssgate/internal/demo"},
		"vssgate/radius":                      {"vssgate/internal/app", "vssgate/cmd/vssgate", "vssgate/internal/demo"},
		"vssgate/ldapproxy":                   {"vssgate/internal/app"},
		"github.com/prometheus/client_golang": {"vssgate/internal/app"},
	}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		from, imports, _ := strings.Cut(line, " ")
		for _, imported := range strings.Fields(imports) {
			if imported == "vssgate/radius/dictionary" || imported == "vssgate/radius/wire" { // names and packets, no front end
				continue
			}
			for library, may := range only {
				if imported == library || strings.HasPrefix(imported, library+"/") {
					require.Contains(t, may, from, "%s imports %s", from, imported)
				}
			}
			if from == "vssgate/internal/login" && strings.Contains(imported, "/") {
				standard := !strings.Contains(strings.Split(imported, "/")[0], ".") && !strings.HasPrefix(imported, "vssgate/")
				require.True(t, standard || imported == "vssgate/otp", "the core imports %s", imported)
			}
		}
	}
}
