package fakefcm

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"
)

const good = `{"message":{"token":"t","data":{"type":"login","login_id":"1"},"android":{"priority":"high","ttl":"119s"}}}`

const goodIOS = `{"message":{"token":"t","data":{"type":"login"},"apns":{"headers":{"apns-priority":"10","apns-push-type":"alert",` +
	`"apns-expiration":"1764000000","apns-collapse-id":"0102"},"payload":{"aps":{"alert":{"title-loc-key":"T","loc-key":"B"},` +
	`"sound":"default","category":"C","interruption-level":"time-sensitive"}}}}}`

const goodBackground = `{"message":{"token":"t","apns":{"headers":{"apns-priority":"5","apns-push-type":"background"},"payload":{"aps":{"content-available":1}}}}}`

const goodWeb = `{"message":{"token":"t","webpush":{"headers":{"TTL":"60","Urgency":"high"}}}}`

func TestGoodMessagesAreAcceptedAndRecorded(t *testing.T) {
	s := Run(t)
	for i, body := range []string{good, goodIOS, goodBackground, goodWeb} {
		status, answer := s.post(t, body)
		require.Equal(t, http.StatusOK, status, answer)
		messages, err := s.Wait(t.Context(), i+1)
		require.NoError(t, err)
		require.Equal(t, body, string(messages[i].Raw))
		require.Contains(t, answer, messages[i].Name)
		require.Regexp(t, `^projects/fake-vssid/messages/[a-z0-9]+$`, messages[i].Name)
	}
	m := s.Messages()
	require.Equal(t, "high", m[0].Priority)
	require.Equal(t, "119s", m[0].TTL)
	require.Equal(t, "login", m[0].Data["type"])
	require.Equal(t, "B", m[1].Alert["loc-key"])
	require.Equal(t, "10", m[1].APNS["apns-priority"])
	require.Equal(t, "high", m[3].Webpush["Urgency"])
	require.Empty(t, s.Refusals())
}

func TestADryRunIsCheckedAndNotDelivered(t *testing.T) {
	s := Run(t)
	status, _ := s.post(t, strings.Replace(good, `{"message"`, `{"validate_only":true,"message"`, 1))
	require.Equal(t, http.StatusOK, status)
	require.Empty(t, s.Messages())
}

