package ad_test

import (
	"fmt"
	"strings"
)

// Groups: an is in team, team in staff, staff in all; ring1 and ring2 are in
// each other, and binh in ring1.
const (
	team  = "CN=team," + groups
	staff = "CN=Cán bộ (tất cả)," + groups
	all   = "CN=all," + groups
	ring1 = "CN=ring1," + groups
	ring2 = "CN=ring2," + groups
	vpn   = "CN=vpn," + groups // the primary group of dung
	many  = 25                 // groups that chi is in
)

func groupsLDIF() string {
	var b strings.Builder
	group := func(dn string, members ...string) {
		name, _, _ := strings.Cut(strings.TrimPrefix(dn, "CN="), ",")
		fmt.Fprintf(&b, "dn: %s\nchangetype: add\nobjectClass: group\nsAMAccountName: g-%s\n", dn, strings.Trim(strings.ReplaceAll(name, " ", "-"), "()"))
		for _, m := range members {
			fmt.Fprintf(&b, "member: %s\n", m)
		}
		b.WriteString("\n")
	}
	group(team, an.dn())
	group(staff, team)
	group(all, staff)
	return b.String()
}
