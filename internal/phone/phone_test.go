package phone

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/enrol"
	"vssgate/internal/login"
	"vssgate/internal/phoneapi"
	"vssgate/internal/store"
	"vssgate/internal/texts"
	"vssgate/otp"
)

// engine has one list of logins for everybody.
type engine struct {
	mu      sync.Mutex
	list    login.Logins
	changed chan struct{}
	answers chan login.Answering
	answer  login.Answered
}

func (e *engine) put(version string, open ...login.OpenLogin) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = login.Logins{Version: version, Open: open}
	close(e.changed)
	e.changed = make(chan struct{})
}

func (e *engine) now() (login.Logins, chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.list
	l.Now = time.Now()
	return l, e.changed
}

func (e *engine) Logins(context.Context, string) (login.Logins, error) {
	l, _ := e.now()
	return l, nil
}

func (e *engine) Wait(ctx context.Context, _, since string) (login.Logins, error) {
	for {
		l, changed := e.now()
		if l.Version != since {
			return l, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return l, nil
		}
	}
}

func (e *engine) Withdraw(context.Context, string, func(_, _ string) bool) error { return nil }

func (e *engine) Answer(_ context.Context, id login.ID, a login.Answering) (login.Answered, error) {
	if l, _ := e.now(); len(l.Open) == 0 || l.Open[0].ID != id {
		return login.Answered{}, login.ErrNotYours
	}
	e.answers <- a
	return e.answer, nil
}

type fixture struct {
	engine *engine
	people *enrol.People
	server *httptest.Server
	key    string
}

type nothing struct{}

func (nothing) Problem(string) {}

