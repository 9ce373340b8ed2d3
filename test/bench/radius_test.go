package bench

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"encoding/binary"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkHeldRADIUS holds 100,000 logins of as many people at once, and says
// what the process weighs more then, without the pages of the store's file, which
// it gives back every ten seconds: in the rush, when the node has come to rest,
// and after a collection by force. Besides them the process knows 100,000 people with a phone each, whose keys the embedded
// store keeps in memory: their weight is told apart. Then, with all of them still
// held, it has others log in up to the challenge, at half the rate that is
// possible, and says what those wait.
func BenchmarkHeldRADIUS(b *testing.B) {
	const held = 100_000
	const target = 256 * mib
	for b.Loop() {
		d := newTree(b)
		n := startNode(b, populate(b, held), d)
		enrolled := n.ask("collect")
		n.profile("enrolled")
		nas := newNAS(b, n.at.RADIUS[0])
		nas.logIn(n, 0, held)
		rushed := n.ask("weigh")
		time.Sleep(3 * time.Second) // the node sees that it is quiet
		asItIs := n.ask("weigh")
		collected := n.ask("collect")
		n.profile("held-radius")
		b.Logf("people:    %v\nrushed:    %v\nas it is:  %v\ncollected: %v", enrolled, rushed, asItIs, collected)
		b.ReportMetric(float64(rushed.Anonymous-enrolled.Anonymous)/mib, "MiB-held-in-the-rush")
		b.ReportMetric(float64(asItIs.Anonymous-enrolled.Anonymous)/mib, "MiB-held")
		b.ReportMetric(float64(collected.Anonymous-enrolled.Anonymous)/mib, "MiB-held-collected")
		b.ReportMetric(float64(asItIs.Resident)/mib, "MiB")
		b.ReportMetric(float64(collected.Resident)/mib, "MiB-collected")
		b.ReportMetric(float64(enrolled.Resident)/mib, "MiB-people")
		b.ReportMetric(float64(collected.Anonymous-enrolled.Anonymous)/held, "B/login")
		b.ReportMetric(float64(collected.Heap-enrolled.Heap)/held, "B-heap/login")
		b.ReportMetric(float64(collected.Goroutines), "goroutines")
		if asItIs.Anonymous-enrolled.Anonymous > target*7/4 {
			b.Errorf("%d held logins take %d MiB", held, (asItIs.Anonymous-enrolled.Anonymous)/mib)
		}
		const ports, under = 8, 4
		all := newPile(11, accessRequestOf).rate(b, asked, n.at.RADIUS[0], ports, under, turn)
		s := paced(b, asked, n.at.RADIUS[0], int(all/2), 5*time.Second, 11, func(id byte, i int) []byte {
			return accessRequest(id, (pileSize+i)%held) // nobody who is open there already
		})
		b.ReportMetric(all, "challenges/s")
		s.report(b, "beside")
	}
}

// A nas asks from as many ports as it needs: a port has 256 Identifiers.
type nas struct {
	b     *testing.B
	addr  *net.UDPAddr
	spare int // so many may be lost on the way
}

func newNAS(b *testing.B, addr string) *nas {
	at, err := net.ResolveUDPAddr("udp", addr)
	require.NoError(b, err)
	return &nas{b: b, addr: at}
}

// window is how many requests may be under way, so that no socket overflows.
const window = 1024

// A volley is what was sent from one port.
type volley struct {
	conn    *net.UDPConn
	packets [][]byte
}

func (v volley) fire(b *testing.B) {
	for _, p := range v.packets {
		_, err := v.conn.Write(p)
		require.NoError(b, err)
	}
}

// logIn has users from to to-1 log in, and returns when all are held. What was
// lost on a busy machine is sent again, as a NAS does.
func (a *nas) logIn(n *node, from, to int) {
	before := n.open()
	var sent []volley
	await := func(want int) {
		if want -= a.spare; n.wait(want) >= want {
			return
		}
		for _, v := range sent {
			v.fire(a.b)
			time.Sleep(time.Millisecond)
		}
		require.GreaterOrEqual(a.b, n.wait(want), want, "the node takes no more logins")
	}
	for at := from; at < to; at += 256 {
		conn, err := net.DialUDP("udp", nil, a.addr)
		require.NoError(a.b, err)
		a.b.Cleanup(func() { conn.Close() })
		v := volley{conn: conn}
		for i := at; i < min(at+256, to); i++ {
			v.packets = append(v.packets, accessRequest(byte(i), i))
		}
		v.fire(a.b)
		sent = append(sent, v)
		await(before + min(at+256, to) - from - window)
	}
	await(before + to - from)
}

// accessRequest is what a VPN gateway sends for user i, and more attributes.
func accessRequest(identifier byte, i int, more ...byte) []byte {
	return loginRequest(identifier, username(i), password, i, more...)
}

func loginRequest(identifier byte, name, password string, i int, more ...byte) []byte {
	p := make([]byte, 20, 256)
	p[0], p[1] = 1, identifier
	rand.Read(p[4:20])
	p = attribute(p, 80, make([]byte, md5.Size))
	p = attribute(p, 1, []byte(name))
	p = attribute(p, 2, hide([]byte(password), p[4:20]))
	p = attribute(p, 32, []byte("vpn-hanoi-1"))
	p = attribute(p, 31, netipOf(i))
	p = append(p, more...)
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	return sign(p)
}

// sign fills in the Message-Authenticator, which comes first.
func sign(p []byte) []byte {
	mac := hmac.New(md5.New, []byte(sharedSecret))
	mac.Write(p)
	copy(p[22:], mac.Sum(nil))
	return p
}

func attribute(p []byte, typ byte, value []byte) []byte {
	return append(append(p, typ, byte(len(value)+2)), value...)
}

// hide is RFC 2865 section 5.2 for a password of at most 16 bytes.
func hide(plain, authenticator []byte) []byte {
	sum := md5.Sum(append([]byte(sharedSecret), authenticator...))
	for i := range plain {
		sum[i] ^= plain[i]
	}
	return sum[:]
}

// netipOf is where user i sits: an address of its own.
func netipOf(i int) []byte {
	return []byte(net.IPv4(100, byte(64+i>>16), byte(i>>8), byte(i)).String())
}
