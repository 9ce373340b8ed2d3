// Package phones_test does with the whole program what people do with their
// phones, and what thieves do with what they stole: RADIUS logins at a real
// directory, a strict fake of FCM, phones and VssID's servers over HTTP.
//
// Map: office_test.go (what the tests have), notices_test.go (what phones are
// told beside their logins), session_test.go (signing out and in, the next
// phone), backend_test.go (VssID's own servers), stolen_test.go (a push token, an
// activation code, a backend's token), bomber_test.go (prompts without end).
package phones_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/phone"
	"vssgate/internal/testenv"
	"vssgate/test/fakefcm"
	"vssgate/test/site"
)

// The user that most tests log in as, and what he asks.
var (
	user     = testenv.UserName(1)
	password = testenv.UserPassword(1)
	asks     = site.Request{User: user, Password: password, Station: "203.0.113.7"}
)

// An office is a site whose phones are pushed to.
type office struct {
	*site.Site
	t      *testing.T
	fcm    *fakefcm.Server
	tokens string // folder of the backends' tokens
}

// open sets one up with that configuration besides.
func open(t *testing.T, more string) *office {
	t.Helper()
	fcm := fakefcm.Run(t)
	file := filepath.Join(t.TempDir(), "fcm.json")
	require.NoError(t, os.WriteFile(file, fcm.CredentialsJSON(), 0o600))
	s := site.Start(t, site.Options{More: fmt.Sprintf("push: {fcm: {credentials_file: %s, endpoint: %q}}\n%s", file, fcm.Endpoint(), more)})
	t.Cleanup(func() { require.Empty(t, fcm.Refusals(), "the strict fake found nothing wrong") })
	return &office{Site: s, t: t, fcm: fcm}
}

// phone enrols one more phone of the user's, with that push token.
func (o *office) phone(token string) *site.Phone {
	o.t.Helper()
	return o.Enrol(user, phone.Enrolment{PushToken: token, Notifications: "allowed"})
}

// told waits until FCM has told that token just this so far: "login",
// "login.closed", or the word of a notice.
func (o *office) told(token string, want ...string) {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(o.t.Context(), site.Patience)
	defer cancel()
	for {
		all := o.fcm.Messages()
		var got []string
		for _, m := range all {
			if m.Token == token {
				got = append(got, word(m))
			}
		}
		if len(got) >= len(want) {
			require.ElementsMatch(o.t, want, got, token)
			return
		}
		_, err := o.fcm.Wait(ctx, len(all)+1)
		require.NoError(o.t, err, "%s was told %q, not %q", token, got, want)
	}
}

func word(m fakefcm.Message) string {
	if m.Data["type"] == "notice" {
		return m.Data["notice"]
	}
	return m.Data["type"]
}

// challenged begins a login of the user's, up to the question for the code.
func (o *office) challenged() site.Answer {
	o.t.Helper()
	asked := o.NAS(site.Asks).Ask(asks)
	require.EqualValues(o.t, site.AccessChallenge, asked.Code, asked.Text)
	return asked
}

// types answers a challenge.
func (o *office) types(code string, asked site.Answer) site.Answer {
	o.t.Helper()
	return o.NAS(site.Asks).Ask(asks.Saying(code, asked.State))
}

// in wants a code to be the right one.
func (o *office) in(code string, asked site.Answer) {
	o.t.Helper()
	answer := o.types(code, asked)
	require.EqualValues(o.t, site.AccessAccept, answer.Code, answer.Text)
}

// did are the changes in the audit, as "who action".
func (o *office) did() (all []string) {
	for _, r := range o.Changes() {
		all = append(all, r.By+" "+r.Action)
	}
	return all
}

// refused wants an error of the phone API, and returns nothing else.
func refused(t *testing.T, code string, err error) {
	t.Helper()
	var p *phone.Problem
	require.True(t, errors.As(err, &p), "%v is no refusal", err)
	require.Equal(t, code, p.Code, p.Detail)
}

// A backend is a server of VssID's own, or whoever has its token.
type backend struct {
	o     *office
	token string
}

// call asks as a backend does.
func (b backend) call(method, target string, in any) (status int, out map[string]any) {
	b.o.t.Helper()
	body, err := json.Marshal(in)
	require.NoError(b.o.t, err)
	r, err := http.NewRequestWithContext(b.o.t.Context(), method, "http://"+b.o.Phones+target, bytes.NewReader(body))
	require.NoError(b.o.t, err)
	r.Header.Set("Authorization", "Bearer "+b.token)
	got, err := http.DefaultClient.Do(r)
	require.NoError(b.o.t, err)
	defer got.Body.Close()
	raw, err := io.ReadAll(got.Body)
	require.NoError(b.o.t, err)
	require.NoError(b.o.t, json.Unmarshal(raw, &out), "%s", raw)
	return got.StatusCode, out
}

// person is the user's, as the backend knows him.
func (b backend) person() string {
	b.o.t.Helper()
	status, out := b.call("POST", "/v1/persons", map[string]string{"bhxh_number": testenv.UserNumber(1)})
	require.Equal(b.o.t, http.StatusOK, status, out)
	return out["person_id"].(string)
}

// logins are the user's open ones, as the backend is shown them.
func (b backend) logins(person string) (all []map[string]any) {
	b.o.t.Helper()
	status, out := b.call("GET", "/v1/persons/"+person+"/logins?wait=10", nil)
	require.Equal(b.o.t, http.StatusOK, status, out)
	for _, l := range out["logins"].([]any) {
		all = append(all, l.(map[string]any))
	}
	require.NotEmpty(b.o.t, all)
	return all
}
