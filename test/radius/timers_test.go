package radius_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/admin"
	"vssgate/internal/testenv"
	"vssgate/test/site"
)

// seen is what was measured of a client.
func seen(t *testing.T, s *site.Site, client string) admin.SeenClient {
	t.Helper()
	var all []admin.SeenClient
	require.NoError(t, json.Unmarshal([]byte(s.Command("nas", "list", "--seen", "--json")), &all))
	for _, c := range all {
		if c.Client == client {
			return c
		}
	}
	require.FailNow(t, "no such client", client)
	return admin.SeenClient{}
}

// radclient sends four times, waiting 0.4 s at first, and hears nothing: hold is
// longer.
func TestHowLongANASWaitsIsMeasured(t *testing.T) {
	s := site.Start(t, site.Options{Hold: "10s"})
	var all []*program
	for n := 1; n <= 3; n++ {
		s.Phone(n)
		all = append(all, begin(t, "freeradius-utils", fmt.Sprintf("User-Name = %q\nUser-Password = %q\nPacket-Src-IP-Address = %s\n%s\n",
			testenv.UserName(n), testenv.UserPassword(n), site.Holds, signed), nil, "radclient", "-x", "-t", "0.4", "-r", "4", s.RADIUS[0], "auth", s.Secret))
	}
	for _, p := range all {
		require.Contains(t, p.said(), "No reply from server")
	}
	require.Eventually(t, func() bool { c := seen(t, s, "holds"); return len(c.Timers) == 1 && c.Timers[0].GiveUps == 3 }, site.Patience, tick)
	checks := func() {
		m := seen(t, s, "holds").Timers[0]
		require.Equal(t, "pap", m.Method)
		require.Contains(t, []int{3, 4}, m.Tries) // how exact this and the gap are, radius/timers_test.go tests by a clock of its own
		require.Positive(t, m.GapMS)
		require.Less(t, m.GapMS, m.WaitMS)
		require.Positive(t, m.AtLeastMS) // the longest of the three, WaitMS the one in the middle
		require.Less(t, m.WaitMS, int64(8000))
		require.Contains(t, m.Advice, "hold: 10s is longer than this NAS waits")
	}
	checks()
	require.Contains(t, s.Command("nas", "list", "--seen"), "write hold: ")
	require.Empty(t, seen(t, s, "asks").Timers)
	s.Stop()
	s.Start()
	checks()
}
