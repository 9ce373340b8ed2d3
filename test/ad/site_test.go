package ad_test

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
	"vssgate/test/site"
)

// Where applications and NASes are.
const (
	wiki = "127.0.0.1" // an application, held as long as a test takes
	gate = "127.0.0.2" // a NAS, held too
)

// A world is vssgate in front of the domain.
type world struct {
	*site.Site
	*domain
	t *testing.T
}

// world starts one. more is what the directory's section says besides.
func (d *domain) world(t *testing.T, more string) *world {
	t.Helper()
	w := &world{Site: site.New(t, site.Options{Slapd: &testenv.SlapdServer{}}), domain: d, t: t} // the directory is another
	w.Configure(fmt.Sprintf(configuration, d.LDAPSURI, d.CAFile, reader, readerPassword, people, more, w.Secret, app, time.Now().AddDate(0, 0, 7).Format(time.DateOnly)))
	w.Start()
	return w
}

const configuration = `
language: en
throttle: {per_account: 1000, per_source: 1000}
second_factor:
  push_limit: {count: 1000, within: 10m}
  policies: [{match: {group: "` + ring2 + `"}, require: never, until: "%[9]s", why: "a group of a group"}]
first_factors:
  - name: domain
    ldap:
      kind: ad
      urls: [%[1]q]
      ca_file: %[2]q
      bind_dn: %[3]q
      bind_password: %[4]q
      base_dns: [%[5]q]
      domains: {VSS: vss.test}
      attributes: {bhxh_number: employeeNumber}
%[6]s
radius:
  listen: ["127.0.0.1:0"]
  clients:
    - name: gate
      addresses: [` + gate + `]
      secret: %[7]q
      mode: hold
      hold: 50s
      approval: simple
      reply: [{group: "` + all + `", attributes: {Filter-Id: everybody}}]
ldap:
  listen: ["127.0.0.1:0"]
  require_tls: false
  exempt_binds: [{dn: %[8]q, why: "the wiki looks people up"}]
  clients: [{name: wiki, addresses: [` + wiki + `], hold: 50s}]
`

// connect is the wiki's connection.
func (w *world) connect() *ldap.Conn {
	w.t.Helper()
	conn, err := ldap.DialURL("ldap://"+w.LDAP[0], ldap.DialWithDialer(&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(wiki)}}))
	require.NoError(w.t, err)
	w.t.Cleanup(func() { conn.Close() })
	return conn
}

// refusal wants that result of LDAP, and returns its text.
func refusal(t *testing.T, err error, code uint16) string {
	t.Helper()
	require.True(t, ldap.IsErrorWithCode(err, code), "want %d, got %v", code, err)
	return err.(*ldap.Error).Err.Error()
}
