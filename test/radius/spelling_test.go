package radius_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
	"vssgate/test/site"
)

// Whoever types his name in capitals in front of the code types a code all the
// same: it is counted and compared, and no directory sees it as a password.
func TestACodeIsAppendedUnderAnySpellingThatTheDirectoryTakes(t *testing.T) {
	s := site.Start(t, site.Options{Directory: testenv.SlapdOptions{Log: true}})
	phone := s.Phone(1)
	nas := s.NAS(site.Appends)
	spellings := []string{user, strings.ToUpper(user), user + " ", "  " + user}
	for i, name := range spellings {
		begun := asks
		begun.User = spellings[(i+1)%len(spellings)]
		require.Contains(t, nas.Ask(begun).Text, "Password correct")
		code := phone.Code()
		guess := site.Request{User: name, Password: password + "," + site.WrongCode(code), Station: asks.Station}
		require.Contains(t, nas.Ask(guess).Text, "Wrong code. 2 tries left")
		guess.Password = password + "," + code
		done := nas.Ask(guess)
		require.EqualValues(t, site.AccessAccept, done.Code, "%q after %q: %s", name, begun.User, done.Text)
		phone.None()
	}
	require.Len(t, s.Ended(), len(spellings), "one login, one record")
	require.NotContains(t, s.Slapd.Log(), "err=49", "the directory has seen no wrong password")
}

func TestGuessesUnderManySpellingsLockTheAccount(t *testing.T) {
	s := site.Start(t, site.Options{Directory: testenv.SlapdOptions{Log: true}, More: "second_factor: {wrong_codes: 3, lockout: {after: 3}}"})
	phone := s.Phone(1)
	nas := s.NAS(site.Appends)
	require.Contains(t, nas.Ask(asks).Text, "Password correct")
	wrong := phone.Wrong()
	for _, name := range []string{strings.ToUpper(user), user + " ", " " + strings.ToUpper(user)} {
		nas.Ask(site.Request{User: name, Password: password + "," + wrong, Station: asks.Station})
	}
	phone.None()
	require.Equal(t, "bad_code", s.Last().Reason)
	require.Contains(t, nas.Ask(asks).Text, "locked")
	require.NotContains(t, s.Slapd.Log(), "err=49", "the directory has seen no wrong password")
}
