package phones_test

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/phone"
	"vssgate/test/site"
)

// A vssid is a server of VssID's in the configuration.
type vssid struct {
	name string
	may  string // [devices, show, answer]
	from string // its addresses; "": anywhere
}

// served is an office with VssID's servers, one token each, in files called
// NAME.current; NAME.next is for the one after it.
func served(t *testing.T, all ...vssid) (*office, map[string]backend) {
	t.Helper()
	dir := t.TempDir()
	var lines strings.Builder
	for _, v := range all {
		fmt.Fprintf(&lines, "    - {name: %[1]s, token_files: [%[2]s/%[1]s.current, %[2]s/%[1]s.next], addresses: [%[3]s], may: %[4]s}\n", v.name, dir, v.from, v.may)
	}
	tokens := map[string]string{}
	for _, v := range all {
		tokens[v.name] = put(t, filepath.Join(dir, v.name+".current"))
	}
	o := open(t, "vssid:\n  listen: \"{{HTTP}}\"\n  public_url: \"http://{{HTTP}}\"\n  backend_tokens:\n"+lines.String())
	backends := map[string]backend{}
	for name, token := range tokens {
		backends[name] = backend{o, token}
	}
	o.tokens = dir
	return o, backends
}

// put writes a fresh token into a file.
func put(t *testing.T, file string) string {
	t.Helper()
	token := rand.Text() + rand.Text()
	require.NoError(t, os.WriteFile(file, []byte(token+"\n"), 0o600))
	return token
}

const everything = "[devices, show, answer]"

// spoken is a phone that has no key: VssID's server speaks for it.
func spoken(push string) map[string]any {
	return map[string]any{"name": "An's phone", "platform": "android", "app_version": "1.6.8", "push_token": push, "can": []string{"code", "number"}, "notifications": "allowed"}
}

// The whole of the letter's steps without a key on the phone.
func TestVssIDsServersBringAPhoneInAndShowItsCode(t *testing.T) {
	o, all := served(t, vssid{name: "vssid", may: everything})
	v := all["vssid"]
	status, out := v.call("POST", "/v1/persons", map[string]string{"bhxh_number": "7900000001"})
	require.Equal(t, http.StatusNotFound, status, "nobody has logged in yet: %v", out)
	require.EqualValues(t, site.AccessReject, o.NAS(site.Asks).Ask(asks).Code, "no phone; but now he is known")

	person := v.person()
	status, out = v.call("PUT", "/v1/persons/"+person+"/devices/1", spoken("push"))
	require.Equal(t, http.StatusOK, status, out)
	asked := o.challenged()
	o.told("push", "login")
	seen := v.logins(person)[0]
	require.Equal(t, "number", seen["approval"])
	status, out = v.call("PUT", "/v1/persons/"+person+"/devices/1", spoken("push")) // signed out of VssID, and in again
	require.Equal(t, http.StatusOK, status, out)
	require.Equal(t, seen["code"], v.logins(person)[0]["code"])
	o.in(seen["code"].(string), asked)
	require.Equal(t, "code", o.Last().Factor)

	asked = o.challenged()
	number := shownNumber(t, asked.Text)
	status, out = v.call("POST", "/v1/persons/"+person+"/logins/"+v.logins(person)[0]["id"].(string)+"/answer", map[string]string{"answer": "approve", "number": number})
	require.Equal(t, http.StatusOK, status, out)
	require.Equal(t, "waiting_for_retry", out["verdict"])
	o.in("ok", asked)
	require.Equal(t, "backend:vssid", o.Last().Presence, "told apart from a phone's own")
	require.Equal(t, "approval", o.Last().Factor)
	require.Empty(t, o.Last().Signed)
}

