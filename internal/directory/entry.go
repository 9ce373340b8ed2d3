package directory

import (
	"fmt"
	"log/slog"
	"slices"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"

	"vssgate/internal/login"
)

// Attributes names where the directory keeps what vssgate needs. ID and
// Username must be set; an entry without them is nobody.
type Attributes struct {
	ID          string // immutable and unique, as text: entryUUID
	Username    string // the name that audit and phones show
	DisplayName string // "": Username
	Number      string // mã số BHXH; "": not from the directory
	Groups      string // DNs; "": no groups
}

func (a Attributes) check() error {
	if a.ID == "" || a.Username == "" {
		return fmt.Errorf("attributes for id and username must be named")
	}
	return nil
}

// names is what a search asks for.
func (a Attributes) names() []string {
	all := []string{a.ID, a.Username, a.DisplayName, a.Number, a.Groups}
	all = slices.DeleteFunc(all, func(name string) bool { return name == "" })
	slices.Sort(all)
	return slices.Compact(all)
}

// identity reads an entry. Without one id and a user name it is nobody, which
// is logged: the service account may not read them.
func (a Attributes) identity(entry *ldap.Entry, log *slog.Logger) login.Identity {
	ids, usernames := values(entry, a.ID), values(entry, a.Username)
	if len(ids) != 1 || !utf8.ValidString(ids[0]) || len(usernames) == 0 || entry.DN == "" {
		log.Error("an entry without a readable id or user name is nobody", "dn", entry.DN,
			"id_attribute", a.ID, "ids", len(ids), "username_attribute", a.Username, "usernames", len(usernames))
		return login.Identity{}
	}
	who := login.Identity{ID: ids[0], DN: entry.DN, Username: usernames[0], DisplayName: usernames[0]}
	if shown := values(entry, a.DisplayName); len(shown) > 0 {
		who.DisplayName = shown[0]
	}
	switch numbers := values(entry, a.Number); len(numbers) {
	case 0:
	case 1:
		who.Number = numbers[0]
	default: // which one comes first may change from one login to the next
		log.Warn("an entry with several social insurance numbers counts as without", "dn", entry.DN)
	}
	who.Groups = values(entry, a.Groups)
	return who
}

// values are an attribute's values that are not empty; none without a name.
func values(entry *ldap.Entry, name string) []string {
	if name == "" {
		return nil
	}
	var all []string
	for _, value := range entry.GetEqualFoldAttributeValues(name) {
		if value != "" {
			all = append(all, value)
		}
	}
	return all
}
