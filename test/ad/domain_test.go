// Package ad_test logs users of Active Directory in: Debian's samba is the
// domain controller, behind the whole program and behind package directory.
//
//	domain_test.go   the domain, and whom it holds
//	names_test.go    names of every form: one account, or nobody
//	groups_test.go   groups in groups, the primary group, long lists
//	reasons_test.go  why a bind is refused, by RADIUS and by LDAP
//	proxy_test.go    binds through the LDAP front end
//	commands_test.go what administrators see, and renamed users
//	link_test.go     ldaps, StartTLS and whom to trust
//	site_test.go     the program in front of the domain
//
// A domain takes seconds to set up, so all tests share one.
package ad_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"vssgate/internal/directory"
	"vssgate/internal/login"
	"vssgate/internal/secret"
	"vssgate/internal/testenv"
)

const (
	base     = testenv.SambaBase
	people   = "OU=Phòng CNTT," + base // letters beyond ASCII in every DN
	services = "OU=services," + base
	groups   = "OU=groups," + base

	reader         = "CN=vssgate," + services // no right but those of every account
	readerPassword = "Reader-password-1"
	app            = "CN=app," + services
	appPassword    = "App-password-1"
)

// A user of the domain. The password is Password- and the sAMAccountName.
type user struct {
	cn, sam, upn string
	more         string // lines of LDIF
}

func (u user) dn() string       { return "CN=" + strings.ReplaceAll(u.cn, ",", `\,`) + "," + people }
func (u user) password() string { return "Password-" + u.sam }

var (
	an   = user{cn: "Nguyễn Văn An", sam: "an.nv", upn: "an.nv@vss.test", more: "displayName: Nguyễn Văn An (CNTT)\nemployeeNumber: 7912345678\n"}
	binh = user{cn: "Trần Bình", sam: "binh", upn: "tran.binh@example.vn"} // the suffix is no domain
	chi  = user{cn: "Lê Chi", sam: "chi", upn: "binh@example.vn"}          // reads like binh's name, and is not
	dung = user{cn: "Dung", sam: "dung"}                                   // has no userPrincipalName
	em   = user{cn: "Hoàng, Em", sam: "hoang em", upn: "em@example.vn"}    // a space, and a comma in the DN
	anh  = user{cn: "Ánh", sam: "ánh", upn: "ánh@vss.test"}                // letters beyond ASCII
	bare = user{cn: "Bare", sam: "giang", upn: "phuc"}                     // a userPrincipalName without a suffix, and
	phuc = user{cn: "Phuc", sam: "phuc2", upn: "phuc2@vss.test"}           // nobody has the name phuc

	off      = user{cn: "Off", sam: "off", upn: "off@vss.test", more: "userAccountControl: 514\n"}
	gone     = user{cn: "Gone", sam: "gone", upn: "gone@vss.test", more: "accountExpires: 125911584000000000\n"} // 1 January 2000
	fresh    = user{cn: "Fresh", sam: "fresh", upn: "fresh@vss.test", more: "pwdLastSet: 0\n"}
	stale    = user{cn: "Stale", sam: "stale", upn: "stale@vss.test"} // its password is from 2018
	clumsy   = user{cn: "Clumsy", sam: "clumsy", upn: "clumsy@vss.test"}
	sleeper  = user{cn: "Sleeper", sam: "sleeper", upn: "sleeper@vss.test", more: "logonHours:: AAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"} // never
	guest    = user{cn: "Guest", sam: "visitor", upn: "visitor@vss.test", more: "userWorkstations: OTHERPC\n"}
	everyone = []user{an, binh, chi, dung, em, anh, bare, phuc, off, gone, fresh, stale, clumsy, sleeper, guest}
)

// ldif is what the domain holds besides what every domain does.
func ldif() string {
	var b strings.Builder
	for _, ou := range []string{people, services, groups} {
		fmt.Fprintf(&b, "dn: %s\nchangetype: add\nobjectClass: organizationalUnit\n\n", ou)
	}
	for dn, password := range map[string]string{reader: readerPassword, app: appPassword} {
		name, _, _ := strings.Cut(strings.TrimPrefix(dn, "CN="), ",")
		fmt.Fprintf(&b, "dn: %s\nchangetype: add\nobjectClass: user\nsAMAccountName: svc-%s\nuserAccountControl: 512\n%s\n\n", dn, name, testenv.SambaPassword(password))
	}
	for _, u := range everyone {
		fmt.Fprintf(&b, "dn: %s\nchangetype: add\nobjectClass: user\nsAMAccountName: %s\n%s\n", u.dn(), u.sam, testenv.SambaPassword(u.password()))
		if u.upn != "" {
			fmt.Fprintf(&b, "userPrincipalName: %s\n", u.upn)
		}
		if !strings.Contains(u.more, "userAccountControl") {
			b.WriteString("userAccountControl: 512\n")
		}
		b.WriteString(u.more + "\n")
	}
	b.WriteString(machines + groupsLDIF() + policies)
	return b.String()
}

