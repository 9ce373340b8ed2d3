package testenv

import (
	"net"
	"testing"
)

// FreeAddr is an address on 127.0.0.1 that nobody uses now, neither over TCP nor
// over UDP: for programs that must be told theirs.
func FreeAddr(t testing.TB) string {
	t.Helper()
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		defer l.Close()
		if c, err := net.ListenPacket("udp", l.Addr().String()); err == nil {
			defer c.Close()
			return l.Addr().String()
		}
	}
}
