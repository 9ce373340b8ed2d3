package radius

import (
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
)

// Whatever comes from a client's address: nothing panics, nothing is accepted
// that did not carry the password, and nothing is left behind.
func TestMutatedDatagramsLeaveNothingBehind(t *testing.T) {
	b := start(t, func(o *Options) {
		o.Meter = nil
		o.MaxHeld = 1000
		o.Handler.(*scripted).script = func(r *login.Request) func() {
			if len(r.State) == 0 && r.Username == "an.nv" && string(r.Password) == "mật khẩu" {
				r.Reply(login.Reply{Kind: login.Ask, State: []byte("state")})
				return nil
			}
			r.Reply(login.Reply{Kind: login.NoAnswer}) // is forgotten at once
			return nil
		}
	})
	conn := listen(t, "udp4", "127.0.0.1:0") // nobody reads it: answers leave through it
	t.Cleanup(func() { conn.Close() })
	sock, err := newUDPSocket(conn, takesLogins)
	require.NoError(t, err)
	seeds := [][]byte{
		asks(1, 1, "an.nv", "mật khẩu", text(24, "state"), text(33, "proxy"), text(31, "203.0.113.7"), text(32, "vpn1")),
		pack(1, 2, authOf(2), text(1, "an.nv"), hidden("mật khẩu", authOf(2)), attr{6, []byte{0, 0, 0, 10}}),
		signed(12, 3, authOf(3), 0),
		signed(1, 4, authOf(4), 0, text(1, "an.nv"), attr{79, []byte{2, 9, 0, 5, 1}}),
		signed(1, 5, authOf(5), 0, text(1, "001b638445e6"), text(31, "00-1B-63-84-45-E6"), hidden("001b638445e6", authOf(5))),
	}
	r := rand.New(rand.NewPCG(1, 2))
	send := func(n int) {
		for range n {
			k := key{socket: &sock.socket, source: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(1+r.IntN(3)))}
			b.server.serve(mutated(r, seeds[r.IntN(len(seeds))]), k)
		}
	}
	send(20_000) // the table of answers, pools and the log are as large as they become
	goroutines, before := runtime.NumGoroutine(), heap()
	many := 200_000
	if os.Getenv("VSSGATE_LONG") != "" {
		many = 10_000_000
	}
	send(many)
	require.LessOrEqual(t, runtime.NumGoroutine(), goroutines)
	require.Less(t, heap(), before+(4<<20))
	b.server.exchanges.mu.Lock()
	require.Zero(t, b.server.exchanges.held)
	require.LessOrEqual(t, len(sock.known), 3*256, "an answer for each Identifier of each port, and no more")
	require.LessOrEqual(t, len(sock.ports), 3)
	b.server.exchanges.mu.Unlock()
}

// mutated is seed with a few bytes changed, cut off or doubled.
func mutated(r *rand.Rand, seed []byte) []byte {
	b := append([]byte(nil), seed...)
	for range 1 + r.IntN(4) {
		at := r.IntN(len(b))
		switch r.IntN(4) {
		case 0:
			b = b[:max(at, 1)]
		case 1:
			b = append(b, b[at:]...)
		default:
			b[at] = byte(r.Uint32())
		}
	}
	return b
}
