package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alexedwards/argon2id"
	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
)

const (
	sharedSecret = "a-shared-secret-of-the-vpn"
	password     = "một mật khẩu"
	number       = "7912345678"
)

// A desk is where an administrator and a user sit: a running node with a file
// of users behind it, and a phone of the user's.
type desk struct {
	*testenv.Node
	t   *testing.T
	key string // the phone's
}

// newDesk starts a node. an.nv has a number in the directory, binh.tt has none.
func newDesk(t *testing.T) *desk {
	t.Helper()
	n := testenv.NewNode(t, `
first_factors: [{name: local, file: users.yaml}]
radius:
  listen: ["127.0.0.1:0"]
  clients:
    - {name: vpn, addresses: [127.0.0.1], secret: `+sharedSecret+`, language: en}
`)
	hash, err := argon2id.CreateHash(password, &argon2id.Params{Memory: 64, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32})
	require.NoError(t, err)
	users := fmt.Sprintf("- {username: an.nv, password_hash: %q, display_name: Nguyễn Văn An, bhxh_number: %q}\n- {username: binh.tt, password_hash: %q}\n", hash, number, hash)
	require.NoError(t, os.WriteFile(filepath.Join(n.Dir, "users.yaml"), []byte(users), 0o600))
	n.Start()
	return &desk{Node: n, t: t, key: filepath.Join(n.Dir, "phone.key")}
}

// admin calls a command that talks to the daemon.
func (d *desk) admin(args ...string) outcome {
	d.t.Helper()
	return vssgate(d.t, "", append(args, "--config", d.Config)...)
}

// phone calls `vssgate phone`.
func (d *desk) phone(args ...string) outcome {
	d.t.Helper()
	return vssgate(d.t, "", append([]string{"phone", "--url", "http://" + d.Phones, "--key", d.key, "--language", "en"}, args...)...)
}

// decoded is what a command printed as JSON. It must have succeeded.
func decoded[T any](t *testing.T, o outcome) (v T) {
	t.Helper()
	require.Equal(t, exitOK, o.code, o.errOut)
	require.Empty(t, o.errOut)
	require.NoError(t, json.Unmarshal([]byte(o.out), &v), o.out)
	return v
}

type object = map[string]any

func keys(o object) (all []string) {
	for k := range o {
		all = append(all, k)
	}
	return all
}

// enrol enrols the user's phone.
func (d *desk) enrol() object {
	d.t.Helper()
	added := decoded[object](d.t, d.admin("device", "add", "--account", "an.nv", "--json"))
	return decoded[object](d.t, d.phone("enrol", added["activation_code"].(string), "--name", "An's phone", "--json"))
}

func TestAccounts(t *testing.T) {
	d := newDesk(t)
	require.Empty(t, decoded[[]object](t, d.admin("account", "list", "--json")), "an empty list is a list")

	shown := decoded[object](t, d.admin("account", "show", "AN.NV", "--json"))
	require.Equal(t, "an.nv", shown["username"], "USER is resolved as at login")
	require.Equal(t, "Nguyễn Văn An", shown["display_name"])
	require.Equal(t, "******5678", shown["bhxh_number"])
	require.Equal(t, "no_device", shown["problem"])
	require.Equal(t, []any{}, shown["devices"])

	text := d.admin("account", "show", "an.nv")
	require.Contains(t, text.out, "******5678")
	require.NotContains(t, text.out, number)
	require.Regexp(t, `(?m)^can log in +no: no_device\nwhat to do +vssgate device add --account an\.nv\nphones +none$`, text.out)

	revealed := decoded[object](t, d.admin("account", "show", "an.nv", "--reveal", "--why", "asked by himself", "--json"))
	require.Equal(t, number, revealed["bhxh_number"])
	require.Contains(t, d.Audit(), `"why":"asked by himself"`)

	none := decoded[object](t, d.admin("account", "show", "binh.tt", "--json"))
	require.Equal(t, "no_bhxh_number", none["problem"])
	require.Regexp(t, `(?m)^what to do +vssgate account set binh\.tt --bhxh-number N`, d.admin("account", "show", "binh.tt").out)
	set := decoded[object](t, d.admin("account", "set", "binh.tt", "--bhxh-number", "7900000002", "--personal-id", "079123456789", "--json"))
	require.Equal(t, "******0002", set["bhxh_number"])
	require.Equal(t, "********6789", set["personal_id"])

	list := d.admin("account", "list")
	require.Regexp(t, `(?m)^an\.nv +Nguyễn Văn An +\*{6}5678 +0 +no: no_device$`, list.out)
	require.Regexp(t, `(?m)^binh\.tt `, list.out)
	require.Len(t, decoded[[]object](t, d.admin("account", "list", "--json")), 2)

	unlocked := decoded[object](t, d.admin("account", "unlock", "an.nv", "--why", "called", "--json"))
	require.Equal(t, false, unlocked["locked"])
}

