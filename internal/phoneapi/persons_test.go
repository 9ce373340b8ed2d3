package phoneapi

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
)

// A vssid is a server of VssID's own, with its token.
type vssid struct {
	f     *fixture
	token string
}

// backend makes a server that may do that, from those addresses.
func (f *fixture) backend(name string, may []Right, from ...netip.Prefix) *vssid {
	v := &vssid{f, rand.Text() + rand.Text()}
	sum := sha256.Sum256([]byte(v.token))
	f.mu.Lock()
	defer f.mu.Unlock()
	f.backends = append(f.backends, Backend{Name: name, Addresses: from, May: may, Tokens: func() [][32]byte { return [][32]byte{{}, sum} }})
	return v
}

var everything = []Right{MayDevices, MayShow, MayAnswer}

func (v *vssid) call(method, target string, in any) reply {
	v.f.t.Helper()
	var body []byte
	if in != nil {
		body = mustJSON(in)
	}
	return v.f.send(method, target, v.token, body)
}

func mentioned(f *fixture, id login.Identity) string {
	f.t.Helper()
	a, _, err := f.people.Mention(f.t.Context(), id)
	require.NoError(f.t, err)
	return a.Person
}

func phoneOf(change map[string]any) map[string]any {
	all := map[string]any{"name": "An's phone", "platform": "android", "app_version": "1.6.8", "push_token": "push-token", "can": []string{"code", "approve", "number"}}
	for name, value := range change {
		all[name] = value
	}
	return all
}

func TestABackendFindsAPersonByEitherNumber(t *testing.T) {
	f := newFixture(t)
	v := f.backend("vssid", []Right{MayShow})
	person := mentioned(f, annIdentity)
	other := mentioned(f, login.Identity{ID: "uuid-binh", Username: "binh", Number: "001234567890"})

	got := v.call("POST", "/v1/persons", map[string]any{"bhxh_number": annIdentity.Number})
	require.Equal(t, 200, got.status, got.raw)
	require.Equal(t, map[string]any{"person_id": person}, got.body)
	require.NotContains(t, got.raw, annIdentity.Number)
	require.Equal(t, other, v.call("POST", "/v1/persons", map[string]any{"personal_id": "001234567890"}).body["person_id"])

	for name, c := range map[string]struct {
		in   map[string]any
		code string
	}{
		"of nobody":                 {map[string]any{"bhxh_number": "7900000000"}, "not_found"},
		"of two persons":            {map[string]any{"bhxh_number": annIdentity.Number, "personal_id": "001234567890"}, "conflict"},
		"without a number":          {map[string]any{}, "bad_body"},
		"a short one":               {map[string]any{"bhxh_number": "791234567"}, "bad_body"},
		"the one as the other":      {map[string]any{"personal_id": annIdentity.Number}, "bad_body"},
		"one that is not of digits": {map[string]any{"bhxh_number": "79123456７8"}, "bad_body"},
	} {
		got := v.call("POST", "/v1/persons", c.in)
		require.Equal(t, c.code, got.code(), name)
		require.NotContains(t, got.raw, annIdentity.Number, "no number in an error")
	}
	require.Equal(t, 404, v.call("POST", "/v1/persons", map[string]any{"bhxh_number": "7900000000"}).status)
	require.Equal(t, 409, v.call("POST", "/v1/persons", map[string]any{"bhxh_number": annIdentity.Number, "personal_id": "001234567890"}).status)

	_, err := f.people.Remove(t.Context(), annIdentity.ID)
	require.NoError(t, err)
	require.Equal(t, 404, v.call("POST", "/v1/persons", map[string]any{"bhxh_number": annIdentity.Number}).status, "no account has it")
	require.NotContains(t, f.log.String(), annIdentity.Number)
}

func TestABackendMayOnlyWhatItMay(t *testing.T) {
	f := newFixture(t)
	person := mentioned(f, annIdentity)
	f.engine.answer = func(login.ID, login.Answering) (login.Answered, error) {
		return login.Answered{Outcome: login.OutcomeRejected}, nil
	}
	calls := map[string]struct {
		method, target string
		in             any
		rights         []Right
	}{
		"find":   {"POST", "/v1/persons", map[string]any{"bhxh_number": annIdentity.Number}, everything},
		"put":    {"PUT", "/v1/persons/" + person + "/devices/d-1", phoneOf(nil), []Right{MayDevices}},
		"show":   {"GET", "/v1/persons/" + person + "/logins", nil, []Right{MayShow}},
		"answer": {"POST", "/v1/persons/" + person + "/logins/" + login.NewID().String() + "/answer", map[string]any{"answer": "deny"}, []Right{MayAnswer}},
	}
	for _, right := range []Right{"", MayDevices, MayShow, MayAnswer} {
		v := f.backend("may-"+string(right), []Right{right})
		for name, c := range calls {
			got, may := v.call(c.method, c.target, c.in), false
			for _, r := range c.rights {
				may = may || r == right
			}
			if may {
				require.Equal(t, 200, got.status, "%q and %s: %s", right, name, got.raw)
				continue
			}
			require.Equal(t, 403, got.status, "%q and %s", right, name)
			require.Equal(t, "not_allowed", got.code())
		}
	}
}

