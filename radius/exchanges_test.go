package radius

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// table is an exchanges with one socket and one client, without network.
type table struct {
	*exchanges
	socket *socket
	client *client
	now    time.Time
}

func newTable(maxHeld int) *table {
	return &table{newExchanges(maxHeld, noMeter{}), &socket{}, testClient(), time.Unix(1e9, 0)}
}

func (t *table) exchange(port uint16, id byte, n int) *exchange {
	return &exchange{client: t.client, authenticator: authOf(n),
		key: key{socket: t.socket, source: netip.AddrPortFrom(source, port), identifier: id}}
}

func (t *table) answered(port uint16, id byte, n int, answer []byte) *exchange {
	x := t.exchange(port, id, n)
	t.begin(x, t.now)
	t.finish(x, answer, t.now)
	return x
}

func TestAnAnswerIsRememberedForAWhile(t *testing.T) {
	table := newTable(10)
	table.answered(1, 1, 1, []byte("answer"))
	same := table.exchange(1, 1, 1)
	require.Equal(t, beginning{drop: Retransmission, resend: []byte("answer")}, table.begin(same, table.now.Add(rememberFor-1)))
	require.Equal(t, beginning{}, table.begin(same, table.now.Add(rememberFor)), "a new request")
	require.Zero(t, table.answers)
	require.Zero(t, table.bytes)
}

func TestTheOldestAnswersMakeRoom(t *testing.T) {
	table := newTable(10)
	for i := range rememberCount + 10 {
		table.answered(uint16(i/256), byte(i), i, nil)
	}
	require.LessOrEqual(t, table.answers, rememberCount)
	require.LessOrEqual(t, table.bytes, rememberBytes)
	require.Len(t, table.byKey, table.answers)
	require.Empty(t, table.begin(table.exchange(0, 0, 0), table.now).drop, "the oldest is forgotten")
	last := rememberCount + 9
	require.Equal(t, Retransmission, table.begin(table.exchange(uint16(last/256), byte(last), last), table.now).drop)
}

func TestAnswersAreBoundedByBytes(t *testing.T) {
	table := newTable(10)
	big := make([]byte, 4096)
	for i := range 20_000 {
		table.answered(uint16(i/256), byte(i), i, big)
	}
	require.LessOrEqual(t, table.bytes, rememberBytes)
	require.Greater(t, table.bytes, rememberBytes-10_000)
}

func TestTheListOfAnswersStaysInOrder(t *testing.T) {
	table := newTable(10)
	for i := range 5 {
		table.answered(1, byte(i), i, []byte{byte(i)})
	}
	for _, id := range []byte{2, 0, 4} { // middle, oldest, newest: used again
		table.begin(table.exchange(1, id, 100), table.now)
	}
	var left []byte
	for x := table.oldest; x != nil; x = x.newer {
		left = append(left, x.key.identifier)
	}
	require.Equal(t, []byte{1, 3}, left)
	require.Equal(t, 2, table.answers)
	require.Equal(t, 3, table.held)
}

func TestWhatIsForgottenIsNewAgain(t *testing.T) {
	table := newTable(1)
	x := table.exchange(1, 1, 1)
	require.Empty(t, table.begin(x, table.now).drop)
	table.forget(x)
	table.forget(x)
	require.Zero(t, table.held)
	require.False(t, table.finish(x, []byte("late"), table.now))
	require.False(t, table.handled(x, func() {}), "its answer was asked for already: nobody left")
	require.Empty(t, table.begin(table.exchange(1, 1, 1), table.now).drop)
}

func TestForgettingAnOldRequestLeavesTheNewOne(t *testing.T) {
	table := newTable(10)
	old, renewed := table.exchange(1, 1, 1), table.exchange(1, 1, 2)
	table.begin(old, table.now)
	table.begin(renewed, table.now)
	table.forget(old)
	require.Equal(t, Retransmission, table.begin(table.exchange(1, 1, 2), table.now).drop)
	require.True(t, table.handled(old, nil), "its NAS has left")
	require.Equal(t, 1, table.held)
}
