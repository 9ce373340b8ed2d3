package demo

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/nmcclain/ldap"

	"vssgate/internal/directory"
)

// Where things are in the demo directory.
const (
	DirectoryBase         = "dc=vss,dc=example"
	DirectoryPeople       = "ou=people," + DirectoryBase
	DirectoryBindDN       = "cn=vssgate,ou=services," + DirectoryBase // reads all but passwords
	DirectoryBindPassword = "demo-service"
)

// A DirectoryUser is somebody who can log in at the demo.
type DirectoryUser struct {
	Username    string
	DisplayName string
	Password    string
	DN          string
	ID          string // entryUUID
	Number      string // mã số BHXH, in employeeNumber; made up
	Groups      []string
}

// DirectoryUsers are the people of the demo directory.
func DirectoryUsers() []DirectoryUser {
	return []DirectoryUser{
		person("an.nv", "Nguyễn Văn An", "an-demo", "7912345601", "6f0e4c1a-0001-4d5b-9a51-1b6f5f1d0a01", "staff", "vpn"),
		person("binh.tt", "Trần Thị Bình", "binh-demo", "7912345602", "6f0e4c1a-0002-4d5b-9a51-1b6f5f1d0a02", "staff", "vpn"),
		person("chi.lv", "Lê Văn Chí", "chi-demo", "7912345603", "6f0e4c1a-0003-4d5b-9a51-1b6f5f1d0a03", "staff"),
		person("dung.pq", "Phạm Quốc Dũng", "dung-demo", "7912345604", "6f0e4c1a-0004-4d5b-9a51-1b6f5f1d0a04", "staff"),
	}
}

func person(username, shown, password, number, id string, groups ...string) DirectoryUser {
	u := DirectoryUser{Username: username, DisplayName: shown, Password: password, Number: number, ID: id,
		DN: "uid=" + username + "," + DirectoryPeople}
	for _, group := range groups {
		u.Groups = append(u.Groups, groupDN(group))
	}
	return u
}

func groupDN(name string) string { return "cn=" + name + ",ou=groups," + DirectoryBase }

// Directory is a small LDAP directory inside this process, so that the demo
// needs no other program. It answers binds and searches and refuses the rest.
type Directory struct {
	URI          string // ldap://127.0.0.1:PORT
	Addr         string
	Base         string // people are below it
	BindDN       string
	BindPassword string
	Users        []DirectoryUser

	entries []entry
	ended   chan struct{}
}

// StartDirectory serves the demo directory at addr, which must be a loopback
// address, until ctx ends.
func StartDirectory(ctx context.Context, addr string) (*Directory, error) {
	if err := mustBeLoopback(addr); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("demo directory: %w", err)
	}
	d := &Directory{
		Addr: l.Addr().String(), URI: "ldap://" + l.Addr().String(), Base: DirectoryPeople,
		BindDN: DirectoryBindDN, BindPassword: DirectoryBindPassword,
		Users: DirectoryUsers(), ended: make(chan struct{}),
	}
	if d.entries, err = entries(d.Users); err != nil {
		l.Close()
		return nil, fmt.Errorf("demo directory: %w", err)
	}
	go d.serve(ctx, &peers{Listener: l, open: map[*peer]bool{}, done: make(chan struct{})})
	return d, nil
}

// mustBeLoopback: the passwords are in the source.
func mustBeLoopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("demo directory: %w", err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("demo directory: %s is no loopback address", addr)
	}
	return nil
}

// Wait returns when the directory has ended.
func (d *Directory) Wait() { <-d.ended }

func (d *Directory) serve(ctx context.Context, l *peers) {
	defer close(d.ended)
	server := ldap.NewServer()
	server.BindFunc("", d)
	server.SearchFunc("", d)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(l) // it never tells of an error
	}()
	<-ctx.Done()
	l.stop()
	<-l.done // Serve hands over no more connections
	server.Quit <- true
	<-served
}

// Bind judges a simple bind. It implements the package's Binder.
func (d *Directory) Bind(dn, password string, conn net.Conn) (ldap.LDAPResultCode, error) {
	p := conn.(*peer)
	p.bound = "" // a bind that fails leaves the connection anonymous, RFC 4513 section 4
	switch {
	case dn == "" && password == "":
		return ldap.LDAPResultSuccess, nil
	case password == "": // RFC 4513 section 5.1.2
		return ldap.LDAPResultUnwillingToPerform, nil
	}
	key, err := directory.NormalizeDN(dn)
	if err != nil {
		return ldap.LDAPResultInvalidDNSyntax, nil
	}
	for _, e := range d.entries {
		if e.key == key && e.password != "" && subtle.ConstantTimeCompare([]byte(e.password), []byte(password)) == 1 {
			p.bound = key
			return ldap.LDAPResultSuccess, nil
		}
	}
	return ldap.LDAPResultInvalidCredentials, nil
}

