package directory

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// Presets for Active Directory.
const (
	objectGUID = "objectGUID"

	// ADUserFilter finds people, by sAMAccountName or userPrincipalName.
	// sAMAccountType is indexed; 805306368 are users without computers, trusts and
	// groups ([MS-SAMR] section 2.2.1.9). A userPrincipalName without @ is a plain
	// name to us and no name of its own, a sAMAccountName with one the reverse:
	// what has two readings is nobody's.
	ADUserFilter = "(&(sAMAccountType=805306368)(|(&(sAMAccountName={username})(!(sAMAccountName=*@*)))(&(userPrincipalName={username})(userPrincipalName=*@*))))"
)

// ADAttributes are Active Directory's names of what vssgate needs.
var ADAttributes = Attributes{ID: objectGUID, Username: "sAMAccountName", DisplayName: "displayName", Groups: "memberOf"}

// meanings are what a name may stand for in Active Directory, the first one
// first ([MS-ADTS] section 5.1.1.1.1). user@domain is the userPrincipalName that
// somebody has, whatever its suffix; where nobody has it, the sAMAccountName in
// that domain. DOMAIN\user and plain names are a sAMAccountName. The DN found is
// bound, so that nobody is let in by another password than his own.
func (d domains) meanings(name string) (all []string) {
	if !strings.Contains(name, `\`) {
		all = append(all, name)
	}
	if user, ok := typedName(d.cut(name)); ok && user != name && !strings.ContainsAny(user, `@\`) {
		all = append(all, user)
	}
	return all
}

// guids tells objectGUIDs as text: the first three groups have their octets in
// reverse ([MS-DTYP] section 2.3.4.2). What has not 16 octets is none.
func guids(raw [][]byte) (texts []string) {
	for _, g := range raw {
		if len(g) == 16 {
			texts = append(texts, fmt.Sprintf("%08x-%04x-%04x-%x-%x",
				binary.LittleEndian.Uint32(g), binary.LittleEndian.Uint16(g[4:]), binary.LittleEndian.Uint16(g[6:]), g[8:10], g[10:]))
		}
	}
	return texts
}

// Where Active Directory says which group is somebody's first: it is not in
// memberOf.
const (
	objectSid      = "objectSid"
	primaryGroupID = "primaryGroupID"
)

// primaryGroup is a filter for an account's primary group: the account's own
// SID with the group's number as its last part ([MS-DTYP] section 2.4.2.2).
func primaryGroup(entry *ldap.Entry) (filter string, ok bool) {
	sid := entry.GetEqualFoldRawAttributeValue(objectSid)
	number, err := strconv.ParseUint(entry.GetEqualFoldAttributeValue(primaryGroupID), 10, 32)
	if err != nil || len(sid) < 12 || len(sid) != 8+4*int(sid[1]) {
		return "", false
	}
	group := binary.LittleEndian.AppendUint32(sid[:len(sid)-4:len(sid)-4], uint32(number))
	return "(" + objectSid + "=" + escapedBytes(group) + ")", true
}

// escapedBytes writes octets for a filter (RFC 4515 section 3).
func escapedBytes(raw []byte) string {
	var b strings.Builder
	for _, octet := range raw {
		b.WriteString(`\` + hex.EncodeToString([]byte{octet}))
	}
	return b.String()
}

// inChain is Active Directory's matching rule for groups in groups
// ([MS-ADTS] section 3.1.1.3.4.4.3).
const inChain = ":1.2.840.113556.1.4.1941:="

// membersAbove is a filter for all groups that these DNs are in, themselves or
// through groups.
func membersAbove(dns []string) string {
	var b strings.Builder
	for _, dn := range dns {
		b.WriteString("(member" + inChain + ldap.EscapeFilter(dn) + ")")
	}
	return "(|" + b.String() + ")"
}

// domainOf is the DN of the domain that an entry is in.
func domainOf(dn string) (string, error) {
	parsed, err := parseDN(dn)
	if err != nil {
		return "", err
	}
	at := len(parsed.RDNs)
	for at > 0 && len(parsed.RDNs[at-1].Attributes) == 1 && parsed.RDNs[at-1].Attributes[0].Type == "dc" {
		at--
	}
	parsed.RDNs = parsed.RDNs[at:]
	if len(parsed.RDNs) == 0 {
		return "", fmt.Errorf("%s is in no domain", dn)
	}
	return parsed.String(), nil
}
