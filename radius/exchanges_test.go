package radius

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
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
	t := &table{newExchanges(maxHeld, noMeter{}), &socket{}, testClient(), time.Unix(1e9, 0)}
	t.socket.init(nil)
	return t
}

func (t *table) begin(x *exchange, now time.Time) beginning {
	return t.exchanges.begin(x, x.key(), now)
}

func (t *table) exchange(from uint16, id byte, n int) *exchange {
	p := &port{socket: t.socket, origin: origin{source: netip.AddrPortFrom(source, from)}}
	return &exchange{client: t.client, authenticator: authOf(n), place: place{p, uint32(id)}}
}

func (t *table) answered(port uint16, id byte, n int, answer []byte) *exchange {
	x := t.exchange(port, id, n)
	t.begin(x, t.now)
	if t.finish(x, answer, t.now) {
		t.sent(t.socket)
	}
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
	require.Len(t, table.socket.known, table.answers)
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
		left = append(left, byte(x.identifier))
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
	require.False(t, table.handled(x, func() {}, nil), "its answer was asked for already: nobody left")
	require.Empty(t, table.begin(table.exchange(1, 1, 1), table.now).drop)
}

func TestForgettingAnOldRequestLeavesTheNewOne(t *testing.T) {
	table := newTable(10)
	old, renewed := table.exchange(1, 1, 1), table.exchange(1, 1, 2)
	table.begin(old, table.now)
	table.begin(renewed, table.now)
	table.forget(old)
	require.Equal(t, Retransmission, table.begin(table.exchange(1, 1, 2), table.now).drop)
	require.True(t, table.handled(old, nil, nil), "its NAS has left", nil)
	require.Equal(t, 1, table.held)
}

func TestASocketIsDrainedWhenItsLastAnswerHasLeft(t *testing.T) {
	table := newTable(10)
	open := func(drained <-chan struct{}) bool {
		select {
		case <-drained:
			return false
		default:
			return true
		}
	}
	x, gone := table.exchange(1, 1, 1), table.exchange(1, 2, 2)
	table.begin(x, table.now)
	table.begin(gone, table.now)
	drained := table.drain(table.socket)
	require.Equal(t, TooManyHeld, table.begin(table.exchange(1, 3, 3), table.now).drop, "nothing new")
	require.True(t, table.finish(x, []byte("answer"), table.now))
	table.forget(gone)
	require.True(t, open(drained), "an answer is still on its way")
	table.sent(table.socket)
	require.False(t, open(drained))
}

// Readers, handlers and leaving NASes all at once: nothing is counted twice,
// lost, answered after it was given up, or left without being told so.
func TestExchangesKeepTheirBooksUnderConcurrency(t *testing.T) {
	table := newTable(1000)
	var all sync.WaitGroup
	var sent, left, begun atomic.Int64
	for g := range 8 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(g)))
			for range 5000 {
				x := table.exchange(uint16(random.IntN(2)+1), byte(random.IntN(8)), random.IntN(1<<30))
				b := table.begin(x, table.now)
				if b.left != nil {
					b.left()
				}
				if b.drop != "" {
					continue
				}
				begun.Add(1)
				leave := sync.OnceFunc(func() { left.Add(1) })
				if table.handled(x, leave, nil) {
					leave()
				}
				switch random.IntN(4) {
				case 0: // goes on waiting, for whoever uses its Identifier next
				case 1:
					table.forget(x)
				default:
					if table.finish(x, []byte("answer"), table.now) {
						table.sent(table.socket)
						sent.Add(1)
					}
				}
			}
		})
	}
	all.Wait()
	held := int64(table.held)
	ended := table.end(table.socket)
	for _, leave := range ended {
		leave()
	}
	require.Len(t, ended, int(held))
	require.Zero(t, table.held)
	require.Zero(t, table.socket.held)
	require.Zero(t, table.socket.sending)
	require.Zero(t, table.answers)
	require.Zero(t, table.bytes)
	require.Empty(t, table.socket.known)
	require.Empty(t, table.socket.ports)
	require.Nil(t, table.oldest)
	require.Nil(t, table.newest)
	require.Positive(t, sent.Load())
	require.Positive(t, left.Load())
	require.LessOrEqual(t, sent.Load()+left.Load(), begun.Load())
}
