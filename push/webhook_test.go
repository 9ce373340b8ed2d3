package push

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
	"vssgate/internal/secret"
	"vssgate/internal/testenv"
	"vssgate/test/fakewebhook"
)

func TestTheWebhookIsToldOfEachDevice(t *testing.T) {
	w, fake := startWebhook(t)
	expires := time.Now().Add(2 * time.Minute)
	for _, m := range []Message{
		{Kind: Login, Login: loginID, Expires: expires, Until: expires},
		{Kind: Closed, Login: loginID, Expires: expires},
		{Kind: Notice, Notice: login.NoticeDevice, Expires: expires},
	} {
		require.Equal(t, Outcome{Result: Sent}, w.Send(t.Context(), phone, m))
	}
	told, err := fake.Wait(t.Context(), 3)
	require.NoError(t, err)
	device := fakewebhook.Message{"device_id": phone.Device, "platform": phone.Platform, "push_token": phone.Token}
	for i, want := range []fakewebhook.Message{
		{"type": "login", "login_id": loginID, "expires": expires.UTC().Format(time.RFC3339)},
		{"type": "login.closed", "login_id": loginID},
		{"type": "notice", "notice": "new_device"},
	} {
		for k, v := range device {
			want[k] = v
		}
		require.Equal(t, want, told[i])
	}
}

func TestEachAnswerOfTheWebhookHasItsClass(t *testing.T) {
	names := `{"push_token":"` + phone.Token + `"}`
	after := func(status int, wait string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", wait)
			w.WriteHeader(status)
		}
	}
	reset := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   Result
		again  time.Duration
	}{
		"taken":                                 {fakewebhook.Says(200, `{"anything":1}`), Sent, 0},
		"taken for later":                       {fakewebhook.Says(202, ""), Sent, 0},
		"404 that names the token":              {fakewebhook.Says(404, names), Unregistered, 0},
		"410 that names the token":              {fakewebhook.Says(410, names), Unregistered, 0},
		"404 that names another token":          {fakewebhook.Says(404, `{"push_token":"another"}`), Misconfigured, 0},
		"404 of a wrong path":                   {fakewebhook.Says(404, "<html>"), Misconfigured, 0},
		"410 of a service that has been closed": {fakewebhook.Says(410, ""), Misconfigured, 0},
		"400":                                   {fakewebhook.Says(400, names), BadMessage, 0},
		"413":                                   {fakewebhook.Says(413, ""), BadMessage, 0},
		"422":                                   {fakewebhook.Says(422, ""), BadMessage, 0},
		"401":                                   {fakewebhook.Says(401, names), Misconfigured, 0},
		"403":                                   {fakewebhook.Says(403, ""), Misconfigured, 0},
		"405":                                   {fakewebhook.Says(405, ""), Misconfigured, 0},
		"429 with a time":                       {after(429, "7"), Throttled, 7 * time.Second},
		"429 without a time":                    {after(429, ""), Throttled, throttledFor},
		"503 with a time":                       {after(503, "9"), Unavailable, 9 * time.Second},
		"500":                                   {fakewebhook.Says(500, names), Unavailable, unavailableFor},
		"502 of a proxy between":                {fakewebhook.Says(502, "<html>"), Unavailable, unavailableFor},
		"408":                                   {fakewebhook.Says(408, ""), Unavailable, unavailableFor},
		"a connection that breaks":              {reset, Unreachable, unavailableFor},
	} {
		t.Run(name, func(t *testing.T) {
			w, fake := startWebhook(t)
			fake.Script(c.answer)
			o := w.Send(t.Context(), phone, login2m())
			require.Equal(t, c.want, o.Result, "%v", o.Err)
			require.Equal(t, c.again, o.RetryAfter)
			require.Equal(t, c.want == Sent, o.Err == nil)
			require.Equal(t, c.want == Misconfigured, !w.Ready(), "a fault of the configuration opens the breaker at once")
		})
	}
}

func TestAWebhookIsAskedBeforeItIsNeeded(t *testing.T) {
	w, fake := startWebhook(t)
	require.NoError(t, w.Check(t.Context()))
	refused := newWebhook(t, WebhookOptions{URL: fakewebhook.Run(t, nil).URL + "/elsewhere", Token: secret.Secret(fake.Token)})
	require.ErrorContains(t, refused.Check(t.Context()), "bad_message", "the fake says 400 of what it does not know")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, w.Check(ended), context.Canceled)
	w.note(Outcome{Result: Misconfigured})
	require.False(t, w.Ready())
	require.NoError(t, w.Check(t.Context()))
	require.True(t, w.Ready(), "a check that succeeds closes the breaker")
}

// The bearer is for the URL that was configured.
func TestTheWebhookIsNotFollowedElsewhere(t *testing.T) {
	w, fake := startWebhook(t)
	elsewhere := fakewebhook.Run(t, nil)
	for _, status := range []int{301, 302, 303, 307, 308} {
		fake.Script(http.RedirectHandler(elsewhere.URL, status).ServeHTTP)
		w.breaker.works()
		require.Equal(t, Misconfigured, w.Send(t.Context(), phone, login2m()).Result)
	}
	require.Empty(t, elsewhere.Raw())
}

