// Package prompts_test runs the whole program with a strict fake of FCM, or of
// VssID's own push service, beside it: what phones are told, what they are not, and that a login never needs it.
package prompts_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/argon2id"
	"github.com/stretchr/testify/require"

	"vssgate/internal/admin"
	"vssgate/internal/phone"
	"vssgate/internal/secret"
	"vssgate/internal/testenv"
	"vssgate/radius"
	"vssgate/test/fakefcm"
	"vssgate/test/fakewebhook"
)

// Personal data that must never leave for FCM.
const (
	userName    = "an.nv"
	displayName = "Nguyễn Văn An"
	userSecret  = "mật khẩu của An"
	number      = "0123456789"
	station     = "203.0.113.77"
	shared      = "a shared secret of some length"
)

// world is a node with something to push through, one user, an Android and an
// iOS phone.
type world struct {
	*testing.T
	fcm     *fakefcm.Server
	node    *testenv.Node
	android *phone.Client
	code    string // of the last login
}

// start is a world with a fake FCM.
func start(t *testing.T) *world {
	t.Helper()
	fcm := fakefcm.Run(t)
	file := filepath.Join(t.TempDir(), "fcm.json")
	require.NoError(t, os.WriteFile(file, fcm.CredentialsJSON(), 0o600))
	w := startWith(t, fmt.Sprintf("fcm: {credentials_file: %s, endpoint: %q}", file, fcm.Endpoint()))
	w.fcm = fcm
	return w
}

func startWith(t *testing.T, push string) *world {
	t.Helper()
	hash, err := argon2id.CreateHash(userSecret, &argon2id.Params{Memory: 1024, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32})
	require.NoError(t, err)
	dir := t.TempDir()
	users := fmt.Sprintf("- {username: %s, password_hash: %q, display_name: %q, bhxh_number: %q}\n", userName, hash, displayName, number)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "users.yaml"), []byte(users), 0o600))
	w := &world{T: t}
	w.node = testenv.StartNode(t, fmt.Sprintf(`
language: en
second_factor: {push_limit: {count: 1000, within: 10m}} # the limit is not what is tried here
first_factors: [{name: local, file: %[1]s/users.yaml}]
push: {%[2]s}
radius:
  listen: ["127.0.0.1:0"]
  clients: [{name: hq-vpn, addresses: [127.0.0.1], secret: %[3]q, approval: off}]
`, dir, push, shared))
	w.android = w.enrol("android", "token-of-the-android-phone")
	w.enrol("ios", "token-of-the-ios-phone")
	return w
}

// enrol gives the user one more phone, as an administrator and VssID would.
func (w *world) enrol(platform, token string) *phone.Client {
	w.Helper()
	activation, err := admin.Call[admin.Activation](w.Context(), filepath.Join(w.node.Dir, "admin.sock"), "/device/add", admin.User{User: userName})
	require.NoError(w, err)
	key, err := phone.NewKey()
	require.NoError(w, err)
	c, err := phone.New("http://"+w.node.Phones, key)
	require.NoError(w, err)
	_, err = c.Enrol(w.Context(), phone.Enrolment{
		ActivationCode: activation.ActivationCode, Name: "Phone of " + displayName, Platform: platform, AppVersion: "1.6.8",
		PushToken: token, Can: []string{"code", "approve", "number"}, Notifications: "allowed",
	})
	require.NoError(w, err)
	return c
}

// login logs in with password and code, and returns the prompt the NAS showed.
func (w *world) login() (prompt string) {
	w.Helper()
	return w.loginAfter(func(context.Context) {})
}

// loginAfter is login that does something between the password and the code.
func (w *world) loginAfter(seen func(ctx context.Context)) (prompt string) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), 45*time.Second)
	defer cancel()
	nas, err := radius.Dial(w.node.RADIUS[0], secret.Secret(shared))
	require.NoError(w, err)
	defer nas.Close()
	q := radius.Question{Username: userName, Password: []byte(userSecret), NAS: "nas", Station: station}
	asked, err := nas.Ask(ctx, q)
	require.NoError(w, err)
	require.Equal(w, radius.Challenge, asked.Code, asked.Text)
	list, err := w.android.Logins(ctx, 5*time.Second, "")
	require.NoError(w, err)
	require.Len(w, list.Logins, 1)
	w.code = list.Logins[0].Code
	seen(ctx)
	q.State, q.Password = asked.State, []byte(w.code)
	done, err := nas.Ask(ctx, q)
	require.NoError(w, err)
	require.Equal(w, radius.Accept, done.Code, done.Text)
	return asked.Text
}

