package phoneapi

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// pipes is a listener whose connections have the bubble's time.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	c, open := <-p
	if !open {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (p pipes) Close() error   { close(p); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// Who sends slowly, or nothing, holds a connection for seconds only.
func TestSlowSendersAreCutOff(t *testing.T) {
	const head = "POST /v1/devices HTTP/1.1\r\nHost: otp.example.vn\r\n"
	for what, c := range map[string]struct {
		sent  string
		after time.Duration
		want  int // status; 0: closed unheard
	}{
		"nothing":            {"", headerTime, 0},
		"half a header":      {head + "Content-Len", headerTime, http.StatusBadRequest},
		"half a body":        {head + "Content-Length: 100\r\n\r\n{\"activation_code\": ", bodyTime, http.StatusUnprocessableEntity},
		"no end of a chunk":  {head + "Transfer-Encoding: chunked\r\n\r\nff\r\n{", bodyTime, http.StatusUnprocessableEntity},
		"nothing afterwards": {"GET /v1/nothing HTTP/1.1\r\nHost: otp.example.vn\r\n\r\n", 0, http.StatusNotFound},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newAPI(t, public)
			ln, ctx := make(pipes), t.Context()
			ctx, stop := context.WithCancel(ctx)
			ended := make(chan error, 1)
			go func() { ended <- f.api.Serve(ctx, ln, nil) }()
			near, far := net.Pipe()
			ln <- far
			begun := time.Now()
			require.NoError(t, near.SetReadDeadline(begun.Add(10*time.Minute)))
			go io.WriteString(near, c.sent)
			in := bufio.NewReader(near)
			if c.want != 0 {
				answer, err := http.ReadResponse(in, nil)
				require.NoError(t, err, what)
				require.Equal(t, c.want, answer.StatusCode, what)
				_, err = io.Copy(io.Discard, answer.Body)
				require.NoError(t, err)
				require.Equal(t, c.after, time.Since(begun), what)
			}
			_, err := in.ReadByte()
			require.ErrorIs(t, err, io.EOF, what)
			require.LessOrEqual(t, time.Since(begun), c.after+idleTime, "%s: and then it is closed", what)
			if c.want == 0 {
				require.Equal(t, c.after, time.Since(begun), what)
			}
			stop()
			require.NoError(t, <-ended)
		})
	}
}
