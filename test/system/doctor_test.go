package system_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/app"
	"vssgate/internal/testenv"
	"vssgate/test/fakefcm"
	"vssgate/test/fakewebhook"
	"vssgate/test/site"
)

// examined runs doctor and returns what it found, and its exit code.
func examined(t *testing.T, s *site.Site) (all []app.Finding, code int) {
	t.Helper()
	stdout, stderr, code := s.Run("doctor", "--json")
	require.Empty(t, stderr)
	require.NoError(t, json.Unmarshal([]byte(stdout), &all), stdout)
	for _, secret := range []string{s.Secret, s.Slapd.BindPassword} {
		require.NotContains(t, stdout, secret)
	}
	return all, code
}

// failed are the checks that failed; each of them says what to do.
func failed(t *testing.T, all []app.Finding) (checks []string) {
	t.Helper()
	for _, f := range all {
		if f.Result == app.Failed {
			require.NotEmpty(t, f.Do, "%v says no way out", f)
			checks = append(checks, f.Check)
		}
	}
	return checks
}

func found(all []app.Finding, check, target string) app.Finding {
	for _, f := range all {
		if f.Check == check && strings.Contains(f.Target, target) {
			return f
		}
	}
	return app.Finding{}
}

// withEverything is a site that depends on all that there can be.
func withEverything(t *testing.T) (s *site.Site, redis *testenv.RedisServer, radius *testenv.FreeRADIUS, fcm *fakefcm.Server) {
	t.Helper()
	redis, radius, fcm = testenv.StartRedis(t), testenv.StartFreeRADIUS(t, testenv.FreeRADIUSOptions{}), fakefcm.Run(t)
	credentials := filepath.Join(t.TempDir(), "fcm.json")
	require.NoError(t, os.WriteFile(credentials, fcm.CredentialsJSON(), 0o600))
	ca := testenv.CA(t)
	s = site.New(t, site.Options{
		FirstFactors: fmt.Sprintf("  - {name: up, radius: {servers: [{address: %q, secret: %q}], identify_with: directory, timeout: 3s}}\n", radius.Addr, testenv.FreeRADIUSSecret),
		More: fmt.Sprintf("store: {redis: {addresses: [%q]}}\npush: {fcm: {credentials_file: %s, endpoint: %q}}\nldap: {listen: [\"127.0.0.1:0\"], tls: {cert_file: %s, key_file: %s}, clients: [{name: app, addresses: [127.0.0.1]}]}\n",
			redis.Addr, credentials, fcm.Endpoint(), ca.CertFile, ca.KeyFile),
	})
	return s, redis, radius, fcm
}

func TestDoctorAsksVssIDsOwnPushService(t *testing.T) {
	service := fakewebhook.Run(t, nil)
	s := site.New(t, site.Options{More: fmt.Sprintf("push: {webhook: {url: %q, token: %q}}\n", service.URL, service.Token)})
	all, code := examined(t, s)
	require.Empty(t, failed(t, all))
	require.Zero(t, code)
	require.Equal(t, "the service takes messages", found(all, "push.webhook", "").Found)
	service.Take("another")
	all, code = examined(t, s)
	require.NotZero(t, code)
	require.Equal(t, app.Failed, found(all, "push.webhook", "").Result)
	require.Contains(t, found(all, "push.webhook", "").Do, "token_file")
}

func TestDoctorTriesEveryDependency(t *testing.T) {
	s, redis, radius, fcm := withEverything(t)
	all, code := examined(t, s)
	require.Empty(t, failed(t, all))
	require.Zero(t, code)
	for check, target := range map[string]string{
		"first_factors.directory": "search", "first_factors.up": radius.Addr, "store.redis": "clock", "push.fcm": fcm.Endpoint(),
		"ldap.tls": ".pem", "radius.listen": "udp", "vssid.listen": s.Phones, "data_dir": "data",
	} {
		require.Equal(t, app.Fine, found(all, check, target).Result, "%s %s", check, target)
	}
	require.Equal(t, app.Warning, found(all, "store.redis", "settings of "+redis.Addr).Result, "it keeps nothing on disk")
	require.Empty(t, fcm.Messages(), "the dry run is not delivered")

	t.Run("the ports of the daemon that runs are no fault", func(t *testing.T) {
		s.Start()
		all, code := examined(t, s)
		require.Empty(t, failed(t, all))
		require.Zero(t, code)
		require.Equal(t, "is the running daemon's", found(all, "vssid.listen", s.Phones).Found)
		s.Stop()
	})

	t.Run("all that is away is found at once, each with what to do", func(t *testing.T) {
		redis.Stop()
		radius.Stop()
		require.NoError(t, fcm.Close())
		s.Slapd.Stop()
		taken, err := net.Listen("tcp", s.Phones)
		require.NoError(t, err)
		defer taken.Close()
		all, code := examined(t, s)
		require.Equal(t, 1, code)
		require.ElementsMatch(t, []string{"store.redis", "first_factors.directory", "first_factors.up", "push.fcm", "vssid.listen"}, failed(t, all))
		stdout, _, code := s.Run("doctor")
		require.Equal(t, 1, code)
		require.Contains(t, stdout, "failed  first_factors.directory")
		require.Contains(t, stdout, "-> Google cannot be reached from here")
		require.Regexp(t, `(?m)^        at \S+/vssgate\.yaml:\d+:\d+ \(first_factors\[0\]\.ldap\.urls\[0\]\)$`, stdout)
	})
}

func TestDoctorFindsWhatIsWrongWithWhatAnswers(t *testing.T) {
	redis, radius := testenv.StartRedis(t), testenv.StartFreeRADIUS(t, testenv.FreeRADIUSOptions{})
	redis.Do("CONFIG", "SET", "maxmemory-policy", "allkeys-lru", "maxmemory", "100mb")
	s := site.New(t, site.Options{
		BindPassword: "not that of the service account",
		FirstFactors: fmt.Sprintf("  - {name: up, radius: {servers: [{address: %q, secret: another secret of it}], identify_with: directory, timeout: 1s}}\n", radius.Addr),
		More:         fmt.Sprintf("store: {redis: {addresses: [%q]}}\n", redis.Addr),
	})
	all, code := examined(t, s)
	require.Equal(t, 1, code)
	require.ElementsMatch(t, []string{"store.redis", "first_factors.directory", "first_factors.up"}, failed(t, all))
	require.Contains(t, found(all, "first_factors.directory", "bind").Found, "service account")
	require.Contains(t, found(all, "first_factors.up", radius.Addr).Do, "shared secret")
	require.Contains(t, found(all, "store.redis", "settings of "+redis.Addr).Do, "noeviction")
	_, stderr, code := s.Run("serve")
	require.Equal(t, 1, code, "used codes that may be thrown away are used again")
	require.Contains(t, stderr, "set maxmemory-policy noeviction")
}

func TestDoctorTellsTheMistakesOfAConfiguration(t *testing.T) {
	s := site.New(t, site.Options{More: "no_such_key: 1\n"})
	all, code := examined(t, s)
	require.Equal(t, 1, code)
	mistake := all[len(all)-1]
	require.Equal(t, app.Failed, mistake.Result)
	require.Contains(t, mistake.Found, "no_such_key")
	for _, f := range all {
		require.Equal(t, "configuration", f.Check, "nothing else is tried")
	}
}
