package directory

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/go-ldap/ldap/v3"

	"vssgate/internal/login"
	"vssgate/internal/secret"
)

// LDAPOptions describes a directory.
type LDAPOptions struct {
	Name         string            // in errors and logs
	URLs         []string          // ldap:// or ldaps://, tried in order
	StartTLS     bool              // on every ldap:// connection, before anything else
	TLS          *tls.Config       // roots and the like; nil: the system's
	BindDN       string            // service account; "": searches are anonymous
	BindPassword secret.Secret     //
	BaseDNs      []string          // where users are; letters beyond ASCII as the directory writes them
	UserFilter   string            // with {username}
	AD           bool              // it is Active Directory: see activedirectory.go
	NestedGroups bool              // a group's groups are its members' too
	Domains      map[string]string // short name to DNS name, for DOMAIN\user and user@domain
	Attributes   Attributes        //
	Timeout      time.Duration     // for Resolve, Check, Dial and Ping each, over all servers; 0: 5 s
	Log          *slog.Logger      // nil: the default one
}

// LDAP is a directory as first factor. Its connections are kept in two pools
// that never mix: one searches and stays bound as the service account. The
// other binds as users and does nothing else, so whom its connections were
// bound as last is never used: each loan begins with a bind, which replaces
// the identity whether it succeeds or not (RFC 4513 section 4), and ends right
// after it.
type LDAP struct {
	name     string
	log      *slog.Logger
	timeout  time.Duration
	servers  servers
	searches *pool
	binds    *pool

	bases      []base
	filter     userFilter
	ad         bool
	nested     bool
	maxGroups  int
	domains    domains
	attributes Attributes
	nobody     string
}

// A base is a subtree in which users are.
type base struct {
	dn     string
	parsed *ldap.DN
}

var _ login.FirstFactor = (*LDAP)(nil)

// NewLDAP checks the options. It connects on first use.
func NewLDAP(o LDAPOptions) (*LDAP, error) {
	d := &LDAP{name: o.Name, log: o.Log, timeout: o.Timeout, domains: newDomains(o.Domains), attributes: o.Attributes,
		ad: o.AD, nested: o.NestedGroups, maxGroups: maxGroups}
	if d.log == nil {
		d.log = slog.Default()
	}
	d.log = d.log.With("first_factor", o.Name)
	if d.timeout <= 0 {
		d.timeout = 5 * time.Second
	}
	var err error
	if d.servers, err = newServers(o, d.log); err != nil {
		return nil, fmt.Errorf("first factor %s: %w", o.Name, err)
	}
	if d.bases, err = newBases(o.BaseDNs); err != nil {
		return nil, fmt.Errorf("first factor %s: %w", o.Name, err)
	}
	if d.filter, err = newUserFilter(o.UserFilter); err != nil {
		return nil, fmt.Errorf("first factor %s: %w", o.Name, err)
	}
	if err = o.Attributes.check(); err != nil {
		return nil, fmt.Errorf("first factor %s: %w", o.Name, err)
	}
	// 26 random letters: no entry has that name, and nobody can make one.
	d.nobody = "cn=nobody-" + rand.Text() + "," + d.bases[0].dn
	d.searches = newPool(d.servers, newServiceAccount(o).bind)
	d.binds = newPool(d.servers, nil)
	return d, nil
}

func newServers(o LDAPOptions, log *slog.Logger) (all servers, err error) {
	for _, url := range o.URLs {
		s, err := newServer(url, o.StartTLS, o.TLS)
		if err != nil {
			return nil, err
		}
		s.log = log
		all = append(all, s)
	}
	if len(all) == 0 {
		return nil, errors.New("no LDAP URL is given")
	}
	return all, nil
}

func newBases(dns []string) (all []base, err error) {
	for _, dn := range dns {
		parsed, err := parseDN(dn)
		if err != nil || dn == "" {
			return nil, fmt.Errorf("base DN %q is none: %w", dn, err)
		}
		all = append(all, base{dn: dn, parsed: parsed})
	}
	if len(all) == 0 {
		return nil, errors.New("no base DN is given")
	}
	return all, nil
}

