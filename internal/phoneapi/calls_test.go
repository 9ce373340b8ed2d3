package phoneapi

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
)

func TestEnrolling(t *testing.T) {
	t.Run("gives the device id and the account", func(t *testing.T) {
		f := newFixture(t)
		d := f.newDevice()
		got := d.call("POST", "/v1/devices", d.enrolment(f.activation()))
		require.Equal(t, 201, got.status)
		require.Equal(t, map[string]any{
			"device_id": d.id,
			"account":   map[string]any{"username": "an.nv", "display_name": "Nguyễn Văn An"},
		}, got.body)
	})
	t.Run("again with the same key gives the same answer", func(t *testing.T) {
		f := newFixture(t)
		d := f.newDevice()
		e := d.enrolment(f.activation())
		first, again := d.call("POST", "/v1/devices", e), d.call("POST", "/v1/devices", e)
		require.Equal(t, 201, again.status)
		require.Equal(t, first.body, again.body)
	})
	t.Run("again with another key is refused", func(t *testing.T) {
		f := newFixture(t)
		code := f.activation()
		d, thief := f.newDevice(), f.newDevice()
		require.Equal(t, 201, d.call("POST", "/v1/devices", d.enrolment(code)).status)
		got := thief.call("POST", "/v1/devices", thief.enrolment(code))
		require.Equal(t, 404, got.status)
		require.Equal(t, "bad_activation", got.code())
		require.NotContains(t, got.raw, code)
	})
	t.Run("with a key that the sender does not hold is refused", func(t *testing.T) {
		f := newFixture(t)
		d, thief := f.newDevice(), f.newDevice()
		e := thief.enrolment(f.activation(), map[string]any{"public_key": d.jwk()})
		require.Equal(t, "bad_signature", thief.call("POST", "/v1/devices", e).code())
		thief.id = d.id // claims to be it, signs with his own
		require.Equal(t, "bad_signature", thief.call("POST", "/v1/devices", e).code())
		e = thief.enrolment(f.activation()) // brings his own, names the other
		require.Equal(t, "bad_signature", thief.call("POST", "/v1/devices", e).code())
	})
	t.Run("by two phones at once lets one in", func(t *testing.T) {
		f := newFixture(t)
		code := f.activation()
		statuses := make([]int, 4)
		var wg sync.WaitGroup
		for i := range statuses {
			d := f.newDevice()
			e := d.enrolment(code)
			wg.Go(func() { statuses[i] = d.call("POST", "/v1/devices", e).status })
		}
		wg.Wait()
		require.ElementsMatch(t, []int{201, 404, 404, 404}, statuses)
	})
	t.Run("more devices than are allowed is refused", func(t *testing.T) {
		f := newFixture(t)
		for range 3 {
			f.enrolled()
		}
		d := f.newDevice()
		require.Equal(t, "too_many_devices", d.call("POST", "/v1/devices", d.enrolment(f.activation())).code())
	})
	t.Run("with a key that is in use is a conflict", func(t *testing.T) {
		f := newFixture(t)
		d := f.enrolled()
		got := d.call("POST", "/v1/devices", d.enrolment(f.activation()))
		require.Equal(t, 409, got.status)
		require.Equal(t, "conflict", got.code())
	})
	t.Run("without saying what it can do can show codes", func(t *testing.T) {
		f := newFixture(t)
		d := f.newDevice()
		e := d.enrolment(f.activation())
		delete(e, "can")
		require.Equal(t, 201, d.call("POST", "/v1/devices", e).status)
		require.Equal(t, []any{"code"}, d.call("GET", "/v1/device", nil).body["can"])
	})
	t.Run("guessing codes shuts the address out", func(t *testing.T) {
		f := newFixture(t)
		f.api.limits.addresses.burst = 3
		d := f.newDevice()
		for range 3 {
			require.Equal(t, "bad_activation", d.call("POST", "/v1/devices", d.enrolment("AAAAAAAAAAAAAAAAAAAAAAAAAA")).code())
		}
		f.api.limits.mu.Lock()
		f.api.limits.devices = recent{rate: devicePerSecond, burst: deviceBurst, most: remembered}
		f.api.limits.mu.Unlock()
		require.Equal(t, "slow_down", d.call("POST", "/v1/devices", d.enrolment("AAAAAAAAAAAAAAAAAAAAAAAAAA")).code())
	})
}

