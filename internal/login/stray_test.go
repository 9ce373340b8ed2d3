package login

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestStraysOfAFlood(t *testing.T) {
	var s Strays
	now := time.Unix(600, 0)
	of := func(topic, user string) Stray { return s.Of(topic, user, NewID(), now) }
	for range strayOwn {
		require.False(t, of("a", "an").Shared)
	}
	first := of("a", "an")
	require.Equal(t, Stray{ID: first.ID, Shared: true}, first)
	require.Equal(t, Stray{ID: first.ID, Shared: true, Known: true}, of("a", "an"))
	crowd := of("a", "")
	require.Equal(t, Stray{ID: crowd.ID, Shared: true, Crowd: true}, crowd, "who names nobody is one of many")
	for i := range strayUsers - 1 {
		one := of("a", fmt.Sprint("user", i))
		require.Equal(t, Stray{ID: one.ID, Shared: true}, one)
	}
	require.Equal(t, Stray{ID: crowd.ID, Shared: true, Crowd: true, Known: true}, of("a", "one too many"))
	require.True(t, of("a", "an").Known, "who has one keeps it")
	require.False(t, of("b", "an").Shared, "another topic")
	now = now.Add(time.Minute)
	require.False(t, of("a", "one too many").Shared, "another minute")
}
