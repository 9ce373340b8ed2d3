package push

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"

	"vssgate/internal/secret"
)

// WebhookOptions make a Webhook.
type WebhookOptions struct {
	URL   string         // https, or http on this machine
	Token secret.Secret  // sent as Authorization: Bearer; "" none
	Roots *x509.CertPool // who may have issued the service's certificate; nil: the system's
	Log   *slog.Logger
}

// Webhook sends through VssID's own push service, one POST for each device. It
// is safe for concurrent use. docs/push.md says what the service has to do.
type Webhook struct {
	guard
	url    string
	token  secret.Secret
	client *http.Client
}

// NewWebhook does not connect yet.
func NewWebhook(o WebhookOptions) (*Webhook, error) {
	if u, err := url.Parse(o.URL); err != nil || u.Host == "" {
		return nil, errors.New("push: webhook: not a URL with a host")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	transport, err := newTransport("")
	if err != nil {
		return nil, err
	}
	transport.TLSClientConfig = &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12}
	return &Webhook{guard: guard{log: o.Log}, url: o.URL, token: o.Token, client: &http.Client{
		Transport:     transport,
		Timeout:       tryTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // the bearer is for that URL alone
	}}, nil
}

// Send is Sender's.
func (w *Webhook) Send(ctx context.Context, t Target, m Message) Outcome {
	return w.send(ctx, m, func(ctx context.Context) Outcome { return w.tell(ctx, t, m) })
}

// Check asks the service without telling anybody: it fails early where Send
// would fail late, and ends the breaker's pause once the service takes it.
func (w *Webhook) Check(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	o := w.post(ctx, map[string]string{"type": "check"}, "")
	w.note(o)
	if o.Result != Sent {
		return fmt.Errorf("push: ask the webhook (%s): %w", o.Result, o.Err)
	}
	return nil
}

func (w *Webhook) tell(ctx context.Context, t Target, m Message) Outcome {
	body := data(m)
	body["device_id"], body["platform"], body["push_token"] = t.Device, t.Platform, t.Token
	return w.post(ctx, body, t.Token)
}

func (w *Webhook) post(ctx context.Context, body map[string]string, token string) Outcome {
	raw, err := json.Marshal(body)
	if err != nil {
		return Outcome{Result: BadMessage, Err: redact(err, token)}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(raw))
	if err != nil {
		return Outcome{Result: Misconfigured, Err: redact(err, token)}
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "vssgate")
	if w.token != "" {
		r.Header.Set("Authorization", "Bearer "+w.token.Reveal())
	}
	answer, err := w.client.Do(r)
	if err != nil {
		return unanswered(err)
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(io.LimitReader(answer.Body, maxError))
	if err != nil {
		return unanswered(err)
	}
	return judge(answer, said, token)
}

// judge sorts the answers of the service. A device loses its token only by an
// answer that names it: a wrong path is 404 as well.
func judge(r *http.Response, said []byte, token string) (o Outcome) {
	switch status := r.StatusCode; {
	case status >= 200 && status < 300:
		return Outcome{Result: Sent}
	case status == http.StatusNotFound && repeats(said, token), status == http.StatusGone && repeats(said, token):
		o.Result = Unregistered
	case status == http.StatusBadRequest, status == http.StatusRequestEntityTooLarge, status == http.StatusUnprocessableEntity:
		o.Result = BadMessage
	case status == http.StatusTooManyRequests:
		o.Result, o.RetryAfter = Throttled, retryAfter(r, throttledFor)
	case status >= http.StatusInternalServerError, status == http.StatusRequestTimeout:
		o.Result, o.RetryAfter = Unavailable, retryAfter(r, unavailableFor)
	default:
		o.Result = Misconfigured
	}
	o.Err = fmt.Errorf("the webhook answered %d", r.StatusCode)
	return o
}

// repeats tells whether an answer is JSON that names this very token.
func repeats(said []byte, token string) bool {
	var gone struct {
		PushToken string `json:"push_token"`
	}
	return token != "" && json.Unmarshal(said, &gone) == nil && gone.PushToken == token
}

// unanswered sorts what went wrong before there was an answer. The URL is left
// out of the error: its query may be a secret.
func unanswered(err error) Outcome {
	var at *url.Error
	var certificate *tls.CertificateVerificationError
	if errors.As(err, &at) {
		err = at.Err
	}
	o := Outcome{Result: Unreachable, RetryAfter: unavailableFor, Err: redact(err, "")}
	switch {
	case errors.As(err, &certificate):
		o.Result, o.RetryAfter = Misconfigured, 0
	case errors.Is(err, context.Canceled), at != nil && at.Timeout(), errors.Is(err, context.DeadlineExceeded):
		o.Result = Timeout
	}
	return o
}
