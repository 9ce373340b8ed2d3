package directory

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// A Survey is what a directory shows to who checks a configuration.
type Survey struct {
	Entries int            // looked at: they match the user filter
	Have    map[string]int // how many of them have each configured attribute
	Unknown []string       // attributes, of the filter too, that the schema does not name; none where it cannot be read
	Clock   time.Time      // the directory's, where it tells (Active Directory does); else zero
	Asked   time.Time      // when it was asked for that
}

// errSeen ends a search that has seen enough.
var errSeen = errors.New("seen enough")

// Survey looks at no more than `most` users, and at the schema.
func (d *LDAP) Survey(ctx context.Context, most int) (s Survey, err error) {
	names := d.asked()
	s.Have = map[string]int{}
	for _, base := range d.bases {
		err = d.surveying(ctx, func(c *conn) error {
			return c.pages(base.dn, d.filter.any, names, func(entry *ldap.Entry) error {
				if s.Entries++; s.Entries > most {
					s.Entries--
					return errSeen
				}
				for _, name := range names {
					if len(values(entry, name)) > 0 {
						s.Have[name]++
					}
				}
				return nil
			})
		})
		if err != nil && !errors.Is(err, errSeen) {
			return s, fmt.Errorf("first factor %s: look at users below %s: %w", d.name, base.dn, err)
		}
	}
	return s, d.surveying(ctx, func(c *conn) error { return d.surveyRoot(c, &s) })
}

// surveying lends a connection for as long as ctx allows.
func (d *LDAP) surveying(ctx context.Context, do func(c *conn) error) error {
	c, err := d.searches.borrow(ctx)
	if err != nil {
		return err
	}
	err = c.within(ctx, func() error { return do(c) })
	d.searches.giveBack(c, err)
	return err
}

// surveyRoot asks for the clock and the schema. Not every directory shows them:
// what it says instead is no fault.
func (d *LDAP) surveyRoot(c *conn, s *Survey) error {
	s.Asked = time.Now()
	root, err := c.one("", "(objectClass=*)", "currentTime", "subschemaSubentry")
	if root == nil || err != nil {
		return unlessAnswered(err)
	}
	s.Clock, _ = time.Parse("20060102150405.0Z", root.GetEqualFoldAttributeValue("currentTime"))
	at := root.GetEqualFoldAttributeValue("subschemaSubentry")
	if at == "" {
		return nil
	}
	schema, err := c.one(at, "(objectClass=subschema)", "attributeTypes")
	if schema == nil || err != nil {
		return unlessAnswered(err)
	}
	known := attributeNames(schema.GetEqualFoldAttributeValues("attributeTypes"))
	for _, name := range append(d.asked(), d.filter.attributes...) {
		base, _, _ := strings.Cut(strings.ToLower(name), ";")
		if len(known) > 0 && !known[base] && !isOID.MatchString(base) && !slices.Contains(s.Unknown, name) {
			s.Unknown = append(s.Unknown, name)
		}
	}
	return nil
}

// one is the entry at dn; nil: it is not shown.
func (c *conn) one(dn, filter string, attributes ...string) (*ldap.Entry, error) {
	found, err := c.Search(ldap.NewSearchRequest(dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 1, 0, false, filter, attributes, nil))
	if err != nil || len(found.Entries) == 0 {
		return nil, err
	}
	return found.Entries[0], nil
}

// ResultOf is the result code of a directory that said no (RFC 4511 appendix
// A); 0: err is none of that kind.
func ResultOf(err error) uint16 {
	var result *ldap.Error
	if !errors.As(err, &result) || result.ResultCode >= ldap.ErrorNetwork {
		return 0
	}
	return result.ResultCode
}

// unlessAnswered is err, unless the directory itself said no.
func unlessAnswered(err error) error {
	if answered(err) {
		return nil
	}
	return err
}

var (
	isOID = regexp.MustCompile(`^[0-9.]+$`)
	// NAME 'uid', or NAME ( 'uid' 'userid' ): RFC 4512 section 4.1.2.
	namesOfType = regexp.MustCompile(`\sNAME\s+(?:'([^']*)'|\(([^)]*)\))`)
	// The attribute of an item of a filter: RFC 4515.
	attributeOfItem = regexp.MustCompile(`\(\s*([A-Za-z0-9][A-Za-z0-9.;-]*)(?::[^=()]*)?[~<>]?=`)
)

// attributeNames are the names of attribute types, in small letters.
func attributeNames(types []string) map[string]bool {
	known := map[string]bool{}
	for _, t := range types {
		m := namesOfType.FindStringSubmatch(t)
		if m == nil {
			continue
		}
		for _, name := range strings.Fields(m[1] + " " + m[2]) {
			known[strings.ToLower(strings.Trim(name, "'"))] = true
		}
	}
	return known
}

// filterAttributes are the attributes that a filter names.
func filterAttributes(filter string) (all []string) {
	for _, m := range attributeOfItem.FindAllStringSubmatch(filter, -1) {
		all = append(all, m[1])
	}
	return all
}

// Certificates are what the first server that answers shows; none without TLS.
func (d *LDAP) Certificates(ctx context.Context) ([]*x509.Certificate, error) {
	conn, err := d.Dial(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if over, ok := conn.(*dialled).Conn.(*tls.Conn); ok {
		return over.ConnectionState().PeerCertificates, nil
	}
	return nil, nil
}