func TestATokenThatIsNone(t *testing.T) {
	f := newFixture(t)
	v := f.backend("vssid", everything)
	d := f.enrolled()
	target := "/v1/persons/" + f.person(d) + "/logins"
	for name, token := range map[string]string{
		"none": "", "another": rand.Text() + rand.Text(), "a part": v.token[:51], "more": v.token + "x",
		"a device's": d.sign(d.header(), d.claims("GET", target, nil)),
	} {
		got := f.send("GET", target, token, nil)
		require.Equal(t, 401, got.status, name)
		require.Equal(t, "bad_token", got.code(), name)
	}
	require.Equal(t, 5, f.counted("bad_token"))
	require.Equal(t, "bad_signature", f.send("GET", "/v1/logins", v.token, nil).code(), "and a backend is no device")

	elsewhere := f.backend("elsewhere", everything, netip.MustParsePrefix("192.0.2.0/24"))
	require.Equal(t, "bad_token", elsewhere.call("GET", target, nil).code(), "a stolen token")
	require.Contains(t, f.log.String(), "if it was stolen")
	here := f.backend("here", everything, netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("127.0.0.1/32"))
	require.Equal(t, 200, here.call("GET", target, nil).status)
}

func TestWhoGuessesTokensIsShutOutAndTheBackendIsNot(t *testing.T) {
	f := newFixture(t)
	v := f.backend("vssid", everything)
	target := "/v1/persons/" + mentioned(f, annIdentity) + "/logins"
	require.Equal(t, 200, v.call("GET", target, nil).status)
	late := f.backend("late", everything)
	f.api.limits.mu.Lock()
	f.api.limits.addresses = recent{rate: 0.001, burst: 5, most: 10}
	f.api.limits.mu.Unlock()
	for range 5 {
		require.Equal(t, "bad_token", f.send("GET", target, "guess", nil).code())
	}
	got := f.send("GET", target, "guess", nil)
	require.Equal(t, 429, got.status)
	require.NotEmpty(t, got.header.Get("Retry-After"))
	require.Equal(t, 200, v.call("GET", target, nil).status, "same address, known token")
	require.Equal(t, 429, late.call("GET", target, nil).status, "a guess that is right is not heard either")
}

func TestABackendBringsDevicesIn(t *testing.T) {
	f := newFixture(t)
	v := f.backend("vssid", everything)
	person := mentioned(f, annIdentity)
	target := "/v1/persons/" + person + "/devices/installation-1"
	got := v.call("PUT", target, phoneOf(nil))
	require.Equal(t, 200, got.status, got.raw)
	id := got.body["device_id"].(string)
	require.Equal(t, []login.Notice{{Person: person, Word: login.NoticeDevice, Except: id}}, f.notices)
	require.Equal(t, []string{"backend:vssid device enrol " + id}, f.recorded)

	got = v.call("PUT", target, phoneOf(map[string]any{"name": "renamed", "app_version": "1.7.0", "notifications": "denied"}))
	require.Equal(t, id, got.body["device_id"])
	require.Equal(t, "1.7.0", got.body["app_version"])
	require.Len(t, f.notices, 1, "it is not new")
	devices, err := f.people.Devices(t.Context(), person)
	require.NoError(t, err)
	require.Len(t, devices, 1)

	keyless := f.newDevice()
	keyless.id = id
	require.Equal(t, "unknown_device", keyless.call("GET", "/v1/logins", nil).code(), "it has no key: nothing is signed by it")

	require.Equal(t, "bad_body", v.call("PUT", target, phoneOf(map[string]any{"platform": "web"})).code(), "a platform that is not allowed")
	require.Equal(t, 404, v.call("PUT", "/v1/persons/0123/devices/x", phoneOf(nil)).status, "nobody")
	require.Equal(t, 200, v.call("PUT", target+"-2", phoneOf(nil)).status)
	require.Equal(t, 200, v.call("PUT", target+"-3", phoneOf(nil)).status)
	require.Equal(t, "too_many_devices", v.call("PUT", target+"-4", phoneOf(nil)).code())

	_, err = f.people.Revoke(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, "revoked", v.call("PUT", target, phoneOf(nil)).code(), "a lost phone does not come back with the next sign-in")
	d := f.newDevice()
	require.Equal(t, "revoked", v.call("PUT", target, phoneOf(map[string]any{"public_key": d.jwk()})).code(), "nor with another key")
}

