package phoneapi

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
)

var _ Engine = (*login.Engine)(nil)

func TestTheListOfLogins(t *testing.T) {
	f := newFixture(t)
	d := f.enrolled()
	got := d.call("GET", "/v1/logins", nil)
	require.Equal(t, 200, got.status)
	require.Equal(t, []any{}, got.body["logins"], "none is an empty list")

	l := openLoginOf(login.ApprovalNumber)
	f.engine.put(f.person(d), "v1", l)
	got = d.call("GET", "/v1/logins", nil)
	require.Equal(t, 200, got.status)
	require.Equal(t, "v1", got.body["version"])
	at, err := time.Parse(time.RFC3339, got.body["server_time"].(string))
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), at, time.Minute)
	require.Equal(t, []any{map[string]any{
		"id": l.ID.String(), "code": "042917", "approval": "number", "username": "an.nv", "client": "hq-vpn", "from": "203.0.113.7",
		"created": l.Created.Format(time.RFC3339), "expires": l.Expires.Format(time.RFC3339), "waiting": 1.0,
	}}, got.body["logins"])

	stranger := f.newDevice()
	require.Equal(t, "unknown_device", stranger.call("GET", "/v1/logins", nil).code())
}

func TestApprovalIsCutToWhatTheDeviceCan(t *testing.T) {
	all := []string{"code", "approve", "number"}
	for _, c := range []struct {
		setting login.Approval
		can     []string
		want    string
	}{
		{login.ApprovalNumber, all, "number"},
		{login.ApprovalSimple, all, "simple"},
		{login.ApprovalOff, all, "off"},
		{login.ApprovalNumber, []string{"code", "approve"}, "off"},
		{login.ApprovalSimple, []string{"code", "number"}, "off"},
		{login.ApprovalNumber, []string{"number"}, "number"},
		{login.ApprovalSimple, []string{"approve"}, "simple"},
		{login.ApprovalSimple, []string{"code"}, "off"},
	} {
		f := newFixture(t)
		d := f.enrolled(map[string]any{"can": c.can})
		f.engine.put(f.person(d), "v1", openLoginOf(c.setting))
		got := d.call("GET", "/v1/logins", nil)
		require.Equal(t, c.want, got.body["logins"].([]any)[0].(map[string]any)["approval"], "%s with %v", c.setting, c.can)
	}
}

// later makes a call that is expected to wait.
func later(call func() reply) <-chan reply {
	done := make(chan reply, 1)
	go func() { done <- call() }()
	return done
}

