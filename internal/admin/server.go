package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// maxBody bounds what a command may send.
const maxBody = 1 << 20

// ErrWrong marks an error that is the caller's to mend: 400 instead of 500.
var ErrWrong = errors.New("")

// Mux collects the daemon's routes.
type Mux struct{ http.ServeMux }

// Handle answers POST path with f. by is the caller, as "uid 0".
func Handle[In, Out any](m *Mux, path string, f func(ctx context.Context, by string, in In) (Out, error)) {
	m.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		var in In
		if !understood(w, r, &in) {
			return
		}
		out, err := f(r.Context(), caller(r.Context()), in)
		switch {
		case errors.Is(err, ErrWrong):
			answer(w, http.StatusBadRequest, failure{err.Error()})
		case err != nil:
			answer(w, http.StatusInternalServerError, failure{err.Error()})
		default:
			answer(w, http.StatusOK, out)
		}
	})
}

// understood reads what a command says, or refuses it.
func understood(w http.ResponseWriter, r *http.Request, in any) bool {
	d := json.NewDecoder(io.LimitReader(r.Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(in); err != nil {
		answer(w, http.StatusBadRequest, failure{fmt.Sprintf("the daemon does not understand this command; is it the same version? (%v)", err)})
		return false
	}
	return true
}

type failure struct {
	Error string `json:"error"`
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

type callerKey struct{}

func caller(ctx context.Context) string {
	by, _ := ctx.Value(callerKey{}).(string)
	return by
}

// Listen makes the socket: mode 0600, or 0660 for group when there is one. A
// socket that a dead daemon left behind is replaced; a live one is an error.
func Listen(path, group string) (*net.UnixListener, error) {
	if conn, err := net.Dial("unix", path); err == nil {
		conn.Close()
		return nil, fmt.Errorf("admin socket %s: another vssgate is listening there; stop it, or choose another admin.socket", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	old := unix.Umask(0o177) // nobody else may open it, not even for an instant
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	unix.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	if group == "" {
		return l, nil
	}
	if err := giveTo(path, group); err != nil {
		l.Close()
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	return l, nil
}

func giveTo(path, group string) error {
	g, err := user.LookupGroup(group)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(g.Gid)
	if err != nil {
		return err
	}
	if err := os.Chown(path, -1, gid); err != nil {
		return err
	}
	return os.Chmod(path, 0o660)
}

// Serve answers commands until ctx ends.
func Serve(ctx context.Context, l *net.UnixListener, m *Mux, log *slog.Logger) error {
	srv := &http.Server{
		Handler:           m,
		ReadHeaderTimeout: 5 * time.Second,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, callerKey{}, peer(c))
		},
	}
	defer context.AfterFunc(ctx, func() { srv.Close() })()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// peer is who opened the connection, by the kernel's word.
func peer(c net.Conn) string {
	who := "uid unknown"
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return who
	}
	raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			who = "uid " + strconv.Itoa(int(cred.Uid))
		}
	})
	return who
}
