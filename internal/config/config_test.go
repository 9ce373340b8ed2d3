package config_test

import (
	"crypto/x509"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/config"
	"vssgate/internal/directory"
	nases "vssgate/internal/nas"
	"vssgate/internal/testenv"
	"vssgate/otp"
)

// general is what most configurations below begin with: two lines.
const general = `secret_key_file: secret.key
first_factors: [{name: dir, ldap: {urls: [ldaps://dc1.example.vn], bind_dn: "cn=s,dc=vn", bind_password: x, base_dns: ["dc=vn"]}}]
`

// nas is a client without a fault, one line.
const nas = `radius: {clients: [{name: vpn, addresses: [192.0.2.10], secret: sixteen-letters-}]}
`

// folder makes a folder with the files that configurations below name.
func folder(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	ca := testenv.CA(t)
	_, otherKey := ca.Issue("other")
	shortCert, shortKey := ca.IssueAs("short", func(form *x509.Certificate) { form.NotAfter = soon })
	for name, content := range map[string]string{
		"secret.key":    otp.NewKeyLine(),
		"torn.key":      "dG9vIHNob3J0\n",
		"nas.secret":    "a-secret-in-a-file-of-its-own\n",
		"long.token":    strings.Repeat("t", 32),
		"short.secret":  "short\r\n",
		"spaced.secret": "sixteen characters \n",
		"empty.secret":  "\n",
		"users.yaml":    "[]\n",
		"bad-users":     "- {username: a}\n- {username: b}\n",
		"ca.pem":        read(t, ca.CAFile),
		"server.crt":    read(t, ca.CertFile),
		"server.key":    read(t, ca.KeyFile),
		"other.key":     read(t, otherKey),
		"short.crt":     read(t, shortCert),
		"short.key":     read(t, shortKey),
		"fcm.json":      `{"type": "service_account", "client_email": "e", "private_key": "k", "project_id": "p"}`,
		"user.json":     `{"type": "authorized_user"}`,
		"homeless.json": `{"type": "service_account", "client_email": "e", "private_key": "k"}`,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	require.NoError(t, os.Mkdir(filepath.Join(dir, "folder"), 0o700))
	return dir
}

func read(t testing.TB, file string) string {
	t.Helper()
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	return string(raw)
}

// soon is when the certificate of short.crt ends.
var soon = time.Now().Add(29 * 24 * time.Hour)

// said is what was said of a file, as LINE:COLUMN: message, with DIR for its folder.
func said(dir string, problems config.Problems) (all []string) {
	for _, p := range problems {
		line := strings.TrimPrefix(p.String(), filepath.Join(dir, "vssgate.yaml")+":")
		all = append(all, strings.NewReplacer(dir, "DIR", soon.UTC().Format(time.DateOnly), "SOON").Replace(line))
	}
	return all
}

func parse(dir, src string) (*config.Config, config.Problems) {
	return config.Parse(filepath.Join(dir, "vssgate.yaml"), []byte(src))
}

func TestWhatIsLeftOutHasItsDefault(t *testing.T) {
	dir := folder(t)
	c, all := parse(dir, general+nas)
	require.Empty(t, all)
	require.Equal(t, "Asia/Ho_Chi_Minh", c.Location.String())
	want := config.Default()
	require.Equal(t, want.SecondFactor, c.SecondFactor)
	require.Equal(t, want.Throttle, c.Throttle)
	require.Nil(t, c.Store.Redis)
	require.Nil(t, c.Push.FCM)
	require.True(t, c.LDAP.RequireTLS)
	require.Equal(t, "http://127.0.0.1:8080", c.VssID.PublicURL)
	require.Equal(t, config.RADIUSClient{
		Name: "vpn", Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.10/32")}, Secret: "sixteen-letters-",
		RequireMessageAuthenticator: "auto", MessageAuthenticatorInReplies: true,
		FirstFactor: "dir", Mode: "challenge", Hold: 5 * time.Second, Then: "reject", Separator: ",", Join: "strict", Approval: "number", Language: "vi",
	}, c.RADIUS.Clients[0])
}

func TestWhatIsWrittenHolds(t *testing.T) {
	dir := folder(t)
	c, all := parse(dir, `# a comment
language: en
plain_ascii: true
time_zone: Europe/Berlin
data_dir: data
secret_key_file: secret.key
texts: {support: 'IT: 1900 1234'}
store: {redis: {addresses: ["127.0.0.1:7000", "[::1]:7001"], cluster: true, password_file: nas.secret, tls: {ca_file: ca.pem}}}
first_factors:
- name: directory
  ldap:
    urls:
    - ldap://dc1.example.vn:3389
    start_tls: true
    bind_dn: cn=vssgate,ou=Dịch vụ,dc=vn
    bind_password_file: nas.secret
    base_dns: ["ou=Nhân viên,dc=vn"]
    user_filter: (&(uid={username})(!(loginDisabled=TRUE)))
    domains: {VSS: vss.vn}
    attributes: {bhxh_number: employeeNumber}
- {name: local, file: users.yaml}
second_factor: {valid_for: 1m30s, grace: 0s}
vssid: {listen: "0.0.0.0:443", public_url: "https://otp.example.vn/phones", tls: {cert_file: server.crt, key_file: server.key}, platforms: [web]}
push: {fcm: {credentials_file: fcm.json, proxy: "http://an:password@proxy.example.vn:3128"}}
radius:
  clients:
  - name: wifi
    addresses: ["2001:db8::/64", "::ffff:192.0.2.0/120", "::ffff:198.51.100.1"]
    secret_file: nas.secret
    first_factor: local
    mode: hold
    hold: ""
    then: challenge
    approval: off
    separator: ""
  - {name: vpn, addresses: [192.0.2.10], secret: "*&!%@`+"`"+`0123456789", hold: 0s, language: vi}
ldap:
  tls: {listen: ["[::]:636"], cert_file: server.crt, key_file: server.key}
  exempt_binds: [{dn: "cn=gitlab,dc=vn", from: [10.1.2.3], why: reads}]
  clients: [{name: gitlab, addresses: [10.1.2.0/24], mode: append}]
admin: {socket: run/admin.sock}
audit: {file: /var/log/vssgate.jsonl}
`)
	require.Empty(t, all)
	require.Equal(t, filepath.Join(dir, "data"), c.DataDir)
	require.Equal(t, filepath.Join(dir, "secret.key"), c.SecretKeyFile)
	require.Equal(t, filepath.Join(dir, "ca.pem"), c.Store.Redis.TLS.CAFile)
	require.Equal(t, filepath.Join(dir, "users.yaml"), c.FirstFactors[1].File)
	require.Equal(t, filepath.Join(dir, "server.key"), c.VssID.TLS.KeyFile)
	require.Equal(t, filepath.Join(dir, "run/admin.sock"), c.Admin.Socket)
	require.Equal(t, "/var/log/vssgate.jsonl", c.Audit.File)
	require.Equal(t, "a-secret-in-a-file-of-its-own", c.Store.Redis.Password.Reveal())
	require.Equal(t, "a-secret-in-a-file-of-its-own", c.FirstFactors[0].LDAP.BindPassword.Reveal())
	require.Equal(t, map[string]string{"VSS": "vss.vn"}, c.FirstFactors[0].LDAP.Domains)
	require.Equal(t, 90*time.Second, c.SecondFactor.ValidFor)
	require.Zero(t, c.SecondFactor.Grace)
	wifi, vpn, gitlab := c.RADIUS.Clients[0], c.RADIUS.Clients[1], c.LDAP.Clients[0]
	require.Equal(t, []netip.Prefix{
		netip.MustParsePrefix("2001:db8::/64"), netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.51.100.1/32"),
	}, wifi.Addresses)
	require.Equal(t, "local", wifi.FirstFactor)
	require.Equal(t, 55*time.Second, wifi.Hold)
	require.Equal(t, "off", wifi.Approval)
	require.Empty(t, wifi.Separator)
	require.Equal(t, "en", wifi.Language)
	require.Equal(t, "vi", vpn.Language)
	require.Equal(t, "*&!%@`0123456789", vpn.Secret.Reveal())
	require.Zero(t, vpn.Hold)
	require.Equal(t, "simple", gitlab.Approval)
	require.Equal(t, "directory", gitlab.FirstFactor)
}

func TestADefaultHoldIsNeverLongerThanALogin(t *testing.T) {
	dir := folder(t)
	c, all := parse(dir, general+`second_factor: {valid_for: 30s}
radius: {clients: [{name: vpn, addresses: [192.0.2.10], secret: sixteen-letters-, mode: hold, approval: simple}]}
`)
	require.Empty(t, all)
	require.Equal(t, 30*time.Second, c.RADIUS.Clients[0].Hold)
}

func TestAFileMayBeginWithAByteOrderMarkAndEndItsLinesAsWindowsDoes(t *testing.T) {
	c, all := parse(folder(t), "\ufeff"+strings.ReplaceAll(general+nas+"language: en\n", "\n", "\r\n"))
	require.Empty(t, all)
	require.Equal(t, "en", c.Language)
}

func TestWarnings(t *testing.T) {
	dir := folder(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "open.key"), []byte(otp.NewKeyLine()), 0o640))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "open.secret"), []byte("sixteen-letters-"), 0o604))
	for _, name := range []string{"server.key", "fcm.json"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "open."+name), []byte(read(t, filepath.Join(dir, name))), 0o604))
	}
	for _, c := range warnings {
		t.Run(c.name, func(t *testing.T) {
			loaded, all := parse(dir, c.src)
			require.NotNil(t, loaded, "warnings do not fail: %v", all)
			require.Equal(t, c.want, said(dir, all))
			require.Equal(t, []config.Problem(all), loaded.Warnings)
		})
	}
}

