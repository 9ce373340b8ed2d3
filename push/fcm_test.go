package push

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
	"vssgate/internal/testenv"
	"vssgate/test/fakefcm"
)

const (
	loginID = "0102030405060708090a0b0c0d0e0f10"
	title   = "Xác nhận đăng nhập"
)

var phone = Target{Device: "device-1", Platform: "android", Token: "token-of-a-phone"}

func TestAnAndroidPhoneGetsDataOnlyAtHighPriority(t *testing.T) {
	f, fake := start(t)
	expires := time.Now().Add(-time.Hour) // by a clock that is not this node's
	require.Equal(t, Outcome{Result: Sent}, f.Send(t.Context(), phone, Message{Kind: Login, Login: loginID, Expires: expires, Until: time.Now().Add(2 * time.Minute)}))
	m := fake.Messages()[0]
	require.Equal(t, phone.Token, m.Token)
	require.Equal(t, map[string]string{"type": "login", "login_id": loginID, "expires": expires.UTC().Format(time.RFC3339)}, m.Data)
	require.Equal(t, "high", m.Priority)
	require.Regexp(t, `^1(19|20)s$`, m.TTL)
	require.Empty(t, m.Collapse)
	require.False(t, m.Notification)
	require.Nil(t, m.APNS)
}

func TestAnIPhoneGetsATimeSensitiveAlertInItsOwnLanguage(t *testing.T) {
	f, fake := start(t)
	expires := time.Now().Add(-time.Hour) // by a clock that is not this node's
	target := Target{Device: "d", Platform: "ios", Token: "ios-token"}
	require.Equal(t, Sent, f.Send(t.Context(), target, Message{Kind: Login, Login: loginID, Expires: expires, Until: time.Now().Add(2 * time.Minute)}).Result)
	m := fake.Messages()[0]
	require.Equal(t, map[string]any{"title": title, "body": "Có yêu cầu", "title-loc-key": "VSSGATE_TITLE", "loc-key": "VSSGATE_BODY"}, m.Alert)
	require.Equal(t, "VSSGATE_LOGIN", m.Aps["category"])
	require.Equal(t, "time-sensitive", m.Aps["interruption-level"])
	require.Equal(t, "default", m.Aps["sound"])
	require.Equal(t, "10", m.APNS["apns-priority"])
	require.Equal(t, "alert", m.APNS["apns-push-type"])
	require.Equal(t, loginID, m.APNS["apns-collapse-id"])
	require.Equal(t, expires.Unix(), number(t, m.APNS["apns-expiration"]))
	require.Equal(t, "login", m.Data["type"])
	require.Empty(t, m.TTL)
}

func TestABrowserGetsDataThatEndsWithTheLogin(t *testing.T) {
	f, fake := start(t)
	target := Target{Device: "d", Platform: "web", Token: "web-token"}
	require.Equal(t, Sent, f.Send(t.Context(), target, Message{Kind: Login, Login: loginID, Until: time.Now().Add(time.Minute)}).Result)
	m := fake.Messages()[0]
	require.Equal(t, "high", m.Webpush["Urgency"])
	require.Regexp(t, `^(59|60)$`, m.Webpush["TTL"])
}

func TestAnEndedLoginIsToldWithoutShowingAnything(t *testing.T) {
	f, fake := start(t)
	for _, platform := range []string{"android", "ios", "web"} {
		target := Target{Device: "d", Platform: platform, Token: platform}
		require.Equal(t, Sent, f.Send(t.Context(), target, Message{Kind: Closed, Login: loginID, Expires: time.Now().Add(-time.Second)}).Result)
	}
	for _, m := range fake.Messages() {
		require.Equal(t, map[string]string{"type": "login.closed", "login_id": loginID}, m.Data)
		require.Nil(t, m.Alert)
		require.NotEqual(t, "high", m.Priority)
		require.NotEqual(t, "10", m.APNS["apns-priority"])
	}
}

