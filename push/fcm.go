package push

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"firebase.google.com/go/v4/messaging"
	"github.com/appleboy/go-fcm"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
	"google.golang.org/api/option"
)

// CallTimeout bounds one message, with the library's own retries; tryTimeout
// bounds one HTTP exchange.
const (
	CallTimeout = 5 * time.Second
	tryTimeout  = 3 * time.Second
)

// DefaultEndpoint is Google's.
const DefaultEndpoint = "https://fcm.googleapis.com/v1"

// scope is the only right that sending needs; the library would ask for six.
const scope = "https://www.googleapis.com/auth/firebase.messaging"

// Options make an FCM.
type Options struct {
	CredentialsJSON []byte // key file of the service account
	ProjectID       string // default: that of the key file
	Endpoint        string // with /v1; default DefaultEndpoint
	Proxy           string // URL of an HTTP proxy for all that leaves; default none
	Alerts          Alerts // the Vietnamese texts that iOS falls back to
	Log             *slog.Logger
}

// FCM sends to Firebase Cloud Messaging. It is safe for concurrent use.
type FCM struct {
	guard
	client *fcm.Client
	tokens *tokens
	alerts Alerts
}

// NewFCM reads the credentials; it does not yet connect: see Check.
func NewFCM(o Options) (*FCM, error) {
	if o.Endpoint == "" {
		o.Endpoint = DefaultEndpoint
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	transport, err := newTransport(o.Proxy)
	if err != nil {
		return nil, err
	}
	source, err := newTokens(o.CredentialsJSON, transport)
	if err != nil {
		return nil, err
	}
	if o.ProjectID == "" {
		o.ProjectID = source.project
	}
	client, err := newClient(o, &http.Client{
		Transport: &oauth2.Transport{Source: source, Base: transport},
		Timeout:   tryTimeout,
	})
	if err != nil {
		return nil, fmt.Errorf("push: %w", err)
	}
	return &FCM{guard: guard{log: o.Log}, client: client, tokens: source, alerts: o.Alerts}, nil
}

// newClient hands the library our own HTTP client: given credentials, it would
// ask for more rights, have no time-out or one of its own, and retry each.
func newClient(o Options, hc *http.Client) (*fcm.Client, error) {
	if o.ProjectID == "" {
		return nil, errors.New("no project id: neither in the configuration nor in the credentials")
	}
	return fcm.NewClient(context.Background(),
		fcm.WithCustomClientOption(option.WithHTTPClient(hc)),
		fcm.WithProjectID(o.ProjectID),
		fcm.WithEndpoint(o.Endpoint),
	)
}

func newTransport(proxy string) (*http.Transport, error) {
	t := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: tryTimeout}).DialContext,
		TLSHandshakeTimeout: tryTimeout,
		ForceAttemptHTTP2:   true, // many messages on one connection
		MaxConnsPerHost:     64,
		MaxIdleConnsPerHost: 8,
		IdleConnTimeout:     90 * time.Second,
	}
	if proxy == "" {
		return t, nil
	}
	u, err := url.Parse(proxy)
	if err != nil || u.Host == "" {
		return nil, errors.New("push: proxy: not a URL with a host")
	}
	t.Proxy = http.ProxyURL(u)
	return t, nil
}

// tokens is a source of bearers that can forget the current one.
type tokens struct {
	project string
	fresh   func() (oauth2.TokenSource, error)

	mu      sync.Mutex
	current oauth2.TokenSource
}

func newTokens(credentials []byte, transport http.RoundTripper) (*tokens, error) {
	ctx := context.WithValue(context.Background(), oauth2.HTTPClient, &http.Client{Transport: transport, Timeout: tryTimeout})
	read := func() (*google.Credentials, error) {
		return google.CredentialsFromJSONWithType(ctx, credentials, google.ServiceAccount, scope)
	}
	c, err := read()
	if err != nil {
		// The cause may quote what it could not read: a private key.
		return nil, errors.New("push: the credentials are not the JSON key file of a Google service account")
	}
	return &tokens{project: c.ProjectID, current: c.TokenSource, fresh: func() (oauth2.TokenSource, error) {
		c, err := read()
		if err != nil {
			return nil, err
		}
		return c.TokenSource, nil
	}}, nil
}

