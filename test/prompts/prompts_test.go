// Package prompts_test runs the whole program with a strict fake of FCM beside
// it: what phones are told, what they are not, and that a login never needs it.
package prompts_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
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

// world is a node with a fake FCM, one user, an Android and an iOS phone.
type world struct {
	*testing.T
	fcm     *fakefcm.Server
	node    *testenv.Node
	android *phone.Client
}

func start(t *testing.T) *world {
	t.Helper()
	fcm := fakefcm.Run(t)
	hash, err := argon2id.CreateHash(userSecret, &argon2id.Params{Memory: 1024, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32})
	require.NoError(t, err)
	dir := t.TempDir()
	users := fmt.Sprintf("- {username: %s, password_hash: %q, display_name: %q, bhxh_number: %q}\n", userName, hash, displayName, number)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "users.yaml"), []byte(users), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "fcm.json"), fcm.CredentialsJSON(), 0o600))
	w := &world{T: t, fcm: fcm}
	w.node = testenv.StartNode(t, fmt.Sprintf(`
language: en
second_factor: {push_limit: {count: 1000, within: 10m}} # the limit is not what is tried here
first_factors: [{name: local, file: %[1]s/users.yaml}]
push: {fcm: {credentials_file: %[1]s/fcm.json, endpoint: "%[2]s"}}
radius:
  listen: ["127.0.0.1:0"]
  clients: [{name: hq-vpn, addresses: [127.0.0.1], secret: %[3]q, approval: off}]
`, dir, fcm.Endpoint(), shared))
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
	ctx, cancel := context.WithTimeout(w.Context(), 20*time.Second)
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
	q.State, q.Password = asked.State, []byte(list.Logins[0].Code)
	done, err := nas.Ask(ctx, q)
	require.NoError(w, err)
	require.Equal(w, radius.Accept, done.Code, done.Text)
	return asked.Text
}

func TestBothPhonesAreToldThatALoginWaitsAndThatItEnded(t *testing.T) {
	w := start(t)
	prompt := w.login()
	require.Contains(t, prompt, "Enter the 6-digit code shown in VssID")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err := w.fcm.Wait(ctx, 4)
	require.NoError(t, err)
	told := map[string][]string{}
	for _, m := range w.fcm.Messages() {
		told[m.Token] = append(told[m.Token], m.Data["type"])
		require.Equal(t, w.fcm.Messages()[0].Data["login_id"], m.Data["login_id"])
	}
	require.Equal(t, map[string][]string{
		"token-of-the-android-phone": {"login", "login.closed"},
		"token-of-the-ios-phone":     {"login", "login.closed"},
	}, told)
	require.Empty(t, w.fcm.Refusals(), "the strict fake found nothing wrong")

	raw := string(w.fcm.Raw())
	require.Contains(t, raw, "token-of-the-android-phone")
	for _, personal := range []string{userName, displayName, "Nguy", userSecret, number, station, "hq-vpn", "203.0.113"} {
		require.NotContains(t, raw, personal)
	}
	require.Eventually(t, func() bool { return strings.Contains(w.metrics(), `vssgate_pushes_total{outcome="sent"} 4`) },
		10*time.Second, 10*time.Millisecond, "FCM has them before the node hears so")
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
	w.fcm.Always(fakefcm.SlowHead(30 * time.Second))
	w.login()
	require.NotContains(t, w.metrics(), "vssgate_pushes_total{", "FCM has not answered yet")
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
