package system_test

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/app"
	"vssgate/internal/store"
	"vssgate/internal/testenv"
	"vssgate/test/fakefcm"
)

// Whatever is wrong, doctor names the key, its place in the file, what was seen
// and the way out of this very fault.
func TestDoctorNamesTheKeyAndTheWayOutOfEachFault(t *testing.T) {
	slapd, strange := testenv.Slapd(t, testenv.SlapdOptions{}), testenv.CA(t)
	old := testenv.CA(t)
	old.CertFile, old.KeyFile = old.IssueAs("old", func(form *x509.Certificate) {
		form.NotBefore, form.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
	})
	expired := testenv.Slapd(t, testenv.SlapdOptions{CA: old})
	soon := testenv.CA(t)
	soon.CertFile, soon.KeyFile = soon.IssueAs("soon", func(form *x509.Certificate) { form.NotAfter = time.Now().Add(5 * 24 * time.Hour) })
	expiring := testenv.Slapd(t, testenv.SlapdOptions{CA: soon})
	strict := testenv.Slapd(t, testenv.SlapdOptions{RequireTLS: true})
	redis := testenv.StartRedis(t, "--requirepass", "right")
	full, alone := testenv.StartRedis(t), testenv.StartRedis(t)
	for _, s := range []*testenv.RedisServer{full, alone} { // a node has been there before
		known, err := store.OpenRedis(t.Context(), store.RedisOptions{Addresses: []string{s.Addr}})
		require.NoError(t, err)
		require.NoError(t, known.Close())
	}
	full.Do("CONFIG", "SET", "maxmemory", "1")
	alone.Do("CONFIG", "SET", "min-replicas-to-write", "1")
	sentinel := testenv.StartRedisSentinel(t, testenv.StartRedis(t), "vssgate", "requirepass right")
	fcm := fakefcm.Run(t)
	dir := t.TempDir()
	file := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		require.NoError(t, os.Chmod(path, mode))
		return path
	}
	// directory is a configuration with that directory, one line of it changed.
	directory := func(s *testenv.SlapdServer, change, to string) string {
		lines := fmt.Sprintf("urls: [%q]\n      bind_dn: %q\n      bind_password: %q\n      base_dns: [%q]\n      ca_file: %q\n      user_filter: (uid={username})\n      attributes: {bhxh_number: employeeNumber}",
			s.LDAPSURI, s.BindDN, s.BindPassword, testenv.SlapdPeople, s.CAFile)
		changed := strings.Replace(lines, change, to, 1)
		require.True(t, change == "" || changed != lines, change)
		return "first_factors:\n  - name: directory\n    ldap:\n      " + changed + "\n"
	}
	right := directory(slapd, "", "")
	ldap := "first_factors[0].ldap."
	push := fmt.Sprintf("push: {fcm: {credentials_file: %s, endpoint: %q}}\n", file("fcm.json", string(fcm.CredentialsJSON()), 0o600), fcm.Endpoint())

	for _, c := range []struct {
		name, config string
		before       func()
		key          string // that is named, with the place where it stands
		result       app.Result
		found, do    string // in what is said
	}{
		{"wrong bind DN", directory(slapd, "cn=vssgate", "cn=vsgate"), nil, ldap + "bind_dn", app.Failed, "cn=vsgate", "ldapwhoami"},
		{"wrong bind password", directory(slapd, testenv.SlapdBindPassword, "another"), nil, ldap + "bind_dn", app.Failed, "Invalid Credentials", "bind_password"},
		{"wrong base", directory(slapd, testenv.SlapdPeople, "ou=poeple,dc=example,dc=vn"), nil, ldap + "base_dns", app.Failed, "ou=poeple", "namingContexts"},
		{"base without users", directory(slapd, testenv.SlapdPeople, testenv.SlapdServices), nil, ldap + "user_filter", app.Failed, "no entry below base_dns", "user_filter"},
		{"a filter with an attribute that is none", directory(slapd, "(uid={username})", "(userid2={username})"), nil, ldap + "user_filter", app.Failed, "userid2", "correct the name"},
		{"a misspelt number", directory(slapd, "employeeNumber", "employeNumber"), nil, ldap + "attributes.bhxh_number", app.Failed, "employeNumber", "correct the name"},
		{"a misspelt id", directory(slapd, "{bhxh_number", "{id: entryUUIDD, bhxh_number"), nil, ldap + "attributes.id", app.Failed, "entryUUIDD", "correct the name"},
		{"an attribute that nobody has", directory(slapd, "employeeNumber", "carLicense"), nil, ldap + "attributes.bhxh_number", app.Warning, "none of the 10 users", "misspelt"},
		{"a directory that is away", directory(slapd, slapd.LDAPSURI, "ldaps://127.0.0.1:1"), nil, ldap + "urls[0]", app.Failed, "connection refused", "nothing listens there"},
		{"a name that nobody knows", directory(slapd, slapd.LDAPSURI, "ldaps://dc1.invalid"), nil, ldap + "urls[0]", app.Failed, "dc1.invalid", "resolver"},
		{"TLS where there is none", directory(slapd, slapd.LDAPSURI, "ldaps://"+slapd.Addr), nil, ldap + "urls[0]", app.Failed, "TLS", "636"},
		{"no TLS where it is needed", directory(strict, strict.LDAPSURI, strict.URI), nil, ldap + "urls[0]", app.Failed, "Confidentiality", "start_tls: true"},
		{"the wrong authority", directory(slapd, slapd.CAFile, strange.CAFile), nil, ldap + "ca_file", app.Failed, "unknown authority", "issuer"},
		{"a certificate of the past", directory(expired, "", ""), nil, ldap + "urls[0]", app.Failed, "expired", "clock"},
		{"a certificate that ends soon", directory(expiring, "", ""), nil, ldap + "urls[0]", app.Warning, "expires on", "renew it"},
		{"Redis with another password", right + fmt.Sprintf("store: {redis: {addresses: [%q], password_file: %s}}\n", redis.Addr, file("redis", "wrong", 0o600)), nil,
			"store.redis.password_file", app.Failed, "WRONGPASS", "ACL LIST"},
		{"Redis without a password", right + fmt.Sprintf("store: {redis: {addresses: [%q]}}\n", redis.Addr), nil, "store.redis.password_file", app.Failed, "NOAUTH", "password_file"},
		{"a Sentinel with another password", right + fmt.Sprintf("store: {redis: {addresses: [%q], master_name: vssgate, password_file: %s}}\n", sentinel.Addr, file("sentinel", "wrong", 0o600)), nil,
			"store.redis.password_file", app.Failed, "Sentinel " + sentinel.Addr + " refuses", "set requirepass there"},
		{"a Sentinel without a password of ours", right + fmt.Sprintf("store: {redis: {addresses: [%q], master_name: vssgate}}\n", sentinel.Addr), nil,
			"store.redis.password_file", app.Failed, "Sentinel " + sentinel.Addr + " wants a password", "set requirepass there"},
		{"Redis without memory", right + fmt.Sprintf("store: {redis: {addresses: [%q]}}\n", full.Addr), nil, "store.redis", app.Failed, "OOM", "raise maxmemory"},
		{"Redis without the replicas that it asks for", right + fmt.Sprintf("store: {redis: {addresses: [%q]}}\n", alone.Addr), nil, "store.redis", app.Failed, "NOREPLICAS", "min-replicas-to-write"},
		{"Redis that is away", right + "store: {redis: {addresses: [\"127.0.0.1:1\"]}}\n", nil, "store.redis.addresses", app.Failed, "refused", "nothing listens there"},
		{"a key that Google refuses", right + push, func() { fcm.RefuseTokens(http.StatusBadRequest) }, "push.fcm.credentials_file", app.Failed, "invalid_grant", "clock"},
		{"a project where one may not send", right + push, func() { fcm.AllowTokens(); fcm.Always(fakefcm.PermissionDenied()) }, "push.fcm.project_id", app.Failed, "", "role"},
		{"a secret that others may read", right + "radius: {clients: [{name: vpn, addresses: [127.0.0.1], secret_file: " + file("vpn", "a-secret-of-vpn-clients", 0o644) + "}]}\n", nil,
			"configuration", app.Warning, "others may read", ""},
		{"a secret that is not there", right + "radius: {clients: [{name: vpn, addresses: [127.0.0.1], secret_file: " + filepath.Join(dir, "nowhere") + "}]}\n", nil,
			"configuration", app.Failed, "no such file", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.before != nil {
				c.before()
			}
			node := testenv.NewNode(t, c.config)
			stdout, stderr, code := node.Run("doctor", "--json")
			require.Empty(t, stderr)
			require.Equal(t, c.result == app.Failed, code == 1, stdout)
			var all []app.Finding
			require.NoError(t, json.Unmarshal([]byte(stdout), &all))
			about := func() (f app.Finding) {
				for _, f := range all {
					if f.Key == c.key && f.Result == c.result && strings.Contains(f.Found, c.found) && (c.key != "configuration" || !strings.Contains(f.Found, "is for this machine only")) {
						return f
					}
				}
				require.Fail(t, "not found", "%s %s: %s", c.result, c.key, stdout)
				return f
			}()
			require.Contains(t, about.Do, c.do)
			require.Regexp(t, `vssgate\.yaml:\d+:\d+$`, about.At)
			for _, f := range all {
				require.True(t, f.Result != app.Failed || f.Key == c.key || c.key == ldap+"attributes.id" || c.name == "a filter with an attribute that is none",
					"something else is said to have failed: %+v", f)
			}
			require.NotContains(t, stdout, testenv.SlapdBindPassword)
		})
	}
}
