package testenv

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// FreeAddr is an address on 127.0.0.1 that nobody uses now, neither over TCP nor
// over UDP: for programs that must be told theirs, and for nobody to listen at.
// It stays the test's until that ends, whatever is stopped and started there:
// the kernel gives ports that low to nobody who does not ask for them, and
// other tests, in other processes too, find it taken.
func FreeAddr(t testing.TB) string {
	t.Helper()
	var err error
	for range 1000 {
		port := 10000 + rand.IntN(22000) // Linux gives away those from 32768 on
		var mine net.Listener
		if mine, err = net.Listen("unix", fmt.Sprintf("@vssgate-test-port-%d", port)); err != nil {
			continue
		}
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		if err = unused(addr); err == nil {
			t.Cleanup(func() { _ = mine.Close() })
			return addr
		}
		_ = mine.Close()
	}
	t.Fatalf("no port is free: %v", err)
	return ""
}

func unused(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	defer l.Close()
	c, err := net.ListenPacket("udp", addr)
	if err != nil {
		return err
	}
	return c.Close()
}

// FreePort is the port of a FreeAddr.
func FreePort(t testing.TB) string {
	t.Helper()
	_, port, err := net.SplitHostPort(FreeAddr(t))
	must(t, err)
	return port
}