// Token returns the current bearer, fetched when there is none. It takes at
// most tryTimeout.
func (t *tokens) Token() (*oauth2.Token, error) {
	t.mu.Lock()
	source := t.current
	t.mu.Unlock()
	return source.Token()
}

// forget makes the next Token fetch a new one.
func (t *tokens) forget() {
	source, err := t.fresh()
	if err != nil {
		return // the credentials could be read once, so they can again
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.current = source
}

// Check fetches a bearer: it fails early where Send would fail late, and ends
// the breaker's pause once the credentials are good. It takes at most a few
// seconds.
func (f *FCM) Check(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	f.tokens.forget()
	if _, err := f.tokens.Token(); err != nil {
		o := classifyToken(err)
		f.note(o)
		return fmt.Errorf("push: fetch a token (%s): %w", o.Result, o.Err)
	}
	f.note(Outcome{Result: Sent})
	return nil
}

// DryRun is Check, and lets FCM judge a message that it is not to deliver, to a
// phone that does not exist: whoever may send to this project hears that the
// token is none.
func (f *FCM) DryRun(ctx context.Context) error {
	if err := f.Check(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	nobody := Target{Token: "vssgate-doctor"}
	batch, err := f.client.SendDryRun(ctx, build(nobody, Message{Kind: Closed, Login: "doctor"}, f.alerts))
	if err != nil {
		return fmt.Errorf("push: dry run: %w", err)
	}
	if batch.Responses[0].Error == nil {
		return nil
	}
	switch o := classify(batch.Responses[0].Error, nobody.Token); o.Result {
	case BadToken, Unregistered, SenderMismatch:
		return nil
	default:
		return fmt.Errorf("push: dry run (%s): %w", o.Result, o.Err)
	}
}

// Send tells one device. It takes no longer than CallTimeout and ctx allow,
// and answers BreakerOpen without trying while there is no hope.
func (f *FCM) Send(ctx context.Context, t Target, m Message) Outcome {
	return f.send(ctx, m, func(ctx context.Context) Outcome {
		o := f.try(ctx, t, m)
		if o.Result == refusedBearer {
			f.tokens.forget() // revoked before its time: a new one may do
			if o = f.try(ctx, t, m); o.Result == refusedBearer {
				o.Result = Misconfigured
			}
		}
		return o
	})
}

// refusedBearer never leaves Send.
const refusedBearer Result = "refused_bearer"

// try makes one call. The bearer is fetched before: the library would take a
// token end point that refuses for a broken network and try five times.
func (f *FCM) try(ctx context.Context, t Target, m Message) Outcome {
	if _, err := f.tokens.Token(); err != nil {
		return classifyToken(err)
	}
	batch, err := f.client.Send(ctx, build(t, m, f.alerts))
	if err != nil {
		return Outcome{Result: BadMessage, Err: redact(err, t.Token)}
	}
	r := batch.Responses[0]
	switch {
	case r.Error != nil && unauthenticated(r.Error):
		return Outcome{Result: refusedBearer, Err: redact(r.Error, t.Token)}
	case r.Error != nil:
		return classify(r.Error, t.Token)
	case r.MessageID == "": // the library takes 200 {} for a success
		return Outcome{Result: Malformed, Err: errors.New("FCM answered 200 without a message id")}
	}
	return Outcome{Result: Sent}
}

// unauthenticated tells a bearer that Google does not know from a key that
// Apple does not know: both are 401.
func unauthenticated(err error) bool {
	return !messaging.IsThirdPartyAuthError(err) && statusOf(err) == http.StatusUnauthorized
}
