package bench

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkHeldLDAP holds the binds of 2000 people at once, each on a connection
// of its own with one to the directory behind it, and says what one costs.
func BenchmarkHeldLDAP(b *testing.B) {
	const held, before, target = 2000, 200, 30 << 10
	for b.Loop() {
		d := newTree(b)
		n := startNode(b, populate(b, before+held), d)
		bindAll(n, 0, before)
		few := n.ask("collect")
		bindAll(n, before, before+held)
		asItIs := n.ask("weigh")
		many := n.ask("collect")
		n.profile("held-ldap")
		each := (many.Resident - few.Resident) / held
		b.ReportMetric(float64(each), "B/bind")
		b.ReportMetric(float64(asItIs.Resident-few.Resident)/held, "B-uncollected/bind")
		b.ReportMetric(float64(many.Heap-few.Heap)/held, "B-heap/bind")
		b.ReportMetric(float64(many.Stacks-few.Stacks)/held, "B-stack/bind")
		b.ReportMetric(float64(many.Goroutines-few.Goroutines)/held, "goroutines/bind")
		if each > target*3/2 {
			b.Errorf("a held bind takes %d bytes", each)
		}
	}
}

// bindAll has users from to to-1 bind, and returns when all are held.
func bindAll(n *node, from, to int) {
	for i := from; i < to; i++ {
		conn, err := net.Dial("tcp", n.at.LDAP[0])
		require.NoError(n.b, err)
		n.b.Cleanup(func() { conn.Close() })
		_, err = conn.Write(bindFrame(i))
		require.NoError(n.b, err)
		if i%64 == 0 {
			n.wait(i - 256)
		}
	}
	require.Equal(n.b, to, n.wait(to), "binds were lost on the way")
}

// bindFrame is user i's simple bind (RFC 4511 section 4.2).
func bindFrame(i int) []byte {
	return message(tlv(0x02, []byte{1}), tlv(bindRequest, tlv(0x02, []byte{3}), tlv(0x04, []byte(userDN(i))), tlv(0x80, []byte(password))))
}
