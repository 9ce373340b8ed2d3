package audit

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"vssgate/internal/alert"
)

// A Forwarder sends every record on to a syslog server, in order (RFC 5424;
// over TLS RFC 5425, over TCP with the same octet counting, over UDP RFC 5426).
//
// The files are its queue: while the server is away records wait there, and
// what was sent last is noted beside them, so nothing is lost over a restart
// and little is sent twice. What TCP had taken when a connection broke, and
// what a network loses of UDP, is in the files only.
type Forwarder struct {
	Path    string // of the audit log
	Network string // udp or tcp
	Address string // HOST:PORT
	TLS     *tls.Config
	Log     *slog.Logger

	conn  net.Conn
	host  string
	sent  string // hash of the line sent last
	noted string // the same, as noted beside the log
	away  bool   // the server cannot be reached: said once
}

// How often the files are looked at and the note is written; how long a dead
// server is left alone.
const (
	followEvery  = 250 * time.Millisecond
	noteEvery    = 5 * time.Second
	dialEvery    = 5 * time.Second
	sendPatience = 10 * time.Second
)

// Run forwards until ctx ends. It returns nil.
func (f *Forwarder) Run(ctx context.Context) error {
	f.host, _ = os.Hostname()
	file, err := f.start()
	for err == nil && ctx.Err() == nil {
		file, err = f.follow(ctx, file)
	}
	if f.conn != nil {
		f.conn.Close()
	}
	f.note()
	if err != nil && ctx.Err() == nil {
		f.Log.Error("audit records are no longer sent to syslog; they are in the files", "error", err)
	}
	return nil
}

// start finds where to go on: behind the record sent last; without a note, or
// when that record is gone, behind the newest.
func (f *Forwarder) start() (*os.File, error) {
	noted, err := os.ReadFile(f.notePath())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	f.noted = strings.TrimSpace(string(noted))
	files, err := Files(f.Path)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Backward(files) {
		if f.noted == "" {
			break
		}
		if file, err := openBehind(name, f.noted); file != nil || err != nil {
			return file, err
		}
	}
	file, err := os.Open(f.Path)
	if err != nil {
		return nil, err
	}
	_, err = file.Seek(0, io.SeekEnd)
	return file, err
}

// openBehind opens a file behind the line with that hash; nil if it is not there.
func openBehind(name, hash string) (*os.File, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	at, lines := int64(0), bufio.NewReaderSize(file, 64<<10)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			file.Close()
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return nil, err
		}
		at += int64(len(line))
		if bytes.HasSuffix(line, []byte(hashField+hash+lineEnd)) {
			_, err = file.Seek(at, io.SeekStart)
			return file, err
		}
	}
}

// follow sends what comes to a file until it is set aside and read to its end,
// and returns the file that comes next.
func (f *Forwarder) follow(ctx context.Context, file *os.File) (next *os.File, err error) {
	defer file.Close()
	lines, noteAt := bufio.NewReaderSize(file, 64<<10), time.Now().Add(noteEvery)
	var part []byte
	for {
		over := f.setAside(file) // asked before the end is reached: what came in between is read
		for {
			line, err := lines.ReadBytes('\n')
			part = append(part, line...)
			if err != nil && !errors.Is(err, io.EOF) {
				return nil, err
			}
			if err != nil {
				break
			}
			if err := f.deliver(ctx, part); err != nil {
				return nil, err
			}
			part = part[:0]
		}
		if over {
			return f.after(file)
		}
		if now := time.Now(); now.After(noteAt) {
			f.note()
			noteAt = now.Add(noteEvery)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(followEvery):
		}
	}
}

// setAside tells whether the log goes on in another file.
func (f *Forwarder) setAside(file *os.File) bool {
	mine, err1 := file.Stat()
	now, err2 := os.Stat(f.Path)
	return err1 == nil && err2 == nil && !os.SameFile(mine, now)
}

// after opens the file that follows a file.
func (f *Forwarder) after(file *os.File) (*os.File, error) {
	files, err := Files(f.Path)
	if err != nil {
		return nil, err
	}
	mine, err := file.Stat()
	if err != nil {
		return nil, err
	}
	for i, name := range files {
		info, err := os.Stat(name)
		if err == nil && os.SameFile(mine, info) && i+1 < len(files) {
			return os.Open(files[i+1])
		}
	}
	return os.Open(f.Path)
}

// deliver sends one line, as often as it takes.
func (f *Forwarder) deliver(ctx context.Context, line []byte) error {
	message := f.message(line)
	for {
		err := f.send(ctx, message)
		if err == nil {
			_, _, hash, _ := cutLine(line)
			f.sent = fmt.Sprintf("%x", hash)
			if f.away {
				f.away = false
				f.Log.Info("audit records go to syslog again", "server", f.Address)
			}
			return nil
		}
		if !f.away && ctx.Err() == nil {
			f.away = true
			f.Log.Error("audit records cannot be sent to syslog; they wait in the file", alert.Kind("syslog"), "server", f.Address, "error", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(dialEvery):
		}
	}
}

func (f *Forwarder) send(ctx context.Context, message []byte) error {
	ctx, cancel := context.WithTimeout(ctx, sendPatience)
	defer cancel()
	if f.conn == nil {
		conn, err := f.dial(ctx)
		if err != nil {
			return err
		}
		f.conn = conn
	}
	if f.Network != "udp" {
		message = append([]byte(strconv.Itoa(len(message))+" "), message...)
	}
	f.conn.SetWriteDeadline(time.Now().Add(sendPatience))
	_, err := f.conn.Write(message)
	if errors.Is(err, syscall.EMSGSIZE) { // it never will: the files have it
		f.Log.Warn("an audit record is too long for syslog over UDP; use TCP or TLS", "bytes", len(message))
		return nil
	}
	if err != nil {
		f.conn.Close()
		f.conn = nil
		return err
	}
	return nil
}

func (f *Forwarder) dial(ctx context.Context) (net.Conn, error) {
	if f.TLS != nil {
		return (&tls.Dialer{Config: f.TLS}).DialContext(ctx, "tcp", f.Address)
	}
	return (&net.Dialer{}).DialContext(ctx, f.Network, f.Address)
}

// priority is facility 13, "log audit", and informational (RFC 5424 section 6.2.1).
const priority = 13*8 + 6

// message is a record as RFC 5424 wants it: its own time, and the line as it
// stands in the file, so that the chain can be verified from the copy.
func (f *Forwarder) message(line []byte) []byte {
	stamp, _ := firstTime(bytes.NewReader(line))
	host := f.host
	if host == "" {
		host = "-"
	}
	head := fmt.Sprintf("<%d>1 %s %s vssgate %d audit - ", priority, stamp.UTC().Format(timeForm), host, os.Getpid())
	return append([]byte(head), bytes.TrimSuffix(line, []byte("\n"))...)
}

func (f *Forwarder) notePath() string { return f.Path + ".syslog" }

// note writes down which record was sent last.
func (f *Forwarder) note() {
	if f.sent == "" || f.sent == f.noted {
		return
	}
	if err := os.WriteFile(f.notePath(), []byte(f.sent+"\n"), 0o600); err != nil {
		f.Log.Warn("cannot note which audit record was sent to syslog; after a restart some are sent again", "file", f.notePath(), "error", err)
		return
	}
	f.noted = f.sent
}