func TestANoticeSaysItsWordAndIsSeen(t *testing.T) {
	f, fake := start(t)
	notice := Message{Kind: Notice, Notice: login.NoticeDevice, Expires: time.Now().Add(time.Hour), Until: time.Now().Add(time.Hour)}
	for _, platform := range []string{"android", "ios", "web"} {
		require.Equal(t, Sent, f.Send(t.Context(), Target{Device: "d", Platform: platform, Token: platform}, notice).Result)
	}
	for _, m := range fake.Messages() {
		require.Equal(t, map[string]string{"type": "notice", "notice": "new_device"}, m.Data)
	}
	android, ios := fake.Messages()[0], fake.Messages()[1]
	require.Equal(t, "high", android.Priority)
	require.Regexp(t, `^3(599|600)s$`, android.TTL)
	require.Equal(t, map[string]any{"title": "Thông báo", "body": "Thiết bị mới", "title-loc-key": "VSSGATE_NOTICE_TITLE", "loc-key": "VSSGATE_NEW_DEVICE"}, ios.Alert)
	require.Equal(t, "10", ios.APNS["apns-priority"])
	require.NotContains(t, ios.APNS, "apns-collapse-id")
}

func TestALoginThatIsOverIsNotPushed(t *testing.T) {
	f, fake := start(t)
	require.Equal(t, TooLate, f.Send(t.Context(), phone, Message{Kind: Login, Login: loginID, Expires: time.Now().Add(time.Hour), Until: time.Now()}).Result)
	require.Empty(t, fake.Raw())
}

func TestEachAnswerOfFCMHasItsClass(t *testing.T) {
	for _, c := range []struct {
		fault fakefcm.Fault
		want  Result
		again time.Duration
	}{
		{fakefcm.OK(), Sent, 0},
		{fakefcm.Duplicate(), Sent, 0},
		{fakefcm.Late(time.Hour), Sent, 0},
		{fakefcm.Unregistered(), Unregistered, 0},
		{fakefcm.SenderIDMismatch(), SenderMismatch, 0},
		{fakefcm.InvalidToken(), BadToken, 0},
		{fakefcm.InvalidMessage(), BadMessage, 0},
		{fakefcm.ThirdPartyAuth(), Misconfigured, 0},
		{fakefcm.PermissionDenied(), Misconfigured, 0},
		{fakefcm.WrongProject(), Misconfigured, 0},
		{fakefcm.TooMany("7"), Throttled, 7 * time.Second},
		{fakefcm.TooMany(""), Throttled, throttledFor},
		{fakefcm.Internal(), Unavailable, unavailableFor},
		{fakefcm.BadGateway(), Unavailable, unavailableFor},
		{fakefcm.Empty(), Malformed, 0},
		{fakefcm.Garbage(), Malformed, 0},
		{fakefcm.Unavailable(""), Sent, 0}, // the library tries again at once
		{fakefcm.Reset(), Sent, 0},         // and here
	} {
		t.Run(c.fault.String()+" is "+string(c.want), func(t *testing.T) {
			f, fake := start(t)
			fake.Script(c.fault)
			o := f.Send(t.Context(), phone, login2m())
			require.Equal(t, c.want, o.Result, "%v", o.Err)
			require.Equal(t, c.again, o.RetryAfter)
			require.Equal(t, c.want == Sent, o.Err == nil)
			require.Equal(t, c.want == Misconfigured, !f.Ready(), "a fault of the configuration opens the breaker at once")
		})
	}
}

func TestASlowAnswerEndsWithTheCallersTime(t *testing.T) {
	for _, fault := range []fakefcm.Fault{fakefcm.SlowHead(time.Minute), fakefcm.SlowBody(time.Minute), fakefcm.Unavailable("60")} {
		t.Run(fault.String(), func(t *testing.T) {
			f, fake := start(t)
			fake.Always(fault)
			require.NoError(t, f.Check(t.Context()))
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			began := time.Now()
			o := f.Send(ctx, phone, login2m())
			require.Equal(t, Timeout, o.Result)
			require.Less(t, time.Since(began), 30*time.Second)
			require.Zero(t, f.breaker.failures, "the caller's hurry is not FCM's fault")
		})
	}
}

