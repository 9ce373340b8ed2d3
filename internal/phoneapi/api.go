package phoneapi

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"golang.org/x/net/netutil"

	"vssgate/internal/enrol"
	"vssgate/internal/login"
)

// Texts are the wordings that the API needs.
type Texts interface {
	// Language is the best language for an Accept-Language header.
	Language(acceptLanguage string) string
	// Get is the text under key.
	Get(lang, key string, values map[string]any) string
}

// Options is what an API is made of. All fields but Backends are needed.
type Options struct {
	People    *enrol.People
	Backends  func() []Backend // VssID's own servers as of now; nil: none
	Engine    Engine
	Store     login.Store // one-time marks, and the clock
	Texts     Texts
	PublicURL string // what devices sign as aud
	Meter     Meter
	Log       *slog.Logger

	// Notice tells the person's other devices. It never blocks.
	Notice func(login.Notice)
	// Record writes a change of who may confirm logins to the audit: by whom
	// ("device:ID" or "backend:NAME"), what, and which device or account.
	Record func(by, action, target string) error
}

// Meter counts. Its methods never block.
type Meter interface {
	// Problem counts a request that was answered with one.
	Problem(code string)
}

// An API answers phones. It is an http.Handler; Serve gives it a server with
// the right time limits.
type API struct {
	Options
	audience string // PublicURL without a slash at its end
	prefix   string // its path
	mux      *http.ServeMux
	limits   *limits
	polls    polls
}

// New makes an API.
func New(o Options) (*API, error) {
	a := &API{Options: o, audience: strings.TrimRight(o.PublicURL, "/"), mux: http.NewServeMux(), limits: newLimits()}
	u, err := url.Parse(a.audience)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("public_url %q: want https://HOST", o.PublicURL)
	}
	a.prefix = u.Path
	a.routes()
	return a, nil
}

// routes are the calls of the contract.
type routes struct{ huma.API }

func (a *API) routes() {
	r := &routes{humago.New(a.mux, a.config())}
	register(r, "device", http.MethodPost, "/v1/devices", "enrol", "Enrol a device", 201, a.enrol)
	register(r, "device", http.MethodGet, "/v1/device", "device", "This device's record", 200, a.device)
	register(r, "device", http.MethodPatch, "/v1/device", "change-device", "Change this device's record", 200, a.change)
	register(r, "device", http.MethodDelete, "/v1/device", "sign-out", "Sign this device out for good", 204, a.signOut)
	register(r, "device", http.MethodPost, "/v1/device/activation", "activate-next", "An activation code for this person's next phone", 201, a.successor)
	register(r, "device", http.MethodGet, "/v1/logins", "logins", "The open logins of this device's person", 200, a.list)
	register(r, "device", http.MethodPost, "/v1/logins/{id}/answer", "answer", "Approve, deny or report a login", 200, a.answer)
	a.routesOfBackends(r)
	a.mux.HandleFunc("GET /activate", a.activate)
}

func (a *API) config() huma.Config {
	c := huma.DefaultConfig("vssgate phone API", "1.0.0")
	c.DocsPath, c.SchemasPath, c.CreateHooks = "", "", nil
	c.Transformers = []huma.Transformer{a.transform}
	c.Servers = []*huma.Server{{URL: a.audience}}
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"backend": {
		Type: "http", Scheme: "bearer", Description: "The token of one of VssID's own servers (vssid.backend_tokens)",
	}, "device": {
		Type: "http", Scheme: "bearer", BearerFormat: "JWT",
		Description: "Compact JWS, ES256, made anew for each request: header {alg, kid, typ: \"JWT\"} with the key's RFC 7638 thumbprint as kid; " +
			"claims aud (the server's URL), htm, htu (request target, relative to the server's URL), iat, exp (at most 60 s later), jti (once), bsh (base64url SHA-256 of the body, if there is one).",
	}}
	return c
}

// refusals are the statuses that any call may answer.
var refusals = []string{"401", "403", "404", "409", "422", "426", "429", "503"}