func TestTheWebhooksCertificateIsVerified(t *testing.T) {
	ca, other := testenv.CA(t), testenv.CA(t)
	fake := fakewebhook.Run(t, &ca.Cert)
	for roots, want := range map[*x509.CertPool]Result{ca.Pool: Sent, other.Pool: Misconfigured} {
		w := newWebhook(t, WebhookOptions{URL: fake.URL, Token: secret.Secret(fake.Token), Roots: roots})
		o := w.Send(t.Context(), phone, login2m())
		require.Equal(t, want, o.Result, "%v", o.Err)
	}
	w := newWebhook(t, WebhookOptions{URL: fake.URL, Token: secret.Secret(fake.Token)})
	require.Equal(t, Misconfigured, w.Send(t.Context(), phone, login2m()).Result, "the system's authorities did not issue it")
	require.Contains(t, fake.Raw(), "HTTP/2.0", "many messages on one connection")
}

func TestASlowWebhookEndsWithTheCallersTime(t *testing.T) {
	w, fake := startWebhook(t)
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	head := func(http.ResponseWriter, *http.Request) { <-hang }
	body := func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-hang
	}
	for _, answer := range []http.HandlerFunc{head, body} {
		fake.Script(answer)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		require.Equal(t, Timeout, w.Send(ctx, phone, login2m()).Result)
		require.Zero(t, w.breaker.failures, "the caller's hurry is not the service's fault")
	}
}

func TestABrokenWebhookIsLeftForAWhile(t *testing.T) {
	w, fake := startWebhook(t)
	for range failuresInARow {
		fake.Script(fakewebhook.Says(500, ""))
		require.True(t, w.Ready())
		w.Send(t.Context(), phone, login2m())
	}
	require.False(t, w.Ready())
	asked := len(fake.Raw())
	require.Equal(t, BreakerOpen, w.Send(t.Context(), phone, login2m()).Result)
	require.Len(t, fake.Raw(), asked, "nothing left this machine")
	w.breaker.until = time.Now() // the pause is over
	require.Equal(t, Sent, w.Send(t.Context(), phone, login2m()).Result)
	require.True(t, w.Ready())
	require.Equal(t, TooLate, w.Send(t.Context(), phone, Message{Kind: Login, Login: loginID, Until: time.Now()}).Result)
}

func TestNobodyAtTheWebhookIsTriedAgain(t *testing.T) {
	w := newWebhook(t, WebhookOptions{URL: "http://" + testenv.FreeAddr(t) + "/?key=SEKRET"})
	o := w.Send(t.Context(), phone, login2m())
	require.Equal(t, Unreachable, o.Result)
	require.Equal(t, unavailableFor, o.RetryAfter)
	require.NotContains(t, o.Err.Error(), "SEKRET", "the URL may hold a key")
	_, err := NewWebhook(WebhookOptions{URL: "::SEKRET"})
	require.ErrorContains(t, err, "not a URL")
	require.NotContains(t, err.Error(), "SEKRET")
}

// A prompt that the service cannot take at first arrives within the login's
// time, and a device whose token it calls gone loses that.
func TestAPromptArrivesThroughTheWebhookAllTheSame(t *testing.T) {
	var said bytes.Buffer
	w, fake := startWebhook(t)
	w.log = slog.New(slog.NewTextHandler(&said, nil))
	fake.Script(fakewebhook.Says(503, ""))
	known := &devices{targets: []Target{phone}, told: make(chan string, 1)}
	p := NewPrompter(w, known, PrompterOptions{Log: w.log})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- p.Run(ctx) }()
	prompt := login.Prompt{Login: login.NewID(), Person: "p", Opened: time.Now(), Expires: time.Now().Add(time.Minute), Left: time.Minute}
	p.Prompt(prompt)
	told, err := fake.Wait(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, prompt.Login.String(), told[0]["login_id"])

	fake.Script(fakewebhook.Says(410, `{"push_token":"`+phone.Token+`"}`))
	p.Prompt(prompt)
	require.Equal(t, phone.Device, <-known.told)
	stop()
	require.NoError(t, <-ended)
	for _, secret := range []string{phone.Token, fake.Token} {
		require.NotContains(t, said.String(), secret)
	}
}

// Only an answer that is JSON and names the very token may cost a device its
// token.
func FuzzRepeats(f *testing.F) {
	f.Add([]byte(`{"push_token":"t"}`), "t")
	f.Add([]byte(`{"push_token":""}`), "")
	f.Add([]byte(`<html>`), "t")
	f.Fuzz(func(t *testing.T, said []byte, token string) {
		if repeats(said, token) {
			require.NotEmpty(t, token)
			require.True(t, json.Valid(said))
		}
	})
}

func newWebhook(t *testing.T, o WebhookOptions) *Webhook {
	t.Helper()
	w, err := NewWebhook(o)
	require.NoError(t, err)
	return w
}

func startWebhook(t *testing.T) (*Webhook, *fakewebhook.Server) {
	t.Helper()
	fake := fakewebhook.Run(t, nil)
	t.Cleanup(func() { require.Empty(t, fake.Refusals(), "the service would have refused") })
	return newWebhook(t, WebhookOptions{URL: fake.URL, Token: secret.Secret(fake.Token)}), fake
}
