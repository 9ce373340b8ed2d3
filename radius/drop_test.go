package radius

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestOneRecordASecondForEachClientAndReason(t *testing.T) {
	j := &journal{}
	tell := newTeller(slog.New(slog.NewTextHandler(j, nil)))
	at := time.Unix(1e9, 0)
	for i := range 20_000 {
		tell.tell(at.Add(time.Duration(i)*time.Millisecond/2), "hq-vpn", string(BadAuthenticator), "dropped", nil)
	}
	require.Equal(t, 10, strings.Count(j.String(), "\n"))
	require.Contains(t, j.String(), "kept_back=1999")
	tell.tell(at, "branch", string(BadAuthenticator), "dropped", nil)
	tell.tell(at, "branch", string(BadCode), "dropped", nil)
	require.Equal(t, 12, strings.Count(j.String(), "\n"))
}

func TestWhatNeedsNothingDoneIsNotLogged(t *testing.T) {
	j := &journal{}
	tell := newTeller(slog.New(slog.NewTextHandler(j, nil)))
	for _, quiet := range []Drop{Retransmission, Superseded, NotReady} {
		tell.tell(time.Now(), "hq-vpn", string(quiet), "dropped", nil)
	}
	require.Empty(t, j.String())
}