// Search answers what the connection asked last. It implements the package's
// Searcher; the request it is given stands for the real one, see peer.
func (d *Directory) Search(_ string, _ ldap.SearchRequest, conn net.Conn) (ldap.ServerSearchResult, error) {
	p := conn.(*peer)
	asked := p.asked
	result := ldap.ServerSearchResult{ResultCode: ldap.LDAPResultSuccess}
	for _, e := range d.entries {
		if !asked.reaches(e) || !e.visibleTo(p.bound) {
			continue
		}
		shown := e.shownTo(p.bound)
		if !matches(asked.filter, shown) {
			continue
		}
		if asked.limit > 0 && len(result.Entries) >= asked.limit {
			break
		}
		result.Entries = append(result.Entries, &ldap.Entry{DN: e.dn, Attributes: asked.pick(shown)})
	}
	return result, nil
}

// An entry of the demo directory.
type entry struct {
	dn         string
	key        string // dn, normalised
	password   string // "": nobody can bind as it
	attributes []attribute
}

type attribute struct {
	name        string
	values      []string
	operational bool // only returned when asked for by name or with +
}

// visibleTo: anonymous clients see the root alone.
func (e entry) visibleTo(bound string) bool { return bound != "" || e.key == "" }

// shownTo leaves the social insurance number to the service account and to the
// one whose it is.
func (e entry) shownTo(bound string) (shown []attribute) {
	for _, a := range e.attributes {
		if a.name != "employeeNumber" || bound == e.key || bound == DirectoryBindDN {
			shown = append(shown, a)
		}
	}
	return shown
}

func entries(users []DirectoryUser) ([]entry, error) {
	all := []entry{
		{dn: "", attributes: []attribute{
			{name: "objectClass", values: []string{"top"}},
			{name: "namingContexts", values: []string{DirectoryBase}, operational: true},
			{name: "supportedLDAPVersion", values: []string{"3"}, operational: true},
			{name: "vendorName", values: []string{"vssgate demo"}, operational: true},
		}},
		{dn: DirectoryBase, attributes: class("domain", "dc", "vss")},
		{dn: DirectoryPeople, attributes: class("organizationalUnit", "ou", "people")},
		{dn: "ou=groups," + DirectoryBase, attributes: class("organizationalUnit", "ou", "groups")},
		{dn: "ou=services," + DirectoryBase, attributes: class("organizationalUnit", "ou", "services")},
		{dn: DirectoryBindDN, password: DirectoryBindPassword, attributes: class("applicationProcess", "cn", "vssgate")},
	}
	for _, group := range []string{"staff", "vpn"} {
		all = append(all, groupEntry(group, users))
	}
	for _, u := range users {
		all = append(all, u.entry())
	}
	for i := range all {
		key, err := directory.NormalizeDN(all[i].dn)
		if err != nil {
			return nil, err
		}
		all[i].key = key
	}
	return all, nil
}

func class(objectClass, name, value string) []attribute {
	return []attribute{{name: "objectClass", values: []string{"top", objectClass}}, {name: name, values: []string{value}}}
}

func groupEntry(name string, users []DirectoryUser) entry {
	members := attribute{name: "member"}
	for _, u := range users {
		for _, group := range u.Groups {
			if group == groupDN(name) {
				members.values = append(members.values, u.DN)
			}
		}
	}
	return entry{dn: groupDN(name), attributes: append(class("groupOfNames", "cn", name), members)}
}

func (u DirectoryUser) entry() entry {
	words := strings.Fields(u.DisplayName)
	return entry{dn: u.DN, password: u.Password, attributes: []attribute{
		{name: "objectClass", values: []string{"top", "person", "organizationalPerson", "inetOrgPerson"}},
		{name: "uid", values: []string{u.Username}},
		{name: "cn", values: []string{u.DisplayName}},
		{name: "sn", values: words[:1]},
		{name: "mail", values: []string{u.Username + "@vss.example"}},
		{name: "employeeNumber", values: []string{u.Number}},
		{name: "entryUUID", values: []string{u.ID}, operational: true},
		{name: "memberOf", values: u.Groups, operational: true},
	}}
}

// peers accepts connections for the package's Server, which would give up
// accepting at the first error.
type peers struct {
	net.Listener
	done chan struct{} // closed when Accept has told that there will be no more

	mu      sync.Mutex
	stopped bool
	open    map[*peer]bool
}

// Accept waits for the next connection.
func (l *peers) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		switch {
		case err == nil:
			return l.keep(conn), nil
		case errors.Is(err, net.ErrClosed):
			close(l.done)
			return nil, err
		}
		time.Sleep(50 * time.Millisecond) // out of descriptors, most likely: some will be closed
	}
}

func (l *peers) keep(conn net.Conn) *peer {
	p := newPeer(conn, l.forget)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		conn.Close()
	} else {
		l.open[p] = true
	}
	return p
}

func (l *peers) forget(p *peer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, p)
}

// stop accepts no more and closes all connections.
func (l *peers) stop() {
	l.Listener.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	for p := range l.open {
		p.Conn.Close()
	}
}