func TestLongPolls(t *testing.T) {
	t.Run("without since and with a login open it answers at once", func(t *testing.T) {
		f := newFixture(t)
		d := f.enrolled()
		f.engine.put(f.person(d), "v1", openLoginOf(login.ApprovalSimple))
		require.Len(t, d.call("GET", "/v1/logins?wait=60", nil).body["logins"], 1)
	})
	t.Run("without since it waits for a login to open", func(t *testing.T) {
		f := newFixture(t)
		d := f.enrolled()
		got := later(func() reply { return d.call("GET", "/v1/logins?wait=60", nil) })
		<-f.engine.waiting
		f.engine.put(f.person(d), "v1", openLoginOf(login.ApprovalSimple))
		require.Len(t, (<-got).body["logins"], 1)
	})
	t.Run("while since is current it waits, even for a login to end", func(t *testing.T) {
		f := newFixture(t)
		d := f.enrolled()
		f.engine.put(f.person(d), "v 1&x", openLoginOf(login.ApprovalSimple))
		got := later(func() reply { return d.call("GET", "/v1/logins?wait=60&since=v+1%26x", nil) })
		<-f.engine.waiting
		f.engine.put(f.person(d), "v2")
		require.Equal(t, "v2", (<-got).body["version"])
	})
	t.Run("when since is not current it answers at once", func(t *testing.T) {
		f := newFixture(t)
		d := f.enrolled()
		f.engine.put(f.person(d), "v2")
		require.Equal(t, "v2", d.call("GET", "/v1/logins?wait=60&since=v1", nil).body["version"])
	})
	t.Run("when time is up it answers as it is", func(t *testing.T) {
		f := newFixture(t)
		d := f.enrolled()
		f.engine.put(f.person(d), "v1")
		require.Equal(t, "v1", d.call("GET", "/v1/logins?wait=1&since=v1", nil).body["version"])
	})
	t.Run("longer than a minute is refused", func(t *testing.T) {
		f := newFixture(t)
		d := f.enrolled()
		for _, wait := range []string{"61", "-1", "x", "1.5"} {
			require.Equal(t, 422, d.call("GET", "/v1/logins?wait="+wait, nil).status, wait)
		}
	})
	t.Run("a device revoked meanwhile sees nothing", func(t *testing.T) {
		f := newFixture(t)
		d := f.enrolled()
		person := f.person(d)
		got := later(func() reply { return d.call("GET", "/v1/logins?wait=60", nil) })
		<-f.engine.waiting
		_, err := f.people.Revoke(t.Context(), d.id)
		require.NoError(t, err)
		f.engine.put(person, "v1", openLoginOf(login.ApprovalSimple))
		r := <-got
		require.Equal(t, "revoked", r.code())
		require.NotContains(t, r.raw, "042917")
	})
	t.Run("of one device are bounded: the oldest is answered", func(t *testing.T) {
		f := newFixture(t)
		d := f.enrolled()
		first := later(func() reply { return d.call("GET", "/v1/logins?wait=60", nil) })
		<-f.engine.waiting
		rest := make([]<-chan reply, maxPolls)
		for i := range rest {
			rest[i] = later(func() reply { return d.call("GET", "/v1/logins?wait=60", nil) })
			<-f.engine.waiting
		}
		require.Equal(t, 200, (<-first).status)
		f.engine.put(f.person(d), "v1")
		for _, got := range rest {
			require.Equal(t, 200, (<-got).status)
		}
		require.Empty(t, f.api.polls.open)
	})
}

func TestWhoMayNotSeeLogins(t *testing.T) {
	for _, c := range []struct {
		name   string
		change map[string]any
		status int
		code   string
	}{
		{"a device that signed out", map[string]any{"signed_in": false}, 403, "signed_out"},
		{"an old app", map[string]any{"app_version": "1.6.7"}, 426, "old_app"},
		{"an app of unreadable version", map[string]any{"app_version": "new"}, 426, "old_app"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t)
			d := f.enrolled()
			l := openLoginOf(login.ApprovalSimple)
			f.engine.put(f.person(d), "v1", l)
			require.Equal(t, 200, d.call("PATCH", "/v1/device", c.change).status)
			for _, got := range []reply{
				d.call("GET", "/v1/logins", nil),
				d.call("POST", "/v1/logins/"+l.ID.String()+"/answer", map[string]any{"answer": "deny"}),
			} {
				require.Equal(t, c.status, got.status)
				require.Equal(t, c.code, got.code())
				require.NotContains(t, got.raw, "042917")
				if c.code == "old_app" {
					require.Equal(t, "1.6.8", got.body["min_version"])
				}
			}
			require.Empty(t, f.engine.answers)
			require.Equal(t, 200, d.call("PATCH", "/v1/device", map[string]any{"signed_in": true, "app_version": "1.6.8"}).status)
			require.Len(t, d.call("GET", "/v1/logins", nil).body["logins"], 1, "the same again after signing in and updating")
		})
	}
}

