package phones_test

import (
	"fmt"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/test/site"
)

var twoDigits = regexp.MustCompile(`\b[0-9]{2}\b`)

// shownNumber is the number to match that the login's screen shows.
func shownNumber(t *testing.T, text string) string {
	t.Helper()
	found := twoDigits.FindString(text)
	require.NotEmpty(t, found, text)
	return found
}

// Who knows the password, and hopes that the owner taps Approve to have peace,
// makes the phone ring three times in ten minutes, whatever he varies. The owner
// is not shut out meanwhile, and one report ends it.
func TestAPushBomberRingsThreeTimes(t *testing.T) {
	o := open(t, "")
	owner := o.phone("owner")
	asked := o.challenged()
	o.told("owner", "login")
	texts := map[string]int{}
	for n := range 60 {
		nas := o.NAS([]string{site.Asks, site.Appends, site.Holds}[n%3])
		nas.Name = fmt.Sprintf("nas-%d", n%7)
		r := asks
		r.Station = fmt.Sprintf("198.51.100.%d", n)
		if n%3 == 2 { // it would be held
			nas.Send(nas.Packet(r))
			continue
		}
		texts[twoDigits.ReplaceAllString(nas.Ask(r).Text, "NN")]++
	}
	require.LessOrEqual(t, o.rung("owner"), 3, "%v", texts)
	shown := owner.All()
	o.in(shown[len(shown)-1].Code, asked) // his own, the oldest
	for range 5 {                         // each that ends makes room for the next
		_, err := owner.Deny(t.Context(), owner.Login().ID, false)
		require.NoError(t, err)
	}
	require.LessOrEqual(t, o.rung("owner"), 3)
	_, err := owner.Deny(t.Context(), owner.Login().ID, true)
	require.NoError(t, err)
	for n := range 20 {
		r := asks
		r.Station = fmt.Sprintf("198.51.100.%d", 100+n)
		answer := o.NAS(site.Asks).Ask(r)
		require.EqualValues(t, site.AccessReject, answer.Code, answer.Text)
	}
	require.LessOrEqual(t, o.rung("owner"), 3)
	require.Contains(t, o.Command("account", "show", user, "--json"), `"locked": true`)
}

// rung is how often a phone was told that a login waits.
func (o *office) rung(token string) (n int) {
	for _, m := range o.fcm.Messages() {
		if m.Token == token && word(m) == "login" {
			n++
		}
	}
	return n
}
