package phoneapi

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"vssgate/internal/enrol"
	"vssgate/internal/login"
	"vssgate/internal/store"
	"vssgate/internal/texts"
	"vssgate/otp"
)

// engine is a small login engine: logins are put in, answers come out.
type engine struct {
	mu      sync.Mutex
	logins  map[string]login.Logins
	changed chan struct{}
	waiting chan struct{} // gets a value when a wait begins to block
	answers []login.Answering
	answer  func(login.ID, login.Answering) (login.Answered, error)
	err     error
	ended   []string // approver of each login that was withdrawn
}

func (e *engine) Withdraw(_ context.Context, person string, match func(account, approver string) bool) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, a := range e.answers {
		if a.Person == person && match("", a.Device) {
			e.ended = append(e.ended, a.Device)
		}
	}
	return e.err
}

func newEngine() *engine {
	return &engine{logins: map[string]login.Logins{}, changed: make(chan struct{}), waiting: make(chan struct{}, 100)}
}

func (e *engine) put(person, version string, open ...login.OpenLogin) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.logins[person] = login.Logins{Version: version, Open: open}
	close(e.changed)
	e.changed = make(chan struct{})
}

func (e *engine) Logins(_ context.Context, person string) (login.Logins, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.logins[person]
	l.Now = time.Now()
	return l, e.err
}

func (e *engine) Wait(ctx context.Context, person, since string) (login.Logins, error) {
	for {
		e.mu.Lock()
		changed := e.changed
		e.mu.Unlock()
		l, err := e.Logins(ctx, person)
		if err != nil || l.Version != since {
			return l, err
		}
		e.waiting <- struct{}{}
		select {
		case <-changed:
		case <-ctx.Done():
			return e.Logins(ctx, person)
		}
	}
}

func (e *engine) Answer(_ context.Context, id login.ID, a login.Answering) (login.Answered, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answers = append(e.answers, a)
	return e.answer(id, a)
}

// broken is a store that can be switched off.
type broken struct {
	login.Store
	mu    sync.Mutex
	err   error
	since time.Time
}

func (b *broken) fail(err error) { b.mu.Lock(); b.err = err; b.mu.Unlock() }

func (b *broken) failure() error { b.mu.Lock(); defer b.mu.Unlock(); return b.err }

func (b *broken) Load(ctx context.Context, keys ...string) (login.Record, error) {
	if err := b.failure(); err != nil {
		return login.Record{}, err
	}
	return b.Store.Load(ctx, keys...)
}

func (b *broken) UseOnce(ctx context.Context, key string, expiry time.Time, durable bool) (bool, error) {
	if err := b.failure(); err != nil {
		return true, err
	}
	return b.Store.UseOnce(ctx, key, expiry, durable)
}

func (b *broken) Since(context.Context) (time.Time, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.since, b.err
}

type fixture struct {
	t      testing.TB
	api    *API
	people *enrol.People
	engine *engine
	store  *broken
	server *httptest.Server
	log    *bytes.Buffer
	public string

	mu       sync.Mutex
	problems map[string]int
	notices  []login.Notice
	recorded []string
	full     error // of the disk that the audit is on
	backends []Backend
}

func (f *fixture) Problem(code string) { f.mu.Lock(); f.problems[code]++; f.mu.Unlock() }

func (f *fixture) counted(code string) int { f.mu.Lock(); defer f.mu.Unlock(); return f.problems[code] }

func (f *fixture) notice(n login.Notice) {
	f.mu.Lock()
	f.notices = append(f.notices, n)
	f.mu.Unlock()
}

func (f *fixture) known() []Backend {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.backends)
}

func (f *fixture) record(by, action, target string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.full == nil {
		f.recorded = append(f.recorded, by+" "+action+" "+target)
	}
	return f.full
}

const public = "https://otp.example.vn"

var annIdentity = login.Identity{ID: "uuid-ann", Username: "an.nv", DisplayName: "Nguyễn Văn An", Number: "7912345678"}

func newFixture(t testing.TB) *fixture { return newFixtureAt(t, public) }

func newFixtureAt(t testing.TB, url string) *fixture {
	t.Helper()
	f := newAPI(t, url)
	f.server = httptest.NewServer(f.api)
	t.Cleanup(f.server.Close)
	return f
}

