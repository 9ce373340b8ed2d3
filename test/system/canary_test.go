package system_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/phone"
	"vssgate/internal/testenv"
	"vssgate/test/site"
)

// A canary is a secret that must be found nowhere but where it belongs.
type canary struct{ name, text string }

// written is everything that the program has written, by where.
type written map[string]string

// search looks for the canaries; a code of six digits must stand alone, or any
// number would hide one.
func (w written) search(t *testing.T, canaries []canary) {
	t.Helper()
	for _, c := range canaries {
		require.NotEmpty(t, c.text, c.name)
		alone := regexp.MustCompile(`(^|[^0-9A-Za-z.])` + regexp.QuoteMeta(c.text) + `($|[^0-9A-Za-z])`)
		for where, text := range w {
			found := strings.Contains(text, c.text)
			if len(c.text) < 10 {
				found = alone.MatchString(text)
			}
			require.False(t, found, "%s is in the %s", c.name, where)
		}
	}
}

// setPassword gives an entry of the directory another password.
func setPassword(t *testing.T, s *testenv.SlapdServer, dn, password string) {
	t.Helper()
	out, err := exec.Command("ldappasswd", "-x", "-H", s.URI, "-D", testenv.SlapdAdminDN, "-w", testenv.SlapdAdminPassword, "-s", password, dn).CombinedOutput()
	require.NoError(t, err, "ldappasswd (apt-get install ldap-utils): %s", out)
}

func TestNoSecretIsWrittenAnywhere(t *testing.T) {
	for _, where := range []string{"embedded", "redis"} {
		t.Run(where, func(t *testing.T) {
			o := site.Options{Secret: "canary-shared-" + rand.Text(), BindPassword: "canary-bind-" + rand.Text()}
			var redis *testenv.RedisServer
			if where == "redis" {
				redis = testenv.StartRedis(t, "--save", "3600 1000000")
				o.More = fmt.Sprintf("store: {redis: {addresses: [%q]}}\n", redis.Addr)
			}
			o.More += "second_factor: {factors: [approve, code, totp, recovery, help]}\n"
			secrets, w := loggedInEveryWay(t, o, rand.Text())
			if redis != nil {
				require.Equal(t, "+OK", redis.Do("SAVE"))
				w["Redis dump"] = redis.Dump()
			}
			w.search(t, secrets)
		})
	}
}

