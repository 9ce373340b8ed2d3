package upstream_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
	"vssgate/test/site"
)

// What the NAS is told of a user: first what the upstream grants, as far as it
// may, then what the configuration has for the user's groups in the directory.
func TestReplyAttributesComeAfterWhatTheUpstreamGrants(t *testing.T) {
	f := testenv.StartFreeRADIUS(t, testenv.FreeRADIUSOptions{Reply: reply})
	const tells = "127.0.0.13"
	for name, c := range map[string]struct {
		pass string
		want string // what stands between the upstream's and ours
	}{
		"all passes":  {"all", `(?s)Class = 0x6f6e65.*Filter-Id = "staff".*Class = 0x74776f.*Cisco-AVPair = "shell:priv-lvl=7".*Fortinet-Group-Name = "vpn".*Class = 0x6f757273`},
		"some passes": {"[Filter-Id]", `(?s)Filter-Id = "staff".*Fortinet-Group-Name = "vpn".*Class = 0x6f757273`},
		"none passes": {"none", `(?s)Fortinet-Group-Name = "vpn".*Class = 0x6f757273`},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(fmt.Sprintf("{address: %q, secret: %q}", f.Addr, testenv.FreeRADIUSSecret), "pass_attributes: "+c.pass)
			o.Clients += `
    - name: up-tells
      addresses: [` + tells + `]
      secret: "{{SECRET}}"
      first_factor: radius
      mode: hold
      hold: 20s
      approval: simple
      reply:
        - {group: staff, attributes: {Fortinet-Group-Name: vpn, Class: ours}}
        - {group: admins, attributes: {Fortinet-Group-Name: admins}}
`
			s := site.Start(t, o)
			phone := s.Phone(1)
			at := radclient(t, s, tells, by("User-Password", password)...)
			phone.Yes()
			out := answer(at.said())
			require.Regexp(t, c.want, out)
			require.NotContains(t, out, "admins")
			for granted, passes := range map[string]bool{"Class = 0x6f6e65": c.pass == "all", "Tunnel-Password": c.pass == "all", `Filter-Id = "staff"`: c.pass != "none"} {
				require.Equal(t, passes, strings.Contains(out, granted), granted)
			}
			at = radclient(t, s, tells, "User-Name = "+user, "User-Password = "+password, `Calling-Station-Id = "203.0.113.8"`)
			phone.No()
			refused := answer(at.said())
			require.Contains(t, refused, "Access-Reject")
			require.NotContains(t, refused, "Fortinet")
			require.NotContains(t, refused, "Class")
		})
	}
}
