package config_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/configs"
	"vssgate/internal/config"
	"vssgate/otp"
)

func TestInitWritesWhatPassesTheCheck(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "etc", "vssgate")
	written, err := config.Init(dir)
	require.NoError(t, err)
	require.Contains(t, written, filepath.Join(dir, "vssgate.yaml"))
	c, err := config.Load(filepath.Join(dir, "vssgate.yaml"))
	require.NoError(t, err)
	require.Empty(t, c.Warnings)
	require.NotEmpty(t, c.RADIUS.Clients)
	for _, file := range written {
		info, err := os.Stat(file)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), file)
	}
}

func TestInitMakesFreshSecrets(t *testing.T) {
	fresh := func() (key, nas string) {
		dir := t.TempDir()
		_, err := config.Init(dir)
		require.NoError(t, err)
		_, err = otp.ParseKeys([]byte(read(t, filepath.Join(dir, "secret.key"))))
		require.NoError(t, err)
		return read(t, filepath.Join(dir, "secret.key")), read(t, filepath.Join(dir, "hq-vpn.secret"))
	}
	key1, nas1 := fresh()
	key2, nas2 := fresh()
	require.NotEqual(t, key1, key2)
	require.NotEqual(t, nas1, nas2)
}

func TestInitNeverOverwrites(t *testing.T) {
	for _, name := range []string{"vssgate.yaml", "secret.key", "hq-vpn.secret", "users.yaml"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, name)
			require.NoError(t, os.WriteFile(file, []byte("mine"), 0o644))
			written, err := config.Init(dir)
			require.ErrorContains(t, err, file)
			require.Empty(t, written)
			require.Equal(t, "mine", read(t, file))
			left, err := os.ReadDir(dir)
			require.NoError(t, err)
			require.Len(t, left, 1, "nothing else was written")
		})
	}
	t.Run("a link to nowhere", func(t *testing.T) {
		dir := t.TempDir()
		require.NoError(t, os.Symlink(filepath.Join(dir, "elsewhere"), filepath.Join(dir, "secret.key")))
		_, err := config.Init(dir)
		require.ErrorContains(t, err, "secret.key")
		require.NoFileExists(t, filepath.Join(dir, "elsewhere"))
	})
}

// commentedOut is a line of the sample that is configuration; prose has one
// space behind its sign.
var commentedOut = regexp.MustCompile(`(?m)^#([a-z]|  )`)

// everything is the sample with each key in force, and the files it names;
// where keys exclude each other, the first.
func everything(t *testing.T) (path string, src []byte) {
	t.Helper()
	dir := folder(t)
	for name, from := range map[string]string{"ldap.crt": "server.crt", "ldap.key": "server.key", "radius.crt": "server.crt", "radius.key": "server.key", "nas-ca.pem": "ca.pem"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(read(t, filepath.Join(dir, from))), 0o600))
	}
	for _, name := range []string{"hq-vpn.secret", "hq-vpn.previous", "billing.secret", "upstream.secret", "redis.password", "ldap.password", "push.token"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("sixteen-letters-"+name+"\n"), 0o600))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "vssid.token"), []byte(strings.Repeat("t", config.LeastToken)+"\n"), 0o600))
	return filepath.Join(dir, "vssgate.yaml"), without(t, inForce, "  webhook:")
}

var inForce = []byte(commentedOut.ReplaceAllString(string(configs.Sample), "$1"))

// without is a configuration without the one line that begins so.
func without(t *testing.T, src []byte, begins string) []byte {
	t.Helper()
	line := regexp.MustCompile("(?m)^" + begins + ".*\n")
	require.Len(t, line.FindAll(src, -1), 1)
	return line.ReplaceAll(src, nil)
}

func TestTheSampleExplainsEveryAcceptedKey(t *testing.T) {
	path, src := everything(t)
	c, problems := config.Parse(path, src)
	require.NotNil(t, c, problems.Error())
	c, problems = config.Parse(path, without(t, inForce, "  fcm:"))
	require.NotNil(t, c, problems.Error())
	require.Equal(t, "sixteen-letters-push.token", c.Push.Webhook.Token.Reveal())
	written := config.Written(path, inForce)
	for _, key := range config.AllKeys {
		twin, isFile := strings.CutSuffix(key, "_file")
		if !isFile {
			twin = key + "_file" // a secret, written or in a file
		}
		require.True(t, written[key] || written[twin], "%s is not in configs/vssgate.yaml", key)
	}
}