// machines and people that are no users.
const machines = `dn: CN=PC1,` + services + `
changetype: add
objectClass: computer
sAMAccountName: PC1$
userPrincipalName: pc1@vss.test
userAccountControl: 4096

dn: CN=At,` + people + `
changetype: add
objectClass: user
sAMAccountName: at@other.vn
userAccountControl: 546

dn: CN=Partner,` + people + `
changetype: add
objectClass: contact
displayName: partner

`

// Clumsy is locked after two wrong passwords. Times are negative, in units of 100 ns.
const policies = `dn: CN=two tries,CN=Password Settings Container,CN=System,` + base + `
changetype: add
objectClass: msDS-PasswordSettings
msDS-PasswordSettingsPrecedence: 1
msDS-PasswordReversibleEncryptionEnabled: FALSE
msDS-PasswordHistoryLength: 0
msDS-PasswordComplexityEnabled: FALSE
msDS-MinimumPasswordLength: 0
msDS-MinimumPasswordAge: 0
msDS-MaximumPasswordAge: -36000000000000
msDS-LockoutThreshold: 2
msDS-LockoutObservationWindow: -6000000000
msDS-LockoutDuration: -6000000000
msDS-PSOAppliesTo: CN=Clumsy,` + people + `

`

// A domain is what the tests share.
type domain struct {
	*testenv.Samba
	roots *x509.CertPool
}

func TestActiveDirectory(t *testing.T) {
	d := &domain{Samba: testenv.StartSamba(t, testenv.SambaOptions{LDIF: ldif(), Aged: []string{stale.dn()}}), roots: x509.NewCertPool()}
	pem, err := os.ReadFile(d.CAFile)
	require.NoError(t, err)
	require.True(t, d.roots.AppendCertsFromPEM(pem))
	for _, test := range []struct {
		name string
		run  func(*testing.T, *domain)
	}{
		{"an entry is told as Active Directory writes it", entryIsRead},
		{"every form of a name is one account or nobody", namesAreOneAccount},
		{"users are found, and nothing else", usersAreFoundAlone},
		{"every form of a DN is one account or nobody", dnsAreOneAccount},
		{"whom we find is whom the controller binds", foundIsBound},
		{"groups of groups are asked for when the password is right", groupsAreNested},
		{"the primary group counts, though it is in no list", primaryGroupCounts},
		{"a list that comes in parts is read to its end", partsAreRead},
		{"groups that cannot be asked for let nobody in", unknownGroupsAreAnError},
		{"connections are encrypted, and the controller is who it says", linksAreEncryptedAndVerified},
		{"why the controller refuses a bind", reasonsAreToldApart},
		{"every form of a name is held as one account", formsAreHeldAsOneAccount},
		{"names of nobody and empty passwords are refused", namesOfNobodyAreRefused},
		{"an application's account passes as it is", serviceAccountPassesAsItIs},
		{"success is the controller's own answer", successIsTheControllersOwn},
		{"commands see the domain as logins do", commandsSeeTheDomain},
		{"a policy is for those in groups of its group", policiesSeeGroupsOfGroups},
		{"a renamed user stays who he is", renamedIsTheSame},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, d) })
	}
}

// directory is the domain as a first factor, with what a configuration has by
// default, unless change says otherwise.
func (d *domain) directory(t *testing.T, change func(*directory.LDAPOptions)) *directory.LDAP {
	t.Helper()
	o := directory.LDAPOptions{
		Name: "ad", URLs: []string{d.LDAPSURI}, TLS: &tls.Config{RootCAs: d.roots}, BindDN: reader, BindPassword: secret.Secret(readerPassword),
		BaseDNs: []string{people}, UserFilter: directory.ADUserFilter, AD: true, Domains: map[string]string{testenv.SambaDomain: testenv.SambaRealm, "EX": "example.vn"},
		Attributes: directory.ADAttributes, Timeout: 10 * time.Second, Log: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&o)
	}
	f, err := directory.NewLDAP(o)
	require.NoError(t, err)
	t.Cleanup(f.Close)
	return f
}

// dial is a connection to the controller itself.
func (d *domain) dial(t *testing.T) *ldap.Conn {
	t.Helper()
	conn, err := ldap.DialURL(d.LDAPSURI, ldap.DialWithTLSConfig(&tls.Config{RootCAs: d.roots}))
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

func resolve(t *testing.T, f *directory.LDAP, name string) login.Identity {
	t.Helper()
	who, err := f.Resolve(t.Context(), name)
	require.NoError(t, err, "%q", name)
	return who
}

func resolveBind(t *testing.T, f *directory.LDAP, name string) login.Identity {
	t.Helper()
	who, err := f.ResolveBind(t.Context(), name)
	require.NoError(t, err, "%q", name)
	return who
}