func TestWhatTheDaemonRefusesIsSaidWithTheWayOut(t *testing.T) {
	d := newDesk(t)
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"a user whom the directory does not know": {[]string{"account", "show", "nobody"}, `nobody is called "nobody"`},
		"a number with a digit too few":           {[]string{"account", "set", "an.nv", "--bhxh-number", "123456789"}, "10 digits"},
		"a phone for somebody without a number":   {[]string{"device", "add", "--account", "binh.tt"}, "account set binh.tt --bhxh-number"},
		"a device that is not there":              {[]string{"device", "revoke", "xyz"}, "vssgate device list --account USER"},
	} {
		t.Run(name, func(t *testing.T) {
			got := d.admin(c.args...)
			require.Equal(t, exitError, got.code)
			require.Empty(t, got.out)
			require.Contains(t, got.errOut, c.want)
			require.NotContains(t, got.errOut, "123456789", "no number in an error")
		})
	}
	require.Equal(t, exitError, d.phone("enrol", "AAAAAAAA").code, "an activation code that nobody made")
}

func TestDevices(t *testing.T) {
	d := newDesk(t)
	added := decoded[object](t, d.admin("device", "add", "--account", "an.nv", "--json"))
	require.ElementsMatch(t, []string{"activation_code", "expires", "url"}, keys(added))
	expires, err := time.Parse(time.RFC3339, added["expires"].(string))
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(10*time.Minute), expires, time.Minute)
	require.True(t, strings.HasPrefix(added["url"].(string), "http://"+d.Phones+"/"), added["url"])

	picture := filepath.Join(t.TempDir(), "an.png")
	people := d.admin("device", "add", "--account", "an.nv", "--png", picture)
	drawn, err := os.Open(picture)
	require.NoError(t, err)
	defer drawn.Close()
	as, err := png.DecodeConfig(drawn)
	require.NoError(t, err)
	require.Equal(t, as.Width, as.Height)
	require.GreaterOrEqual(t, as.Width, 400)
	info, err := drawn.Stat()
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), "whoever reads it gets a phone in")
	again := d.admin("device", "add", "--account", "an.nv", "--png", picture)
	require.Equal(t, 1, again.code)
	require.Contains(t, again.errOut, "never overwritten")
	nobody := filepath.Join(t.TempDir(), "nobody.png")
	require.Equal(t, 1, d.admin("device", "add", "--account", "nobody", "--png", nobody).code)
	require.NoFileExists(t, nobody)
	require.Contains(t, people.out, "█", "a QR code")
	require.Regexp(t, `an\.nv:[A-Z2-7]{4}-?[A-Z2-7]{4}`, people.out)

	enrolled := decoded[object](t, d.phone("enrol", added["activation_code"].(string), "--name", "An's phone", "--json"))
	require.ElementsMatch(t, []string{"device_id", "account"}, keys(enrolled))
	require.Equal(t, object{"username": "an.nv", "display_name": "Nguyễn Văn An"}, enrolled["account"])

	list := decoded[[]object](t, d.admin("device", "list", "--account", "an.nv", "--json"))
	require.Len(t, list, 1)
	require.Equal(t, enrolled["device_id"], list[0]["id"])
	require.Equal(t, "An's phone", list[0]["name"])
	require.Equal(t, "android", list[0]["platform"])
	text := d.admin("device", "list", "--account", "an.nv")
	require.Regexp(t, `(?m)^DEVICE +NAME `, text.out)
	require.Contains(t, text.out, "An's phone")
	require.Regexp(t, `(?m)^an\.nv .* 1 +yes$`, d.admin("account", "list").out)

	id := enrolled["device_id"].(string)
	revoked := decoded[object](t, d.admin("device", "revoke", id, "--why", "lost", "--json"))
	require.Equal(t, id, revoked["id"])
	require.Equal(t, exitError, d.phone("list").code, "a revoked phone sees nothing")
	require.Empty(t, decoded[[]object](t, d.admin("device", "list", "--account", "an.nv", "--json")))
	require.Contains(t, d.Audit(), `"why":"lost"`)
}

// A terminal is a person's: what the program printed so far, and what is typed.
type terminal struct {
	t    *testing.T
	mu   sync.Mutex
	more *sync.Cond
	out  bytes.Buffer
	in   *io.PipeWriter
	end  chan int
}