func TestARefusedBearerIsFetchedAnewOnce(t *testing.T) {
	f, fake := start(t)
	require.Equal(t, Sent, f.Send(t.Context(), phone, login2m()).Result)
	fake.ExpireBearers()
	require.Equal(t, Sent, f.Send(t.Context(), phone, login2m()).Result)
	fake.Script(fakefcm.Unauthenticated(), fakefcm.Unauthenticated())
	require.Equal(t, Misconfigured, f.Send(t.Context(), phone, login2m()).Result)
	require.False(t, f.Ready())
}

func TestARefusedKeyIsAFaultOfTheConfiguration(t *testing.T) {
	f, fake := start(t)
	fake.RefuseTokens(http.StatusBadRequest)
	require.ErrorContains(t, f.Check(t.Context()), "misconfigured")
	require.False(t, f.Ready())
	require.Equal(t, BreakerOpen, f.Send(t.Context(), phone, login2m()).Result)

	fake.AllowTokens()
	require.NoError(t, f.Check(t.Context()))
	require.True(t, f.Ready(), "a check that succeeds closes the breaker")
	require.Equal(t, Sent, f.Send(t.Context(), phone, login2m()).Result)

	fake.RefuseTokens(http.StatusServiceUnavailable)
	require.ErrorContains(t, f.Check(t.Context()), "unreachable", "a server's trouble is not the key's")
	require.True(t, f.Ready())
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, f.Check(ended), context.Canceled)
}

func TestTheBreakerOpensAfterFailuresInARowAndTriesAgain(t *testing.T) {
	f, fake := start(t)
	fake.Always(fakefcm.Internal())
	for range failuresInARow {
		require.True(t, f.Ready())
		require.Equal(t, Unavailable, f.Send(t.Context(), phone, login2m()).Result)
	}
	require.False(t, f.Ready())
	arrived := len(fake.Raw())
	require.Equal(t, BreakerOpen, f.Send(t.Context(), phone, login2m()).Result)
	require.Equal(t, arrived, len(fake.Raw()), "nothing left this machine")

	fake.Always(fakefcm.OK())
	f.breaker.until = time.Now() // the pause is over
	require.True(t, f.Ready())
	require.Equal(t, Sent, f.Send(t.Context(), phone, login2m()).Result)
	require.True(t, f.Ready())
	require.Zero(t, f.breaker.pause)
}

func TestAPhonesFaultsDoNotOpenTheBreaker(t *testing.T) {
	f, fake := start(t)
	fake.Always(fakefcm.Unregistered())
	for range 2 * failuresInARow {
		require.Equal(t, Unregistered, f.Send(t.Context(), phone, login2m()).Result)
	}
	require.True(t, f.Ready())
}

func TestNobodyAtTheEndpointIsUnreachable(t *testing.T) {
	fake := fakefcm.Run(t)
	f, err := NewFCM(Options{CredentialsJSON: fake.CredentialsJSON(), Endpoint: "http://" + testenv.FreeAddr(t) + "/v1"})
	require.NoError(t, err)
	require.NoError(t, f.Check(t.Context()))
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	require.Contains(t, []Result{Unreachable, Timeout}, f.Send(ctx, phone, login2m()).Result)
	require.NoError(t, fake.Close())
	f.tokens.forget()
	require.Equal(t, Unreachable, f.Send(t.Context(), phone, login2m()).Result)
}

func TestEverythingLeavesThroughTheProxy(t *testing.T) {
	fake := fakefcm.Run(t)
	target, err := url.Parse(fake.URL)
	require.NoError(t, err)
	asked := make(chan string, 10)
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		asked <- r.In.URL.String()
		r.SetURL(target)
	}})
	defer proxy.Close()
	f, err := NewFCM(Options{CredentialsJSON: fake.CredentialsJSON(), Endpoint: fake.Endpoint(), Proxy: proxy.URL})
	require.NoError(t, err)
	require.Equal(t, Sent, f.Send(t.Context(), phone, login2m()).Result)
	require.Equal(t, fake.URL+"/token", <-asked)
	require.Equal(t, fake.Endpoint()+"/projects/"+fake.ProjectID+"/messages:send", <-asked)
}

