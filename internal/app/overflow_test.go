package app

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhatTheKernelThrowsAwayIsCounted(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0", "[::]:0"} {
		t.Run(addr, func(t *testing.T) {
			to, err := net.ResolveUDPAddr("udp", addr)
			require.NoError(t, err)
			conn, err := net.ListenUDP("udp", to)
			require.NoError(t, err)
			defer conn.Close()
			require.NoError(t, conn.SetReadBuffer(1))
			at := conn.LocalAddr().(*net.UDPAddr).AddrPort()
			require.Zero(t, overflowed(at))
			from, err := net.Dial("udp", conn.LocalAddr().String())
			require.NoError(t, err)
			defer from.Close()
			const sent = 200
			for range sent {
				_, err := from.Write(make([]byte, 1000))
				require.NoError(t, err)
			}
			require.Greater(t, overflowed(at), uint64(sent/2))
			require.Less(t, overflowed(at), uint64(sent), "what has room is not lost")
		})
	}
}
