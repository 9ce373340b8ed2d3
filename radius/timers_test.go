package radius

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A schedule is what a NAS does with one request: it is sent first at 0, again
// at each of again, and ends at end.
type schedule struct {
	again    []time.Duration
	end      time.Duration
	replaced string // by what it is: "identifier", "join"; "": it is answered
}

const second = time.Second

// play has a NAS do that, and returns what was learnt of it.
func play(t *testing.T, all ...schedule) []Timers {
	table := newTable(1000)
	s := &Server{exchanges: table.exchanges}
	for i, c := range all {
		port := uint16(1000 + i)
		begun := table.now.Add(time.Duration(i) * time.Hour)
		x := table.exchange(port, 7, i)
		require.Empty(t, table.begin(x, begun).drop)
		for _, again := range c.again {
			require.Equal(t, Retransmission, table.begin(table.exchange(port, 7, i), begun.Add(again)).drop)
		}
		switch c.replaced {
		case "identifier":
			require.Empty(t, table.begin(table.exchange(port, 7, 1000+i), begun.Add(c.end)).drop)
		case "join":
			require.False(t, table.finish(x, nil, begun.Add(c.end)))
		default:
			require.True(t, table.finish(x, []byte("answer"), begun.Add(c.end)))
		}
	}
	return s.Timers()
}

func TestWhatIsLearntOfANAS(t *testing.T) {
	three := func(c schedule) []schedule { return []schedule{c, c, c} }
	for name, c := range map[string]struct {
		in   []schedule
		want *Timers // nil: nothing
	}{
		"doubled on the way: nothing":                {[]schedule{{[]time.Duration{time.Millisecond}, 50 * second, ""}}, nil},
		"answered before it was sent again: nothing": {[]schedule{{nil, 50 * second, ""}}, nil},
		"sent three times, and then no more": {[]schedule{{[]time.Duration{5 * second, 10 * second}, 55 * second, ""}},
			&Timers{Gap: 5 * second, Tries: 3, Wait: 15 * second, AtLeast: 10 * second, GiveUps: 1}},
		"still being sent when it was answered": {[]schedule{{[]time.Duration{5 * second, 10 * second}, 20 * second, ""}},
			&Timers{Gap: 5 * second, AtLeast: 10 * second}},
		"gaps that grow, as of strongSwan": {[]schedule{{[]time.Duration{2 * second, 4800 * time.Millisecond, 8720 * time.Millisecond}, 55 * second, ""}},
			&Timers{Gap: 2 * second, Tries: 4, Wait: 12640 * time.Millisecond, AtLeast: 8720 * time.Millisecond, GiveUps: 1}},
		"gaps that double are waited for": {[]schedule{{[]time.Duration{3 * second, 9 * second}, 23 * second, ""}},
			&Timers{Gap: 3 * second, AtLeast: 9 * second}},
		"one packet of the middle was lost: the median counts": {append(three(schedule{[]time.Duration{5 * second, 10 * second}, 55 * second, ""}),
			schedule{[]time.Duration{10 * second}, 55 * second, ""}),
			&Timers{Gap: 5 * second, Tries: 3, Wait: 15 * second, AtLeast: 10 * second, GiveUps: 4}},
		"given up before the retry came": {[]schedule{{[]time.Duration{5 * second}, 40 * second, "join"}},
			&Timers{Gap: 5 * second, Tries: 2, Wait: 10 * second, AtLeast: 5 * second, GiveUps: 1}},
		"never sent again, replaced by a machine's timer": {[]schedule{{nil, 10 * second, "join"}, {nil, 10100 * time.Millisecond, "identifier"}, {nil, 9900 * time.Millisecond, "join"}},
			&Timers{Tries: 1, Wait: 10 * second, GiveUps: 3}},
		"never sent again, replaced by a user who tries anew": {[]schedule{{nil, 10 * second, "join"}, {nil, 17 * second, "join"}, {nil, 4 * second, "join"}}, &Timers{}},
		"twice the same is chance":                            {[]schedule{{nil, 10 * second, "join"}, {nil, 10 * second, "join"}}, &Timers{}},
		"probes that are silenced at once":                    {three(schedule{nil, time.Millisecond, "join"}), nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := play(t, c.in...)
			if c.want == nil {
				require.Empty(t, got)
				return
			}
			require.Len(t, got, 1)
			c.want.Client, c.want.Method, c.want.Seen = "hq-vpn", "pap", got[0].Seen
			require.Equal(t, *c.want, got[0])
			require.False(t, got[0].Seen.IsZero())
		})
	}
}

func TestTimersAreKeptByMethodAndRecalled(t *testing.T) {
	table := newTable(10)
	s := &Server{exchanges: table.exchanges}
	before := Timers{Client: "hq-vpn", Method: "pap", Gap: second, Tries: 2, Wait: 2 * second, AtLeast: second, GiveUps: 1, Seen: time.Unix(1e9, 0)}
	s.Recall([]Timers{before, {Client: "hq-vpn", Method: "smoke signals"}})
	x := table.exchange(1, 1, 1)
	x.tries.method = 3
	table.begin(x, table.now)
	table.begin(table.exchange(1, 1, 1), table.now.Add(second))
	table.finish(x, []byte("answer"), table.now.Add(2*second))
	all := s.Timers()
	require.Len(t, all, 2)
	require.Equal(t, "eap", all[0].Method)
	require.Zero(t, all[0].GiveUps)
	require.Equal(t, before, all[1])
}

func TestTheMethodOfARequest(t *testing.T) {
	auth := authOf(1)
	for want, attrs := range map[string][]attr{
		"pap":     {hidden("secret", auth)},
		"chap":    {text(3, "a chap password")},
		"ms-chap": {{26, append([]byte{0, 0, 1, 55, 25, 52}, make([]byte, 50)...)}},
		"eap":     {{79, []byte{2, 9, 0, 5, 1}}},
	} {
		p, drop := open(signed(1, 7, auth, 0, attrs...), testClient(), takesLogins)
		require.Empty(t, drop, want)
		require.Equal(t, want, methods[p.method()])
	}
}

func TestANASNearTheEndOfItsIdentifiersIsNamed(t *testing.T) {
	b := start(t, nil)
	few, many := newNAS(t, b.addr), newNAS(t, b.addr)
	for i := range 256 {
		n := many
		if i%2 == 0 && i < 2*(256-crowdedAt)+2 {
			n = few
		}
		n.send(asks(byte(i), i, fmt.Sprint("user", i), "secret"))
		b.next(t)
	}
	require.NotContains(t, b.String(), crowded)
	many.send(asks(0, 300, "user", "secret"))
	b.next(t)
	require.Contains(t, b.String(), crowded)
	require.Contains(t, b.String(), many.conn.LocalAddr().String())
	require.Contains(t, b.String(), "more source ports at the NAS, RADIUS/1.1 over TLS")
}