// Resolve finds whom a typed name means: a plain name, DOMAIN\user or
// user@domain. More than one entry is nobody.
func (d *LDAP) Resolve(ctx context.Context, typed string) (login.Identity, error) {
	name, ok := typedName(typed)
	if !ok {
		return login.Identity{}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	var found []*ldap.Entry
	for _, meaning := range d.meanings(name) { // all are looked up, so that it takes as long whoever is found
		entries, err := d.called(ctx, meaning)
		switch {
		case err != nil:
			return login.Identity{}, err
		case len(found) == 0:
			found = entries
		}
	}
	return d.only(found), nil
}

// meanings are what a name may stand for, the first one first: itself, without
// a known domain.
func (d *LDAP) meanings(name string) []string {
	if d.ad {
		return d.domains.meanings(name)
	}
	if name, ok := typedName(d.domains.cut(name)); ok {
		return []string{name}
	}
	return nil
}

// called returns the entries of that name, from all base DNs.
func (d *LDAP) called(ctx context.Context, name string) (found []*ldap.Entry, err error) {
	filter := d.filter.with(name)
	for _, base := range d.bases {
		entries, err := d.search(ctx, base.dn, ldap.ScopeWholeSubtree, filter)
		if err != nil {
			return nil, fmt.Errorf("first factor %s: search below %s: %w", d.name, base.dn, err)
		}
		found = append(found, entries...)
	}
	return found, nil
}

// ResolveBind finds whom the name of an LDAP bind means. A DN is looked up
// itself; it must be below a base DN and pass the user filter, whatever its
// name is. Anything else is a typed name, as for Resolve.
func (d *LDAP) ResolveBind(ctx context.Context, name string) (login.Identity, error) {
	if len(name) > longestDN {
		return login.Identity{}, nil
	}
	if dn, err := NormalizeDN(name); err != nil || dn == "" {
		return d.Resolve(ctx, name)
	}
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	found, err := d.search(ctx, name, ldap.ScopeBaseObject, d.filter.any)
	if err != nil {
		return login.Identity{}, fmt.Errorf("first factor %s: look up a DN: %w", d.name, err)
	}
	if len(found) != 1 || !d.holds(found[0].DN) {
		return login.Identity{}, nil
	}
	return d.only(found), nil
}

// holds tells whether an entry, as the directory writes its DN, is a user's.
func (d *LDAP) holds(dn string) bool {
	parsed, err := parseDN(dn)
	if err != nil {
		return false
	}
	for _, base := range d.bases {
		if below(parsed, base.parsed) {
			return true
		}
	}
	return false
}

// only returns the one identity among entries, which may repeat it when base
// DNs overlap. None or several are nobody.
func (d *LDAP) only(entries []*ldap.Entry) (who login.Identity) {
	for i, entry := range entries {
		next := d.identity(entry)
		if next.ID == "" {
			return next
		}
		if i > 0 && next.ID != who.ID {
			d.log.Warn("a name that means several entries is nobody", "dn", entries[0].DN, "and_dn", entry.DN)
			return login.Identity{}
		}
		who = next
	}
	return who
}

// search returns the entries found, at most two of them: two are as bad as
// many. A name that does not exist, or in another directory only, is not found; a
// base that does not exist is a mistake in the configuration, hence an error.
func (d *LDAP) search(ctx context.Context, base string, scope int, filter []byte) ([]*ldap.Entry, error) {
	request := ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, 2, int(d.timeout/time.Second)+1, false,
		"", d.asked(), nil)
	var found []*ldap.Entry
	err := d.searching(ctx, func(c *conn) error {
		result, err := c.search(request, filter)
		if result == nil { // the connection was lost
			return err
		}
		found = result.Entries
		switch {
		case scope == ldap.ScopeBaseObject && ldap.IsErrorAnyOf(err, ldap.LDAPResultNoSuchObject, ldap.LDAPResultInvalidDNSyntax, ldap.LDAPResultReferral):
			return nil
		case ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded) && len(found) > 1:
			return nil
		}
		return err
	})
	return found, err
}