func TestBothPhonesAreToldThatALoginWaitsAndThatItEnded(t *testing.T) {
	w := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second)
	defer cancel()
	_, err := w.fcm.Wait(ctx, 1) // the notice of the second phone goes its own way
	require.NoError(t, err)
	prompt := w.loginAfter(func(ctx context.Context) { // a prompt that is still on its way when its login ends is given up
		_, err := w.fcm.Wait(ctx, 3)
		require.NoError(t, err)
	})
	require.Contains(t, prompt, "Enter the 6-digit code shown in VssID")
	_, err = w.fcm.Wait(ctx, 5)
	require.NoError(t, err)
	told, logins := map[string][]string{}, map[string]bool{}
	for _, m := range w.fcm.Messages() {
		told[m.Token] = append(told[m.Token], m.Data["type"])
		logins[m.Data["login_id"]] = true
	}
	require.Equal(t, map[string][]string{
		"token-of-the-android-phone": {"notice", "login", "login.closed"}, // that there is another phone
		"token-of-the-ios-phone":     {"login", "login.closed"},
	}, told)
	require.Len(t, logins, 2, "one, and none of the notice")
	require.Empty(t, w.fcm.Refusals(), "the strict fake found nothing wrong")

	w.nothingPersonal(string(w.fcm.Raw()))
	require.Eventually(t, func() bool { return strings.Contains(w.metrics(), `vssgate_pushes_total{outcome="sent"} 5`) },
		10*time.Second, 10*time.Millisecond, "FCM has them before the node hears so")
}

// nothingPersonal looks through all that has left for a push service.
func (w *world) nothingPersonal(raw string) {
	w.Helper()
	require.Contains(w, raw, "token-of-the-android-phone")
	code := w.code
	require.Len(w, code, 6)
	for _, personal := range []string{
		userName, displayName, "Nguy", "Phone of", userSecret, number, number[6:], station, "203.0.113", "hq-vpn", "127.0.0.1:1812", code, code[:3] + " " + code[3:], shared,
	} {
		for _, form := range []string{personal, url.QueryEscape(personal), hex.EncodeToString([]byte(personal)), base64.StdEncoding.EncodeToString([]byte(personal)), strings.Trim(strconv.QuoteToASCII(personal), `"`)} {
			require.NotContains(w, raw, form, personal)
		}
	}
}

func TestVssIDsOwnServiceIsToldInsteadOfFCM(t *testing.T) {
	ca := testenv.CA(t)
	service := fakewebhook.Run(t, &ca.Cert)
	token := filepath.Join(t.TempDir(), "push.token")
	require.NoError(t, os.WriteFile(token, []byte(service.Token+"\n"), 0o600))
	w := startWith(t, fmt.Sprintf("webhook: {url: %q, token_file: %s, ca_file: %s}", service.URL, token, ca.CAFile))
	ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second)
	defer cancel()
	_, err := service.Wait(ctx, 1) // the notice of the second phone goes its own way
	require.NoError(t, err)
	w.loginAfter(func(ctx context.Context) {
		_, err := service.Wait(ctx, 3)
		require.NoError(t, err)
	})
	messages, err := service.Wait(ctx, 5)
	require.NoError(t, err)
	told := map[string][]string{}
	for _, m := range messages {
		told[m["push_token"]] = append(told[m["push_token"]], m["type"])
	}
	require.Equal(t, map[string][]string{
		"token-of-the-android-phone": {"notice", "login", "login.closed"},
		"token-of-the-ios-phone":     {"login", "login.closed"},
	}, told)
	require.Empty(t, service.Refusals())
	w.nothingPersonal(service.Raw())
	require.NotContains(t, w.node.Output(), service.Token)

	service.Script(fakewebhook.Says(http.StatusUnauthorized, ""), fakewebhook.Says(http.StatusUnauthorized, ""))
	require.NotContains(t, w.login(), "will not be notified", "not known to be refused yet")
	require.Eventually(t, func() bool { return strings.Contains(w.login(), "This time your phone will not be notified") }, 20*time.Second, 50*time.Millisecond)
}

func TestFCMDownChangesNothingButThePromptsText(t *testing.T) {
	w := start(t)
	w.fcm.Always(fakefcm.Reset())
	w.login() // not known to be down yet
	require.Eventually(t, func() bool {
		return strings.Contains(w.login(), "This time your phone will not be notified")
	}, 60*time.Second, 100*time.Millisecond)
}

func TestALoginNeverWaitsForFCM(t *testing.T) {
	w := start(t)
	require.Eventually(t, func() bool { return len(w.pushes()) > 0 }, 20*time.Second, 20*time.Millisecond, "the first phone hears of the second")
	before := w.pushes()
	w.fcm.Always(fakefcm.SlowHead(30 * time.Second))
	w.login()
	require.Equal(t, before, w.pushes(), "FCM has not answered yet")
}

// pushes is what became of messages until now.
func (w *world) pushes() []string {
	return regexp.MustCompile(`(?m)^vssgate_pushes_total\{.*$`).FindAllString(w.metrics(), -1)
}

// metrics is the page that administrators scrape.
func (w *world) metrics() string {
	w.Helper()
	resp, err := http.Get("http://" + w.node.Metrics + "/metrics")
	require.NoError(w, err)
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	require.NoError(w, err)
	return string(page)
}