func TestTheSampleShowsTheDefaults(t *testing.T) {
	path, src := everything(t)
	shown, problems := config.Parse(path, src)
	require.NotNil(t, shown, problems.Error())
	d := config.Default()
	require.Equal(t, d.Language, shown.Language)
	require.Equal(t, d.PlainASCII, shown.PlainASCII)
	require.Equal(t, d.TimeZone, shown.TimeZone)
	require.Equal(t, d.DataDir, shown.DataDir)
	require.Equal(t, d.Texts, shown.Texts)
	require.Equal(t, d.Throttle, shown.Throttle)
	require.Len(t, shown.SecondFactor.Policies, 3, "examples")
	shown.SecondFactor.Policies = nil
	require.Equal(t, d.SecondFactor, shown.SecondFactor)
	d.VssID.PublicURL = shown.VssID.PublicURL // an example
	require.Len(t, shown.VssID.BackendTokens, 1, "an example")
	shown.VssID.BackendTokens = nil
	require.Equal(t, d.VssID, shown.VssID)
	require.Equal(t, d.RADIUS.Listen, shown.RADIUS.Listen)
	require.Equal(t, d.RADIUS.MaxHeld, shown.RADIUS.MaxHeld)
	require.Equal(t, d.LDAP.Listen, shown.LDAP.Listen)
	require.Equal(t, d.LDAP.RequireTLS, shown.LDAP.RequireTLS)
	require.Equal(t, d.LDAP.Upstream.StartTLS, shown.LDAP.Upstream.StartTLS)
	require.Equal(t, d.LDAP.MaxConnections, shown.LDAP.MaxConnections)
	require.Equal(t, d.Admin, shown.Admin)
	require.Equal(t, d.Metrics, shown.Metrics)
	d.Audit.File = shown.DataDir + "/audit.jsonl"
	require.Equal(t, d.Audit, shown.Audit)
	require.Equal(t, d.Log, shown.Log)

	least, _ := config.Parse(path, []byte(`secret_key_file: secret.key
store: {redis: {}}
push: {fcm: {credentials_file: fcm.json}}
first_factors:
  - {name: directory, ldap: {urls: [ldaps://dc1], base_dns: ["dc=vn"]}}
  - {name: nps, radius: {servers: [{address: "10.0.0.5:1812", secret: sixteen-letters-}], identify_with: local}}
  - {name: local, file: users.yaml}
radius: {clients: [{name: hq-vpn, addresses: [127.0.0.1], secret: sixteen-letters-, first_factor: local}]}
ldap: {clients: [{name: gitlab, addresses: [10.1.2.3]}], tls: {cert_file: server.crt, key_file: server.key}}
`))
	require.NotNil(t, least)
	nas, plain := &shown.RADIUS.Clients[0], least.RADIUS.Clients[0]
	nas.Secret, nas.PreviousSecret, nas.PreviousUntil, nas.PreviousExpires = plain.Secret, "", "", plain.PreviousExpires // examples
	nas.Reply, nas.CertificateNames, nas.SecretFile = nil, nil, ""
	require.Equal(t, least.RADIUS.Clients[0], shown.RADIUS.Clients[0])
	require.Equal(t, least.LDAP.Clients[0], shown.LDAP.Clients[0])
	require.Equal(t, least.Store.Redis.Addresses, shown.Store.Redis.Addresses)
	require.Equal(t, least.Push.FCM, shown.Push.FCM)
	l, s := least.FirstFactors[0].LDAP, shown.FirstFactors[0].LDAP
	s.URLs, s.BaseDNs, s.BindDN, s.BindPassword = l.URLs, l.BaseDNs, "", "" // examples
	s.Domains = l.Domains
	require.Equal(t, l, s)
	up, servers := least.FirstFactors[1].RADIUS, shown.FirstFactors[1].RADIUS
	servers.Servers, servers.IdentifyWith = up.Servers, up.IdentifyWith // examples
	require.Equal(t, up, servers)
}
