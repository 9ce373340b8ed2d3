package login

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/otp"
)

// NASes that keep a State as a C string would cut one in eleven.
func TestNoByteOfAStateIsZero(t *testing.T) {
	e := newStateEngine(t)
	for range 1000 {
		state := e.newState("vpn")
		require.NotContains(t, state, byte(0))
		require.True(t, e.genuine(state, &Client{Name: "vpn"}))
	}
}

func newStateEngine(t *testing.T) *Engine {
	t.Helper()
	keys, err := otp.ParseKeys([]byte(otp.NewKeyLine()))
	require.NoError(t, err)
	return New(Options{Keys: keys, Log: slog.New(slog.DiscardHandler)})
}

// Anybody can send a State: one that we did not make for this client is turned
// away before the store is asked. This engine has none.
func TestAForeignStateCostsNoLookUp(t *testing.T) {
	e := newStateEngine(t)
	for name, state := range map[string][]byte{
		"one that nobody made":                 make([]byte, stateSize),
		"one that was made for another client": e.newState("other"),
		"one that is too short":                e.newState("vpn")[:stateSize-1],
		"one that is too long":                 append(e.newState("vpn"), 0),
	} {
		t.Run(name, func(t *testing.T) {
			replies := make(chan Reply, 1)
			e.Handle(&Request{FrontEnd: RADIUS, Client: &Client{Name: "vpn"}, State: state, Reply: func(r Reply) { replies <- r }})
			r := <-replies
			require.Equal(t, BadAnswer, r.Kind)
			require.Equal(t, BadState, r.Reason)
			require.Len(t, r.Trace, 6)
		})
	}
}
