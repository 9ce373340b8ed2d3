package radius_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/phone"
	"vssgate/internal/testenv"
	"vssgate/test/fakefcm"
	"vssgate/test/site"
)

// pushing is a site whose phones are told through FCM.
func pushing(t *testing.T, o site.Options) (*site.Site, *fakefcm.Server) {
	t.Helper()
	fcm := fakefcm.Run(t)
	o.More += through(t, fcm)
	return site.Start(t, o), fcm
}

// through is the configuration of a node that uses this FCM.
func through(t *testing.T, fcm *fakefcm.Server) string {
	t.Helper()
	credentials := filepath.Join(t.TempDir(), "fcm.json")
	require.NoError(t, os.WriteFile(credentials, fcm.CredentialsJSON(), 0o600))
	return fmt.Sprintf("push: {fcm: {credentials_file: %q, endpoint: %q}}\n", credentials, fcm.Endpoint())
}

// prompts waits until FCM was told that n logins ended, and returns for how
// many it was told that they wait.
func prompts(t *testing.T, fcm *fakefcm.Server, n int) int {
	t.Helper()
	told := map[string]int{}
	require.Eventually(t, func() bool {
		clear(told)
		for _, m := range fcm.Messages() {
			told[m.Data["type"]]++
		}
		return told["login.closed"] >= n
	}, site.Patience, tick)
	require.Equal(t, n, told["login.closed"])
	return told["login"]
}

// rung waits until FCM was told that n logins wait: a prompt that is still on its
// way when its login ends is given up.
func rung(t *testing.T, fcm *fakefcm.Server, n int) {
	t.Helper()
	require.Eventually(t, func() bool {
		logins := 0
		for _, m := range fcm.Messages() {
			if m.Data["type"] == "login" {
				logins++
			}
		}
		return logins >= n
	}, site.Patience, tick, "the phone does not ring")
}

func TestHoweverOftenTheNASAsksThePhoneRingsOnce(t *testing.T) {
	s, fcm := pushing(t, site.Options{})
	p := s.Enrol(user, phone.Enrolment{PushToken: "token-of-the-phone"})
	nas := s.NAS(site.Holds)
	packet := nas.Packet(asks)
	for range 20 {
		nas.Send(packet)
	}
	p.Login()
	for range 5 { // new ports, new authenticators
		other := s.NAS(site.Holds)
		other.Send(other.Packet(asks))
	}
	last := nas.Packet(asks)
	nas.Send(last)
	require.Eventually(t, func() bool { return s.Metric("vssgate_joined_total") == 6 }, site.Patience, tick)
	rung(t, fcm, 1)
	p.Yes()
	require.Equal(t, 1, prompts(t, fcm, 1))
	require.Equal(t, 1, s.Last().Pushes)
	require.Equal(t, 7, s.Last().Requests)
}

func TestOneOfTwoNodesPushes(t *testing.T) {
	redis := testenv.Redis(t)
	store := fmt.Sprintf("store: {redis: {addresses: [%q]}}\n", redis)
	a, fcm := pushing(t, site.Options{More: store})
	b := site.Start(t, site.Options{More: store + through(t, fcm), Slapd: a.Slapd, Secret: a.Secret, Before: site.ShareKey(t, a.Node)})
	p := a.Enrol(user, phone.Enrolment{PushToken: "token-of-the-phone"})
	first, second := a.NAS(site.Holds), b.NAS(site.Holds)
	one, two := first.Packet(asks), second.Packet(asks)
	first.Send(one) // a NAS that asks both its servers at once
	second.Send(two)
	require.Eventually(t, func() bool { return a.Metric("vssgate_joined_total")+b.Metric("vssgate_joined_total") == 1 }, site.Patience, tick)
	require.Len(t, p.All(), 1)
	rung(t, fcm, 1)
	p.Yes()
	got, ok := first.Maybe(one, quiet)
	if !ok {
		got = second.Answer(two)
	} else {
		second.Silent(quiet)
	}
	require.EqualValues(t, site.AccessAccept, got.Code)
	require.Equal(t, 1, prompts(t, fcm, 1))
	require.Len(t, append(a.Ended(), b.Ended()...), 1)
}