func TestAnswers(t *testing.T) {
	id := login.NewID()
	path := "/v1/logins/" + id.String() + "/answer"
	for _, c := range []struct {
		name   string
		can    []string
		body   map[string]any
		answer login.Answered
		err    error
		status int
		want   map[string]any // of the answer's body
	}{
		{"approved, somebody waited", nil, map[string]any{"answer": "approve"}, login.Answered{Outcome: login.OutcomeAccepted}, nil, 200, map[string]any{"verdict": "accepted"}},
		{"approved, nobody waits", nil, map[string]any{"answer": "approve", "number": "42"}, login.Answered{Outcome: login.OutcomeRetry, RetryWithin: time.Minute}, nil, 200, map[string]any{"verdict": "waiting_for_retry", "retry_within": 60.0}},
		{"denied", nil, map[string]any{"answer": "deny"}, login.Answered{Outcome: login.OutcomeRejected}, nil, 200, map[string]any{"verdict": "rejected"}},
		{"denied by a phone that can only show codes", []string{"code"}, map[string]any{"answer": "deny"}, login.Answered{Outcome: login.OutcomeRejected}, nil, 200, map[string]any{"verdict": "rejected"}},
		{"not this person's login", nil, map[string]any{"answer": "deny"}, login.Answered{}, login.ErrNotYours, 404, map[string]any{"code": "not_found"}},
		{"another number", nil, map[string]any{"answer": "approve", "number": "43"}, login.Answered{}, login.ErrWrongNumber, 403, map[string]any{"code": "wrong_number"}},
		{"several logins", nil, map[string]any{"answer": "approve"}, login.Answered{}, login.ErrSeveralLogins, 409, map[string]any{"code": "several_logins"}},
		{"ended", nil, map[string]any{"answer": "approve"}, login.Answered{}, &login.EndedError{Verdict: login.Expired}, 409, map[string]any{"code": "ended", "verdict": "expired"}},
		{"the number is missing", nil, map[string]any{"answer": "approve"}, login.Answered{}, login.ErrNumberMissing, 422, map[string]any{"code": "number_missing"}},
		{"codes only", nil, map[string]any{"answer": "approve"}, login.Answered{}, login.ErrApprovalOff, 422, map[string]any{"code": "approval_off"}},
		{"something else was shown", nil, map[string]any{"answer": "deny", "shown": shownBody()}, login.Answered{}, login.ErrShown, 422, map[string]any{"code": "shown_differs"}},
		{"the engine is down", nil, map[string]any{"answer": "deny"}, login.Answered{}, errors.New("no store"), 503, map[string]any{"code": "unavailable"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t)
			change := map[string]any{}
			if c.can != nil {
				change["can"] = c.can
			}
			d := f.enrolled(change)
			f.engine.answer = func(got login.ID, _ login.Answering) (login.Answered, error) {
				require.Equal(t, id, got)
				return c.answer, c.err
			}
			got := d.call("POST", path, c.body)
			require.Equal(t, c.status, got.status, got.raw)
			for name, value := range c.want {
				require.Equal(t, value, got.body[name], name)
			}
		})
	}
}

func shownBody() map[string]any {
	return map[string]any{"client": "hq-vpn", "from": "203.0.113.7", "username": "an.nv", "created": "2026-01-02T03:04:05Z"}
}

func TestADeviceAnswersOnlyAsItSaidItCan(t *testing.T) {
	path := "/v1/logins/" + login.NewID().String() + "/answer"
	for _, c := range []struct {
		can    []string
		number string
		want   string
	}{
		{[]string{"code"}, "", "approval_off"},
		{[]string{"code"}, "42", "approval_off"},
		{[]string{"approve"}, "42", "approval_off"},
		{[]string{"number"}, "", "number_missing"},
	} {
		f := newFixture(t)
		d := f.enrolled(map[string]any{"can": c.can})
		got := d.call("POST", path, map[string]any{"answer": "approve", "number": c.number})
		require.Equal(t, c.want, got.code(), "%v with %q", c.can, c.number)
		require.Empty(t, f.engine.answers)
	}
}

