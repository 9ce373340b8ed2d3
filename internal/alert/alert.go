package alert

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"
)

// key marks the attribute that makes a record an alert. Packages that import
// nothing of the project's write it out.
const key = "alert"

// Kind marks a log record as an alert of that kind: one word that programs can
// choose by.
func Kind(kind string) slog.Attr { return slog.String(key, kind) }

// queued is how many alerts may wait; more are in the log only.
const queued = 256

// How often one alert is tried, how long a try may take, and the pauses between.
const patience = 10 * time.Second

var pauses = []time.Duration{time.Second, 5 * time.Second, 30 * time.Second}

// A Sender posts alerts to a webhook.
type Sender struct {
	url   string
	queue chan message
	http  *http.Client
	log   *slog.Logger // of the sender's own troubles: they are no alerts
}

// message is what the webhook gets.
type message struct {
	Time    time.Time      `json:"time"`
	Kind    string         `json:"kind"`
	Text    string         `json:"text"`
	Details map[string]any `json:"details"`
}

// New makes a Sender for that URL. log tells of what could not be sent.
func New(url string, log *slog.Logger) *Sender {
	return &Sender{url: url, queue: make(chan message, queued), http: &http.Client{Timeout: patience}, log: log}
}

// Run sends what comes until ctx ends, and then what waits, once each. It
// returns nil.
func (s *Sender) Run(ctx context.Context) error {
	for {
		select {
		case m := <-s.queue:
			s.deliver(ctx, m)
		case <-ctx.Done():
			s.flush()
			return nil
		}
	}
}

func (s *Sender) flush() {
	for {
		select {
		case m := <-s.queue:
			if err := s.post(m); err != nil {
				s.lost(m, err)
			}
		default:
			return
		}
	}
}

func (s *Sender) deliver(ctx context.Context, m message) {
	for try := 0; ; try++ {
		err := s.post(m)
		if err == nil {
			return
		}
		if try == len(pauses) || ctx.Err() != nil {
			s.lost(m, err)
			return
		}
		select {
		case <-time.After(pauses[try]):
		case <-ctx.Done():
		}
	}
}

func (s *Sender) lost(m message, err error) {
	s.log.Error("an alert could not be sent; it is in the log only", "kind", m.Kind, "error", err)
}

func (s *Sender) post(m message) error {
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	resp, err := s.http.Post(s.url, "application/json", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("alerts.webhook: %w", err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	if resp.StatusCode >= 300 {
		return fmt.Errorf("alerts.webhook: %s", resp.Status)
	}
	return nil
}

// Handler passes every record on to next, and alerts to the webhook too.
func (s *Sender) Handler(next slog.Handler) slog.Handler { return handler{Handler: next, sender: s} }

type handler struct {
	slog.Handler
	sender *Sender
	attrs  []slog.Attr // of the logger
}

// Enabled: an alert is one whatever the log's level.
func (h handler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn || h.Handler.Enabled(ctx, level)
}

func (h handler) Handle(ctx context.Context, r slog.Record) error {
	m := message{Time: r.Time, Text: r.Message, Details: map[string]any{}}
	add := func(a slog.Attr) bool {
		if a.Key == key {
			m.Kind = a.Value.String()
		} else {
			m.Details[a.Key] = plain(a.Value.Resolve())
		}
		return true
	}
	r.Attrs(add)
	if m.Kind != "" {
		for _, a := range h.attrs {
			add(a)
		}
		select {
		case h.sender.queue <- m:
		default:
			h.sender.log.Error("too many alerts at once; this one is in the log only", "kind", m.Kind)
		}
	}
	if !h.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

// plain is a value as JSON shows it to people: errors and durations as text.
func plain(v slog.Value) any {
	switch x := v.Any().(type) {
	case error:
		return x.Error()
	case time.Duration, fmt.Stringer:
		return fmt.Sprint(x)
	default:
		return x
	}
}

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.Handler = h.Handler.WithAttrs(attrs)
	h.attrs = append(h.attrs[:len(h.attrs):len(h.attrs)], attrs...)
	return h
}

func (h handler) WithGroup(name string) slog.Handler {
	h.Handler = h.Handler.WithGroup(name)
	return h
}
