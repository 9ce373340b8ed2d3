package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAlertsReachTheWebhook(t *testing.T) {
	got := make(chan object, 100)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var m object
		if json.NewDecoder(r.Body).Decode(&m) == nil {
			got <- m
		}
	}))
	defer hook.Close()
	d := newDesk(t)
	d.enrol()
	d.Stop()
	src, err := os.ReadFile(d.Config)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(d.Config, append(src, []byte("alerts: {webhook: \""+hook.URL+"\"}\n")...), 0o600))
	d.Start()
	next := func(kind string) object {
		t.Helper()
		for {
			select {
			case m := <-got:
				if m["kind"] == kind {
					return m
				}
			case <-time.After(20 * time.Second):
				t.Fatalf("no alert %s", kind)
			}
		}
	}

	o := vssgate(t, "", "try", "radius", "--server", d.RADIUS[0], "--secret", sharedSecret, "--user", "an.nv", "--password", password, "--station", "203.0.113.7", "--code", "000000")
	require.Equal(t, exitError, o.code, "a wrong code, and nothing more to type: the login stays open")
	list := decoded[object](t, d.phone("list", "--wait", "20", "--json"))
	id := list["logins"].([]any)[0].(object)["id"].(string)
	require.Equal(t, exitOK, d.phone("deny", id, "--report").code)
	reported := next("reported")
	require.Contains(t, reported["text"], "somebody else knows the password")
	require.Equal(t, "file:an.nv", reported["details"].(object)["account"])
	require.Equal(t, exitOK, d.admin("emergency", "on", "--group", "duty", "--minutes", "1", "--why", "x").code)
	require.Equal(t, "duty", next("emergency_on")["details"].(object)["group"])
	raw, err := json.Marshal(reported)
	require.NoError(t, err)
	require.NotContains(t, string(raw), number)
}
