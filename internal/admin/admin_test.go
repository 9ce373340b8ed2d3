package admin_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/admin"
)

// daemon serves one route on a socket of its own.
func daemon(t *testing.T) (socket string) {
	t.Helper()
	m := &admin.Mux{}
	admin.Handle(m, "/account/show", func(_ context.Context, by string, in admin.User) (admin.Account, error) {
		switch in.User {
		case "nobody":
			return admin.Account{}, fmt.Errorf("nobody is called %q%w", in.User, admin.ErrWrong)
		case "broken":
			return admin.Account{}, errors.New("the store is down")
		}
		return admin.Account{Username: in.User, ID: by}, nil
	})
	return serve(t, m)
}

func serve(t *testing.T, m *admin.Mux) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "run", "admin.sock")
	l, err := admin.Listen(socket, "")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- admin.Serve(ctx, l, m, slog.Default()) }()
	t.Cleanup(func() { stop(); require.NoError(t, <-ended) })
	return socket
}

func TestACommandReachesTheDaemonWithTheCallersUID(t *testing.T) {
	socket := daemon(t)
	got, err := admin.Call[admin.Account](t.Context(), socket, "/account/show", admin.User{User: "an"})
	require.NoError(t, err)
	require.Equal(t, "an", got.Username)
	require.Equal(t, fmt.Sprintf("uid %d", os.Getuid()), got.ID)
}

func TestErrorsSayWhatToDo(t *testing.T) {
	socket := daemon(t)
	for name, c := range map[string]struct {
		socket, path string
		in           any
		want         string
	}{
		"the daemon refuses":         {socket, "/account/show", admin.User{User: "nobody"}, `nobody is called "nobody"`},
		"the daemon fails":           {socket, "/account/show", admin.User{User: "broken"}, "the store is down"},
		"the daemon is older":        {socket, "/account/dance", admin.User{}, "same version"},
		"a field it does not know":   {socket, "/account/show", map[string]string{"x": "y"}, "same version"},
		"no daemon is running there": {socket + "2", "/account/show", admin.User{}, "vssgate serve"},
	} {
		_, err := admin.Call[admin.Account](t.Context(), c.socket, c.path, c.in)
		require.ErrorContains(t, err, c.want, name)
	}
}

func TestTheSocketIsForItsOwnerAlone(t *testing.T) {
	socket := daemon(t)
	info, err := os.Stat(socket)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	_, err = admin.Listen(socket, "")
	require.ErrorContains(t, err, "another vssgate")
	_, err = admin.Listen(filepath.Join(t.TempDir(), "s"), "no-such-group-here")
	require.Error(t, err)
}

func TestTheSocketIsForItsGroupWhereItHasOne(t *testing.T) {
	mine, err := user.LookupGroupId(strconv.Itoa(os.Getgid()))
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "s")
	l, err := admin.Listen(path, mine.Name)
	require.NoError(t, err)
	defer l.Close()
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o660), info.Mode().Perm())
	require.EqualValues(t, os.Getgid(), info.Sys().(*syscall.Stat_t).Gid)
}

func TestASocketLeftBehindIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	first, err := admin.Listen(path, "")
	require.NoError(t, err)
	first.SetUnlinkOnClose(false)
	require.NoError(t, first.Close())
	second, err := admin.Listen(path, "")
	require.NoError(t, err)
	require.NoError(t, second.Close())
}

func TestAnAnswerWithoutEndIsFollowedUntilEitherSideEnds(t *testing.T) {
	m := &admin.Mux{}
	gone := make(chan struct{})
	admin.Stream(m, "/login/follow", func(ctx context.Context, in admin.FollowLogins, send func(admin.FollowedEvent) error) error {
		defer close(gone)
		for i := range 3 {
			if err := send(admin.FollowedEvent{Trace: in.User, Missed: i}); err != nil {
				return err
			}
		}
		<-ctx.Done()
		return nil
	})
	socket := serve(t, m)
	ctx, stop := context.WithCancel(t.Context())
	var seen []int
	require.NoError(t, admin.Follow(ctx, socket, "/login/follow", admin.FollowLogins{User: "an"}, func(e admin.FollowedEvent) error {
		require.Equal(t, "an", e.Trace)
		if seen = append(seen, e.Missed); len(seen) == 3 {
			stop()
		}
		return nil
	}))
	require.Equal(t, []int{0, 1, 2}, seen)
	<-gone
	err := admin.Follow(t.Context(), socket, "/login/dance", admin.FollowLogins{}, func(admin.FollowedEvent) error { return nil })
	require.ErrorContains(t, err, "same version")
	err = admin.Follow(t.Context(), socket+"2", "/login/follow", admin.FollowLogins{}, func(admin.FollowedEvent) error { return nil })
	require.ErrorContains(t, err, "vssgate serve")
	err = admin.Follow(t.Context(), socket, "/login/follow", map[string]int{"x": 1}, func(admin.FollowedEvent) error { return nil })
	require.ErrorContains(t, err, "same version")
}
