package audit

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/testenv"
)

// A collector takes syslog messages over TCP or TLS, octet-counted.
type collector struct {
	net.Listener
	got chan string
}

func collect(t *testing.T, l net.Listener) *collector {
	c := &collector{l, make(chan string, 1000)}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go c.read(conn)
		}
	}()
	t.Cleanup(func() { l.Close() })
	return c
}

func (c *collector) read(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for {
		var n int
		if _, err := fmt.Fscanf(in, "%d ", &n); err != nil {
			return
		}
		raw := make([]byte, n)
		if _, err := io.ReadFull(in, raw); err != nil {
			return
		}
		c.got <- string(raw)
	}
}

func (c *collector) next(t *testing.T) string {
	t.Helper()
	select {
	case m := <-c.got:
		return m
	case <-time.After(20 * time.Second):
		t.Fatal("nothing came to syslog")
		return ""
	}
}

// forward runs a Forwarder until the test ends or stop is called.
func forward(t *testing.T, f *Forwarder) (stop func()) {
	if f.Log == nil {
		f.Log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); f.Run(ctx) }()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

func plain(t *testing.T, addr string) net.Listener {
	l, err := net.Listen("tcp", addr)
	require.NoError(t, err)
	return l
}

func write(t *testing.T, l *Log, actions ...string) {
	t.Helper()
	for _, a := range actions {
		require.NoError(t, l.Admin(Admin{By: "me", Action: a, Time: time.Unix(1700000000, 0)}))
	}
}

func TestRecordsGoToSyslogAsTheyStandInTheFile(t *testing.T) {
	l, path, keys := open(t)
	write(t, l, "before") // an older one is not sent
	c := collect(t, plain(t, "127.0.0.1:0"))
	forward(t, &Forwarder{Path: path, Network: "tcp", Address: c.Addr().String()})
	require.Eventually(t, func() bool { // it has begun at the end of the file
		write(t, l, "probe")
		select {
		case <-c.got:
			return true
		case <-time.After(2 * followEvery):
			return false
		}
	}, 20*time.Second, time.Millisecond)
	write(t, l, "mark")
	var got string
	for got == "" || !strings.Contains(got, `"action":"mark"`) {
		got = c.next(t)
		require.NotContains(t, got, "before")
	}
	require.Regexp(t, `^<110>1 2023-11-14T22:13:20\.000Z \S+ vssgate \d+ audit - \{"kind":"admin",.*\}$`, got)
	lines := read(t, path)
	require.True(t, strings.HasSuffix(got, " - "+lines[len(lines)-1]))
	require.NoError(t, l.Close())
	verified(t, path, keys, len(lines))
}

func TestWhatASyslogServerMissedIsSentWhenItIsBack(t *testing.T) {
	l, path, _ := open(t)
	write(t, l, "one")
	c := collect(t, plain(t, "127.0.0.1:0"))
	f := &Forwarder{Path: path, Network: "tcp", Address: c.Addr().String(), Log: slog.New(slog.DiscardHandler)}
	require.NoError(t, os.WriteFile(f.notePath(), []byte(field(t, read(t, path)[0], "hash")+"\n"), 0o600))
	write(t, l, "two")
	require.NoError(t, l.rotate(time.Now().Add(24*time.Hour)))
	write(t, l, "three") // the note is about a line in a file that was set aside
	stop := forward(t, f)
	for _, want := range []string{"two", "three"} {
		require.Contains(t, c.next(t), `"action":"`+want+`"`)
	}
	require.NoError(t, l.rotate(time.Now().Add(48*time.Hour)))
	write(t, l, "four") // and it follows a file that is set aside meanwhile
	require.Contains(t, c.next(t), `"action":"four"`)
	stop()

	write(t, l, "five") // nothing is lost while this program does not run
	var said bytes.Buffer
	require.NoError(t, c.Close())
	g := &Forwarder{Path: path, Network: "tcp", Address: c.Addr().String(), Log: slog.New(slog.NewTextHandler(&said, nil))}
	stop = forward(t, g)
	write(t, l, "six")
	stop() // it never reached the server
	require.NotContains(t, said.String(), "no longer sent")
	c = collect(t, plain(t, "127.0.0.1:0"))
	forward(t, &Forwarder{Path: path, Network: "tcp", Address: c.Addr().String()})
	for _, want := range []string{"five", "six"} {
		require.Contains(t, c.next(t), `"action":"`+want+`"`)
	}
}

func TestSyslogOverTLSVerifiesTheServer(t *testing.T) {
	ca := testenv.CA(t)
	server := &tls.Config{Certificates: []tls.Certificate{ca.Cert}}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", server)
	require.NoError(t, err)
	c := collect(t, listener)
	l, path, _ := open(t)
	write(t, l, "one")
	note := field(t, read(t, path)[0], "hash")
	require.NoError(t, os.WriteFile(path+".syslog", []byte(note), 0o600))
	write(t, l, "two")

	said := &lockedBuffer{said: make(chan struct{}, 100)}
	stop := forward(t, &Forwarder{Path: path, Network: "tcp", Address: c.Addr().String(), TLS: &tls.Config{}, Log: slog.New(slog.NewTextHandler(said, nil))})
	<-said.said
	stop()
	require.Contains(t, said.String(), "certificate")
	require.Empty(t, c.got, "nothing goes to a server that cannot prove its name")

	forward(t, &Forwarder{Path: path, Network: "tcp", Address: c.Addr().String(), TLS: &tls.Config{RootCAs: ca.Pool}})
	require.Contains(t, c.next(t), `"action":"two"`)
}

func TestSyslogOverUDP(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer pc.Close()
	l, path, _ := open(t)
	write(t, l, "one")
	require.NoError(t, os.WriteFile(path+".syslog", []byte(field(t, read(t, path)[0], "hash")), 0o600))
	write(t, l, "two")
	forward(t, &Forwarder{Path: path, Network: "udp", Address: pc.LocalAddr().String()})
	buf := make([]byte, 64<<10)
	require.NoError(t, pc.SetReadDeadline(time.Now().Add(20*time.Second)))
	n, _, err := pc.ReadFrom(buf)
	require.NoError(t, err)
	require.Regexp(t, `^<110>1 .*"action":"two".*\}$`, string(buf[:n]))
}

type lockedBuffer struct {
	bytes.Buffer
	said chan struct{}
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	defer func() { b.said <- struct{}{} }()
	return b.Buffer.Write(p)
}