func TestBodiesThatAreRefused(t *testing.T) {
	f := newFixture(t)
	d := f.enrolled()
	fresh := f.newDevice()
	enrol := func(change map[string]any) string {
		return string(mustJSON(fresh.enrolment("AAAAAAAAAAAAAAAAAAAAAAAAAA", change)))
	}
	cases := []struct{ name, method, path, body string }{
		{"no JSON", "PATCH", "/v1/device", `{"signed_in":`},
		{"nothing", "PATCH", "/v1/device", ``},
		{"a list", "PATCH", "/v1/device", `[]`},
		{"an unknown field", "PATCH", "/v1/device", `{"person":"x"}`},
		{"a wrong type", "PATCH", "/v1/device", `{"signed_in":"yes"}`},
		{"an unknown ability", "PATCH", "/v1/device", `{"can":["fly"]}`},
		{"unknown notifications", "PATCH", "/v1/device", `{"notifications":"some"}`},
		{"a very long token", "PATCH", "/v1/device", `{"push_token":"` + strings.Repeat("t", 1025) + `"}`},
		{"longer than any body", "PATCH", "/v1/device", `{"push_token":"` + strings.Repeat("t", maxBody) + `"}`},
		{"an unknown platform", "POST", "/v1/devices", enrol(map[string]any{"platform": "symbian"})},
		{"a platform that is not allowed", "POST", "/v1/devices", enrol(map[string]any{"platform": "web"})},
		{"no name", "POST", "/v1/devices", enrol(map[string]any{"name": ""})},
		{"an enrolment of nothing", "POST", "/v1/devices", `{}`},
		{"an enrolment that is no JSON", "POST", "/v1/devices", `{`},
		{"an unknown answer", "POST", "/v1/logins/00000000000000000000000000000000/answer", `{"answer":"maybe"}`},
		{"a number that is none", "POST", "/v1/logins/00000000000000000000000000000000/answer", `{"answer":"approve","number":"4x"}`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			who := d
			if c.path == "/v1/devices" {
				who = fresh
			}
			body := []byte(c.body)
			got := f.send(c.method, c.path, who.sign(who.header(), who.claims(c.method, c.path, body)), body)
			require.Equal(t, 422, got.status, got.raw)
			require.Equal(t, "bad_body", got.code())
			require.NotContains(t, got.raw, "AAAAAAAAAA", "what was sent is not repeated")
		})
	}
}

func TestADevicesOwnRecord(t *testing.T) {
	f := newFixture(t)
	d := f.enrolled()
	got := d.call("GET", "/v1/device", nil)
	require.Equal(t, 200, got.status)
	require.Equal(t, d.id, got.body["device_id"])
	require.Equal(t, true, got.body["signed_in"])
	require.Equal(t, "push-token", got.body["push_token"])

	got = d.call("PATCH", "/v1/device", map[string]any{"push_token": "", "app_version": "1.7.0", "can": []string{"code"}, "notifications": "denied", "signed_in": false})
	require.Equal(t, 200, got.status, got.raw)
	require.Equal(t, got.body, d.call("GET", "/v1/device", nil).body)
	require.Equal(t, "denied", got.body["notifications"])
	require.Equal(t, "", got.body["push_token"])
	require.Equal(t, false, got.body["signed_in"])

	require.Equal(t, 204, d.call("DELETE", "/v1/device", nil).status)
	for _, path := range []string{"/v1/device", "/v1/logins"} {
		got = d.call("GET", path, nil)
		require.Equal(t, 401, got.status)
		require.Equal(t, "revoked", got.code())
	}
	require.Equal(t, "revoked", d.call("POST", "/v1/devices", d.enrolment(f.activation())).code(), "for good")
}