var warnings = []struct {
	name, src string
	want      []string
}{
	{"nobody may ask", general, []string{"1:1: warning: nobody may ask: neither radius.clients nor ldap.clients has an entry"}},
	{"a key that a group may read", "secret_key_file: open.key\nfirst_factors: [{name: local, file: users.yaml}]\n" + nas, []string{
		"1:18: warning: secret_key_file: others may read DIR/open.key; do: chmod 600 DIR/open.key",
	}},
	{"private files that anybody may read", general + nas + `push: {fcm: {credentials_file: open.fcm.json}}
ldap: {tls: {cert_file: server.crt, key_file: open.server.key}}
`, []string{
		"4:32: warning: push.fcm.credentials_file: others may read DIR/open.fcm.json; do: chmod 600 DIR/open.fcm.json",
		"5:47: warning: ldap.tls.key_file: others may read DIR/open.server.key; do: chmod 600 DIR/open.server.key",
	}},
	{"a webhook that everybody may ask", general + nas + "push: {webhook: {url: \"https://push.example.vn/vssgate\"}}\n", []string{
		"4:17: warning: push.webhook.token is missing: the service cannot tell who asks it to push; give token_file",
	}},
	{"a webhook with its defaults, which is none", general + nas + "push: {fcm: {credentials_file: fcm.json}, webhook: {url: \"\", token_file: \"\", ca_file: \"\"}}\n", nil},
	{"factors that need no phone", general + nas + "second_factor: {factors: [approve, code, totp, recovery, help]}\n", []string{
		"4:42: warning: second_factor.factors[2]: codes of authenticator apps count: they name no login, so one that is read to somebody lets him in with the password for a minute and a half",
		"4:48: warning: second_factor.factors[3]: printed recovery codes count: whoever has an account's list and its password needs no phone",
		"4:58: warning: second_factor.factors[4]: help-desk codes count: who may run vssgate account help-code can let anybody in whose password he knows; each is in the audit",
	}},
	{"codes that live long", general + nas + "second_factor: {valid_for: 2m1s}\n", []string{
		"4:28: warning: second_factor.valid_for: 2m1s is longer than the 2m for which codes of VssID are to be valid",
	}},
	{"directories", "secret_key_file: secret.key\nfirst_factors: [{name: dir, ldap: {urls: [\"ldap://127.0.0.1:3890\"], base_dns: [\"dc=vn\"]}}]\n" + nas, []string{
		"2:35: warning: first_factors[0].ldap.bind_dn is missing: the directory is searched anonymously, which most do not allow",
		"2:43: warning: first_factors[0].ldap.urls[0]: ldap://127.0.0.1:3890 takes passwords unencrypted; use it on this machine only",
	}},
	{"redis on the network", general + nas + "store: {redis: {addresses: [\"10.0.0.1:6379\"]}}\n", []string{
		"4:16: warning: store.redis: without tls, anybody on the network between can read and change open logins; give tls: {ca_file: ...}",
	}},
	{"servers of VssID's", general + nas + "vssid:\n  public_url: https://otp.example.vn\n  backend_tokens: [{name: a, token_files: [long.token, next.token]}]\n", []string{
		"6:20: warning: vssid.backend_tokens[0]: a may nothing; give it some of may: [devices, show, answer]",
		"6:20: warning: vssid.backend_tokens[0]: a may ask from anywhere: whoever steals its token can too; write its addresses",
	}},
	{"phones", general + nas + "vssid: {listen: \"192.0.2.1:8080\", public_url: \"http://localhost:8080\"}\n", []string{
		"4:17: warning: vssid.listen: 192.0.2.1:8080 speaks plain HTTP to the network; give vssid.tls, or listen on 127.0.0.1 behind a proxy",
		"4:47: warning: vssid.public_url: http://localhost:8080 is for this machine only",
	}},
	{"phones that are told where we listen", general + nas + "vssid: {listen: \"127.0.0.1:8443\", tls: {cert_file: server.crt, key_file: server.key}}\n", []string{
		"4:8: warning: vssid.public_url is missing: phones are told https://127.0.0.1:8443",
	}},
	{"secrets", general + `radius:
  clients:
    - {name: a, addresses: [192.0.2.1], secret: fifteen-letters}
    - {name: b, addresses: [192.0.2.2], secret_file: open.secret}
    - {name: c, addresses: [192.0.2.3], secret_file: spaced.secret}
`, []string{
		"5:49: warning: radius.clients[0].secret: 15 characters; better at least 16, made at random",
		"6:54: warning: radius.clients[1].secret_file: others may read DIR/open.secret; do: chmod 600 DIR/open.secret",
		"7:54: warning: radius.clients[2].secret_file: the file begins or ends with a space, which belongs to the secret",
	}},
	{"a hold longer than a login", general + "radius: {clients: [{name: vpn, addresses: [192.0.2.10], secret: sixteen-letters-, hold: 31s}]}\nsecond_factor: {valid_for: 30s}\n", []string{
		"3:89: warning: radius.clients[0].hold: 31s is longer than a login is valid (second_factor.valid_for): 30s are meant",
	}},
	{"many guesses", general + nas + "second_factor: {wrong_codes: 101, lockout: {stop_after: 101}}\n", []string{
		"4:30: warning: second_factor.wrong_codes: 101 guesses at one code are many; better 3",
		"4:57: warning: second_factor.lockout.stop_after: 101 guesses without success are many; at most 100 are advised",
	}},
	{"redis on the network, with keys that say nothing", general + nas + "store: {redis: {addresses: [\"10.0.0.1:6379\"], tls: {ca_file: \"\", server_name: \"\"}}}\n", []string{
		"4:16: warning: store.redis: without tls, anybody on the network between can read and change open logins; give tls: {ca_file: ...}",
	}},
	{"RADIUS over TLS", general + "radius: {clients: [{name: vpn, addresses: [192.0.2.10], secret: sixteen-letters-}], tls: {listen: [\"127.0.0.1:2083\"], cert_file: short.crt, key_file: short.key, ca_file: ca.pem}}\n", []string{
		"3:99: warning: radius.tls.listen: nobody may connect: no client has certificate_names",
		`3:130: warning: radius.tls.cert_file: DIR/short.crt: the certificate of "CN=short" expires on SOON; put a new one there`,
	}},
	{"a client over TLS only", general + "radius: {listen: [], tls: {listen: [\"127.0.0.1:2083\"], cert_file: server.crt, key_file: server.key, ca_file: ca.pem}, clients: [{name: a, certificate_names: [a]}]}\n", nil},
	{"join and then", general + "radius: {clients: [{name: vpn, addresses: [192.0.2.10], secret: sixteen-letters-, join: user, then: challenge}]}\n", []string{
		"3:89: warning: radius.clients[0].join: user lets requests of one user name join each other from anywhere, and collect each other's approval; use it only for a NAS that sends no Calling-Station-Id",
		"3:101: warning: radius.clients[0].then: it means nothing in mode challenge; take it out",
	}},
	{"Message-Authenticator that is not there", general + "radius: {clients: [{name: vpn, addresses: [192.0.2.10], secret: sixteen-letters-, require_message_authenticator: no, message_authenticator_in_replies: false}]}\n", []string{
		"3:114: warning: radius.clients[0].require_message_authenticator: who sits between NAS and server can forge what is answered to requests without it (CVE-2024-3596); use auto, or yes, as soon as the NAS sends it",
		"3:152: warning: radius.clients[0].message_authenticator_in_replies: answers without it can be forged (CVE-2024-3596); leave it out only for a NAS that drops answers with it",
	}},
	{"kinds of NASes", general + "radius: {clients: [{name: vpn, addresses: [192.0.2.10], secret: sixteen-letters-, nas: checkpoint}, " +
		"{name: pal, addresses: [192.0.2.11], secret: sixteen-letters-, nas: paloalto, mode: hold, hold: 30s, approval: simple}, " +
		"{name: ssh, addresses: [192.0.2.12], secret: sixteen-letters-, nas: pam-radius, require_message_authenticator: yes}, " +
		"{name: wifi, addresses: [192.0.2.13], secret: sixteen-letters-, nas: unifi, approval: simple}]}\n", []string{
		"3:20: warning: radius.clients[0].message_authenticator_in_replies: nas: checkpoint means false; answers without it can be forged (CVE-2024-3596); leave it out only for a NAS that drops answers with it",
		"3:197: warning: radius.clients[1].hold: 30s is longer than a NAS of kind paloalto ever waits; write 20s",
		"3:332: warning: radius.clients[2].require_message_authenticator: a NAS of kind pam-radius cannot send it: every request will be dropped; write auto, and keep it on a network of its own",
		"3:407: warning: radius.clients[3].nas: a NAS of kind unifi speaks MSCHAPv2 only, which neither a directory nor a file can check; give the client a first_factor with radius servers",
	}},
	{"a previous secret whose time is over", general + "radius: {clients: [{name: vpn, addresses: [192.0.2.10], secret: sixteen-letters-, previous_secret: old, previous_until: 2024-02-29}]}\n", []string{
		"3:121: warning: radius.clients[0].previous_until: 2024-02-29 has passed: the previous secret is not accepted any more; take both out",
	}},
	{"what is remembered", general + `radius: {clients: [{name: vpn, addresses: [192.0.2.10], secret: sixteen-letters-, remember: 12h}]}
ldap: {require_tls: false, clients: [{name: a, addresses: [10.1.2.3], remember: 30s}]}
`, []string{
		"3:93: warning: radius.clients[0].remember: for 12h after a confirmation the password alone lets in from the same Calling-Station-Id; behind one address others can do that too. Logins without Calling-Station-Id, and those by MS-CHAP or EAP, are never remembered",
		"4:81: warning: ldap.clients[0].remember: for 30s after a user's confirmation that user's password alone lets in through this application: all its users come from its one address. Seconds are enough for applications that bind twice",
	}},
	{"a NAS that is observed", general + `radius:
  clients:
    - {name: a, addresses: [192.0.2.1], secret: sixteen-letters-, observe: {until: 2999-01-31, why: moving over}}
    - {name: b, addresses: [192.0.2.2], secret: sixteen-letters-, observe: {until: "2024-02-29T18:00:00+07:00", why: moving over}}
    - {name: c, addresses: [192.0.2.3], secret: sixteen-letters-, observe: {}}
`, []string{
		"5:76: warning: radius.clients[0].observe: until 2999-01-31 the password alone lets in here, and nobody is asked (moving over)",
		"6:76: warning: radius.clients[1].observe: 2024-02-29T18:00:00+07:00 has passed: the second factor is needed here again; take observe out",
	}},
	{"LDAP without TLS", general + "ldap: {listen: [\"0.0.0.0:389\"], require_tls: false, exempt_binds: [{dn: \"cn=a\", why: x}], clients: [{name: a, addresses: [10.1.2.3]}]}\n", []string{
		"3:46: warning: ldap.require_tls: applications may send passwords unencrypted over the network; give ldap.tls a certificate and take this out",
		"3:68: warning: ldap.exempt_binds[0].from is missing: whoever learns this password may use it from every client; name the addresses",
	}},
	{"LDAP without TLS on this machine", general + "ldap: {require_tls: false, clients: [{name: a, addresses: [10.1.2.3]}]}\n", nil},
}