func TestAVouchedDeviceWithAKeySpeaksForItself(t *testing.T) {
	f := newFixture(t)
	v := f.backend("vssid", everything)
	person := mentioned(f, annIdentity)
	target := "/v1/persons/" + person + "/devices/installation-1"
	d := f.newDevice()
	got := v.call("PUT", target, phoneOf(map[string]any{"public_key": d.jwk()}))
	require.Equal(t, 200, got.status, got.raw)
	require.Equal(t, d.id, got.body["device_id"])
	l := openLoginOf(login.ApprovalSimple)
	f.engine.put(person, "v1", l)
	require.Equal(t, 200, d.call("GET", "/v1/logins", nil).status)
	f.engine.answer = func(login.ID, login.Answering) (login.Answered, error) {
		return login.Answered{Outcome: login.OutcomeAccepted}, nil
	}
	require.Equal(t, 200, d.call("POST", "/v1/logins/"+l.ID.String()+"/answer", map[string]any{"answer": "approve"}).status)
	require.Equal(t, "device_key", f.engine.answers[0].Presence)

	shown := v.call("GET", "/v1/persons/"+person+"/logins", nil)
	require.Equal(t, "off", shown.body["logins"].([]any)[0].(map[string]any)["approval"], "the backend only vouches")
	refused := v.call("POST", "/v1/persons/"+person+"/logins/"+l.ID.String()+"/answer", map[string]any{"answer": "approve"})
	require.Equal(t, "approval_off", refused.code())

	require.Equal(t, d.id, v.call("PUT", target, phoneOf(nil)).body["device_id"], "the key is as before")
	next := f.newDevice()
	require.Equal(t, next.id, v.call("PUT", target, phoneOf(map[string]any{"public_key": next.jwk()})).body["device_id"])
	require.Equal(t, "revoked", d.call("GET", "/v1/logins", nil).code(), "the old key")
	require.Equal(t, []string{d.id}, f.engine.ended, "and what it approved")
	require.Contains(t, f.recorded, "backend:vssid device replace "+d.id)
	require.Equal(t, 200, next.call("GET", "/v1/logins", nil).status)

	mine := f.enrolled()
	taken := v.call("PUT", target+"-2", phoneOf(map[string]any{"public_key": mine.jwk()}))
	require.Equal(t, "conflict", taken.code(), "a key that came in by an activation")
	stranger := f.backend("stranger", everything)
	taken = stranger.call("PUT", target, phoneOf(map[string]any{"public_key": next.jwk()}))
	require.Equal(t, "conflict", taken.code(), "another backend's")
	require.Equal(t, "bad_body", v.call("PUT", target, phoneOf(map[string]any{"public_key": map[string]any{"kty": "EC", "crv": "P-256", "x": b64(make([]byte, 32)), "y": b64(make([]byte, 32))}})).code(), "a point that is not on the curve")
}

