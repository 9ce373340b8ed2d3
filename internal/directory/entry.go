package directory

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"

	"vssgate/internal/login"
)

// Attributes names where the directory keeps what vssgate needs. ID and
// Username must be set; an entry without them is nobody.
type Attributes struct {
	ID          string // immutable and unique, as text: entryUUID; or objectGUID, which is told as text
	Username    string // the name that audit and phones show
	DisplayName string // "": Username
	Number      string // mã số BHXH; "": not from the directory
	Kind        string // person or organisation; "": not from the directory
	Custodian   string // number of the officer who has an organisation's account; "": not from the directory
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
	all := []string{a.ID, a.Username, a.DisplayName, a.Number, a.Kind, a.Custodian, a.Groups}
	all = slices.DeleteFunc(all, func(name string) bool { return name == "" })
	slices.Sort(all)
	return slices.Compact(all)
}

// identity reads an entry. Without one id and a user name it is nobody, which
// is logged: the service account may not read them.
func (a Attributes) identity(entry *ldap.Entry, log *slog.Logger) login.Identity {
	ids, usernames := a.ids(entry), values(entry, a.Username)
	if len(ids) != 1 || !utf8.ValidString(ids[0]) || len(usernames) == 0 || entry.DN == "" {
		log.Error("an entry without a readable id or user name is nobody", "dn", entry.DN,
			"id_attribute", a.ID, "ids", len(ids), "username_attribute", a.Username, "usernames", len(usernames))
		return login.Identity{}
	}
	who := login.Identity{ID: ids[0], DN: entry.DN, Username: usernames[0], DisplayName: usernames[0]}
	if shown := values(entry, a.DisplayName); len(shown) > 0 {
		who.DisplayName = shown[0]
	}
	who.Number = only(entry, a.Number, log)
	who.Kind, who.Custodian = only(entry, a.Kind, log), only(entry, a.Custodian, log)
	who.Groups = values(entry, a.Groups)
	return who
}

// ids are the values of the id's attribute.
func (a Attributes) ids(entry *ldap.Entry) []string {
	if strings.EqualFold(a.ID, objectGUID) {
		return guids(entry.GetEqualFoldRawAttributeValues(a.ID))
	}
	return values(entry, a.ID)
}

// only is an attribute's one value. Of several, which comes first may change
// from one login to the next: they count as none.
func only(entry *ldap.Entry, name string, log *slog.Logger) string {
	all := values(entry, name)
	if len(all) > 1 {
		log.Warn("an attribute that must have one value has several, and counts as missing", "dn", entry.DN, "attribute", name)
	}
	if len(all) != 1 {
		return ""
	}
	return all[0]
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