func TestUntilWhenThePreviousSecretIsAccepted(t *testing.T) {
	dir := folder(t)
	for written, want := range map[string]string{
		"2099-12-31":                "2099-12-31T17:00:00Z", // to the end of that day, in time_zone
		"2099-12-31T18:00:00Z":      "2099-12-31T18:00:00Z",
		"2099-12-31T18:00:00+07:00": "2099-12-31T11:00:00Z",
	} {
		c, all := parse(dir, general+"radius: {clients: [{name: vpn, addresses: [192.0.2.10], secret: sixteen-letters-, previous_secret_file: nas.secret, previous_until: \""+written+"\"}]}\n")
		require.Empty(t, all)
		require.Equal(t, want, c.RADIUS.Clients[0].PreviousExpires.UTC().Format(time.RFC3339))
		require.Equal(t, "a-secret-in-a-file-of-its-own", c.RADIUS.Clients[0].PreviousSecret.Reveal())
	}
}

func TestAKindOfNASPresetsWhatIsNotWritten(t *testing.T) {
	dir := folder(t)
	for written, want := range map[string]config.RADIUSClient{
		"nas: fortigate": {Mode: "challenge", Hold: 5 * time.Second, Then: "reject", MessageAuthenticatorInReplies: true, Approval: "number"},
		"nas: fortigate, mode: hold, approval: simple":               {Mode: "hold", Hold: 55 * time.Second, Then: "challenge", MessageAuthenticatorInReplies: true, Approval: "simple"},
		"nas: fortigate, mode: hold, then: reject, approval: simple": {Mode: "hold", Hold: 55 * time.Second, Then: "reject", MessageAuthenticatorInReplies: true, Approval: "simple"},
		"nas: fortigate, mode: append, approval: off":                {Mode: "append", Then: "reject", MessageAuthenticatorInReplies: true, Approval: "off"},
		"nas: opnsense, approval: simple":                            {Mode: "hold", Hold: 25 * time.Second, Then: "reject", MessageAuthenticatorInReplies: true, Approval: "simple"},
		"nas: opnsense, mode: challenge":                             {Mode: "challenge", Hold: 5 * time.Second, Then: "reject", MessageAuthenticatorInReplies: true, Approval: "number"},
		"nas: openvpn, approval: simple, hold: 20s":                  {Mode: "hold", Hold: 20 * time.Second, Then: "reject", MessageAuthenticatorInReplies: true, Approval: "simple"},
		"nas: openvpn, approval: simple, hold: \"\"":                 {Mode: "hold", Hold: 50 * time.Second, Then: "reject", MessageAuthenticatorInReplies: true, Approval: "simple"},
		"nas: postgresql, approval: off":                             {Mode: "append", Then: "reject", MessageAuthenticatorInReplies: true, Approval: "off"},
		"nas: checkpoint":                                            {Mode: "challenge", Hold: 5 * time.Second, Then: "reject", Approval: "number"},
		"nas: checkpoint, message_authenticator_in_replies: true":    {Mode: "challenge", Hold: 5 * time.Second, Then: "reject", MessageAuthenticatorInReplies: true, Approval: "number"},
		"nas: \"\"": {Mode: "challenge", Hold: 5 * time.Second, Then: "reject", MessageAuthenticatorInReplies: true, Approval: "number"},
	} {
		t.Run(written, func(t *testing.T) {
			c, all := parse(dir, general+"radius: {clients: [{name: vpn, addresses: [192.0.2.10], secret: sixteen-letters-, "+written+"}]}\n")
			require.NotNil(t, c, all.Error())
			got := c.RADIUS.Clients[0]
			require.Equal(t, want, config.RADIUSClient{Mode: got.Mode, Hold: got.Hold, Then: got.Then,
				MessageAuthenticatorInReplies: got.MessageAuthenticatorInReplies, Approval: got.Approval})
		})
	}
}