func TestABackendShowsAndAnswersForAPhoneWithoutAKey(t *testing.T) {
	f := newFixture(t)
	v := f.backend("vssid", everything)
	person := mentioned(f, annIdentity)
	logins := "/v1/persons/" + person + "/logins"
	l := openLoginOf(login.ApprovalNumber)
	f.engine.put(person, "v1", l)
	f.engine.answer = func(login.ID, login.Answering) (login.Answered, error) {
		return login.Answered{Outcome: login.OutcomeRetry, RetryWithin: time.Minute}, nil
	}
	approve := map[string]any{"answer": "approve", "number": "42", "shown": map[string]any{"client": l.Client, "from": l.From, "username": l.Username, "created": l.Created}}
	answer := logins + "/" + l.ID.String() + "/answer"

	require.Equal(t, "approval_off", v.call("POST", answer, approve).code(), "no device can")
	require.Empty(t, f.engine.answers)
	require.Equal(t, 200, v.call("PUT", "/v1/persons/"+person+"/devices/1", phoneOf(map[string]any{"can": nil})).status)
	require.Equal(t, "off", v.call("GET", logins, nil).body["logins"].([]any)[0].(map[string]any)["approval"])
	require.Equal(t, "approval_off", v.call("POST", answer, approve).code(), "codes only")
	require.Equal(t, 200, v.call("PUT", "/v1/persons/"+person+"/devices/2", phoneOf(nil)).status)

	got := v.call("GET", logins+"?wait=5", nil)
	require.Equal(t, 200, got.status, got.raw)
	require.Equal(t, l.Code, got.body["logins"].([]any)[0].(map[string]any)["code"])
	require.Equal(t, "number", got.body["logins"].([]any)[0].(map[string]any)["approval"])
	got = v.call("POST", answer, approve)
	require.Equal(t, 200, got.status, got.raw)
	require.Equal(t, map[string]any{"verdict": "waiting_for_retry", "retry_within": 60.0}, got.body)
	given := f.engine.answers[0]
	require.Equal(t, "backend:vssid", given.Presence)
	require.Equal(t, person, given.Person)
	require.Empty(t, given.Signed)
	require.WithinDuration(t, time.Now(), given.Enrolled, time.Minute, "a device of now approves nothing older: the engine sees to it")
	require.NotNil(t, given.Shown)

	f.engine.answer = func(login.ID, login.Answering) (login.Answered, error) { return login.Answered{}, login.ErrNotYours }
	require.Equal(t, 404, v.call("POST", answer, approve).status)
	require.Equal(t, 404, v.call("POST", logins+"/x/answer", approve).status)
	f.engine.answer = func(login.ID, login.Answering) (login.Answered, error) {
		return login.Answered{}, &login.EndedError{Verdict: login.Expired}
	}
	require.Equal(t, "expired", v.call("POST", answer, approve).body["verdict"])

	for _, n := range []string{"1", "2"} {
		require.Equal(t, 200, v.call("PUT", "/v1/persons/"+person+"/devices/"+n, phoneOf(map[string]any{"app_version": "1.6.7"})).status)
	}
	got = v.call("GET", logins, nil)
	require.Equal(t, 426, got.status)
	require.Equal(t, "1.6.8", got.body["min_version"])
}

func TestABackendWaitsLikeAPhone(t *testing.T) {
	f := newFixture(t)
	v := f.backend("vssid", everything)
	person := mentioned(f, annIdentity)
	f.engine.put(person, "v0")
	done := later(func() reply { return v.call("GET", "/v1/persons/"+person+"/logins?wait=30&since=v0", nil) })
	<-f.engine.waiting
	f.engine.put(person, "v1", openLoginOf(login.ApprovalOff))
	require.Equal(t, "v1", (<-done).body["version"])
}

// What a backend waits for it is not shown once its token is gone, nor when it
// may less than it did.
func TestABackendThatWaitsIsLookedAtAgain(t *testing.T) {
	for what, become := range map[string]func(*Backend){
		"bad_token":   func(b *Backend) { b.Tokens = func() [][32]byte { return nil } },
		"not_allowed": func(b *Backend) { b.May = []Right{MayDevices} },
	} {
		f := newFixture(t)
		v := f.backend("vssid", everything)
		person := mentioned(f, annIdentity)
		f.engine.put(person, "v0")
		done := later(func() reply { return v.call("GET", "/v1/persons/"+person+"/logins?wait=30&since=v0", nil) })
		<-f.engine.waiting
		f.mu.Lock()
		become(&f.backends[0])
		f.mu.Unlock()
		f.engine.put(person, "v1", openLoginOf(login.ApprovalOff))
		got := <-done
		require.Equal(t, what, got.code(), got.raw)
		require.NotContains(t, got.raw, "042917")
	}
}

func TestABackendAndItsStoreAway(t *testing.T) {
	f := newFixture(t)
	v := f.backend("vssid", everything)
	person := mentioned(f, annIdentity)
	f.store.fail(errors.New("redis: connection refused"))
	require.Equal(t, 503, v.call("PUT", "/v1/persons/"+person+"/devices/1", phoneOf(nil)).status)
	f.store.fail(nil)
	f.full = errors.New("no space left on device")
	require.Equal(t, 503, v.call("PUT", "/v1/persons/"+person+"/devices/1", phoneOf(nil)).status, "none gets in unrecorded")
	f.full = nil
	require.Equal(t, 200, v.call("PUT", "/v1/persons/"+person+"/devices/1", phoneOf(nil)).status)
	require.Len(t, f.recorded, 1)
}
