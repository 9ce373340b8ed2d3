package app

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// watchOverflow counts what the kernel throws away at the UDP socket bound to
// addr because it comes faster than it is read. The kernel counts; it is asked
// when the metrics are.
func (m *metrics) watchOverflow(addr netip.AddrPort) {
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Namespace: "vssgate", Name: "radius_overflow_total", ConstLabels: prometheus.Labels{"listen": addr.String()},
		Help: "Datagrams that the kernel threw away because they came faster than they were read.",
	}, func() float64 { return float64(overflowed(addr)) }))
}

// overflowed reads the last column of the socket's line in /proc/net/udp
// (proc(5)); 0 where there is no such table.
func overflowed(addr netip.AddrPort) uint64 {
	table := "/proc/net/udp"
	if addr.Addr().Is6() {
		table = "/proc/net/udp6"
	}
	content, err := os.ReadFile(table)
	if err != nil {
		return 0
	}
	local := asInTable(addr)
	for _, line := range strings.Split(string(content), "\n") {
		if words := strings.Fields(line); len(words) > 2 && words[1] == local {
			n, _ := strconv.ParseUint(words[len(words)-1], 10, 64)
			return n
		}
	}
	return 0
}

// asInTable writes an address as that table does: each 32 bits of it as a
// number of this machine.
func asInTable(addr netip.AddrPort) string {
	var s strings.Builder
	for b := addr.Addr().AsSlice(); len(b) > 0; b = b[4:] {
		fmt.Fprintf(&s, "%08X", binary.NativeEndian.Uint32(b))
	}
	return fmt.Sprintf("%s:%04X", &s, addr.Port())
}