func newFixture(t *testing.T) *fixture {
	f := &fixture{engine: &engine{list: login.Logins{Version: "v0"}, changed: make(chan struct{}), answers: make(chan login.Answering, 10)}}
	dir := t.TempDir()
	f.key = filepath.Join(dir, "phone.key")
	s, err := store.OpenEmbedded(filepath.Join(dir, "store.db"), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	keys, err := otp.ParseKeys([]byte(otp.NewKeyLine()))
	require.NoError(t, err)
	var handler http.Handler
	f.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(f.server.Close)
	f.people, err = enrol.New(s, keys, enrol.Options{MinVersion: "1.6.8", Platforms: []string{"android"}, MaxDevices: 5, PublicURL: f.server.URL})
	require.NoError(t, err)
	words, err := texts.New(texts.Options{})
	require.NoError(t, err)
	handler, err = phoneapi.New(phoneapi.Options{
		People: f.people, Engine: f.engine, Store: s, Texts: words, PublicURL: f.server.URL, Log: slog.New(slog.DiscardHandler),
		Meter: nothing{}, Notice: func(login.Notice) {}, Record: func(_, _, _ string) error { return nil },
	})
	require.NoError(t, err)
	return f
}

func (f *fixture) activation(t *testing.T) enrol.Printed {
	_, _, err := f.people.Mention(t.Context(), login.Identity{ID: "uuid-ann", Username: "an.nv", DisplayName: "An", Number: "7912345678"})
	require.NoError(t, err)
	a, err := f.people.AddActivation(t.Context(), "uuid-ann")
	require.NoError(t, err)
	return a.Print()
}

// run runs `vssgate phone` and returns what it printed.
func (f *fixture) run(t *testing.T, in io.Reader, out io.Writer, args ...string) error {
	c := Commands()
	c.SilenceErrors, c.SilenceUsage = true, true
	c.SetArgs(append(args, "--url", f.server.URL, "--key", f.key, "--language", "en"))
	c.SetIn(in)
	c.SetOut(out)
	return c.ExecuteContext(t.Context())
}

func (f *fixture) print(t *testing.T, args ...string) (string, error) {
	var out bytes.Buffer
	err := f.run(t, strings.NewReader(""), &out, args...)
	return out.String(), err
}

func (f *fixture) enrol(t *testing.T) {
	_, err := f.print(t, "enrol", f.activation(t).ActivationCode, "--name", "pilot", "--push-token", "t0k3n")
	require.NoError(t, err)
}

func openLogin(approval login.Approval) login.OpenLogin {
	return login.OpenLogin{
		ID: login.NewID(), Code: "123456", Approval: approval, Username: "an.nv", Client: "hq-vpn", From: "203.0.113.7",
		Created: time.Now(), Expires: time.Now().Add(95*time.Second + 500*time.Millisecond), Waiting: 1,
	}
}

func TestEnrolling(t *testing.T) {
	f := newFixture(t)
	act := f.activation(t)
	out, err := f.print(t, "enrol", act.ActivationCode, "--name", "pilot", "--platform", "android", "--app-version", "1.7", "--push-token", "t0k3n", "--json")
	require.NoError(t, err)
	var done Enrolled
	require.NoError(t, json.Unmarshal([]byte(out), &done))
	require.Equal(t, "an.nv", done.Account.Username)
	info, err := os.Stat(f.key)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	again, err := f.print(t, "enrol", act.ActivationCode)
	require.NoError(t, err, "the same key again")
	require.Contains(t, again, done.DeviceID)

	devices, err := f.people.DevicesOf(t.Context(), "uuid-ann")
	require.NoError(t, err)
	require.Len(t, devices, 1)
	require.Equal(t, "1.7", devices[0].AppVersion)
	require.Equal(t, "t0k3n", devices[0].PushToken.Reveal())

	f.key = filepath.Join(t.TempDir(), "other.key")
	_, err = f.print(t, "enrol", act.ActivationCode)
	require.ErrorContains(t, err, "bad_activation")
	_, err = f.print(t, "enrol", f.activation(t).TypedCode)
	require.NoError(t, err, "the code that is typed")
}

func TestWithoutAKey(t *testing.T) {
	f := newFixture(t)
	_, err := f.print(t, "list")
	require.ErrorContains(t, err, "enrol makes one")
	for _, wrong := range []string{"", "secret", `{"kty":"oct","k":"c2VjcmV0"}`} {
		require.NoError(t, os.WriteFile(f.key, []byte(wrong), 0o600))
		_, err = f.print(t, "list")
		require.ErrorContains(t, err, "key file")
		require.NotContains(t, err.Error(), "secret")
	}
}

func TestListing(t *testing.T) {
	f := newFixture(t)
	f.enrol(t)
	out, err := f.print(t, "list")
	require.NoError(t, err)
	require.Equal(t, "No login is waiting. First enter your user name and password on the computer.\n", out)

	l := openLogin(login.ApprovalNumber)
	f.engine.put("v1", l)
	out, err = f.print(t, "list", "--wait", "60")
	require.NoError(t, err)
	require.Contains(t, out, l.ID.String())
	require.Contains(t, out, "Code 123 456, 1 min 35 s left. Login to hq-vpn from 203.0.113.7, account an.nv.")

	out, err = f.print(t, "list", "--json")
	require.NoError(t, err)
	var list List
	require.NoError(t, json.Unmarshal([]byte(out), &list))
	require.Equal(t, "123456", list.Logins[0].Code)
	require.Equal(t, "number", list.Logins[0].Approval)
}

func TestAnswering(t *testing.T) {
	f := newFixture(t)
	f.enrol(t)
	l := openLogin(login.ApprovalNumber)
	f.engine.put("v1", l)
	for _, c := range []struct {
		args   []string
		answer login.Answered
		said   string
		kind   login.AnswerKind
		number string
	}{
		{[]string{"approve", l.ID.String(), "--number", "42"}, login.Answered{Outcome: login.OutcomeAccepted}, "Approved.", login.Approve, "42"},
		{[]string{"approve", l.ID.String()}, login.Answered{Outcome: login.OutcomeRetry, RetryWithin: time.Minute}, "Approved. Press OK or log in again on the computer within 60 seconds.", login.Approve, ""},
		{[]string{"deny", l.ID.String()}, login.Answered{Outcome: login.OutcomeRejected}, "Denied.", login.Deny, ""},
		{[]string{"deny", l.ID.String(), "--report"}, login.Answered{Outcome: login.OutcomeRejected}, "Denied.", login.Report, ""},
		{[]string{"deny", l.ID.String(), "--json"}, login.Answered{Outcome: login.OutcomeRejected}, `"verdict": "rejected"`, login.Deny, ""},
	} {
		f.engine.answer = c.answer
		out, err := f.print(t, c.args...)
		require.NoError(t, err)
		require.Contains(t, out, c.said)
		got := <-f.engine.answers
		require.Equal(t, c.kind, got.Kind)
		require.Equal(t, c.number, got.Number)
	}
	_, err := f.print(t, "approve", login.NewID().String())
	var p *Problem
	require.ErrorAs(t, err, &p)
	require.Equal(t, "not_found", p.Code)
	require.Contains(t, p.Error(), "There is no such thing here.")
}

// screenReader hands on what is printed, line by line.
type screenReader struct{ *io.PipeReader }

func (s screenReader) until(t *testing.T, want string) {
	var seen []byte
	one := make([]byte, 1)
	for !strings.Contains(string(seen), want) {
		_, err := s.Read(one)
		require.NoError(t, err, "waiting for %q, saw %q", want, seen)
		seen = append(seen, one...)
	}
}

func TestWatching(t *testing.T) {
	f := newFixture(t)
	f.enrol(t)
	f.engine.answer = login.Answered{Outcome: login.OutcomeAccepted}
	keys, typing := io.Pipe()
	screen, printing := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := f.run(t, keys, printing, "watch")
		printing.Close()
		done <- err
	}()
	shown := screenReader{screen}
	press := func(s string) {
		_, err := io.WriteString(typing, s)
		require.NoError(t, err)
	}
	shown.until(t, "No login is waiting.")

	number := openLogin(login.ApprovalNumber)
	f.engine.put("v1", number)
	shown.until(t, "[q] quit\n")
	press("a")
	shown.until(t, "Enter: ")
	go press("4x2\n")
	shown.until(t, "Approved.")
	got := <-f.engine.answers
	require.Equal(t, "42", got.Number)
	require.Equal(t, "hq-vpn", got.Shown.Client)
	require.Equal(t, number.Created.Unix(), got.Shown.Created.Unix())

	f.engine.answer = login.Answered{Outcome: login.OutcomeRejected}
	f.engine.put("v2", openLogin(login.ApprovalSimple))
	shown.until(t, "[q] quit\n")
	press("r")
	shown.until(t, "Denied.")
	require.Equal(t, login.Report, (<-f.engine.answers).Kind)

	go io.Copy(io.Discard, screen)
	press("q")
	require.NoError(t, <-done)
}

