package radius_test

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"vssgate/test/site"
)

// squid is the helper by which Squid asks about a user; it asks again each
// second.
func squid(t *testing.T, s *site.Site, typed string) *program {
	t.Helper()
	host, port, err := net.SplitHostPort(s.RADIUS[0])
	require.NoError(t, err)
	return begin(t, "squid", user+" "+typed+"\n", nil, "/usr/lib/squid/basic_radius_auth", "-h", host, "-p", port, "-w", s.Secret, "-i", "proxy", "-t", "20")
}

func TestSquidIsHeldThoughItAsksEachSecond(t *testing.T) {
	s := site.Start(t, site.Options{Holds: "127.0.0.1", Asks: "127.0.0.2"})
	phone := s.Phone(1)
	at := squid(t, s, password)
	require.Eventually(t, func() bool { return s.Metric(`vssgate_packets_dropped_total{reason="retransmission"}`) >= 3 }, site.Patience, tick)
	require.Len(t, phone.All(), 1)
	phone.Yes()
	require.Contains(t, at.said(), "OK")
	require.Equal(t, "proxy", s.Last().NAS)
	at = squid(t, s, password)
	phone.No()
	require.Contains(t, at.said(), "ERR")
}

func TestSquidAppendsTheCode(t *testing.T) {
	s := site.Start(t, site.Options{Appends: "127.0.0.1", Asks: "127.0.0.3"})
	phone := s.Phone(1)
	require.Contains(t, squid(t, s, password).said(), "ERR")
	require.Contains(t, squid(t, s, password+","+phone.Wrong()).said(), "ERR")
	require.Contains(t, squid(t, s, password+","+phone.Code()).said(), "OK")
}