func TestANewDeviceIsAnnouncedToTheOthersAndAudited(t *testing.T) {
	f := newFixture(t)
	d := f.newDevice()
	e := d.enrolment(f.activation())
	require.Equal(t, 201, d.call("POST", "/v1/devices", e).status)
	require.Equal(t, 201, d.call("POST", "/v1/devices", e).status)
	require.Equal(t, []login.Notice{{Person: f.person(d), Word: login.NoticeDevice, Except: d.id}}, f.notices, "once")
	require.Equal(t, []string{"device:" + d.id + " device enrol " + d.id}, f.recorded)

	f.full = errors.New("no space left on device")
	d = f.newDevice()
	e = d.enrolment(f.activation())
	require.Equal(t, 503, d.call("POST", "/v1/devices", e).status, "none gets in unrecorded")
	f.full = nil
	require.Equal(t, 201, d.call("POST", "/v1/devices", e).status)
	require.Contains(t, f.recorded, "device:"+d.id+" device enrol "+d.id)
}

func TestTheOldPhoneBringsInTheNextOne(t *testing.T) {
	f := newFixture(t)
	old, next, thief := f.enrolled(), f.newDevice(), f.newDevice()
	for _, in := range []any{nil, map[string]any{}} {
		got := old.call("POST", "/v1/device/activation", in)
		require.Equal(t, 201, got.status, got.raw)
		require.Equal(t, public+"/activate#"+got.body["activation_code"].(string), got.body["url"])
	}
	got := old.call("POST", "/v1/device/activation", nil)
	expires, err := time.Parse(time.RFC3339, got.body["expires"].(string))
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(10*time.Minute), expires, time.Minute)
	require.Contains(t, f.recorded, "device:"+old.id+" device add uuid-ann")

	code := got.body["activation_code"].(string)
	require.Equal(t, 201, next.call("POST", "/v1/devices", next.enrolment(code)).status)
	require.Equal(t, f.person(old), f.person(next))
	require.Equal(t, "bad_activation", thief.call("POST", "/v1/devices", thief.enrolment(code)).code(), "once")

	for range 2 {
		require.Equal(t, 201, old.call("POST", "/v1/device/activation", nil).status)
	}
	got = old.call("POST", "/v1/device/activation", nil)
	require.Equal(t, 429, got.status, "not without end")
	require.Equal(t, "600", got.header.Get("Retry-After"))
}

func TestWhoBringsInNobody(t *testing.T) {
	f := newFixture(t)
	d := f.enrolled()
	require.Equal(t, "unknown_device", f.newDevice().call("POST", "/v1/device/activation", nil).code())
	d.call("PATCH", "/v1/device", map[string]any{"signed_in": false})
	require.Equal(t, "signed_out", d.call("POST", "/v1/device/activation", nil).code())
	d.call("PATCH", "/v1/device", map[string]any{"signed_in": true, "app_version": "1.6.7"})
	require.Equal(t, "old_app", d.call("POST", "/v1/device/activation", nil).code())
	d.call("PATCH", "/v1/device", map[string]any{"app_version": "1.6.8"})
	f.full = errors.New("no space left on device")
	require.Equal(t, 503, d.call("POST", "/v1/device/activation", nil).status, "nothing is given out unrecorded")
	f.full = nil

	_, err := f.people.SetNumbers(t.Context(), annIdentity, "7900000001", "") // the account is somebody else's now
	require.NoError(t, err)
	require.Equal(t, "not_found", d.call("POST", "/v1/device/activation", nil).code(), "never a key to another person's account")
	_, err = f.people.Revoke(t.Context(), d.id)
	require.NoError(t, err)
	require.Equal(t, "revoked", d.call("POST", "/v1/device/activation", nil).code())
}

