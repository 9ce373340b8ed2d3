package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// try logs in as a NAS would.
func (d *desk) try(user, station string) object {
	d.t.Helper()
	o := vssgate(d.t, "", "try", "radius", "--server", d.RADIUS[0], "--secret", sharedSecret, "--user", user, "--password", password, "--station", station, "--code", "000000", "--json")
	return decodedAny(d.t, o)
}

func decodedAny(t *testing.T, o outcome) object {
	t.Helper()
	require.NotEmpty(t, o.out, o.errOut)
	o.code, o.errOut = exitOK, ""
	return decoded[object](t, o)
}

func (d *desk) audit() string {
	d.t.Helper()
	raw, err := os.ReadFile(filepath.Join(d.Dir, "data", "audit.jsonl"))
	require.NoError(d.t, err)
	return string(raw)
}

func TestAnEmergencyFromTheCommandLine(t *testing.T) {
	d := newDesk(t)
	require.Equal(t, false, d.try("binh.tt", "203.0.113.7")["accepted"])
	require.Equal(t, exitUsage, d.admin("emergency", "on", "--group", "duty", "--minutes", "61", "--why", "x").code)
	require.Equal(t, exitUsage, d.admin("emergency", "on", "--group", "duty", "--minutes", "30").code)
	require.Contains(t, d.admin("emergency", "on", "--group", "cn=,=", "--minutes", "30", "--why", "x").errOut, "is no DN")

	on := decoded[object](t, d.admin("emergency", "on", "--group", "duty", "--minutes", "30", "--why", "VssID is down", "--json"))
	require.Equal(t, true, on["on"])
	require.Contains(t, on["warning"], "the group duty was not found (looked for in: local)", "nobody is in it yet")
	o := d.admin("emergency", "on", "--group", "duty", "--minutes", "60", "--why", "longer")
	require.Equal(t, exitError, o.code)
	require.Contains(t, o.errOut, "cannot be renewed while it is on")
	require.Equal(t, false, d.try("binh.tt", "203.0.113.8")["accepted"], "not of that group")

	users := filepath.Join(d.Dir, "users.yaml")
	raw, err := os.ReadFile(users)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(users, []byte(strings.ReplaceAll(string(raw), "{username: binh.tt,", "{username: binh.tt, groups: [duty],")), 0o600))
	d.Stop()
	d.Start() // it survives a restart
	require.Equal(t, true, d.try("binh.tt", "203.0.113.9")["accepted"])
	require.Contains(t, d.audit(), `"factor":"emergency"`)
	require.Contains(t, d.audit(), `"why":"30 minutes: VssID is down"`)
	require.Contains(t, d.Output(), `"emergency_until":"`)
	for _, shown := range [][]string{{"account", "list"}, {"account", "show", "binh.tt"}, {"login", "list"}, {"login", "list", "--json"}, {"device", "list", "--account", "binh.tt"},
		{"nas", "list", "--seen"}, {"rollout", "report"}} {
		require.Regexp(t, `^EMERGENCY until \S+ \S+ \+07:00: members of duty log in on the password alone \(.*: VssID is down\)\n`, d.admin(shown...).errOut, "%v", shown)
	}

	for _, shown := range [][]string{{"login", "list"}, {"account", "show", "binh.tt"}} { // as everywhere, in time_zone
		require.Regexp(t, `(?m)^20\S+ \d\d:\d\d:\d\d \+07:00  `, d.admin(shown...).out, "%v", shown)
	}

	require.Equal(t, "no emergency is on\n", d.admin("emergency", "off").out)
	require.Equal(t, false, d.try("binh.tt", "203.0.113.10")["accepted"])
	require.Equal(t, "no emergency is on\n", d.admin("emergency", "status").out)
	require.NotContains(t, d.admin("emergency", "on", "--group", "duty", "--minutes", "1", "--why", "spelt right").out, "WARNING")
	require.Equal(t, exitOK, d.admin("emergency", "off").code)
	require.Contains(t, d.admin("emergency", "on", "--group", "dutty", "--minutes", "1", "--why", "misspelt").out, "\nWARNING: the group dutty was not found")
	require.Equal(t, exitOK, d.admin("emergency", "off").code)
	require.Empty(t, d.admin("login", "list").errOut)
	require.Equal(t, exitOK, d.admin("audit", "verify").code)
}

func TestPoliciesOfTheConfiguration(t *testing.T) {
	d := newDesk(t)
	more, err := os.ReadFile(d.Config)
	require.NoError(t, err)
	until := time.Now().Add(5 * 24 * time.Hour).Format(time.DateOnly)
	d.Stop()
	require.NoError(t, os.WriteFile(d.Config, append(more, []byte(`
second_factor:
  policies:
    - {match: {network: 10.20.0.0/16}, require: never, until: "`+until+`", why: "duty rooms"}
    - {match: {client: vpn}, require: from, date: 2099-03-01}
`)...), 0o600))
	d.Start()
	require.Equal(t, true, d.try("an.nv", "10.20.3.4")["accepted"])
	require.Contains(t, d.audit(), `"factor":"trusted_network"`)
	let := d.try("binh.tt", "203.0.113.7")
	require.Equal(t, true, let["accepted"])
	require.Contains(t, let["text"], "From 01/03/2099 VssID confirmation is required.", let)
	require.Contains(t, d.audit(), `"factor":"exempt:policies[1]","would_be":"no_bhxh_number"`)
	require.Contains(t, d.Output(), "an exemption from the second factor ends", "in less than a week")
}

func TestARolloutReportTellsWhoIsNotReady(t *testing.T) {
	d := newDesk(t)
	report := func(args ...string) object {
		return decoded[object](t, d.admin(append([]string{"rollout", "report", "--json"}, args...)...))
	}
	r := report()
	require.EqualValues(t, 2, r["would_be_refused"], "an.nv has no phone yet, binh.tt not even a number")
	require.Empty(t, decoded[[]object](t, d.admin("account", "list", "--json")), "a report changes nothing")
	d.enrol()
	r = report("--client", "vpn")
	require.EqualValues(t, 1, r["would_be_refused"])
	total := r["total"].(object)
	require.EqualValues(t, 2, total["users"])
	require.EqualValues(t, 1, total["ready"])
	require.EqualValues(t, 1, total["no_number"])
	require.Contains(t, d.admin("rollout", "report").out, "would be refused tomorrow: 1\n")
	require.Equal(t, "username,part,problem,rule,would_be_refused\nan.nv,-,,,false\nbinh.tt,-,no_bhxh_number,,true\n", d.admin("rollout", "report", "--csv").out)
	require.Contains(t, d.admin("rollout", "report", "--client", "nobody").errOut, `no client is called "nobody"`)
	require.Contains(t, d.admin("rollout", "report", "--under", "here").errOut, "is no DN")

	// What the policies will say tomorrow counts, not what they say now.
	more, err := os.ReadFile(d.Config)
	require.NoError(t, err)
	d.Stop()
	day := time.Now().In(time.FixedZone("+07", 7*3600)).AddDate(0, 0, 1)
	require.NoError(t, os.WriteFile(d.Config, append(more, []byte(`
second_factor:
  policies:
    - {match: {client: vpn}, require: from, date: `+day.Format(time.DateOnly)+`}
`)...), 0o600))
	d.Start()
	require.Equal(t, true, d.try("binh.tt", "203.0.113.7")["accepted"], "today")
	require.EqualValues(t, 1, report("--client", "vpn")["would_be_refused"], "not tomorrow")
}