// talk starts a command that asks.
func (d *desk) talk(args ...string) *terminal {
	r, w := io.Pipe()
	x := &terminal{t: d.t, in: w, end: make(chan int, 1)}
	x.more = sync.NewCond(&x.mu)
	ctx, cancel := context.WithTimeout(d.t.Context(), time.Minute)
	go func() {
		defer cancel()
		code := run(ctx, args, r, x, x)
		r.Close()
		x.mu.Lock()
		defer x.mu.Unlock()
		x.end <- code
		x.more.Broadcast()
	}()
	return x
}

func (x *terminal) Write(b []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	defer x.more.Broadcast()
	return x.out.Write(b)
}

// shows waits until something like that is printed, n times, and returns the last one's groups.
func (x *terminal) shows(pattern string, n int) []string {
	x.t.Helper()
	re := regexp.MustCompile(pattern)
	x.mu.Lock()
	defer x.mu.Unlock()
	for {
		if all := re.FindAllStringSubmatch(x.out.String(), -1); len(all) >= n {
			return all[n-1]
		}
		if len(x.end) > 0 {
			x.t.Fatalf("%q was not printed %d times:\n%s", pattern, n, x.out.String())
		}
		x.more.Wait()
	}
}

func (x *terminal) types(line string) {
	x.t.Helper()
	_, err := io.WriteString(x.in, line+"\n")
	require.NoError(x.t, err)
}

// ends waits for the exit code.
func (x *terminal) ends() (code int, out string) {
	code = <-x.end
	return code, x.out.String()
}

func (d *desk) tryRADIUS(more ...string) []string {
	return append([]string{"try", "radius", "--server", d.RADIUS[0], "--secret", sharedSecret, "--user", "an.nv", "--station", "192.0.2.7"}, more...)
}

const asks = `Code, or Enter once you have approved: `

// login is the one open login on the phone.
func (d *desk) login() object {
	d.t.Helper()
	list := decoded[object](d.t, d.phone("list", "--wait", "30", "--json"))
	require.ElementsMatch(d.t, []string{"server_time", "version", "logins"}, keys(list))
	logins := list["logins"].([]any)
	require.Len(d.t, logins, 1)
	l := logins[0].(object)
	require.ElementsMatch(d.t, []string{"id", "code", "approval", "username", "client", "from", "created", "expires", "waiting"}, keys(l))
	return l
}

func TestTrying(t *testing.T) {
	d := newDesk(t)
	d.enrol()
	t.Run("the password and the code are asked for, and a wrong code again", func(t *testing.T) {
		x := d.talk(d.tryRADIUS()...)
		x.shows("Password: ", 1)
		x.types(password)
		x.shows(asks, 1)
		code := d.login()["code"].(string)
		x.types(other(code))
		x.shows(asks, 2)
		x.types(code)
		exit, out := x.ends()
		require.Equal(t, exitOK, exit, out)
		require.Regexp(t, `ACCEPTED after \d+\.\d{3} s \(Access-Accept\)\n$`, out)
		require.Equal(t, 2, strings.Count(out, "<- Access-Challenge"))
		silent(t, out, code)
	})
	t.Run("Enter after approving with the number that is shown", func(t *testing.T) {
		x := d.talk(d.tryRADIUS("--password", password)...)
		x.shows(asks, 1)
		shown := x.shows(`\n\n  [^\n]*\b(\d\d)\b[^\n]*\n\n`, 1)[1]
		l := d.login()
		require.Equal(t, "number", l["approval"])
		answered := decoded[object](t, d.phone("approve", l["id"].(string), "--number", shown, "--json"))
		require.Equal(t, "waiting_for_retry", answered["verdict"])
		x.types("")
		exit, out := x.ends()
		require.Equal(t, exitOK, exit, out)
	})
	t.Run("a denied login is not accepted", func(t *testing.T) {
		x := d.talk(d.tryRADIUS("--password", password)...)
		x.shows(asks, 1)
		text := d.phone("deny", d.login()["id"].(string))
		require.Equal(t, exitOK, text.code, text.errOut)
		x.types("ok")
		exit, out := x.ends()
		require.Equal(t, exitError, exit, out)
		require.Contains(t, out, "NOT ACCEPTED")
	})
	t.Run("a wrong password is not accepted", func(t *testing.T) {
		got := vssgate(t, "not "+password+"\n", d.tryRADIUS()...)
		require.Equal(t, exitError, got.code)
		require.Regexp(t, `NOT ACCEPTED after \d+\.\d{3} s \(Access-Reject\)\n$`, got.out)
		require.Empty(t, got.errOut)
	})
}