// What lets in without a number to match is said by the administrator.
func TestNoKindOfNASChoosesAnApproval(t *testing.T) {
	dir := folder(t)
	for _, k := range nases.Kinds() {
		c, all := parse(dir, general+"radius: {clients: [{name: vpn, addresses: [192.0.2.10], secret: sixteen-letters-, nas: "+k.Name+"}]}\n")
		if k.Mode == "challenge" {
			require.NotNil(t, c, all.Error())
			require.Equal(t, "number", c.RADIUS.Clients[0].Approval)
			continue
		}
		require.Nil(t, c, k.Name)
		require.Contains(t, said(dir, all), "3:20: radius.clients[0].approval: a NAS of kind "+k.Name+" cannot show a number to match (it means mode "+k.Mode+
			"); say here: simple (approve or deny) or off (codes only)")
	}
}

func TestNoMessageQuotesASecret(t *testing.T) {
	dir := folder(t)
	for _, value := range []string{"4711471147114711", "0x4711471147114711", "47.11471147114711", "*4711471147114711", "&4711471147114711 x", "!4711471147114711",
		"@4711471147114711", "%4711471147114711", `"4711471147114711`, `"\4711471147114711"`, "{4711471147114711: 1}", "[4711471147114711]", "- 4711471147114711",
		"4711471147114711: x", "|4711471147114711", "'4711471147114711' x"} {
		for _, where := range []string{
			"radius:\n  clients:\n    - name: vpn\n      secret: %s\n      mode: hold\n",
			"first_factors:\n  - name: dir\n    ldap: {bind_password: %s}\n",
			"store: {redis: {password: %s}}\n",
			"push: {fcm: {proxy: %s}}\n",
			"push: {fcm: {proxy: \"http://an:%s@\"}}\n",
			"radius:\n  clients:\n    - name: vpn\n      secret_file: %s\n", // taken for the secret's own place
			"store: {redis: {addresses: [\"redis://:%s@127.0.0.1:6379\"]}}\n",
		} {
			_, all := parse(dir, fmt.Sprintf(where, value))
			require.NotContains(t, all.Error(), "47114711", "%s in %s", value, where)
		}
	}
}

