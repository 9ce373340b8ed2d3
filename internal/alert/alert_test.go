package alert

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// hook is a webhook that answers with these codes, and then 200.
func hook(t *testing.T, codes ...int) (url string, got chan map[string]any) {
	got = make(chan map[string]any, 10*queued)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m map[string]any
		if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" || json.NewDecoder(r.Body).Decode(&m) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if len(codes) > 0 {
			w.WriteHeader(codes[0])
			codes = codes[1:]
			return
		}
		got <- m
	}))
	t.Cleanup(server.Close)
	return server.URL, got
}

func running(t *testing.T, url string) (s *Sender, log *slog.Logger, said *bytes.Buffer, stop func()) {
	said = &bytes.Buffer{}
	next := slog.NewTextHandler(said, nil)
	s = New(url, slog.New(next))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return s, slog.New(s.Handler(next)), said, stop
}

func TestARecordWithAKindIsSentAndNoOther(t *testing.T) {
	url, got := hook(t)
	_, log, said, stop := running(t, url)
	log.Error("not an alert")
	log.With("node", "a").Warn("reported by its owner", Kind("reported"), "account", "id-1", "lasts", time.Minute, "error", errors.New("why"))
	m := <-got
	require.Equal(t, "reported", m["kind"])
	require.Equal(t, "reported by its owner", m["text"])
	require.Equal(t, map[string]any{"account": "id-1", "node": "a", "lasts": "1m0s", "error": "why"}, m["details"])
	_, err := time.Parse(time.RFC3339Nano, m["time"].(string))
	require.NoError(t, err)
	stop()
	require.Empty(t, got)
	require.Contains(t, said.String(), "not an alert")
	require.Contains(t, said.String(), "alert=reported", "it is in the log too")
}

func TestAnAlertIsTriedAgain(t *testing.T) {
	before := pauses
	pauses = []time.Duration{time.Millisecond, time.Millisecond}
	defer func() { pauses = before }()
	url, got := hook(t, 500, 503)
	_, log, said, stop := running(t, url)
	log.Warn("one", Kind("k"))
	require.Equal(t, "one", (<-got)["text"])
	stop()
	require.NotContains(t, said.String(), "could not be sent")
}

func TestWhatCannotBeSentIsSaidAndHoldsNothingUp(t *testing.T) {
	url, got := hook(t, 500, 500, 500, 500, 500)
	s, log, said, stop := running(t, url)
	for range queued + 10 {
		log.Warn("one", Kind("k"))
	}
	require.Eventually(t, func() bool { return len(s.queue) <= queued }, 20*time.Second, time.Millisecond)
	stop() // ends the pause, and sends what waits once
	require.Contains(t, said.String(), "too many alerts at once")
	require.Contains(t, said.String(), "could not be sent")
	require.NotEmpty(t, got)
}
