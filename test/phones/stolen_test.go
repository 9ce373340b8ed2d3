package phones_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/phone"
	"vssgate/internal/testenv"
	"vssgate/test/site"
)

// thief has a phone with a key that nobody knows.
func (o *office) thief() *site.Phone {
	o.t.Helper()
	key, err := phone.NewKey()
	require.NoError(o.t, err)
	return o.Client(key)
}

// Who stole a push token, and with it reads all that FCM delivers there, learns
// that a login waits, and when it ends; nothing else, and he can do nothing with it.
func TestAStolenPushTokenShowsThatALoginWaitsAndNoMore(t *testing.T) {
	const token = "the-stolen-push-token"
	o, all := served(t, vssid{name: "vssid", may: everything})
	owner, other := o.phone(token), o.Phone(2)
	asked := o.challenged()
	o.told(token, "login")
	m := o.fcm.Messages()[0]
	id := m.Data["login_id"]
	require.Equal(t, map[string]string{"type": "login", "login_id": id, "expires": m.Data["expires"]}, m.Data)
	require.Equal(t, owner.Login().ID, id)

	thief := o.thief()
	for _, p := range []*site.Phone{thief, other} { // with no enrolment, and with one of somebody else's
		want := map[*site.Phone]string{thief: "unknown_device", other: "not_found"}[p]
		_, err := p.Approve(t.Context(), id, shownNumber(t, asked.Text))
		refused(t, want, err)
		_, err = p.Deny(t.Context(), id, true)
		refused(t, want, err)
	}
	_, err := thief.Logins(t.Context(), 0, "")
	refused(t, "unknown_device", err)
	other.None()
	for _, code := range []string{token, id, user + ":" + id[:8]} {
		_, err = thief.Enrol(t.Context(), phone.Enrolment{ActivationCode: code, Name: "p", Platform: "android", AppVersion: "1.6.8", PushToken: token})
		refused(t, "bad_activation", err)
	}
	require.Equal(t, http.StatusUnauthorized, backend{o, token}.asks())
	all["vssid"].person()
	for _, said := range []string{id, token} {
		require.NotEqualValues(t, site.AccessAccept, o.NAS(site.Appends).Ask(site.Request{User: user, Password: password + "," + said}).Code)
	}
	for range 3 { // and what he did counts as nobody's wrong code
		require.NotContains(t, o.Command("account", "show", user, "--json"), `"locked": true`)
	}
	o.in(owner.Code(), asked)
}

// Who reads an activation code before its owner does has a phone of the
// owner's. The other phones hear of it at once; no login that is open is his;
// revoking it ends all that he could do. Without the password he never gets in.
func TestAStolenActivationCodeIsAPhoneUntilItIsRevoked(t *testing.T) {
	o := open(t, "")
	owner := o.phone("owner")
	before := o.challenged()
	code := o.Activation(user)
	thief := o.thief()
	in := phone.Enrolment{ActivationCode: code, Name: "Phone of " + user, Platform: "android", AppVersion: "1.6.8", PushToken: "thief", Can: []string{"code", "approve", "number"}}
	done, err := thief.Enrol(t.Context(), in)
	require.NoError(t, err)
	o.told("owner", "login", "new_device")
	o.told("thief")
	_, err = o.thief().Enrol(t.Context(), in)
	refused(t, "bad_activation", err) // the owner sees that it is used

	shown := thief.Login() // the login from before
	require.Empty(t, shown.Code)
	_, err = thief.Approve(t.Context(), shown.ID, shownNumber(t, before.Text))
	refused(t, "not_found", err)
	o.in(owner.Code(), before)
	_, err = thief.Activation(t.Context())
	require.NoError(t, err, "while he is in, he can bring in another: revoke that one too")

	// What he can do while nobody has revoked his phone: see later logins, and
	// answer them. He has no password, so they are the owner's.
	asked := o.challenged()
	require.Equal(t, owner.Code(), thief.Code())
	guess := o.NAS(site.Asks).Ask(site.Request{User: user, Password: "a guess," + thief.Code(), Station: "198.51.100.66"})
	require.EqualValues(t, site.AccessReject, guess.Code)

	_, err = thief.Approve(t.Context(), thief.Login().ID, shownNumber(t, asked.Text))
	require.NoError(t, err)
	o.Command("device", "revoke", done.DeviceID)
	answer := o.types("ok", asked)
	require.EqualValues(t, site.AccessReject, answer.Code, "what he has approved is not collected any more")
	require.Equal(t, "revoked", o.Last().Reason)
	_, err = thief.Logins(t.Context(), 0, "")
	refused(t, "revoked", err)
	_, err = thief.Enrol(t.Context(), in)
	refused(t, "revoked", err)
	asked = o.challenged()
	o.in(owner.Code(), asked)
	require.Contains(t, strings.Join(o.did(), "\n"), "device:"+done.DeviceID+" device enrol")
}

