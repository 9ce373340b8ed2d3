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

// groupsOf are the groups that something depends on.
func groupsOf(c *config.Config) (all []directory.Group) {
	for _, k := range c.RADIUS.Clients {
		for _, r := range k.Reply {
			if r.Group != "" {
				all = append(all, r.In)
			}
		}
	}
	return all
}