func TestLoad(t *testing.T) {
	dir := folder(t)
	file := filepath.Join(dir, "vssgate.yaml")
	_, err := config.Load(file)
	require.ErrorContains(t, err, file)
	require.ErrorContains(t, err, "vssgate init")
	_, err = config.Load(dir)
	require.ErrorContains(t, err, dir)
	require.NotContains(t, err.Error(), "vssgate init", "there is something, it only cannot be read")

	require.NoError(t, os.WriteFile(file, []byte(general+"languag: vi\ngrace: 1m\n"), 0o600))
	_, err = config.Load(file)
	require.EqualError(t, err, file+":1:1: warning: nobody may ask: neither radius.clients nor ldap.clients has an entry\n"+
		file+":3:1: languag is unknown; did you mean language?\n"+file+":4:1: grace is unknown; did you mean second_factor.grace?")
	var all config.Problems
	require.ErrorAs(t, err, &all)
	require.Len(t, all, 3)

	require.NoError(t, os.WriteFile(file, []byte(general), 0o600))
	c, err := config.Load(file)
	require.NoError(t, err)
	require.Len(t, c.Warnings, 1)
}

func TestTheSocketIsFoundWithoutSecretsAndBesideMistakes(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "vssgate.yaml")
	for src, want := range map[string]string{
		"admin: {socket: run/admin.sock}\nlanguage: fr\nradius: {clients: [{secret_file: none}]}\n": filepath.Join(dir, "run/admin.sock"),
		"language: vi\n": "/run/vssgate/admin.sock",
	} {
		require.NoError(t, os.WriteFile(file, []byte(src), 0o600))
		got, err := config.AdminSocket(file)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, src := range []string{"admin: {socket: 1}\n", "admin: x\n", "admin: {\n"} {
		require.NoError(t, os.WriteFile(file, []byte(src), 0o600))
		_, err := config.AdminSocket(file)
		require.ErrorContains(t, err, file+":1:", src)
	}
}