// loggedInEveryWay sets a site up in which every secret is a canary, does with
// it what people do, right and wrong, and returns all that was written.
func loggedInEveryWay(t *testing.T, o site.Options, mark string) ([]canary, written) {
	const name, number = "canary.user", "7391846205"
	typed, typo := "canary-password-"+mark, "canary-typo-"+mark
	o.Slapd = testenv.Slapd(t, testenv.SlapdOptions{LDIF: entry(name, typed, number)})
	setPassword(t, o.Slapd, testenv.SlapdBindDN, o.BindPassword)
	s := site.Start(t, o)
	token := "canary-push-token-" + mark
	keyFile := filepath.Join(t.TempDir(), "phone.key")
	key, err := phone.OpenKey(keyFile)
	require.NoError(t, err)
	activation := s.Activation(name)
	p := s.Client(key)
	_, err = p.Enrol(t.Context(), phone.Enrolment{ActivationCode: activation, Name: "p", Platform: "android", AppVersion: "1.6.8",
		PushToken: token, Can: []string{"code", "approve", "number"}})
	require.NoError(t, err)
	secrets := []canary{
		{"shared secret", o.Secret}, {"bind password", o.BindPassword}, {"user's password", typed}, {"mistyped password", typo},
		{"social insurance number", number}, {"push token", token}, {"activation code", activation},
		{"device key", privatePart(t, keyFile)}, {"installation's key", strings.TrimSpace(readFile(t, filepath.Join(s.Dir, "secret.key")))},
	}
	w := written{}
	say := func(a site.Answer) site.Answer { w["answers"] += a.Text + "\n"; return a }
	command := func(args ...string) {
		stdout, stderr, _ := s.Run(args...)
		w["commands"] += stdout + stderr
	}
	asks, holds, appends := s.NAS(site.Asks), s.NAS(site.Holds), s.NAS(site.Appends)
	r := site.Request{User: name, Password: typed, Station: "203.0.113.7"}

	first := say(asks.Ask(r))
	code := p.Code()
	second := say(asks.Ask(r.Saying(site.WrongCode(code), first.State)))
	require.EqualValues(t, site.AccessAccept, say(asks.Ask(r.Saying(code, second.State))).Code)
	secrets = append(secrets, canary{"code", code}, canary{"wrong code", site.WrongCode(code)})

	r.Station = "203.0.113.8"
	packet := holds.Packet(r)
	holds.Send(packet)
	secrets = append(secrets, canary{"code of a held login", p.Code()})
	p.Yes()
	require.EqualValues(t, site.AccessAccept, say(holds.Answer(packet)).Code)

	r.Station = "203.0.113.9"
	say(appends.Ask(r))
	code = p.Code()
	require.EqualValues(t, site.AccessAccept, say(appends.Ask(r.Saying(typed+","+code, ""))).Code)
	secrets = append(secrets, canary{"appended code", code})

	own := ownCodes(t, s, name)
	for i, code := range own[1:] {
		r.Station = fmt.Sprintf("203.0.113.%d", 20+i)
		require.EqualValues(t, site.AccessAccept, say(appends.Ask(r.Saying(typed+","+code.text, ""))).Code, code.name)
	}
	secrets = append(secrets, own...)
	r.Station = "203.0.113.9"

	for _, wrong := range []site.Request{r.Saying(typo, ""), r.Saying(typed+","+typo, ""), {User: "nobody", Password: typo}} {
		say(asks.Ask(wrong))
	}
	wrongSecret := site.DialNAS(t, site.Asks, s.RADIUS[0], "another-shared-secret")
	wrongSecret.Send(wrongSecret.Packet(r))
	require.Eventually(t, func() bool {
		return s.Metric(`vssgate_packets_dropped_total{reason="bad_message_authenticator"}`) == 1
	}, site.Patience, tick)

	_, err = p.Enrol(t.Context(), phone.Enrolment{ActivationCode: activation + "x", Name: "p", Platform: "android", AppVersion: "1.6.8", PushToken: token})
	require.Error(t, err)
	w["refusals of the phone API"] += err.Error()
	stranger, err := phone.NewKey()
	require.NoError(t, err)
	_, err = s.Client(stranger).Logins(t.Context(), 0, "")
	require.Error(t, err)
	w["refusals of the phone API"] += err.Error()
	require.NoError(t, badTokens(s, w))

	command("account", "show", name)
	command("account", "list", "--json")
	command("device", "list", "--account", name, "--json")
	command("account", "set", name, "--bhxh-number", number+"1")
	command("check")
	command("try", "radius", "--server", s.RADIUS[0], "--secret", o.Secret, "--user", name, "--password", typo, "--json")
	o.Slapd.Stop()
	asks.Send(asks.Packet(r.Saying(typed, "")))
	asks.Silent(quiet)
	o.Slapd.Start()
	setPassword(t, o.Slapd, testenv.SlapdBindDN, "changed") // the service account is refused now
	asks.Send(asks.Packet(site.Request{User: name, Password: typed, Station: "203.0.113.10"}))
	asks.Any(quiet)

	command("login", "list")
	command("login", "list", "--json")
	require.GreaterOrEqual(t, len(list(t, s)), 8, "the logins are remembered")
	for _, l := range list(t, s) {
		command("login", "show", l.Attempt)
		command("login", "show", l.Attempt, "--json")
	}
	_, w["metrics"] = s.Get("/metrics")
	_, page := s.Get("/readyz")
	w["metrics"] += page
	s.Stop()
	w["log"], w["audit"] = s.Output(), s.Audit()
	require.Contains(t, w["log"], "vssgate stops", "the log was read")
	require.Contains(t, w["audit"], name, "the audit was read")
	return secrets, w
}

// ownCodes gives an account codes of its own: first the secret of an
// authenticator app and then one code of each kind.
func ownCodes(t *testing.T, s *site.Site, name string) []canary {
	t.Helper()
	given := func(args ...string) (out struct {
		Secret, Code string
		Codes        []string
	}) {
		require.NoError(t, json.Unmarshal([]byte(s.Command(append(args, "--json")...)), &out))
		return out
	}
	secret := given("account", "totp", name).Secret
	shown, err := exec.Command("oathtool", "--totp", "--base32", secret).Output()
	require.NoError(t, err, "oathtool (test/packages.sh installs it)")
	return []canary{
		{"secret of an authenticator app", secret}, {"time-based code", strings.TrimSpace(string(shown))},
		{"recovery code", given("account", "recovery-codes", name).Codes[0]},
		{"help-desk code", given("account", "help-code", name, "--why", "phone broken").Code},
	}
}

// badTokens asks the phone API with what is no signature.
func badTokens(s *site.Site, w written) error {
	for _, token := range []string{"", "Bearer x.y.z", "Bearer " + strings.Repeat("a", 5000)} {
		req, err := http.NewRequest(http.MethodGet, "http://"+s.Phones+"/v1/logins", nil)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		var body bytes.Buffer
		_, err = body.ReadFrom(resp.Body)
		resp.Body.Close()
		if err != nil {
			return err
		}
		w["refusals of the phone API"] += body.String()
	}
	return nil
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(raw)
}

// privatePart is what must stay on the phone (RFC 7518 section 6.2.2).
func privatePart(t *testing.T, keyFile string) string {
	t.Helper()
	var jwk struct{ D string }
	require.NoError(t, json.Unmarshal([]byte(readFile(t, keyFile)), &jwk))
	return jwk.D
}