func TestWatchingEndsWhenThePhoneIsRevoked(t *testing.T) {
	f := newFixture(t)
	f.enrol(t)
	key, err := LoadKey(f.key)
	require.NoError(t, err)
	_, err = f.people.Revoke(t.Context(), key.ID())
	require.NoError(t, err)
	keys, typing := io.Pipe()
	defer typing.Close()
	err = f.run(t, keys, io.Discard, "watch")
	require.ErrorContains(t, err, "revoked")
}

func TestThePhonesOwnRecord(t *testing.T) {
	f := newFixture(t)
	f.enrol(t)
	key, err := OpenKey(f.key)
	require.NoError(t, err)
	c, err := New(f.server.URL+"/", key)
	require.NoError(t, err)
	got, err := c.Change(t.Context(), map[string]any{"signed_in": false})
	require.NoError(t, err)
	require.False(t, got.SignedIn)
	_, err = c.Logins(t.Context(), 0, "")
	require.ErrorContains(t, err, "signed_out")
	got, err = c.Device(t.Context())
	require.NoError(t, err)
	require.Equal(t, key.ID(), got.DeviceID)
	require.NoError(t, c.SignOut(t.Context()))
	_, err = c.Device(t.Context())
	require.ErrorContains(t, err, "revoked")
	require.NotContains(t, key.String(), "d\":")
}

func TestAClockThatIsOff(t *testing.T) {
	f := newFixture(t)
	f.enrol(t)
	key, err := OpenKey(f.key)
	require.NoError(t, err)
	c, err := New(f.server.URL, key)
	require.NoError(t, err)
	c.Now = func() time.Time { return time.Now().Add(-time.Hour) }
	_, err = c.Device(t.Context())
	var p *Problem
	require.ErrorAs(t, err, &p)
	require.Equal(t, "clock", p.Code)
	require.WithinDuration(t, time.Now(), p.ServerTime, time.Minute)
}

// The phone signs for the address that it was given: another way to the same
// server is another server.
func TestAnotherURLThanPublicURLIsNamed(t *testing.T) {
	f := newFixture(t)
	f.enrol(t)
	key, err := OpenKey(f.key)
	require.NoError(t, err)
	elsewhere := strings.Replace(f.server.URL, "127.0.0.1", "localhost", 1)
	c, err := New(elsewhere, key)
	require.NoError(t, err)
	_, err = c.Device(t.Context())
	var p *Problem
	require.ErrorAs(t, err, &p)
	require.Equal(t, "bad_signature", p.Code)
	require.ErrorContains(t, err, "for "+elsewhere+"; --url must be vssid.public_url")
}

func TestAnAnswerThatIsNotOurs(t *testing.T) {
	for name, raw := range map[string]string{"a proxy's page": "<html>Bad Gateway", "nothing": ""} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "7")
				w.WriteHeader(http.StatusBadGateway)
				io.WriteString(w, raw)
			}))
			defer s.Close()
			key, err := NewKey()
			require.NoError(t, err)
			c, err := New(s.URL, key)
			require.NoError(t, err)
			_, err = c.Logins(t.Context(), 0, "")
			var p *Problem
			require.ErrorAs(t, err, &p)
			require.Equal(t, 502, p.Status)
			require.Equal(t, 7*time.Second, p.RetryAfter)
		})
	}
	_, err := New("otp.example.vn", nil)
	require.Error(t, err)
}

func FuzzAnswers(f *testing.F) {
	f.Add(200, `{"version":"1","logins":[]}`)
	f.Add(409, `{"code":"ended","verdict":"expired"}`)
	f.Fuzz(func(t *testing.T, status int, body string) {
		var list List
		err := read(&http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}, &list)
		var p *Problem
		if status >= 400 {
			require.ErrorAs(t, err, &p)
			require.Equal(t, status, p.Status)
		} else if err == nil {
			require.True(t, json.Valid([]byte(body)))
		}
	})
}