func TestTryingForPrograms(t *testing.T) {
	d := newDesk(t)
	d.enrol()
	got := vssgate(t, "", d.tryRADIUS("--password", "wrong", "--json")...)
	require.Equal(t, exitError, got.code)
	var refused tried
	require.NoError(t, json.Unmarshal([]byte(got.out), &refused), got.out)
	require.False(t, refused.Accepted)
	require.Equal(t, "Access-Reject", refused.Answer)
	require.NotEmpty(t, refused.Text)

	// The program is asked for nothing on the way: the code comes on the input.
	x := d.talk(d.tryRADIUS("--password", password, "--json")...)
	code := d.login()["code"].(string)
	x.types(code)
	exit, out := x.ends()
	require.Equal(t, exitOK, exit, out)
	var o object
	require.NoError(t, json.Unmarshal([]byte(out), &o), out)
	require.ElementsMatch(t, []string{"accepted", "answer", "text", "took_ms", "steps"}, keys(o))
	require.Equal(t, true, o["accepted"])
	steps := o["steps"].([]any)
	require.GreaterOrEqual(t, len(steps), 4, "two packets each way")
	_, err := time.Parse(time.RFC3339, steps[0].(object)["time"].(string))
	require.NoError(t, err)
	silent(t, out, code)
}

// other is another code than that.
func other(code string) string {
	digits := []byte(code)
	digits[0] = '0' + (digits[0]-'0'+1)%10
	return string(digits)
}

// silent wants nothing in what was printed that must stay secret.
func silent(t *testing.T, out string, code string) {
	t.Helper()
	for _, s := range []string{password, sharedSecret, code, number} {
		require.NotContains(t, out, s)
	}
}

func TestTryingLDAP(t *testing.T) {
	ca := testenv.CA(t)
	slapd := testenv.Slapd(t, testenv.SlapdOptions{Users: 2, CA: ca})
	user := []string{"--user", testenv.UserDN(1), "--password", testenv.UserPassword(1)}
	for name, c := range map[string]struct {
		args []string
		code int
		want []string
	}{
		"a right password":            {append(user, "--server", slapd.URI), exitOK, []string{"-> BindRequest", "<- BindResponse 0", "\nACCEPTED after "}},
		"StartTLS, and a search":      {append(user, "--server", slapd.URI, "--start-tls", "--ca", slapd.CAFile, "--base", testenv.UserDN(1)), exitOK, []string{"<- 1 entries below " + testenv.UserDN(1)}},
		"LDAPS":                       {append(user, "--server", slapd.LDAPSURI, "--ca", slapd.CAFile), exitOK, []string{"ACCEPTED"}},
		"a code behind the password":  {append(user, "--server", slapd.URI, "--code", "123456"), exitError, []string{"<- BindResponse 49", "NOT ACCEPTED"}},
		"a certificate nobody trusts": {append(user, "--server", slapd.LDAPSURI), exitError, []string{"certificate"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := vssgate(t, "", append([]string{"try", "ldap"}, c.args...)...)
			require.Equal(t, c.code, got.code, "%+v", got)
			for _, part := range c.want {
				require.Contains(t, got.out+got.errOut, part)
			}
			require.NotContains(t, got.out+got.errOut, testenv.UserPassword(1))
		})
	}
	got := vssgate(t, testenv.UserPassword(2)+"\n", "try", "ldap", "--server", slapd.URI, "--user", testenv.UserDN(2), "--json")
	o := decoded[object](t, got)
	require.ElementsMatch(t, []string{"accepted", "answer", "text", "took_ms", "steps"}, keys(o))
	require.Equal(t, true, o["accepted"])
}

func TestThePhoneIsWatched(t *testing.T) {
	d := newDesk(t)
	d.enrol()
	watching := d.talk("phone", "--url", "http://"+d.Phones, "--key", d.key, "--language", "en", "watch")
	x := d.talk(d.tryRADIUS("--password", password)...)
	x.shows(asks, 1)
	watching.shows(`\[d\] deny`, 1)
	watching.types("d")
	x.types("ok")
	exit, out := x.ends()
	require.Equal(t, exitError, exit, out)
	watching.types("q")
	exit, out = watching.ends()
	require.Equal(t, exitOK, exit, out)
}

