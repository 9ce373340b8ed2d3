package app

import (
	"vssgate/internal/config"
	"vssgate/internal/directory"
	"vssgate/internal/login"
	"vssgate/radius/dictionary"
)

// replies finds what a NAS is told of a user: all rules that match, in order.
func replies(rules []config.Reply) func(login.Identity) []dictionary.AVP {
	if len(rules) == 0 {
		return nil
	}
	return func(who login.Identity) (all []dictionary.AVP) {
		groups := directory.NewMembership(who.Groups)
		for _, r := range rules {
			if r.Group == "" || groups.In(r.In) {
				all = append(all, r.Attributes...)
			}
		}
		return all
	}
}

// keepGroups is login.Options.KeepGroups: after the password only the replies
// depend on groups, and those are few of the hundreds that a user may be in.
func keepGroups(c *config.Config) func([]string) []string {
	var asked []directory.Group
	for _, k := range c.RADIUS.Clients {
		for _, r := range k.Reply {
			if r.Group != "" {
				asked = append(asked, r.In)
			}
		}
	}
	return func(groups []string) []string { return directory.Among(asked, groups) }
}
