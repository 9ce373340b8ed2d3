package push

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestABreakersPauseDoublesUntilTheLongest(t *testing.T) {
	var b breaker
	now := time.Unix(1_000_000, 0)
	for range failuresInARow - 1 {
		_, opened := b.fails(now, false)
		require.False(t, opened)
	}
	for _, want := range []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 5 * time.Minute, 5 * time.Minute} {
		pause, opened := b.fails(now, false)
		require.True(t, opened)
		require.Equal(t, want, pause)
		require.False(t, b.ready(now.Add(want-1)))
		now = now.Add(want)
		require.True(t, b.ready(now))
	}
	require.True(t, b.works())
	require.True(t, b.ready(now))
	require.False(t, b.works(), "it was closed already")
}

func TestABreakerLetsOneTrialThrough(t *testing.T) {
	var b breaker
	now := time.Unix(1_000_000, 0)
	pause, opened := b.fails(now, true)
	require.True(t, opened)
	require.False(t, b.allow(now))
	now = now.Add(pause)
	require.True(t, b.allow(now))
	require.False(t, b.allow(now), "the first is still on its way")
	require.True(t, b.allow(now.Add(CallTimeout)), "it should have ended by now")
}

func TestASuccessEndsARowOfFailures(t *testing.T) {
	var b breaker
	now := time.Unix(1_000_000, 0)
	for range 10 * failuresInARow {
		for range failuresInARow - 1 {
			b.fails(now, false)
		}
		b.works()
	}
	require.True(t, b.ready(now))
}