func TestWhatTheEngineIsTold(t *testing.T) {
	f := newFixture(t)
	d := f.enrolled()
	f.engine.answer = func(login.ID, login.Answering) (login.Answered, error) {
		return login.Answered{Outcome: login.OutcomeAccepted}, nil
	}
	path := "/v1/logins/" + login.NewID().String() + "/answer"
	body := mustJSON(map[string]any{"answer": "approve", "number": "42", "shown": shownBody()})
	token := d.sign(d.header(), d.claims("POST", path, body))
	require.Equal(t, 200, f.send("POST", path, token, body).status)

	require.Len(t, f.engine.answers, 1)
	a := f.engine.answers[0]
	record, _, err := f.people.Device(t.Context(), d.id)
	require.NoError(t, err)
	require.Equal(t, login.Answering{
		Kind: login.Approve, Number: "42", Person: record.Person, Device: d.id, Enrolled: record.Enrolled, Presence: "device_key",
		Signed: token + "." + b64(body),
		Shown:  &login.Shown{Client: "hq-vpn", From: "203.0.113.7", Username: "an.nv", Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)},
	}, a)

	// The evidence can be verified again by itself.
	cut := strings.LastIndexByte(a.Signed, '.')
	s, err := parseSignature(a.Signed[:cut])
	require.NoError(t, err)
	claims, err := s.by(&d.key.PublicKey)
	require.NoError(t, err)
	kept, err := base64.RawURLEncoding.DecodeString(a.Signed[cut+1:])
	require.NoError(t, err)
	require.NoError(t, claims.check(signedFor{public, "POST", path, kept}, time.Now()))
	var said map[string]any
	require.NoError(t, json.Unmarshal(kept, &said))
	require.Equal(t, "42", said["number"])
}

func TestAnIDThatIsNoneIsNobodysLogin(t *testing.T) {
	f := newFixture(t)
	d := f.enrolled()
	for _, id := range []string{"x", "00", strings.Repeat("g", 32), "..%2f"} {
		got := d.call("POST", "/v1/logins/"+id+"/answer", map[string]any{"answer": "deny"})
		require.Equal(t, 404, got.status, id)
	}
}

func TestNothingSecretIsLogged(t *testing.T) {
	f := newFixture(t)
	code := f.activation()
	d := f.newDevice()
	require.Equal(t, 201, d.call("POST", "/v1/devices", d.enrolment(code)).status)
	f.engine.put(f.person(d), "v1", openLoginOf(login.ApprovalNumber))
	f.engine.answer = func(login.ID, login.Answering) (login.Answered, error) { return login.Answered{}, errors.New("down") }
	d.call("GET", "/v1/logins", nil)
	d.call("POST", "/v1/logins/"+login.NewID().String()+"/answer", map[string]any{"answer": "approve", "number": "42"})
	d.call("POST", "/v1/devices", d.enrolment(code))
	require.NotEmpty(t, f.log.String())
	for _, secret := range []string{code, "push-token", annIdentity.Number, "042917", "Bearer", "eyJ"} {
		require.NotContains(t, f.log.String(), secret)
	}
}

func TestServingEndsWhileAPhoneWaits(t *testing.T) {
	f := newFixture(t)
	d := f.enrolled()
	ctx, stop := context.WithCancel(t.Context())
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- f.api.Serve(ctx, ln, nil) }()
	f.server.URL = "http://" + ln.Addr().String()
	f.server.Config.Handler = http.NotFoundHandler() // the other server is not used

	got := later(func() reply { return d.call("GET", "/v1/logins?wait=60", nil) })
	<-f.engine.waiting
	stop()
	require.Equal(t, 200, (<-got).status)
	require.NoError(t, <-served)
}

func TestADeviceOfNowIsShownNoCodeOfALoginFromBefore(t *testing.T) {
	now := time.Now()
	all := login.Logins{Open: []login.OpenLogin{
		{Code: "111111", Approval: login.ApprovalNumber, Created: now.Add(time.Second)},
		{Code: "222222", Approval: login.ApprovalNumber, Created: now},
		{Code: "333333", Approval: login.ApprovalSimple, Created: now.Add(-time.Second)},
	}}
	shown := withheld(all, now)
	require.Equal(t, "111111", shown.Open[0].Code)
	for _, l := range shown.Open[1:] {
		require.Empty(t, l.Code, "whoever enrols a phone in the middle of a login cannot finish it")
		require.Equal(t, login.ApprovalOff, l.Approval)
	}
	require.Equal(t, "222222", all.Open[1].Code, "others see it as before")
}
