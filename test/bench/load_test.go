package bench

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A gun is one port of a NAS: it has up to window requests under way.
type gun struct {
	conn *net.UDPConn
	next int
}

func newGun(b *testing.B, from, to string) *gun {
	addr, err := net.ResolveUDPAddr("udp", to)
	require.NoError(b, err)
	conn, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(from)}, addr)
	require.NoError(b, err)
	b.Cleanup(func() { conn.Close() })
	return &gun{conn: conn}
}

// A pile is what guns shoot, made before the time is taken. Each port begins
// elsewhere in it, and an Identifier comes again with another packet.
type pile struct {
	packets [][]byte
	want    byte // the code of the answer
}

const pileSize = 1 << 14

func newPile(want byte, packet func(identifier byte, i int) []byte) *pile {
	p := &pile{want: want}
	for i := range pileSize {
		p.packets = append(p.packets, packet(byte(i), i))
	}
	return p
}

// rate is how many requests a second are answered when there are always ports x
// window of them under way.
func (p *pile) rate(b *testing.B, from, to string, ports, window int, long time.Duration) float64 {
	var answered, wrong atomic.Int64
	var all sync.WaitGroup
	begun := time.Now()
	until := begun.Add(long)
	for i := range ports {
		g := newGun(b, from, to)
		g.next = i * (pileSize / ports) &^ 0xff
		all.Go(func() {
			n, bad := g.shoot(p, window, until)
			answered.Add(int64(n))
			wrong.Add(int64(bad))
			g.conn.Close()
		})
	}
	all.Wait()
	require.Zero(b, wrong.Load(), "answers of another kind")
	return float64(answered.Load()) / long.Seconds()
}

func (g *gun) shoot(p *pile, window int, until time.Time) (answered, wrong int) {
	g.conn.SetReadDeadline(until)
	for range window {
		g.fire(p)
	}
	answer := make([]byte, 4096)
	for {
		n, err := g.conn.Read(answer)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return answered, wrong
		case err != nil:
			continue
		case n < 20 || answer[0] != p.want:
			wrong++
		default:
			answered++
		}
		g.fire(p)
	}
}

func (g *gun) fire(p *pile) {
	g.conn.Write(p.packets[g.next%len(p.packets)])
	g.next++
}

// A salvo is requests sent at their time, whatever becomes of those before: what
// one waits is told as it is.
type salvo struct {
	lost, wrong int
	took        []time.Duration
}

// shots are what is under way from one port, by Identifier.
type shots struct {
	gun  *gun
	sent [256]atomic.Int64 // when; 0: answered
}

// paced sends packet(i) at a rate for a time and waits another two seconds for
// what is still to come.
func paced(b *testing.B, from, to string, rate int, long time.Duration, want byte, packet func(identifier byte, i int) []byte) (s salvo) {
	const ports = 32
	var mu sync.Mutex
	var readers sync.WaitGroup
	all := make([]*shots, ports)
	for i := range all {
		f := &shots{gun: newGun(b, from, to)}
		all[i] = f
		readers.Go(func() {
			took, wrong := f.read(want)
			mu.Lock()
			defer mu.Unlock()
			s.took, s.wrong = append(s.took, took...), s.wrong+wrong
		})
	}
	total := int(long.Seconds() * float64(rate))
	begun := time.Now()
	for i := range total {
		if wait := time.Until(begun.Add(time.Duration(i) * time.Second / time.Duration(rate))); wait > 0 {
			time.Sleep(wait)
		}
		f, id := all[i%ports], byte(i/ports)
		p := packet(id, i)
		if f.sent[id].Swap(time.Now().UnixNano()) != 0 {
			s.lost++
		}
		f.gun.conn.Write(p)
	}
	time.Sleep(2 * time.Second)
	for _, f := range all {
		f.gun.conn.Close()
		for i := range f.sent {
			if f.sent[i].Load() != 0 {
				s.lost++
			}
		}
	}
	readers.Wait()
	slices.Sort(s.took)
	return s
}

func (f *shots) read(want byte) (took []time.Duration, wrong int) {
	answer := make([]byte, 4096)
	for {
		n, err := f.gun.conn.Read(answer)
		now := time.Now().UnixNano()
		switch {
		case errors.Is(err, net.ErrClosed):
			return took, wrong
		case err != nil || n < 20:
			continue
		case answer[0] != want:
			wrong++
		}
		if sent := f.sent[answer[1]].Swap(0); sent != 0 {
			took = append(took, time.Duration(now-sent))
		}
	}
}

// at is the time that so much of a thousand took no longer than.
func (s *salvo) at(permille int) time.Duration {
	if len(s.took) == 0 {
		return 0
	}
	return s.took[min(len(s.took)*permille/1000, len(s.took)-1)]
}

func (s *salvo) report(b *testing.B, name string) {
	b.ReportMetric(float64(s.at(500).Microseconds()), "µs-"+name+"-p50")
	b.ReportMetric(float64(s.at(990).Microseconds()), "µs-"+name+"-p99")
	b.ReportMetric(float64(s.lost+s.wrong), name+"-lost")
}

// echoEnv makes the test binary answer each datagram with itself.
const echoEnv = "VSSGATE_BENCH_ECHO"

// echo is the least that a server over UDP can do, with as many readers as
// radius has.
func echo() {
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		panic(err)
	}
	json.NewEncoder(os.Stdout).Encode(conn.LocalAddr().String())
	for range 2 {
		go func() {
			buf := make([]byte, 4097)
			for {
				n, from, err := conn.ReadFromUDPAddrPort(buf)
				if err == nil {
					conn.WriteToUDPAddrPort(buf[:n], from)
				}
			}
		}()
	}
	os.Stdin.Read(make([]byte, 1)) // until the benchmark ends
}

func startEcho(b *testing.B) (addr string) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), echoEnv+"=1")
	_, err := cmd.StdinPipe()
	require.NoError(b, err)
	out, err := cmd.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, cmd.Start())
	b.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	require.NoError(b, json.NewDecoder(out).Decode(&addr))
	_, err = netip.ParseAddrPort(addr)
	require.NoError(b, err)
	return addr
}

// rubbish makes the i-th of several kinds of packets that are none, or not from
// us: noise, cut, a wrong length, forged, a State of nobody.
func rubbish(r *rand.Rand, i int) []byte {
	p := accessRequest(byte(i), i%1000)
	switch i % 6 {
	case 0:
		for i := range p {
			p[i] = byte(r.Uint32())
		}
	case 1:
		p = p[:r.IntN(20)]
	case 2:
		p[3] += byte(1 + r.IntN(50))
	case 3:
		p[25] ^= 1 // in the Message-Authenticator
	case 4:
		p = append(p[:20:20], p[38:]...) // without one, the password is not readable
		p[3] -= 18
		p[10] ^= 1
	case 5:
		return accessRequest(byte(i), i%1000, attribute(nil, 24, make([]byte, 24))...)
	}
	return p
}