func TestWhoSignsOutForGoodTakesItsApprovalsAlong(t *testing.T) {
	f := newFixture(t)
	d, other := f.enrolled(), f.enrolled()
	f.engine.answer = func(login.ID, login.Answering) (login.Answered, error) {
		return login.Answered{Outcome: login.OutcomeRetry}, nil
	}
	for _, who := range []*device{d, other} {
		require.Equal(t, 200, who.call("POST", "/v1/logins/"+login.NewID().String()+"/answer", map[string]any{"answer": "approve"}).status)
	}
	require.Equal(t, 204, d.call("DELETE", "/v1/device", nil).status)
	require.Equal(t, []string{d.id}, f.engine.ended)
	require.Contains(t, f.recorded, "device:"+d.id+" device sign out "+d.id)
}

func TestARevokedDeviceIsToldOnlyWithItsKey(t *testing.T) {
	f := newFixture(t)
	d, thief := f.enrolled(), f.newDevice()
	_, err := f.people.Revoke(t.Context(), d.id)
	require.NoError(t, err)
	require.Equal(t, "revoked", d.call("GET", "/v1/device", nil).code())
	thief.id = d.id
	require.Equal(t, "bad_signature", thief.call("GET", "/v1/device", nil).code())
}

func TestProblemsAreInTheUsersLanguage(t *testing.T) {
	f := newFixture(t)
	d := f.newDevice()
	for accept, want := range map[string]string{
		"":                  "Thiết bị này chưa được kích hoạt. Hãy kích hoạt VssID cho tài khoản.",
		"vi-VN":             "Thiết bị này chưa được kích hoạt. Hãy kích hoạt VssID cho tài khoản.",
		"en-GB,en;q=0.8":    "This device is not activated. Activate VssID for the account.",
		"fr;q=0.9,en;q=0.5": "This device is not activated. Activate VssID for the account.",
	} {
		got := d.call("GET", "/v1/device", nil, "Accept-Language", accept)
		require.Equal(t, want, got.body["detail"], accept)
		require.Equal(t, "no-store", got.header.Get("Cache-Control"))
		require.Empty(t, got.header.Get("Access-Control-Allow-Origin"))
	}
	d = f.enrolled()
	got := d.call("PATCH", "/v1/device", map[string]any{"no": 1}, "Accept-Language", "en")
	require.Equal(t, "The request is not valid.", got.body["detail"], "huma's own refusals too")
}

func TestEveryProblemHasTextAndStatus(t *testing.T) {
	f := newFixture(t)
	for code, status := range statuses {
		require.NotEmpty(t, http.StatusText(status))
		for _, lang := range []string{"vi", "en"} {
			p := f.api.in(lang, problem(code))
			require.NotContains(t, p.Detail, "problem.", "%s has no text", code)
		}
	}
	for _, row := range codes {
		require.NotZero(t, statuses[row.code], row.code)
	}
}

func TestWhatIsNotThere(t *testing.T) {
	f := newFixture(t)
	d := f.enrolled()
	for _, target := range []string{"/", "/v1", "/v1/accounts", "/docs", "/schemas/Problem.json"} {
		got := d.call("GET", target, nil)
		require.Equal(t, 404, got.status, target)
		require.Equal(t, "not_found", got.code())
	}
	require.Equal(t, 404, d.call("PUT", "/v1/device", nil).status)
}

func TestTheStoreIsAway(t *testing.T) {
	f := newFixture(t)
	d := f.enrolled()
	f.store.fail(errors.New("redis: connection refused"))
	got := d.call("GET", "/v1/device", nil)
	require.Equal(t, 503, got.status)
	require.Equal(t, "unavailable", got.code())
	require.NotContains(t, got.raw, "redis")
	require.Contains(t, f.log.String(), "connection refused")
}

