package directory

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"
)

// NormalizeDN spells a DN in one way, for exact comparison with DNs from the
// configuration. It removes the differences that no directory sees: the case of
// ASCII letters and runs of spaces in attributes known to ignore them, spaces
// around separators, `;` for `,`, attribute OIDs and long names, needless
// escapes, and the order inside a multi-valued RDN (RFC 4514, RFC 4517
// section 4.2.11). Everything else, such as the case of letters beyond ASCII,
// stays different: two DNs that a directory holds apart never become equal
// here, while two that it holds equal may stay apart.
//
// What it cannot be sure of is an error: values in BER (#04...) or quotes,
// empty values, NUL, bytes that are not UTF-8. The empty DN stays empty.
func NormalizeDN(dn string) (string, error) {
	parsed, err := parseDN(dn)
	if err != nil {
		return "", err
	}
	return parsed.String(), nil
}

// Below tells whether dn is base or an entry below it, both spelt in any way
// that NormalizeDN takes. What cannot be read is below nothing.
func Below(dn, base string) bool {
	entry, err1 := parseDN(dn)
	above, err2 := parseDN(base)
	if err1 != nil || err2 != nil || len(entry.RDNs) == 0 || len(above.RDNs) == 0 {
		return false
	}
	return above.Equal(entry) || above.AncestorOf(entry)
}

func parseDN(dn string) (*ldap.DN, error) {
	if dn == "" {
		return &ldap.DN{}, nil
	}
	if !utf8.ValidString(dn) {
		return nil, errors.New("DN is not UTF-8")
	}
	if err := checkSpelling(dn); err != nil {
		return nil, err
	}
	parsed, err := ldap.ParseDN(dn)
	if err != nil {
		return nil, fmt.Errorf("parse DN: %w", err)
	}
	for _, rdn := range parsed.RDNs {
		for _, attribute := range rdn.Attributes {
			if err := normalize(attribute); err != nil {
				return nil, err
			}
		}
	}
	return parsed, nil
}

// attributeType is RFC 4512's oid: a short name or dotted numbers.
var attributeType = regexp.MustCompile(`^ *([A-Za-z][A-Za-z0-9-]*|[0-9]+(\.[0-9]+)+) *$`)

// checkSpelling refuses what ldap.ParseDN reads more generously than
// directories do: escapes in attribute types, types left empty, and values in
// BER, whose tag it drops.
func checkSpelling(dn string) error {
	inType, start := true, 0
	for i := 0; i < len(dn); i++ {
		switch c := dn[i]; {
		case inType && c == '=':
			if !attributeType.MatchString(dn[start:i]) {
				return errors.New("DN has an attribute type that is none")
			}
			if strings.HasPrefix(strings.TrimLeft(dn[i+1:], " "), "#") {
				return errors.New("DN has a value in BER")
			}
			inType = false
		case inType: // judged as a whole at its end
		case c == '\\':
			i++
		case c == ',' || c == ';' || c == '+':
			inType, start = true, i+1
		}
	}
	if inType {
		return errors.New("DN ends without a value")
	}
	return nil
}

// ignoresCase names the attributes whose values every directory compares
// without regard to ASCII case and to the number of spaces, by the short name
// that this package writes; others of their names and OIDs point to it.
var ignoresCase = names(map[string][]string{
	"cn":             {"commonname", "2.5.4.3"},
	"sn":             {"surname", "2.5.4.4"},
	"serialnumber":   {"2.5.4.5"},
	"c":              {"countryname", "2.5.4.6"},
	"l":              {"localityname", "2.5.4.7"},
	"st":             {"stateorprovincename", "2.5.4.8"},
	"street":         {"streetaddress", "2.5.4.9"},
	"o":              {"organizationname", "2.5.4.10"},
	"ou":             {"organizationalunitname", "2.5.4.11"},
	"title":          {"2.5.4.12"},
	"givenname":      {"gn", "2.5.4.42"},
	"uid":            {"userid", "0.9.2342.19200300.100.1.1"},
	"mail":           {"rfc822mailbox", "0.9.2342.19200300.100.1.3"},
	"dc":             {"domaincomponent", "0.9.2342.19200300.100.1.25"},
	"employeenumber": {"2.16.840.1.113730.3.1.3"},
})

func names(aliases map[string][]string) map[string]string {
	all := map[string]string{}
	for short, others := range aliases {
		all[short] = short
		for _, other := range others {
			all[other] = short
		}
	}
	return all
}

func normalize(a *ldap.AttributeTypeAndValue) error {
	if !utf8.ValidString(a.Value) || strings.ContainsRune(a.Value, 0) {
		return errors.New("DN has a value that is no text")
	}
	a.Type = lowerASCII(a.Type)
	if short, ok := ignoresCase[a.Type]; ok {
		a.Type = short
		a.Value = lowerASCII(oneSpace(a.Value))
	}
	if a.Value == "" {
		return errors.New("DN has an empty value")
	}
	return nil
}

// lowerASCII leaves letters beyond ASCII alone: directories disagree on them.
func lowerASCII(s string) string {
	lower := []byte(s)
	for i, c := range lower {
		if 'A' <= c && c <= 'Z' {
			lower[i] = c + 'a' - 'A'
		}
	}
	return string(lower)
}

// oneSpace drops spaces at both ends and makes one of several in between.
func oneSpace(s string) string {
	words := strings.FieldsFunc(s, func(r rune) bool { return r == ' ' })
	return strings.Join(words, " ")
}

// below tells whether dn is base or lies under it.
func below(dn, base *ldap.DN) bool {
	return base.Equal(dn) || base.AncestorOf(dn)
}