func TestOptionsThatCannotWorkAreErrorsWithoutSecrets(t *testing.T) {
	fake := fakefcm.Run(t)
	noProject := bytes.Replace(fake.CredentialsJSON(), []byte(`"project_id"`), []byte(`"other"`), 1)
	for name, o := range map[string]Options{
		"key file":        {CredentialsJSON: []byte(`{"type":"service_account","private_key":"SEKRET`)},
		"not a URL":       {CredentialsJSON: fake.CredentialsJSON(), Proxy: "::SEKRET"},
		"no project id":   {CredentialsJSON: noProject},
		"service account": {CredentialsJSON: []byte(`{"type":"authorized_user","client_secret":"SEKRET"}`)},
	} {
		_, err := NewFCM(o)
		require.ErrorContains(t, err, name)
		require.NotContains(t, err.Error(), "SEKRET")
	}
	f, err := NewFCM(Options{CredentialsJSON: noProject, ProjectID: "given"})
	require.NoError(t, err)
	require.True(t, f.Ready())
}

func TestTheLogHoldsNoTokens(t *testing.T) {
	var said bytes.Buffer
	fake := fakefcm.Run(t)
	f, err := NewFCM(Options{CredentialsJSON: fake.CredentialsJSON(), Endpoint: fake.Endpoint(), Log: slog.New(slog.NewTextHandler(&said, nil))})
	require.NoError(t, err)
	fake.Script(fakefcm.SenderIDMismatch(), fakefcm.PermissionDenied())
	f.Send(t.Context(), phone, login2m())
	f.Send(t.Context(), phone, login2m())
	require.Contains(t, said.String(), "another Firebase project")
	require.Contains(t, said.String(), "nothing is pushed for a while")
	for _, secret := range []string{phone.Token, "ya29.", "Bearer", "PRIVATE KEY", "assertion"} {
		require.NotContains(t, said.String(), secret)
	}
	o := classify(errorWith("bad token "+phone.Token+strings.Repeat("x", 500)), phone.Token)
	require.NotContains(t, o.Err.Error(), phone.Token)
	require.LessOrEqual(t, len(o.Err.Error()), 303)
}

func TestNothingPersonalIsSent(t *testing.T) {
	f, fake := start(t)
	for _, platform := range []string{"android", "ios", "web"} {
		require.Equal(t, Sent, f.Send(t.Context(), Target{Device: "device-secret", Platform: platform, Token: "t"}, login2m()).Result)
	}
	require.NotContains(t, string(fake.Raw()), "device-secret", "our name for the device stays here")
}

// Only what names the token in so many words may cost a device its token.
func FuzzNamesToken(f *testing.F) {
	f.Add([]byte(`{"error":{"details":[{"fieldViolations":[{"field":"message.token"}]}]}}`))
	f.Add([]byte(`{"error":{"details":[{"fieldViolations":[{"field":"message.ttl"}]}]}}`))
	f.Add([]byte(`<html>`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if namesToken(bytes.NewReader(body)) {
			require.Contains(t, strings.ToLower(string(body)), "fieldviolations")
		}
	})
}

type errorWith string

func (e errorWith) Error() string { return string(e) }

func start(t *testing.T) (*FCM, *fakefcm.Server) {
	t.Helper()
	fake := fakefcm.Run(t)
	f, err := NewFCM(Options{CredentialsJSON: fake.CredentialsJSON(), Endpoint: fake.Endpoint(), Alerts: Alerts{
		Login: Alert{Title: title, Body: "Có yêu cầu"}, Notices: map[login.NoticeWord]Alert{login.NoticeDevice: {Title: "Thông báo", Body: "Thiết bị mới"}},
	}})
	require.NoError(t, err)
	t.Cleanup(func() {
		for _, refused := range fake.Refusals() {
			if !strings.Contains(refused, "no bearer") {
				t.Error("FCM would have refused:", refused)
			}
		}
	})
	return f, fake
}

func login2m() Message {
	until := time.Now().Add(2 * time.Minute)
	return Message{Kind: Login, Login: loginID, Expires: until, Until: until}
}

func number(t *testing.T, s string) int64 {
	t.Helper()
	d, err := time.ParseDuration(s + "s")
	require.NoError(t, err)
	return int64(d / time.Second)
}