// Each right is for its own calls, and no right is none.
func TestABackendMayWhatItsTokenMay(t *testing.T) {
	o, all := served(t, vssid{name: "nothing", may: "[]"}, vssid{name: "devices", may: "[devices]"}, vssid{name: "show", may: "[show]"},
		vssid{name: "answer", may: "[answer]"}, vssid{name: "elsewhere", may: everything, from: `"192.0.2.9"`})
	p := o.phone("his")
	person := all["show"].person()
	const find, put, list, answer = "POST /v1/persons", "PUT devices/1", "GET logins", "POST answer"
	for _, c := range []struct {
		name string
		want map[string]int
	}{
		{"nothing", map[string]int{find: 403, put: 403, list: 403, answer: 403}},
		{"elsewhere", map[string]int{find: 401, put: 401, list: 401, answer: 401}},
		{"devices", map[string]int{find: 200, put: 200, list: 403, answer: 403}},
		{"show", map[string]int{find: 200, put: 403, list: 200, answer: 403}},
		{"answer", map[string]int{find: 200, put: 403, list: 403, answer: 200}},
	} {
		asked := o.challenged()
		shown := p.Login()
		for call, want := range c.want {
			var status int
			var out map[string]any
			switch v := all[c.name]; call {
			case find:
				status, out = v.call("POST", "/v1/persons", map[string]string{"bhxh_number": "7900000001"})
			case put:
				status, out = v.call("PUT", "/v1/persons/"+person+"/devices/1", spoken("brought"))
			case list:
				status, out = v.call("GET", "/v1/persons/"+person+"/logins", nil)
			case answer:
				status, out = v.call("POST", "/v1/persons/"+person+"/logins/"+shown.ID+"/answer", map[string]string{"answer": "deny"})
			}
			require.Equal(t, want, status, "%s %s: %v", c.name, call, out)
			if want >= 400 {
				require.NotContains(t, fmt.Sprint(out), shown.Code)
			}
		}
		if c.want[answer] != 200 {
			o.in(shown.Code, asked)
			continue
		}
		require.Contains(t, o.types(shown.Code, asked).Text, "denied")
		require.Equal(t, "backend:answer", o.Last().Presence)
	}
	o.Logged("a backend's token came from an address that is not its own")
}

// The next token counts beside the current one, and then alone, and nobody is
// shut out in between: files are looked at every few seconds, and at a reload.
func TestABackendsTokenIsChangedWithoutABreak(t *testing.T) {
	o, all := served(t, vssid{name: "vssid", may: everything}, vssid{name: "other", may: everything})
	o.phone("his")
	old := all["vssid"]
	old.person()
	next := backend{o, put(t, filepath.Join(o.tokens, "vssid.next"))}
	require.Eventually(t, func() bool { old.person(); return next.asks() == http.StatusOK }, site.Patience, 200*time.Millisecond)

	require.NoError(t, os.Rename(filepath.Join(o.tokens, "vssid.next"), filepath.Join(o.tokens, "vssid.current")))
	require.Contains(t, o.Reload(), "reload: the configuration is in use")
	next.person()
	require.Equal(t, http.StatusUnauthorized, old.asks())

	require.Contains(t, o.Reload("name: vssid, token_files", "name: renamed, token_files", "may: "+everything, "may: [show]"), "reload: the configuration is in use")
	require.NotContains(t, o.Output(), "backend_tokens changes at the next start")
	person := next.person()
	status, out := next.call("PUT", "/v1/persons/"+person+"/devices/1", spoken("push"))
	require.Equal(t, http.StatusForbidden, status, out)
	all["other"].person()
	put(t, filepath.Join(o.tokens, "other.current"))
	o.Reload()
	require.Equal(t, http.StatusUnauthorized, all["other"].asks(), "replaced")
	next.person()
}

func (b backend) asks() int {
	b.o.t.Helper()
	status, _ := b.call("POST", "/v1/persons", map[string]string{"bhxh_number": "7900000001"})
	return status
}

// Two keys for one installation at the same time: afterwards one of them is the
// installation's, and the other one nobody's.
func TestTwoKeysForOneInstallationAtOnce(t *testing.T) {
	o, all := served(t, vssid{name: "vssid", may: everything})
	v := all["vssid"]
	o.NAS(site.Asks).Ask(asks)
	person := v.person()
	for n := range 5 {
		phones := make([]*site.Phone, 4)
		var at sync.WaitGroup
		for i := range phones {
			key, err := phone.NewKey()
			require.NoError(t, err)
			phones[i] = o.Client(key)
			body := spoken("push")
			body["public_key"] = key.Public()
			at.Go(func() { v.call("PUT", fmt.Sprintf("/v1/persons/%s/devices/%d", person, n%2), body) })
		}
		at.Wait()
		in := 0
		for _, p := range phones {
			d, err := p.Device(t.Context())
			if err == nil {
				in++
				require.Equal(t, p.ID, d.DeviceID)
			}
		}
		require.Equal(t, 1, in)
	}
	require.Equal(t, 2, strings.Count(o.Command("device", "list", "--account", user, "--json"), `"id"`), "two installations")
}