// Each row breaks one rule of a good message, and its refusal names the place.
func TestEveryRuleRefuses(t *testing.T) {
	long := strings.Repeat("x", maxPayload)
	for _, c := range []struct{ name, base, from, to, place string }{
		{"an unknown field at the top", good, `{"message"`, `{"nonsense":1,"message"`, "nonsense"},
		{"an unknown field of the message", good, `"token"`, `"Token":"x","token"`, "message.Token"},
		{"an unknown field for Android", good, `"priority"`, `"urgency":"x","priority"`, "message.android.urgency"},
		{"an unknown field for Apple", goodIOS, `"apns":{`, `"apns":{"x":1,`, "message.apns.x"},
		{"an unknown header for Apple", goodIOS, `"apns-priority"`, `"apns-urgency":"1","apns-priority"`, "apns-urgency"},
		{"an unknown field of aps", goodIOS, `"sound"`, `"noise":"x","sound"`, "aps.noise"},
		{"an unknown field of the alert", goodIOS, `"loc-key"`, `"lock-key":"x","loc-key"`, "alert.lock-key"},
		{"an unknown field for browsers", goodWeb, `"webpush":{`, `"webpush":{"x":1,`, "webpush.x"},
		{"a field that is there twice", good, `"token":"t"`, `"token":"t","token":"u"`, "twice"},
		{"something behind the message", good, `}}}`, `}}} {}`, "follows"},
		{"what is not JSON", good, `{"message"`, `{message`, "body"},
		{"what is not an object", good, good, `[]`, "object"},
		{"no message", good, good, `{}`, "message"},
		{"no target", good, `"token":"t",`, ``, "exactly one"},
		{"two targets", good, `"token":"t"`, `"token":"t","topic":"all"`, "exactly one"},
		{"an empty token", good, `"token":"t"`, `"token":""`, "message.token"},
		{"a token that is a number", good, `"token":"t"`, `"token":1`, "message.token"},
		{"data that is a number", good, `"login_id":"1"`, `"login_id":1`, "message.data.login_id"},
		{"data that is an object", good, `"login_id":"1"`, `"login_id":{}`, "message.data.login_id"},
		{"data that is null", good, `"login_id":"1"`, `"login_id":null`, "message.data.login_id"},
		{"the reserved name from", good, `"login_id"`, `"from"`, "message.data.from"},
		{"the reserved name message_type", good, `"login_id"`, `"message_type"`, "message.data.message_type"},
		{"a reserved name of google", good, `"login_id"`, `"google.x"`, "message.data.google.x"},
		{"a reserved name of gcm", good, `"login_id"`, `"gcm.x"`, "message.data.gcm.x"},
		{"a name that is empty", good, `"login_id"`, `""`, "must have a name"},
		{"a reserved name beside aps", goodIOS, `"payload":{`, `"payload":{"gcm.x":"1",`, "gcm.x"},
		{"a payload that is too large", good, `"login_id":"1"`, `"login_id":"` + long + `"`, "payload of"},
		{"an Apple payload that is too large", goodIOS, `"payload":{`, `"payload":{"x":"` + long + `",`, "larger than"},
		{"a time to live without unit", good, `"119s"`, `"119"`, "android.ttl"},
		{"a time to live as a number", good, `"119s"`, `119`, "android.ttl"},
		{"a negative time to live", good, `"119s"`, `"-1s"`, "android.ttl"},
		{"a time to live in minutes", good, `"119s"`, `"2m"`, "android.ttl"},
		{"a time to live past four weeks", good, `"119s"`, `"2419201s"`, "android.ttl"},
		{"a time to live with ten decimals", good, `"119s"`, `"1.0123456789s"`, "android.ttl"},
		{"an unknown priority", good, `"high"`, `"highest"`, "android.priority"},
		{"an Apple priority as a number", goodIOS, `"apns-priority":"10"`, `"apns-priority":10`, "apns-priority"},
		{"an unknown Apple priority", goodIOS, `"apns-priority":"10"`, `"apns-priority":"9"`, "apns-priority"},
		{"an expiration that is not seconds", goodIOS, `"1764000000"`, `"tomorrow"`, "apns-expiration"},
		{"a fractional expiration", goodIOS, `"1764000000"`, `"1.5"`, "apns-expiration"},
		{"an unknown push type", goodIOS, `"alert","apns-exp`, `"loud","apns-exp`, "apns-push-type"},
		{"no push type", goodIOS, `"apns-push-type":"alert",`, ``, "apns-push-type"},
		{"a collapse id over 64 bytes", goodIOS, `"0102"`, `"` + strings.Repeat("0", 65) + `"`, "apns-collapse-id"},
		{"an empty collapse id", goodIOS, `"0102"`, `""`, "apns-collapse-id"},
		{"an unknown interruption level", goodIOS, `"time-sensitive"`, `"urgent"`, "interruption-level"},
		{"a payload without aps", goodIOS, `"aps"`, `"app"`, "aps"},
		{"an alert that shows nothing", goodIOS, `"alert":{"title-loc-key":"T","loc-key":"B"},"sound":"default",`, ``, "must show"},
		{"a background push at priority 10", goodBackground, `"5"`, `"10"`, "must not have priority 10"},
		{"a background push that shows something", goodBackground, `"content-available":1`, `"content-available":1,"alert":"x"`, "nothing visible"},
		{"a background push without content", goodBackground, `"content-available":1`, `"mutable-content":1`, "content-available"},
		{"content-available as a truth value", goodBackground, `"content-available":1`, `"content-available":true`, "content-available"},
		{"a web time to live with unit", goodWeb, `"60"`, `"60s"`, "TTL"},
		{"an unknown urgency", goodWeb, `"high"`, `"highest"`, "Urgency"},
		{"a list where an object belongs", good, `"data":{"type":"login","login_id":"1"}`, `"data":[]`, "message.data"},
		{"nesting without end", goodIOS, `"payload":{`, `"payload":{"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `,`, "too deeply"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := runOnce(t)
			body := strings.Replace(c.base, c.from, c.to, 1)
			require.NotEqual(t, c.base, body, "the row changes nothing")
			status, answer := s.post(t, body)
			require.Equal(t, http.StatusBadRequest, status, answer)
			require.Contains(t, answer, c.place)
			require.Contains(t, answer, "type.googleapis.com/google.firebase.fcm.v1.FcmError")
			require.Contains(t, answer, "INVALID_ARGUMENT")
			require.Empty(t, s.Messages())
		})
	}
}

func TestOnlyTheRightCallIsAnswered(t *testing.T) {
	s := Run(t)
	bearer := s.bearer(t)
	for _, c := range []struct {
		name, method, path, kind, bearer string
		status                           int
	}{
		{"another path", "POST", "/v1/projects/fake-vssid/messages:sendAll", "application/json", bearer, 404},
		{"no /v1", "POST", "/projects/fake-vssid/messages:send", "application/json", bearer, 404},
		{"another method", "PUT", "/v1/projects/fake-vssid/messages:send", "application/json", bearer, 405},
		{"another project", "POST", "/v1/projects/other/messages:send", "application/json", bearer, 404},
		{"a query", "POST", "/v1/projects/fake-vssid/messages:send?key=1", "application/json", bearer, 400},
		{"another content type", "POST", "/v1/projects/fake-vssid/messages:send", "text/plain", bearer, 400},
		{"no bearer", "POST", "/v1/projects/fake-vssid/messages:send", "application/json", "", 401},
		{"a made-up bearer", "POST", "/v1/projects/fake-vssid/messages:send", "application/json", "ya29.x", 401},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, answer := s.call(t, c.method, c.path, c.kind, c.bearer, good)
			if c.status == http.StatusMethodNotAllowed {
				require.GreaterOrEqual(t, status, 400)
				return
			}
			require.Equal(t, c.status, status, answer)
		})
	}
	require.Empty(t, s.Messages())
	s.ExpireBearers()
	status, _ := s.call(t, "POST", "/v1/projects/fake-vssid/messages:send", "application/json", bearer, good)
	require.Equal(t, http.StatusUnauthorized, status)
	status, _ = s.call(t, "POST", "/v1/projects/fake-vssid/messages:send", "application/json", s.bearer(t), strings.Repeat(" ", maxBody)+good)
	require.Equal(t, http.StatusBadRequest, status)
}

func TestOnlyARightAssertionGetsABearer(t *testing.T) {
	s := Run(t)
	other := Run(t)
	now := time.Now().Unix()
	claims := func(change func(map[string]any)) map[string]any {
		c := map[string]any{"iss": s.email(), "aud": s.URL + "/token", "scope": Scope, "iat": now, "exp": now + 3600}
		change(c)
		return c
	}
	nothing := func(map[string]any) {}
	for _, c := range []struct {
		name, assertion string
		status          int
	}{
		{"a right one", s.sign(t, s, claims(nothing)), 200},
		{"another key", other.sign(t, s, claims(nothing)), 400},
		{"another key id", s.sign(t, other, claims(nothing)), 400},
		{"another issuer", s.sign(t, s, claims(func(c map[string]any) { c["iss"] = "me" })), 400},
		{"another audience", s.sign(t, s, claims(func(c map[string]any) { c["aud"] = "https://oauth2.googleapis.com/token" })), 400},
		{"more scopes", s.sign(t, s, claims(func(c map[string]any) { c["scope"] = Scope + " https://www.googleapis.com/auth/cloud-platform" })), 400},
		{"no scope", s.sign(t, s, claims(func(c map[string]any) { delete(c, "scope") })), 400},
		{"an expired one", s.sign(t, s, claims(func(c map[string]any) { c["iat"], c["exp"] = now-3600, now-1 })), 400},
		{"one from the future", s.sign(t, s, claims(func(c map[string]any) { c["iat"], c["exp"] = now+600, now+1200 })), 400},
		{"one valid for a day", s.sign(t, s, claims(func(c map[string]any) { c["exp"] = now + 86400 })), 400},
		{"an unknown claim", s.sign(t, s, claims(func(c map[string]any) { c["admin"] = true })), 400},
		{"one without a signature", "eyJhbGciOiJub25lIn0.e30.", 400},
		{"none", "", 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, _ := s.grant(t, url.Values{"grant_type": {grantType}, "assertion": {c.assertion}})
			require.Equal(t, c.status, status)
		})
	}
	right := s.sign(t, s, claims(nothing))
	for _, form := range []url.Values{
		{"assertion": {right}},
		{"grant_type": {"client_credentials"}, "assertion": {right}},
		{"grant_type": {grantType}, "assertion": {right}, "scope": {Scope}},
		{"grant_type": {grantType}, "assertion": {right, right}},
	} {
		status, _ := s.grant(t, form)
		require.Equal(t, http.StatusBadRequest, status)
	}
	status, _ := s.call(t, "GET", "/token", "", "", "")
	require.Equal(t, http.StatusBadRequest, status)
}

func TestFaultsComeInTheOrderOfTheScript(t *testing.T) {
	s := Run(t)
	s.Always(Internal())
	s.Script(TooMany("3"), OK(), Duplicate(), Empty(), Garbage(), BadGateway())
	want := []int{429, 200, 200, 200, 200, 502, 500, 500}
	for i, status := range want {
		got, answer := s.post(t, good)
		require.Equal(t, status, got, "%d: %s", i, answer)
	}
	require.Len(t, s.Messages(), 3, "one ordinary, one delivered twice")
	s.Always(OK())
	s.Unregister("t")
	status, answer := s.post(t, good)
	require.Equal(t, http.StatusNotFound, status)
	require.Contains(t, answer, "UNREGISTERED")
}

func TestALateMessageComesAfterItsAnswer(t *testing.T) {
	s := Run(t)
	s.Script(Late(time.Millisecond), Late(time.Hour))
	for range 2 {
		status, _ := s.post(t, good)
		require.Equal(t, http.StatusOK, status)
	}
	_, err := s.Wait(t.Context(), 1)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err = s.Wait(ctx, 2)
	require.ErrorContains(t, err, "1 of 2 messages")
}

func TestABrokenConnectionIsAnError(t *testing.T) {
	s := Run(t)
	s.Script(Reset())
	r, err := http.NewRequestWithContext(t.Context(), "POST", s.Endpoint()+"/projects/fake-vssid/messages:send", strings.NewReader(good))
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+s.bearer(t))
	r.Header.Set("Content-Type", "application/json")
	_, err = http.DefaultClient.Do(r)
	require.Error(t, err)
	require.Empty(t, s.Messages())
}

func TestARefusedTokenEndPointSaysSoUntilItIsMended(t *testing.T) {
	s := Run(t)
	s.RefuseTokens(http.StatusUnauthorized)
	status, _ := s.grant(t, url.Values{})
	require.Equal(t, http.StatusUnauthorized, status)
	s.AllowTokens()
	require.NotEmpty(t, s.bearer(t))
}

func TestEveryByteThatArrivedIsKept(t *testing.T) {
	s := Run(t)
	s.call(t, "POST", "/some/secret-path", "text/plain", "secret-bearer", "secret-body")
	for _, part := range []string{"/some/secret-path", "secret-bearer", "secret-body"} {
		require.Contains(t, string(s.Raw()), part)
	}
	require.Equal(t, []string{"unknown call: POST /some/secret-path"}, s.Refusals())
}

func TestAnAddressInUseIsAnError(t *testing.T) {
	s := Run(t)
	_, err := Start(strings.TrimPrefix(s.URL, "http://"))
	require.ErrorContains(t, err, "fake FCM")
	require.NoError(t, s.Close())
	require.NoError(t, s.Close(), "closing twice is harmless")
}

// What the strict reader accepts says the same as what encoding/json reads.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{good, goodIOS, `{"a":1,"a":2}`, `[1,2`, `{} {}`, `"\ud800"`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		v, err := decode(raw)
		check(raw) // never breaks
		if err != nil {
			return
		}
		var want any
		d := json.NewDecoder(strings.NewReader(string(raw)))
		d.UseNumber()
		require.NoError(t, d.Decode(&want))
		require.Equal(t, want, v)
	})
}

var shared *Server

// runOnce shares one fake among rows that it refuses all.
func runOnce(t *testing.T) *Server {
	if shared == nil {
		var err error
		shared, err = Start("127.0.0.1:0")
		require.NoError(t, err)
	}
	return shared
}

func (s *Server) post(t *testing.T, body string) (int, string) {
	t.Helper()
	return s.call(t, "POST", "/v1/projects/fake-vssid/messages:send", "application/json; charset=utf-8", s.bearer(t), body)
}

func (s *Server) bearer(t *testing.T) string {
	t.Helper()
	now := time.Now().Unix()
	status, answer := s.grant(t, url.Values{"grant_type": {grantType}, "assertion": {s.sign(t, s, map[string]any{
		"iss": s.email(), "aud": s.URL + "/token", "scope": Scope, "iat": now, "exp": now + 3600,
	})}})
	require.Equal(t, http.StatusOK, status, answer)
	var token struct {
		Access  string `json:"access_token"`
		Expires int    `json:"expires_in"`
		Type    string `json:"token_type"`
	}
	require.NoError(t, json.Unmarshal([]byte(answer), &token))
	require.Equal(t, "Bearer", token.Type)
	require.Equal(t, 3599, token.Expires)
	return token.Access
}

// sign makes an assertion with s's key under named's key id.
func (s *Server) sign(t *testing.T, named *Server, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: s.key, KeyID: named.keyID}}, nil)
	require.NoError(t, err)
	raw, err := json.Marshal(claims)
	require.NoError(t, err)
	signed, err := signer.Sign(raw)
	require.NoError(t, err)
	compact, err := signed.CompactSerialize()
	require.NoError(t, err)
	return compact
}

func (s *Server) grant(t *testing.T, form url.Values) (int, string) {
	t.Helper()
	return s.call(t, "POST", "/token", "application/x-www-form-urlencoded", "", form.Encode())
}

func (s *Server) call(t *testing.T, method, path, kind, bearer, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Content-Type", kind)
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(answer)
}