// searching runs one operation as the service account. It changes nothing, so
// it is tried again where a connection was lost: on a fresh one, then at the
// other servers.
func (d *LDAP) searching(ctx context.Context, operation func(*conn) error) (err error) {
	for left := len(d.servers) + 1; left > 0; left-- {
		var c *conn
		if c, err = d.searches.borrow(ctx); err != nil {
			return err
		}
		mine, cancel := part(ctx, min(left, len(d.servers)))
		err = c.within(mine, func() error { return operation(c) })
		cancel()
		if d.searches.giveBack(c, err); answered(err) || ctx.Err() != nil {
			return err
		}
	}
	return err
}

// Check binds as id. Nobody's password is checked against an entry that cannot
// exist, so that it takes as long as a wrong password.
func (d *LDAP) Check(ctx context.Context, id login.Identity, password []byte) (login.Checked, error) {
	if len(bytes.Trim(password, "\x00")) == 0 {
		// Directories take an empty password for an anonymous bind and say
		// yes (RFC 4513 section 5.1.2); some stop reading at a NUL.
		return login.Checked{First: login.FirstWrong, Reason: login.EmptyPassword}, nil
	}
	dn := id.DN
	if id.ID == "" {
		dn = d.nobody
	}
	if dn == "" {
		return login.Checked{}, fmt.Errorf("first factor %s: account %s has no DN to bind as", d.name, id.ID)
	}
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	checked, err := d.bind(ctx, dn, string(password))
	switch {
	case err != nil:
		return login.Checked{}, fmt.Errorf("first factor %s: bind as account %s: %w", d.name, id.ID, err)
	case id.ID == "":
		return login.Checked{First: login.FirstWrong, Reason: login.BadPassword}, nil
	}
	return checked, nil
}

// bind is tried once: whether a lost connection lost the question or the
// answer cannot be told, and a second try may lock the account.
func (d *LDAP) bind(ctx context.Context, dn, password string) (login.Checked, error) {
	c, err := d.binds.borrow(ctx)
	if err != nil {
		return login.Checked{}, err
	}
	var policy []byte
	err = c.within(ctx, func() error {
		controls, err := c.Bind(dn, password, policyRequest)
		policy = slices.Clone(controlValue(controls, ldap.ControlTypeBeheraPasswordPolicy))
		return err
	})
	d.binds.giveBack(c, err)
	var answer *ldap.Error
	switch {
	case err == nil:
		return Judge(ldap.LDAPResultSuccess, "", nil)
	case !errors.As(err, &answer):
		return login.Checked{}, err
	}
	checked, unjudged := Judge(uint64(answer.ResultCode), answer.Err.Error(), policy)
	if unjudged != nil {
		return login.Checked{}, err
	}
	return checked, nil
}

// policyRequest is the password policy's request control
// (draft-behera-ldap-password-policy-10 section 6.1).
var policyRequest = []byte("\x30\x1b\x04\x19" + ldap.ControlTypeBeheraPasswordPolicy)

// Dial returns a fresh connection to the first server that answers, ready for
// its first LDAP message and bound as nobody. TLS is on when the options say
// so. The caller closes it, and calls its method Doubt when no answer comes.
func (d *LDAP) Dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	var conn net.Conn
	err := d.servers.try(ctx, func(ctx context.Context, s *server) error {
		c, err := s.dial(ctx)
		conn = &dialled{c, s}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("first factor %s: %w", d.name, err)
	}
	return conn, nil
}

// NobodyDN is a DN below the first base DN that cannot exist: binding as it
// costs what a wrong password costs.
func (d *LDAP) NobodyDN() string { return d.nobody }

// Ping tells whether a server answers, takes the service account and shows
// each base DN.
func (d *LDAP) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	for _, base := range d.bases {
		request := ldap.NewSearchRequest(base.dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 1, 0, false,
			"(objectClass=*)", []string{"1.1"}, nil) // 1.1: no attributes, RFC 4511 section 4.5.1.8
		err := d.searching(ctx, func(c *conn) error {
			_, err := c.Search(request)
			return err
		})
		if err != nil {
			return fmt.Errorf("base DN %s: %w", base.dn, err)
		}
	}
	return nil
}

// Close closes the connections. Nothing can be asked afterwards.
func (d *LDAP) Close() {
	d.searches.close()
	d.binds.close()
}
