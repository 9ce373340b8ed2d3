package radius_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
	"vssgate/test/site"
)

// tells is where the NAS is that is told something.
const tells = "127.0.0.4"

// What NASes are told of users who are in the group staff, and in no other.
const reply = `    - name: tells
      addresses: [` + tells + `]
      secret: "{{SECRET}}"
      mode: append
      approval: simple
      reply:
        - {group: admins, attributes: {Filter-Id: admins, CP-Gaia-User-Role: adminRole}}
        - {group: "cn=staff,ou=elsewhere", attributes: {Filter-Id: elsewhere}}
        - {group: Staff, attributes: {Class: OU=staff;, Fortinet-Group-Name: [vpn, wifi], Mikrotik-Group: read}}
        - group: "CN=Staff, ` + testenv.SlapdGroups + `"
          attributes:
            PaloAlto-User-Group: vpn
            Cisco-AVPair: ["shell:priv-lvl=15", "ip:inacl#1=permit ip any any"]
            Juniper-Local-User-Name: ops
            Citrix-User-Groups: vpn
            Aruba-User-Role: staff
            MS-Primary-DNS-Server: 192.0.2.53
        - attributes:
            Session-Timeout: 3600
            Service-Type: NAS-Prompt-User
            "Tunnel-Type:1": VLAN
            "Tunnel-Medium-Type:1": IEEE-802
            "Tunnel-Private-Group-Id:1": "20"
            Framed-IPv6-Prefix: "2001:db8:1::/64"
`

func TestRadclientReadsWhatItIsToldOfTheUser(t *testing.T) {
	s := site.Start(t, site.Options{Clients: reply})
	phone := s.Phone(1)
	refused := radclient(t, s, tells, typed(password, signed)...).said()
	require.Contains(t, refused, "Received Access-Reject")
	require.NotContains(t, refused, "Class")
	require.NotContains(t, refused, "Session-Timeout")
	out := radclient(t, s, tells, typed(password+","+phone.Code(), signed)...).said()
	require.Contains(t, out, "Received Access-Accept")
	for _, line := range []string{
		`Class = 0x4f553d73746166663b`, `Fortinet-Group-Name = "vpn"`, `Fortinet-Group-Name = "wifi"`, `Mikrotik-Group = "read"`,
		`PaloAlto-User-Group = "vpn"`, `Cisco-AVPair = "shell:priv-lvl=15"`, `Cisco-AVPair = "ip:inacl#1=permit ip any any"`,
		`Juniper-Local-User-Name = "ops"`, `Citrix-User-Groups = "vpn"`, `Aruba-User-Role = "staff"`, `MS-Primary-DNS-Server = 192.0.2.53`,
		`Session-Timeout = 3600`, `Service-Type = NAS-Prompt-User`,
		`Tunnel-Type:1 = VLAN`, `Tunnel-Medium-Type:1 = IEEE-802`, `Tunnel-Private-Group-Id:1 = "20"`, `Framed-IPv6-Prefix = 2001:db8:1::/64`,
	} {
		require.Contains(t, out, line)
	}
	require.NotContains(t, out, "Filter-Id")
	require.NotContains(t, out, "Gaia")
}
