package radius

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAFloodIsToldLessAndLessOften(t *testing.T) {
	j := &journal{}
	tell := newTeller(slog.New(slog.NewTextHandler(j, nil)))
	begun := time.Unix(1e9, 0)
	flood := func(from, to time.Duration) (lines int) {
		before := strings.Count(j.String(), "\n")
		for at := from; at < to; at += 5 * time.Millisecond {
			tell.tell(begun.Add(at), "hq-vpn", string(BadAuthenticator), "dropped", nil)
		}
		return strings.Count(j.String(), "\n") - before
	}
	require.Equal(t, 1, flood(0, time.Second))
	require.Equal(t, 1, flood(time.Second, 11*time.Second))
	require.Contains(t, j.String(), "kept_back=199")
	require.Equal(t, 1, flood(11*time.Second, 71*time.Second))
	require.Equal(t, 1, flood(71*time.Second, 131*time.Second), "once a minute as long as it goes on")

	require.Equal(t, 1, flood(191*time.Second, 191*time.Second+time.Millisecond), "what was kept back before")
	require.Equal(t, 1, flood(300*time.Second, 300*time.Second+time.Millisecond), "it had stopped: told at once")
	require.Equal(t, 1, flood(301*time.Second, 302*time.Second), "and after a second")
	before := strings.Count(j.String(), "\n")
	tell.tell(begun, "branch", string(BadAuthenticator), "dropped", nil)
	tell.tell(begun, "branch", string(BadCode), "dropped", nil)
	require.Equal(t, before+2, strings.Count(j.String(), "\n"), "each client and reason by itself")
}

func TestWhatNeedsNothingDoneIsNotLogged(t *testing.T) {
	j := &journal{}
	tell := newTeller(slog.New(slog.NewTextHandler(j, nil)))
	for _, quiet := range []Drop{Retransmission, Superseded, NotReady} {
		tell.tell(time.Now(), "hq-vpn", string(quiet), "dropped", nil)
	}
	require.Empty(t, j.String())
}
