package system_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/phone"
	"vssgate/internal/testenv"
	"vssgate/test/site"
)

// What administrators read while a login is open, and afterwards: no command, log,
// metric or record shows its code or its number to match. Every command that
// there is stands in the table.
func TestNoCommandShowsTheCodeOrTheNumberOfALogin(t *testing.T) {
	s := site.Start(t, withLDAP(site.Options{More: "second_factor: {number_digits: 6, factors: [approve, code, totp, recovery, help]}\n"}))
	p, other := s.Phone(1), s.Enrol(testenv.UserName(2), phone.Enrolment{})
	s.NAS(site.Asks).Ask(site.Request{User: "office", Password: "wrong"})
	accounts := filepath.Join(t.TempDir(), "accounts.csv")
	require.NoError(t, os.WriteFile(accounts, []byte("username,kind,bhxh_number,personal_id,custodian,document,document_date,from,until\n"+user+",person,"+testenv.UserNumber(1)+",,,,,,\n"), 0o600))
	follow := exec.Command(testenv.Binary(t), "login", "follow", "--config", s.Config)
	var followed bytes.Buffer
	follow.Stdout, follow.Stderr = &followed, &followed
	require.NoError(t, follow.Start())
	defer func() { follow.Process.Kill(); follow.Wait() }()

	asked := s.NAS(site.Asks).Ask(asks)
	code := p.Code()
	number := regexp.MustCompile(`\b[0-9]{6}\b`).FindString(asked.Text)
	require.NotEmpty(t, number, asked.Text)
	asked = s.NAS(site.Asks).Ask(asks.Saying(site.WrongCode(code), asked.State))
	require.EqualValues(t, site.AccessChallenge, asked.Code, asked.Text)
	trace := regexp.MustCompile(`\[(\w{6})\]$`).FindStringSubmatch(asked.Text)[1]

	lines := map[string][]string{
		"account assign":         {user, "--custodian", testenv.UserNumber(2), "--document", "1/QD", "--document-date", "2026-01-02"},
		"account export":         {"--why", "test"},
		"account help-code":      {user, "--why", "test"},
		"account import":         {accounts, "--check"},
		"account list":           {},
		"account recovery-codes": {user},
		"account remove":         {testenv.UserName(2), "--why", "test"},
		"account set":            {user, "--bhxh-number", testenv.UserNumber(1)},
		"account show":           {user, "--reveal", "--why", "test"},
		"account totp":           {user},
		"account unlock":         {user, "--why", "test"},
		"audit export":           {user, "--why", "test"},
		"audit verify":           {},
		"check":                  {},
		"device add":             {"--account", user},
		"device list":            {"--account", user},
		"device revoke":          {other.ID},
		"doctor":                 {},
		"emergency off":          {},
		"emergency on":           {"--group", "cn=duty,ou=groups,dc=example,dc=vn", "--minutes", "1", "--why", "test"},
		"emergency status":       {},
		"init":                   {filepath.Join(t.TempDir(), "new")},
		"login list":             {},
		"login show":             {trace},
		"nas forget":             {"asks"},
		"nas list":               {"--seen"},
		"nas show":               {"fortigate", "--client", "asks"},
		"rollout report":         {},
		"store copy":             {"--to", "redis"},
		"try ldap":               {"--server", s.LDAP[0], "--user", testenv.UserDN(3), "--password", "wrong"},
		"try radius":             {"--server", s.RADIUS[0], "--secret", s.Secret, "--user", testenv.UserName(3), "--password", "wrong"},
		"version":                {},
	}
	elsewhere := []string{"completion", "demo", "help", "login follow", "serve"} // of no daemon's, or followed and read below
	phones := "phone "                                                           // VssID itself: what it shows is for its owner
	w := written{}
	ran := map[string]bool{}
	read := func(commands ...string) {
		for _, command := range commands {
			args, known := lines[command]
			if !known {
				require.True(t, strings.HasPrefix(command, phones) || slices.Contains(elsewhere, command), "%s is not in the table of this test", command)
				continue
			}
			for _, json := range [][]string{nil, {"--json"}} {
				stdout, stderr, exit := s.Run(append(append(strings.Fields(command), args...), json...)...)
				w[command] += stdout + stderr
				ran[command] = ran[command] || exit == 0
			}
		}
	}
	read(leaves(t)...)
	require.EqualValues(t, site.AccessAccept, s.NAS(site.Asks).Ask(asks.Saying(code, asked.State)).Code, "it was open all the time")
	read("login list", "login show", "audit export", "account show")
	for command := range lines {
		require.True(t, ran[command] || slices.Contains([]string{"account assign", "doctor", "emergency on", "store copy", "try ldap", "try radius"}, command), "%s failed:\n%s", command, w[command])
	}
	require.Contains(t, w["login show"], "Wrong code. 2 tries left")
	_, w["metrics"] = s.Get("/metrics")
	w["log"], w["audit"] = s.Output(), s.Audit()
	follow.Process.Kill()
	_ = follow.Wait()
	w["login follow"] = followed.String()
	require.Contains(t, w["login follow"], trace)
	w.search(t, []canary{{"the code", code}, {"the number to match", number}})
}

// leaves are all commands that have none below them, told by the shell completion.
func leaves(t *testing.T, above ...string) (all []string) {
	t.Helper()
	stdout, _, _ := vssgate(t, append(append([]string{"__complete"}, above...), "")...)
	for line := range strings.Lines(stdout) {
		name, _, described := strings.Cut(strings.TrimSpace(line), "\t")
		if !described || strings.HasPrefix(name, "-") { // a flag
			continue
		}
		below := leaves(t, append(above, name)...)
		if len(below) == 0 || name == "completion" || name == "help" {
			below = []string{strings.Join(append(above, name), " ")}
		}
		all = append(all, below...)
	}
	return all
}
