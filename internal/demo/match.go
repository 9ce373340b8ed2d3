package demo

import (
	"strings"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/nmcclain/ldap"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// matches tells whether a filter (RFC 4511 section 4.5.1.7) fits the
// attributes. All values are compared without case and in one Unicode form.
// Filters that it does not know fit nothing.
func matches(filter *ber.Packet, attributes []attribute) bool {
	if filter.ClassType != ber.ClassContext {
		return false
	}
	switch filter.Tag {
	case ldap.FilterAnd:
		for _, part := range filter.Children {
			if !matches(part, attributes) {
				return false
			}
		}
		return true
	case ldap.FilterOr:
		for _, part := range filter.Children {
			if matches(part, attributes) {
				return true
			}
		}
	case ldap.FilterNot:
		return len(filter.Children) == 1 && !matches(filter.Children[0], attributes)
	case ldap.FilterPresent:
		return len(valuesOf(text(filter), attributes)) > 0
	case ldap.FilterEqualityMatch, ldap.FilterApproxMatch, ldap.FilterSubstrings:
		return len(filter.Children) == 2 && anyFits(filter, valuesOf(text(filter.Children[0]), attributes))
	}
	return false
}

func anyFits(filter *ber.Packet, values []string) bool {
	asserted := filter.Children[1]
	for _, value := range values {
		if filter.Tag == ldap.FilterSubstrings {
			if substrings(asserted.Children, folded(value)) {
				return true
			}
		} else if folded(value) == folded(text(asserted)) {
			return true
		}
	}
	return false
}

// substrings fits initial*any*...*final to a value.
func substrings(parts []*ber.Packet, value string) bool {
	for _, part := range parts {
		piece, ok := folded(text(part)), false
		switch part.Tag {
		case ldap.FilterSubstringsInitial:
			value, ok = strings.CutPrefix(value, piece)
		case ldap.FilterSubstringsAny:
			_, value, ok = strings.Cut(value, piece)
		case ldap.FilterSubstringsFinal:
			value, ok = strings.CutSuffix(value, piece)
		}
		if !ok {
			return false
		}
	}
	return len(parts) > 0
}

func valuesOf(name string, attributes []attribute) []string {
	for _, a := range attributes {
		if strings.EqualFold(a.name, name) {
			return a.values
		}
	}
	return nil
}

func folded(s string) string {
	return norm.NFC.String(cases.Fold().String(norm.NFC.String(strings.TrimSpace(s))))
}