func TestADeviceMayAskTwentyTimesASecondAndNotForEver(t *testing.T) {
	f := newFixture(t)
	d := f.enrolled()
	require.GreaterOrEqual(t, float64(f.api.limits.devices.rate), 20.0)
	require.GreaterOrEqual(t, f.api.limits.devices.burst, 20)
	for range 20 {
		require.Equal(t, 200, d.call("GET", "/v1/device", nil).status)
	}
	f.api.limits.mu.Lock()
	f.api.limits.devices = recent{rate: 0.001, burst: 1, most: 10}
	f.api.limits.mu.Unlock()
	require.Equal(t, 200, d.call("GET", "/v1/device", nil).status)
	got := d.call("GET", "/v1/device", nil)
	require.Equal(t, 429, got.status)
	require.Equal(t, "slow_down", got.code())
	require.Equal(t, "1", got.header.Get("Retry-After"))
}

func TestForgersAreShutOutAndTheirNeighboursAreNot(t *testing.T) {
	f := newFixture(t)
	honest := f.enrolled()
	f.api.limits.mu.Lock()
	f.api.limits.addresses = recent{rate: 0.001, burst: 5, most: 10}
	f.api.limits.mu.Unlock()
	thief := f.newDevice()
	for range 5 {
		require.Equal(t, "unknown_device", thief.call("GET", "/v1/device", nil).code())
	}
	require.Equal(t, "slow_down", thief.call("GET", "/v1/device", nil).code())
	require.Equal(t, "slow_down", f.send("GET", "/v1/device", "x", nil).code())
	require.Equal(t, 5, f.counted("unknown_device"))
	require.Equal(t, 2, f.counted("slow_down"))
	require.Equal(t, 200, honest.call("GET", "/v1/device", nil).status, "same address, known device")
}

func TestLimitersAreBounded(t *testing.T) {
	r := recent{rate: 1, burst: 1, most: 10}
	busy := r.limiter("busy")
	for i := range 1000 {
		r.limiter(string(rune('a' + i)))
		require.Same(t, busy, r.limiter("busy"), "one in use is kept")
		require.LessOrEqual(t, len(r.young)+len(r.old), 20)
	}
}

func TestAddresses(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.1:5":                "192.0.2.1",
		"[::ffff:192.0.2.1]:5":       "192.0.2.1",
		"[2001:db8:1:2:3:4:5:6]:443": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:443":         "fe80::/64",
		"pipe":                       "pipe",
	} {
		require.Equal(t, want, address(remote))
	}
}

func TestTheDocumentDescribesTheCalls(t *testing.T) {
	f := newFixture(t)
	got := f.send("GET", "/openapi.json", "", nil)
	require.Equal(t, 200, got.status)
	require.True(t, strings.HasPrefix(got.body["openapi"].(string), "3.1"))
	paths := got.body["paths"].(map[string]any)
	for path, methods := range map[string][]string{
		"/v1/devices": {"post"}, "/v1/device": {"get", "patch", "delete"}, "/v1/device/activation": {"post"}, "/v1/logins": {"get"}, "/v1/logins/{id}/answer": {"post"},
		"/v1/persons": {"post"}, "/v1/persons/{person_id}/devices/{their_id}": {"put"}, "/v1/persons/{person_id}/logins": {"get"}, "/v1/persons/{person_id}/logins/{id}/answer": {"post"},
	} {
		for _, method := range methods {
			operation := paths[path].(map[string]any)[method].(map[string]any)
			require.Contains(t, operation["responses"], "401")
			who := "device"
			if strings.HasPrefix(path, "/v1/persons") {
				who = "backend"
			}
			require.Contains(t, operation["security"].([]any)[0], who)
		}
	}
	require.NotContains(t, got.raw, "ErrorModel\"}}")
}

func TestWhereAQRCodeLeads(t *testing.T) {
	f := newFixture(t)
	got := f.send("GET", "/activate", "", nil, "Accept-Language", "en")
	require.Equal(t, 200, got.status)
	require.Contains(t, got.raw, "VssID")
}
