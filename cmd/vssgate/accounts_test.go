package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// An organisation's account is answered for by the phone of the officer who was
// given it in writing, and by no other.
func TestAnOrganisationsAccountFromTheCommandLine(t *testing.T) {
	d := newDesk(t)
	d.enrol() // an.nv is the officer
	o := d.admin("account", "assign", "binh.tt", "--custodian", number, "--document", "QĐ 12", "--document-date", "01/11/2026")
	require.Equal(t, exitError, o.code)
	require.Contains(t, o.errOut, "vssgate account set binh.tt --organisation")
	require.Equal(t, exitUsage, d.admin("account", "set", "binh.tt", "--organisation", "--bhxh-number", number).code)

	shown := decoded[object](t, d.admin("account", "set", "binh.tt", "--organisation", "--json"))
	require.Equal(t, "organisation", shown["kind"])
	require.Equal(t, "no_custodian", shown["problem"])
	o = d.admin("device", "add", "--account", "binh.tt")
	require.Equal(t, exitError, o.code)
	require.Contains(t, o.errOut, "its custodian's own phones answer for it")

	for flag, wrong := range map[string]string{"--document-date": "2026-13-01", "--until": "soon"} {
		args := []string{"account", "assign", "binh.tt", "--custodian", number, "--document", "QĐ 12", "--document-date", "01/11/2026", flag, wrong}
		o = d.admin(args...)
		require.Equal(t, exitError, o.code)
		require.Contains(t, o.errOut, "want 2026-11-30 or 30/11/2026")
	}
	o = d.admin("account", "assign", "binh.tt", "--custodian", number, "--document", "QĐ 12", "--document-date", "01/11/2026", "--until", "31/12/2099")
	require.Equal(t, exitOK, o.code, o.errOut)
	require.Contains(t, o.out, "QĐ 12")
	require.Contains(t, o.out, "******5678")
	require.NotContains(t, o.out, number)
	shown = decoded[object](t, d.admin("account", "show", "binh.tt", "--json"))
	require.NotContains(t, shown, "problem")
	require.Len(t, shown["devices"], 1, "the officer's phone")
	held := shown["assignments"].([]any)[0].(object)
	require.Equal(t, "2026-11-01", held["document_date"])
	require.Equal(t, "2099-12-31T17:00:00Z", held["until"], "the end of its last day in Việt Nam")

	// Over before today: the officer's phone answers no more.
	o = d.admin("account", "assign", "binh.tt", "--custodian", "7912345670", "--document", "QĐ 13", "--document-date", "2026-11-02")
	require.Equal(t, exitOK, o.code, o.errOut)
	shown = decoded[object](t, d.admin("account", "show", "binh.tt", "--json"))
	require.Equal(t, "no_device", shown["problem"])
	require.Len(t, shown["assignments"], 2)
	require.Regexp(t, `(?m)^what to do +the custodian enrols a phone`, d.admin("account", "show", "binh.tt").out)
}

func TestImportIsAllOrNothingAndNamesEveryBadLine(t *testing.T) {
	d := newDesk(t)
	file := filepath.Join(t.TempDir(), "accounts.csv")
	importing := func(text string, more ...string) outcome {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		return d.admin(append([]string{"account", "import", file}, more...)...)
	}
	o := importing("\ufeffusername,kind,bhxh_number,custodian,document,document_date\n" +
		"an.nv,person,7912345678,,,\n" +
		"nobody,person,7912345679,,,\n" +
		"binh.tt,robot,,,,\n" +
		"\"binh.tt\",organisation,,7912345678,,\n" +
		"an.nv,person,791234567,,,\n" +
		"binh.tt,person\n")
	require.Equal(t, exitError, o.code)
	require.Empty(t, o.out)
	for _, want := range []string{
		":3: nobody is called \"nobody\"", ":4: kind: want person or organisation", ":5: binh.tt stands in entry 3 already",
		":5: want the reference and the date of the written assignment", ":6: want 10 digits", ":7: 2 fields, the header has 6", "nothing was imported",
	} {
		require.Contains(t, o.errOut, want)
	}
	require.NotContains(t, o.errOut, ":2:")
	require.Empty(t, decoded[[]object](t, d.admin("account", "list", "--json")), "nothing was written, not even the good line")

	for text, want := range map[string]string{
		"user,kind\na,b\n":            `column "user" is unknown`,
		"username,username\na,b\n":    "stands twice",
		"kind\nperson\n":              "there is no column username",
		"":                            "read the header",
		"username\n\"an.nv\n":         "quote",
		"username,kind\nan.nv,\"x\"y": "quote",
	} {
		o = importing(text)
		require.Equal(t, exitError, o.code)
		require.Contains(t, o.errOut, want)
	}

	good := "kind,username,bhxh_number,custodian,document,document_date,until\n" +
		"person,an.nv,7912345678,,,,\norganisation,binh.tt,,7912345678,836/BHXH,26/03/2024,2099-12-31\n"
	o = importing(good, "--check")
	require.Equal(t, "2 accounts good\n", o.out, o.errOut)
	require.Empty(t, decoded[[]object](t, d.admin("account", "list", "--json")))
	for range 2 { // the same again changes nothing
		require.Equal(t, "2 accounts imported\n", importing(good).out)
	}
	shown := decoded[object](t, d.admin("account", "show", "binh.tt", "--json"))
	require.Len(t, shown["assignments"], 1)

	require.Equal(t, exitUsage, d.admin("account", "export").code, "numbers in full need a reason")
	exported := d.admin("account", "export", "--why", "move").out
	require.Contains(t, exported, "7912345678")
	require.True(t, strings.HasPrefix(exported, "username,kind,bhxh_number,personal_id,custodian,document,document_date,from,until\n"))
	require.Equal(t, "2 accounts imported\n", importing(exported).out, "an export can be imported")
	require.Equal(t, exported, d.admin("account", "export", "--why", "move").out)
}

func TestARemovedAccountIsGoneAndSaysWhatIsKept(t *testing.T) {
	d := newDesk(t)
	d.enrol()
	require.Equal(t, exitUsage, d.admin("account", "remove", "an.nv").code)
	o := d.admin("account", "remove", "an.nv", "--why", "left")
	require.Equal(t, exitOK, o.code, o.errOut)
	require.Contains(t, o.out, "removed: an.nv, with 1 numbers and 1 devices. Kept:\n- audit records, for 8760h")
	require.Empty(t, decoded[[]object](t, d.admin("account", "list", "--json")))
	o = d.phone("list")
	require.Equal(t, exitError, o.code, "its phone is out for good")

	// An account that the directory knows no more can be seen and removed too.
	d.admin("account", "show", "binh.tt")
	users := filepath.Join(d.Dir, "users.yaml")
	raw, err := os.ReadFile(users)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(users, []byte(strings.Split(string(raw), "- {username: binh.tt")[0]), 0o600))
	d.Stop()
	d.Start()
	require.Contains(t, d.admin("account", "show", "Binh.TT").out, "binh.tt")
	require.Equal(t, exitOK, d.admin("account", "remove", "binh.tt", "--why", "left").code)
	o = d.admin("account", "show", "binh.tt")
	require.Contains(t, o.errOut, `nobody is called "binh.tt" in the directory`)
}