func TestBracketsWithoutEndAreRefusedAtOnce(t *testing.T) {
	for _, open := range []string{"[", "{a: ", "[{x: "} {
		c, all := parse(t.TempDir(), "language: "+strings.Repeat(open, 100_000))
		require.Nil(t, c)
		require.ErrorContains(t, all, "brackets")
	}
	c, all := parse(t.TempDir(), strings.Repeat("# much\n", 200_000))
	require.Nil(t, c)
	require.ErrorContains(t, all, "bytes")
}

func TestTLSToRedis(t *testing.T) {
	dir := folder(t)
	for name, c := range map[string]struct {
		tls  string
		want *config.ClientTLS
	}{
		"left out":                           {"", nil},
		"its keys with their defaults":       {`tls: {ca_file: "", cert_file: "", key_file: "", server_name: ""}`, nil},
		"with the system's authorities":      {"tls: {}", &config.ClientTLS{}},
		"with a name, for those authorities": {"tls: {server_name: redis}", &config.ClientTLS{ServerName: "redis"}},
		"with an authority":                  {"tls: {ca_file: ca.pem}", &config.ClientTLS{CAFile: filepath.Join(dir, "ca.pem")}},
	} {
		t.Run(name, func(t *testing.T) {
			loaded, all := parse(dir, general+nas+"store: {redis: {"+c.tls+"}}\n")
			require.NotNil(t, loaded, all.Error())
			require.Equal(t, c.want, loaded.Store.Redis.TLS)
		})
	}
}