// newAPI is a fixture that nobody serves yet.
func newAPI(t testing.TB, url string) *fixture {
	t.Helper()
	f := &fixture{t: t, engine: newEngine(), log: &bytes.Buffer{}, public: url, problems: map[string]int{}}
	s, err := store.OpenEmbedded(filepath.Join(t.TempDir(), "store.db"), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	f.store = &broken{Store: s}
	keys, err := otp.ParseKeys([]byte(otp.NewKeyLine()))
	require.NoError(t, err)
	f.people, err = enrol.New(f.store, keys, enrol.Options{MinVersion: "1.6.8", Platforms: []string{"ios", "android"}, MaxDevices: 3, PublicURL: url})
	require.NoError(t, err)
	words, err := texts.New(texts.Options{})
	require.NoError(t, err)
	f.api, err = New(Options{
		People: f.people, Engine: f.engine, Store: f.store, Texts: words, PublicURL: url + "/", Log: slog.New(slog.NewTextHandler(f.log, nil)),
		Meter: f, Notice: f.notice, Record: f.record, Backends: f.known,
	})
	require.NoError(t, err)
	return f
}

// device is a phone made of nothing but crypto and JSON.
type device struct {
	f   *fixture
	key *ecdsa.PrivateKey
	id  string
}

func (f *fixture) newDevice() *device {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(f.t, err)
	return &device{f: f, key: key, id: idOf(f.t, key)}
}

func idOf(t testing.TB, key *ecdsa.PrivateKey) string {
	sum, err := (&jose.JSONWebKey{Key: &key.PublicKey}).Thumbprint(crypto.SHA256)
	require.NoError(t, err)
	return b64(sum)
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func (d *device) jwk() map[string]any {
	point, err := d.key.PublicKey.Bytes()
	require.NoError(d.f.t, err)
	return map[string]any{"kty": "EC", "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:])}
}

func (d *device) header() map[string]any {
	return map[string]any{"alg": "ES256", "kid": d.id, "typ": "JWT"}
}

func (d *device) claims(method, target string, body []byte) map[string]any {
	now := float64(time.Now().UnixMicro()) / 1e6
	c := map[string]any{"aud": d.f.public, "htm": method, "htu": target, "iat": now, "exp": now + 60, "jti": rand.Text()}
	if body != nil {
		sum := sha256.Sum256(body)
		c["bsh"] = b64(sum[:])
	}
	return c
}

func (d *device) sign(header, claims map[string]any) string {
	h, err := json.Marshal(header)
	require.NoError(d.f.t, err)
	c, err := json.Marshal(claims)
	require.NoError(d.f.t, err)
	return d.signRaw(h, c)
}

func (d *device) signRaw(header, claims []byte) string {
	input := b64(header) + "." + b64(claims)
	sum := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, d.key, sum[:])
	require.NoError(d.f.t, err)
	return input + "." + b64(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
}

// reply is an answer, read.
type reply struct {
	status int
	header http.Header
	raw    string
	body   map[string]any
}

func (r reply) code() string { s, _ := r.body["code"].(string); return s }

func (f *fixture) send(method, target, token string, body []byte, headers ...string) reply {
	f.t.Helper()
	r, err := http.NewRequest(method, f.server.URL+target, bytes.NewReader(body))
	require.NoError(f.t, err)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return f.do(r)
}

func (f *fixture) do(r *http.Request) reply {
	f.t.Helper()
	got, err := f.server.Client().Do(r)
	require.NoError(f.t, err)
	defer got.Body.Close()
	raw, err := io.ReadAll(got.Body)
	require.NoError(f.t, err)
	out := reply{status: got.StatusCode, header: got.Header, raw: string(raw)}
	if len(raw) > 0 && strings.Contains(got.Header.Get("Content-Type"), "json") {
		require.NoError(f.t, json.Unmarshal(raw, &out.body), "%s", raw)
	}
	if got.StatusCode >= 400 {
		require.Equal(f.t, "application/problem+json", got.Header.Get("Content-Type"), "%s", raw)
		require.NotEmpty(f.t, out.code())
		require.NotEmpty(f.t, out.body["detail"])
	}
	return out
}

// call makes a call as an honest phone does; in nil: no body.
func (d *device) call(method, target string, in any, headers ...string) reply {
	d.f.t.Helper()
	var body []byte
	if in != nil {
		var err error
		body, err = json.Marshal(in)
		require.NoError(d.f.t, err)
	}
	return d.f.send(method, target, d.sign(d.header(), d.claims(method, target, body)), body, headers...)
}

func (f *fixture) activation() string {
	f.t.Helper()
	_, problem, err := f.people.Mention(f.t.Context(), annIdentity)
	require.NoError(f.t, err)
	require.Empty(f.t, problem)
	act, err := f.people.AddActivation(f.t.Context(), annIdentity.ID)
	require.NoError(f.t, err)
	return act.Code.Reveal()
}

func (d *device) enrolment(code string, change ...map[string]any) map[string]any {
	e := map[string]any{
		"activation_code": code, "public_key": d.jwk(), "name": "An's phone", "platform": "android", "app_version": "1.6.8",
		"push_token": "push-token", "can": []string{"code", "approve", "number"},
	}
	for _, c := range change {
		maps.Copy(e, c)
	}
	return e
}

// enrolled is a phone that is in.
func (f *fixture) enrolled(change ...map[string]any) *device {
	f.t.Helper()
	d := f.newDevice()
	got := d.call("POST", "/v1/devices", d.enrolment(f.activation(), change...))
	require.Equal(f.t, 201, got.status, got.raw)
	return d
}

func (f *fixture) person(d *device) string {
	f.t.Helper()
	got, _, err := f.people.Device(f.t.Context(), d.id)
	require.NoError(f.t, err)
	return got.Person
}

func openLoginOf(approval login.Approval) login.OpenLogin {
	now := time.Now().UTC().Truncate(time.Second).Add(time.Second) // after the phone was enrolled
	return login.OpenLogin{
		ID: login.NewID(), Code: "042917", Approval: approval, Username: "an.nv", Client: "hq-vpn", From: "203.0.113.7",
		Created: now, Expires: now.Add(2 * time.Minute), Waiting: 1,
	}
}
