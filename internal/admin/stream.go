package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// Stream answers POST path with one line of JSON after the other, as f sends
// them, until f returns or the caller hangs up.
func Stream[In, Out any](m *Mux, path string, f func(ctx context.Context, in In, send func(Out) error) error) {
	m.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		var in In
		if !understood(w, r, &in) {
			return
		}
		w.Header().Set("Content-Type", "application/jsonl")
		lines, flush := json.NewEncoder(w), http.NewResponseController(w)
		if flush.Flush() != nil { // so that the caller knows that it is heard
			return
		}
		_ = f(r.Context(), in, func(out Out) error { // it ends because the caller is gone
			if err := lines.Encode(out); err != nil {
				return err
			}
			return flush.Flush()
		})
	})
}

// Follow sends a command and calls each for every line of its answer, until ctx
// ends (nil) or the daemon does.
func Follow[Out any](ctx context.Context, socket, path string, in any, each func(Out) error) error {
	resp, err := post(ctx, socket, path, in)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer resp.Body.Close()
	for lines := json.NewDecoder(resp.Body); ; {
		var out Out
		switch err := lines.Decode(&out); {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return fmt.Errorf("the daemon behind %s has ended", socket)
		case err != nil:
			return fmt.Errorf("the daemon behind %s: %w", socket, err)
		}
		if err := each(out); err != nil {
			return err
		}
	}
}