func TestAHoldEndsWithTheLogin(t *testing.T) {
	loaded, all := parse(folder(t), general+`radius:
  clients:
    - {name: a, addresses: [192.0.2.1], secret: sixteen-letters-, mode: hold, approval: simple, hold: 55s}
    - {name: b, addresses: [192.0.2.2], secret: sixteen-letters-, mode: hold, approval: simple}
    - {name: c, addresses: [192.0.2.3], secret: sixteen-letters-, hold: 0s}
second_factor: {valid_for: 30s}
`)
	require.NotNil(t, loaded, all.Error())
	require.Equal(t, 30*time.Second, loaded.RADIUS.Clients[0].Hold)
	require.Equal(t, 30*time.Second, loaded.RADIUS.Clients[1].Hold)
	require.Zero(t, loaded.RADIUS.Clients[2].Hold, "an ok is answered at once")
}

func TestOneWordIsAListOfOne(t *testing.T) {
	dir := folder(t)
	for written, want := range map[string]config.Words{"all": {"all"}, "none": nil, "[Class, Filter-Id]": {"Class", "Filter-Id"}, "Class": {"Class"}, "[]": {}} {
		c, all := parse(dir, "secret_key_file: secret.key\nfirst_factors:\n  - {name: local, file: users.yaml}\n"+
			"  - {name: nps, radius: {servers: [{address: \"10.0.0.5:1812\", secret: sixteen-letters-}], identify_with: local, pass_attributes: "+written+"}}\n"+
			"radius: {clients: [{name: a, addresses: [192.0.2.1], secret: sixteen-letters-}]}\n")
		require.Empty(t, all)
		require.Equal(t, want, c.FirstFactors[1].RADIUS.PassAttributes, written)
	}
}

