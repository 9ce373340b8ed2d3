package system_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/test/site"
)

// Whoever is asked at night why a user cannot log in reads it, until when it is
// so and the way out, in one command.
func TestAccountShowSaysWhyTheNextLoginWouldFail(t *testing.T) {
	s := site.Start(t, site.Options{})
	phone := s.Phone(1)
	asksNAS, appends := s.NAS(site.Asks), s.NAS(site.Appends)
	shown := func() string { return s.Command("account", "show", user) }
	require.Regexp(t, `(?m)^can log in +yes$`, shown())
	require.NotContains(t, shown(), "wrong")
	unlock := func() { s.Command("account", "unlock", user, "--why", "the user called") }

	for _, guess := range []string{"a", "b", "c"} {
		asksNAS.Ask(site.Request{User: user, Password: guess, Station: "203.0.113.7"})
	}
	require.Regexp(t, `(?m)^can log in +yes\nwrong passwords +3 lately$`, shown())
	asksNAS.Ask(site.Request{User: user, Password: "d", Station: "203.0.113.7"})
	require.Regexp(t, `(?m)^can log in +no: too many wrong passwords, none is passed to the directory until \d{4}-\S+ \S+ \S+\nwrong passwords +4: .*vssgate account unlock `+user, shown())
	require.Contains(t, s.Command("account", "list"), "no: too many wrong passwords")
	refused := asksNAS.Ask(asks)
	require.EqualValues(t, site.AccessReject, refused.Code, "it is so")
	unlock()
	asked := asksNAS.Ask(asks)
	require.EqualValues(t, site.AccessChallenge, asked.Code)
	require.Regexp(t, `(?m)^\d{4}\S+ \S+ \S+ +[A-Z0-9]{6} +asks +203\.0\.113\.7 +open +-$`, shown(), "the open one")
	require.EqualValues(t, site.AccessAccept, asksNAS.Ask(asks.Saying(phone.Code(), asked.State)).Code)
	require.Regexp(t, `(?ms)^TIME +TRACE.* asks +203\.0\.113\.7 +ended +accepted\n.* ended +bad_password$`, shown())

	appends.Ask(asks)
	guess := asks
	guess.Password += ",000000"
	for range 2 {
		appends.Ask(guess)
	}
	require.Regexp(t, `(?m)^can log in +yes\nwrong codes +2; it is locked at 5`, shown())
	_, err := phone.Deny(t.Context(), phone.Login().ID, true)
	require.NoError(t, err)
	require.Regexp(t, `(?m)^can log in +no: locked until .*\nlocked +its owner reported a login`, shown())
	unlock()
	require.Regexp(t, `(?m)^can log in +yes$`, shown())
}