func register[I, O any](api *routes, who, method, path, id, summary string, status int, handler func(context.Context, *I) (*O, error)) {
	op := huma.Operation{
		OperationID: id, Method: method, Path: path, Summary: summary, DefaultStatus: status,
		MaxBodyBytes: maxBody, BodyReadTimeout: -1, // it has been read
		Security:  []map[string][]string{{who: {}}},
		Responses: map[string]*huma.Response{},
	}
	schema := api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Problem](), true, "Problem")
	for _, refusal := range refusals {
		op.Responses[refusal] = &huma.Response{
			Description: "Refused; code says why",
			Content:     map[string]*huma.MediaType{"application/problem+json": {Schema: schema}},
		}
	}
	huma.Register(api, op, handler)
}

// ServeHTTP reads and verifies a request before anything else sees it.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Vary", "Accept-Language")
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(longestCall))

	c := &call{remote: r.RemoteAddr, lang: a.Texts.Language(r.Header.Get("Accept-Language"))}
	r = r.WithContext(context.WithValue(r.Context(), callKey{}, c))
	a.relative(r)
	_, c.pattern = a.mux.Handler(r)
	if c.pattern == "" {
		a.in(c.lang, problem(NotFound)).write(w)
		return
	}
	if strings.Contains(c.pattern, " /v1/") || strings.HasPrefix(r.URL.Path, "/v1/") {
		if err := a.admit(w, r, c); err != nil {
			a.translate(c, err).write(w)
			return
		}
	}
	a.mux.ServeHTTP(w, r)
}

// relative takes the path of public_url off.
func (a *API) relative(r *http.Request) {
	if rest, ok := strings.CutPrefix(r.URL.Path, a.prefix); ok && strings.HasPrefix(rest, "/") {
		u := *r.URL
		u.Path, u.RawPath = rest, strings.TrimPrefix(r.URL.RawPath, a.prefix)
		r.URL = &u
	}
}

func (a *API) admit(w http.ResponseWriter, r *http.Request, c *call) error {
	if err := c.receive(w, r); err != nil {
		return err
	}
	who := a.authenticate
	if forBackends(c.pattern) {
		who = a.backend
	}
	if err := who(r, c); err != nil {
		return err
	}
	if err := c.wellFormed(r); err != nil {
		return err
	}
	r.Body = io.NopCloser(bytes.NewReader(c.body))
	r.Header.Set("Content-Type", "application/json") // there is no other
	r.Header.Del("Accept")                           // nor is there another answer
	return nil
}

// activate is where a QR code leads when another app than VssID reads it.
func (a *API) activate(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, activateHere[callOf(r.Context()).lang]+"\n")
}

var activateHere = map[string]string{
	"vi": "Hãy mở VssID và quét mã QR này trong ứng dụng để kích hoạt.",
	"en": "Open VssID and scan this QR code from within the app to activate it.",
}

// Time and size limits of the server. A call takes at most the longest wait
// and what it takes to write the answer.
const (
	headerTime  = 10 * time.Second
	idleTime    = 2 * time.Minute
	longestCall = 80 * time.Second
	maxHeader   = 16 << 10
	drainTime   = 5 * time.Second
)

// MaxConnections bounds the phones connected at once; more wait to be accepted.
const MaxConnections = 20_000

// Serve answers on ln, over TLS when secure is given, until ctx ends. Long
// polls are answered then, and what is being served ends within seconds.
func (a *API) Serve(ctx context.Context, ln net.Listener, secure *tls.Config) error {
	s := &http.Server{
		Handler: a, TLSConfig: secure,
		ReadHeaderTimeout: headerTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(a.Log.Handler(), slog.LevelDebug),
	}
	stop := make(chan struct{})
	stopped := make(chan error, 1)
	go func() {
		select {
		case <-ctx.Done():
		case <-stop:
		}
		stopped <- a.drain(s)
	}()
	err := serve(s, netutil.LimitListener(ln, MaxConnections))
	close(stop)
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return errors.Join(err, <-stopped)
}

func serve(s *http.Server, ln net.Listener) error {
	if s.TLSConfig != nil {
		return s.ServeTLS(ln, "", "")
	}
	return s.Serve(ln)
}

// drain lets requests end; those that do not are cut off.
func (a *API) drain(s *http.Server) error {
	a.polls.close()
	limit, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	if err := s.Shutdown(limit); err != nil {
		return errors.Join(fmt.Errorf("phone API: %w", err), s.Close())
	}
	return nil
}