// Behind an upstream a login may come by MS-CHAP or EAP, which show nothing.
func TestClientsOfAnUpstreamAreToldWhatMSCHAPCannotDo(t *testing.T) {
	dir := folder(t)
	for client, want := range map[string][]string{
		"":                            {"approval: behind \"nps\" a client may ask by MS-CHAP or EAP"},
		", approval: simple":          nil,
		", mode: hold, approval: off": nil,
		", mode: hold, approval: simple, then: challenge": {"then: MS-CHAP and EAP cannot be challenged: for them it acts as reject"},
	} {
		c, all := parse(dir, "secret_key_file: secret.key\nfirst_factors:\n  - {name: local, file: users.yaml}\n"+
			"  - {name: nps, radius: {servers: [{address: \"10.0.0.5:1812\", secret: sixteen-letters-}], identify_with: local}}\n"+
			"radius: {clients: [{name: a, addresses: [192.0.2.1], secret: sixteen-letters-, first_factor: nps"+client+"}]}\n")
		require.NotNil(t, c)
		require.Len(t, all, len(want), client)
		for i := range want {
			require.Contains(t, all[i].Message, want[i])
		}
	}
}

func TestPresetsForActiveDirectoryLeaveWhatIsWritten(t *testing.T) {
	const first = "secret_key_file: secret.key\nfirst_factors: [{name: dir, ldap: {urls: [ldaps://dc1], bind_dn: \"cn=s,dc=vn\", bind_password: x, base_dns: [\"dc=vn\"], "
	load := func(rest string) *config.LDAPDirectory {
		t.Helper()
		c, problems := parse(folder(t), first+rest+"}}]\n"+nas)
		require.NotNil(t, c, problems.Error())
		return c.FirstFactors[0].LDAP
	}
	ad := load("kind: ad")
	require.Equal(t, directory.ADUserFilter, ad.UserFilter)
	require.Equal(t, config.Attributes{ID: "objectGUID", Username: "sAMAccountName", DisplayName: "displayName", Groups: "memberOf"}, ad.Attributes)
	require.False(t, ad.NestedGroups)

	own := load(`kind: ad, user_filter: "(uid={username})", attributes: {id: entryUUID, display_name: "", groups: "", bhxh_number: employeeNumber}`)
	require.Equal(t, "(uid={username})", own.UserFilter, "also where it says what is the default elsewhere")
	require.Equal(t, config.Attributes{ID: "entryUUID", Username: "sAMAccountName", BHXHNumber: "employeeNumber"}, own.Attributes)
	require.Equal(t, "entryUUID", load("kind: openldap").Attributes.ID)
}