// What the program prints about itself is no place for secrets either.
func TestNothingSecretIsLogged(t *testing.T) {
	d := newDesk(t)
	d.enrol()
	x := d.talk(d.tryRADIUS("--password", password)...)
	x.shows(asks, 1)
	code := d.login()["code"].(string)
	x.types(code)
	exit, out := x.ends()
	require.Equal(t, exitOK, exit, out)
	d.Stop()
	for where, text := range map[string]string{"log": d.Output(), "audit": d.Audit()} {
		silent(t, text, `"`+code+`"`)
		for _, s := range []string{password, sharedSecret, number} {
			require.NotContains(t, text, s, where)
		}
	}
	require.True(t, slices.ContainsFunc(strings.Split(d.Audit(), "\n"), func(line string) bool {
		return strings.Contains(line, `"kind":"login"`) && strings.Contains(line, `"factor":"code"`)
	}), "the login is in the audit")
}

func TestEveryLineOfAJSONLogIsJSON(t *testing.T) {
	d := newDesk(t)
	d.Stop()
	warned := false
	for line := range strings.Lines(d.Output()) {
		if line == "vssgate ready\n" {
			continue
		}
		var record object
		require.NoError(t, json.Unmarshal([]byte(line), &record), line)
		if strings.HasPrefix(record["msg"].(string), "configuration: vssid.public_url") {
			warned = record["level"] == "WARN" && record["line"] != nil && record["column"] != nil && record["file"] == d.Config
		}
	}
	require.True(t, warned, "a warning about the configuration is a record with its place")
}

// What was written verifies while the daemon runs and after it; one person's
// records can be had, and that they were is a record too.
func TestAuditIsVerifiedAndExported(t *testing.T) {
	d := newDesk(t)
	d.enrol()
	d.admin("account", "set", "binh.tt", "--bhxh-number", "7912345679")
	var all object
	for range 3 {
		all = decoded[object](t, d.admin("audit", "verify", "--json"))
		require.Equal(t, true, all["whole"])
		require.Equal(t, "verified", all["end"])
	}
	require.Equal(t, "the chain is whole: 3 records in 1 files, up to the last one that the running daemon wrote\n", d.admin("audit", "verify").out)

	require.Equal(t, exitUsage, d.admin("audit", "export", "an.nv").code, "without a reason")
	o := d.admin("audit", "export", "an.nv", "--why", "letter 12/2026")
	require.Equal(t, exitOK, o.code, o.errOut)
	require.Equal(t, "3 records in 1 files\n", o.errOut)
	require.Contains(t, o.out, `"action":"device add"`)
	require.Contains(t, o.out, `"action":"audit export"`)
	require.Contains(t, o.out, `"why":"letter 12/2026"`)
	require.NotContains(t, o.out, `"action":"account set"`, "another person's")
	require.NotContains(t, o.out, number)

	path := filepath.Join(d.Dir, "data", "audit.jsonl")
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	short := raw[:bytes.LastIndexByte(raw[:len(raw)-1], '\n')+1]
	require.NoError(t, os.WriteFile(path, short, 0o600))
	o = d.admin("audit", "verify")
	require.Equal(t, exitError, o.code)
	require.Contains(t, o.errOut, path+":4: is missing: records were cut off the end")
	require.NoError(t, os.WriteFile(path, raw, 0o600))
	require.Equal(t, exitOK, d.admin("audit", "verify").code)

	d.Stop()
	require.NoError(t, os.WriteFile(path, short, 0o600))
	o = d.admin("audit", "verify")
	require.Equal(t, exitError, o.code)
	require.Contains(t, o.errOut, path+":4: is missing: records were cut off the end")
	require.NoError(t, os.WriteFile(path, raw, 0o600))
	require.Equal(t, "marked", decoded[object](t, d.admin("audit", "verify", "--json"))["end"])
	require.NoError(t, os.Remove(path+".end"))
	require.NoError(t, os.WriteFile(path, short, 0o600))
	o = d.admin("audit", "verify")
	require.Equal(t, exitOK, o.code)
	require.Contains(t, o.out, "3 records in 1 files\nNot seen: whether records were cut off the end")
	require.Equal(t, "unknown", decoded[object](t, d.admin("audit", "verify", "--json"))["end"])

	changed := bytes.Replace(raw, []byte(`"device add"`), []byte(`"device adx"`), 1)
	require.NoError(t, os.WriteFile(path, changed, 0o600))
	o = d.admin("audit", "verify")
	require.Equal(t, exitError, o.code)
	require.Contains(t, o.errOut, path+":1: changed after it was written")
	o = d.admin("audit", "verify", "--json")
	require.Equal(t, exitError, o.code)
	require.Contains(t, o.out, `"whole": false`)
	copied := filepath.Join(t.TempDir(), "copy.jsonl")
	require.NoError(t, os.WriteFile(copied, raw, 0o600))
	require.Equal(t, exitOK, d.admin("audit", "verify", copied).code, "a copy from elsewhere")
}
