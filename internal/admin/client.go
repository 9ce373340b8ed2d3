package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"
)

// callTimeout bounds one command: the daemon may have to ask the directory.
const callTimeout = 30 * time.Second

// Call sends one command to the daemon behind the socket. Its errors are what
// the daemon said, or how to reach it.
func Call[Out any](ctx context.Context, socket, path string, in any) (out Out, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	resp, err := post(ctx, socket, path, in)
	if err != nil {
		return out, err
	}
	defer resp.Body.Close()
	return out, json.NewDecoder(resp.Body).Decode(&out)
}

// post sends a command; its answer is a good one.
func post(ctx context.Context, socket, path string, in any) (*http.Response, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://vssgate"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, unreachable(socket, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusMethodNotAllowed {
		return nil, fmt.Errorf("the daemon behind %s does not know this command; is it the same version?", socket)
	}
	var f failure
	if err := json.NewDecoder(resp.Body).Decode(&f); err != nil || f.Error == "" {
		return nil, fmt.Errorf("the daemon behind %s answered %s", socket, resp.Status)
	}
	return nil, errors.New(f.Error)
}

func unreachable(socket string, err error) error {
	switch {
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("no right to open %s: run as root, or join the group named in admin.group", socket)
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no daemon behind %s: start it (vssgate serve), or name its socket with --socket or its file with --config", socket)
	}
	return fmt.Errorf("talk to the daemon behind %s: %w", socket, err)
}