// Who reads it afterwards has nothing, and so has who guesses the short form.
func TestAnActivationCodeThatIsUsedIsWorthNothing(t *testing.T) {
	o := open(t, "")
	code := o.Activation(user)
	owner := o.thief()
	in := phone.Enrolment{ActivationCode: code, Name: "p", Platform: "android", AppVersion: "1.6.8", PushToken: "owner"}
	_, err := owner.Enrol(t.Context(), in)
	require.NoError(t, err)
	_, err = o.thief().Enrol(t.Context(), in)
	refused(t, "bad_activation", err)
	o.told("owner")
	asked := o.challenged()
	o.in(owner.Code(), asked)
}

// A stolen token of VssID's servers does what it may, from where it may, and
// stands in the audit under the server's name; taken out of its file it does nothing.
func TestAStolenBackendTokenDoesWhatItMay(t *testing.T) {
	o, all := served(t, vssid{name: "reader", may: "[show]"}, vssid{name: "bound", may: everything, from: `"192.0.2.9"`}, vssid{name: "whole", may: everything})
	owner := o.phone("owner")
	person := all["reader"].person()
	asked := o.challenged()

	// That may show: he reads the code. It is worth nothing without the password.
	require.Equal(t, owner.Code(), all["reader"].logins(person)[0]["code"])
	status, _ := all["reader"].call("POST", "/v1/persons/"+person+"/logins/"+owner.Login().ID+"/answer", map[string]string{"answer": "approve", "number": shownNumber(t, asked.Text)})
	require.Equal(t, http.StatusForbidden, status)
	status, _ = all["reader"].call("PUT", "/v1/persons/"+person+"/devices/1", spoken("thief"))
	require.Equal(t, http.StatusForbidden, status)

	// That has addresses: nothing from elsewhere, and the log says that it was tried.
	require.Equal(t, http.StatusUnauthorized, all["bound"].asks())
	o.Logged("a backend's token came from an address that is not its own: if it was stolen, replace it")

	// That may everything, from anywhere: a phone of his own. The login from before
	// is not his to approve, the owner hears of the phone, and the audit of both.
	whole := all["whole"]
	status, out := whole.call("PUT", "/v1/persons/"+person+"/devices/1", spoken("thief"))
	require.Equal(t, http.StatusOK, status, out)
	o.told("owner", "login", "new_device")
	status, out = whole.call("POST", "/v1/persons/"+person+"/logins/"+owner.Login().ID+"/answer", map[string]string{"answer": "approve", "number": shownNumber(t, asked.Text)})
	require.Equal(t, http.StatusNotFound, status, out)
	o.in(owner.Code(), asked)
	require.Contains(t, o.did(), "backend:whole device enrol")

	// Other persons' logins are not reached through this one.
	second := o.Phone(2)
	require.EqualValues(t, site.AccessChallenge, o.NAS(site.Asks).Ask(site.Request{User: testenv.UserName(2), Password: testenv.UserPassword(2)}).Code)
	status, _ = whole.call("POST", "/v1/persons/"+person+"/logins/"+second.Login().ID+"/answer", map[string]string{"answer": "deny"})
	require.Equal(t, http.StatusNotFound, status)

	// It is replaced, and what it brought in is revoked.
	put(t, o.tokens+"/whole.current")
	o.Reload()
	require.Equal(t, http.StatusUnauthorized, whole.asks())
	o.Command("device", "revoke", o.named("An's phone"))
	asked = o.challenged()
	o.told("thief")
	o.in(owner.Code(), asked)
}

// named is the id of the user's device with that name.
func (o *office) named(name string) string {
	o.t.Helper()
	var all []struct{ ID, Name string }
	require.NoError(o.t, json.Unmarshal([]byte(o.Command("device", "list", "--account", user, "--json")), &all))
	for _, d := range all {
		if d.Name == name {
			return d.ID
		}
	}
	require.Fail(o.t, "no such device", "%s in %v", name, all)
	return ""
}
