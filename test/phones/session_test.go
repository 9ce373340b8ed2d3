package phones_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/phone"
	"vssgate/internal/testenv"
	"vssgate/test/site"
)

// Closed too early? Signed out of VssID and in again, the same code is shown,
// as long as the login is open, pushed or not.
func TestTheSameCodeAfterSigningOutAndIn(t *testing.T) {
	o := open(t, "")
	p := o.phone("his")
	asked := o.challenged()
	before := p.Login()
	require.Len(t, before.Code, 6)
	o.told("his", "login")

	o.signs(p, false)
	_, err := p.Logins(t.Context(), 0, "")
	refused(t, "signed_out", err)
	_, err = p.Approve(t.Context(), before.ID, "11")
	refused(t, "signed_out", err)
	_, err = p.Deny(t.Context(), before.ID, false)
	refused(t, "signed_out", err)

	o.signs(p, true)
	after := p.Login()
	before.Waiting, after.Waiting = 0, 0
	require.Equal(t, before, after)
	o.told("his", "login") // nothing rings again
	o.in(after.Code, asked)
	o.told("his", "login", "login.closed")
}

// Who is signed out is not rung; once he signs in he finds the login and its
// code, and the next one rings again.
func TestALoginFromWhileThePhoneWasSignedOut(t *testing.T) {
	o := open(t, "")
	p, other := o.phone("his"), o.phone("other")
	o.told("his", "new_device")
	o.signs(p, false)
	asked := o.challenged()
	o.told("other", "login")
	o.told("his", "new_device")

	o.signs(p, true)
	require.Equal(t, other.Code(), p.Code())
	o.in(p.Code(), asked)
	o.told("other", "login", "login.closed")
	o.told("his", "new_device", "login.closed")

	o.challenged()
	o.told("his", "new_device", "login.closed", "login")
}

// All phones signed out: the login begins all the same, and says what to do.
func TestALoginWhileEveryPhoneIsSignedOut(t *testing.T) {
	o := open(t, "")
	p := o.phone("his")
	o.signs(p, false)
	asked := o.challenged()
	require.Contains(t, asked.Text, "sign in to VssID")
	o.told("his")
	o.signs(p, true)
	o.in(p.Code(), asked)
}

// A phone that comes in while a login is open sees that there is one, but can
// neither show its code nor answer it (a thief could enrol one just then).
func TestAPhoneThatCameInDuringALogin(t *testing.T) {
	o := open(t, "")
	old := o.phone("old")
	asked := o.challenged()
	o.told("old", "login")
	fresh := o.phone("fresh")
	shown := fresh.Login()
	require.Equal(t, old.Login().ID, shown.ID)
	require.Empty(t, shown.Code)
	require.Equal(t, "off", shown.Approval)
	_, err := fresh.Approve(t.Context(), shown.ID, "11")
	refused(t, "not_found", err)
	_, err = fresh.Deny(t.Context(), shown.ID, false)
	refused(t, "not_found", err)
	o.in(old.Code(), asked)
	o.told("old", "login", "new_device", "login.closed")
	o.told("fresh") // neither that it waits nor that it has ended

	asked = o.challenged()
	require.Equal(t, old.Code(), fresh.Code(), "from the next login on it is like any other")
	o.in(fresh.Code(), asked)
}

// The old phone brings in its successor, without an administrator; then it is
// signed out for good.
func TestTheOldPhoneMakesWayForItsSuccessor(t *testing.T) {
	o := open(t, "")
	old := o.phone("old")
	next, err := old.Activation(t.Context())
	require.NoError(t, err)
	require.Equal(t, "http://"+o.Phones+"/activate#"+next.ActivationCode, next.URL)
	key, err := phone.NewKey()
	require.NoError(t, err)
	c := o.Client(key)
	in := phone.Enrolment{ActivationCode: next.ActivationCode, Name: "New phone", Platform: "ios", AppVersion: "1.6.8", PushToken: "new", Can: []string{"code", "number"}}
	done, err := c.Enrol(t.Context(), in)
	require.NoError(t, err)
	require.Equal(t, user, done.Account.Username)
	require.Equal(t, testenv.UserCN(1), done.Account.DisplayName)
	again, err := c.Enrol(t.Context(), in)
	require.NoError(t, err, "the answer was lost")
	require.Equal(t, done, again)
	o.told("old", "new_device")

	require.NoError(t, old.SignOut(t.Context()))
	_, err = old.Logins(t.Context(), 0, "")
	refused(t, "revoked", err)
	_, err = old.Activation(t.Context())
	refused(t, "revoked", err)
	asked := o.challenged()
	o.told("new", "login")
	o.told("old", "new_device")
	o.in(c.Code(), asked)
	require.Equal(t, []string{
		"device add", "device enrol", // by the administrator, and by the phone
		"device add", "device enrol", "device sign out",
	}, actions(o.Changes()))
	changes := o.Changes()
	require.Equal(t, "device:"+old.ID, changes[2].By)
	require.Equal(t, "device:"+done.DeviceID, changes[3].By)
}

func actions(all []site.Record) (words []string) {
	for _, r := range all {
		words = append(words, r.Action)
	}
	return words
}

// signs signs the phone out, or in.
func (o *office) signs(p *site.Phone, in bool) {
	o.t.Helper()
	d, err := p.Change(o.t.Context(), map[string]any{"signed_in": in})
	require.NoError(o.t, err)
	require.Equal(o.t, in, d.SignedIn)
}
