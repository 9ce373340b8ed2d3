package radius

import (
	"io"
	"log/slog"
	"net/netip"
	"runtime"
	"testing"

	layeh "layeh.com/radius"

	"vssgate/internal/login"
)

// quiet is a server whose handler is h, with a socket that sends into the void.
func quiet(b *testing.B, h Handler) (*Server, key) {
	o := options()
	o.Handler, o.Log = h, slog.New(slog.NewTextHandler(io.Discard, nil))
	o.Text = func(*login.Client, login.Reply) string { return "Wrong user name or password. [K7QF2D]" }
	s, err := New(o)
	if err != nil {
		b.Fatal(err)
	}
	conn, sink := listen(b, "udp4", "127.0.0.1:0"), listen(b, "udp4", "127.0.0.1:0")
	b.Cleanup(func() { conn.Close(); sink.Close() })
	sock, err := newUDPSocket(conn, takesLogins)
	if err != nil {
		b.Fatal(err)
	}
	return s, key{socket: &sock.socket, source: sink.LocalAddr().(interface{ AddrPort() netip.AddrPort }).AddrPort()}
}

type handlerFunc func(r *login.Request) func()

func (f handlerFunc) Handle(r *login.Request) func() { return f(r) }

// A packet with a State that nobody knows: in, rejected, out.
func BenchmarkPacketUnknownState(b *testing.B) {
	s, k := quiet(b, handlerFunc(func(r *login.Request) func() {
		r.Reply(login.Reply{Kind: login.BadAnswer, Reason: login.BadState})
		return nil
	}))
	packets := make([][]byte, 4096)
	for i := range packets {
		packets[i] = asks(byte(i), i, "an.nv", "123456", text(24, "twenty-four bytes of it."), text(32, "vpn1"), text(31, "203.0.113.7"))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.serve(packets[i%len(packets)], k)
	}
}

// What of that is the library's, and the socket's.
func BenchmarkPacketLibraryAlone(b *testing.B) {
	_, k := quiet(b, handlerFunc(nil))
	packet := asks(1, 1, "an.nv", "123456", text(24, "twenty-four bytes of it."), text(32, "vpn1"), text(31, "203.0.113.7"))
	b.ReportAllocs()
	for b.Loop() {
		p, err := layeh.Parse(packet, []byte(shared))
		if err != nil {
			b.Fatal(err)
		}
		q := p.Response(layeh.CodeAccessReject)
		q.Add(80, make(layeh.Attribute, 16))
		q.Add(18, layeh.Attribute("Wrong user name or password. [K7QF2D]"))
		if _, err := q.MarshalBinary(); err != nil {
			b.Fatal(err)
		}
		out, err := q.Encode()
		if err != nil {
			b.Fatal(err)
		}
		if err := k.socket.send(out, k.local, k.source); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPacketStatusServer(b *testing.B) {
	s, k := quiet(b, handlerFunc(nil))
	packet := signed(12, 1, authOf(1), 0)
	b.ReportAllocs()
	for b.Loop() {
		s.serve(packet, k)
	}
}

func BenchmarkPacketForged(b *testing.B) {
	s, k := quiet(b, handlerFunc(nil))
	packet := with(asks(1, 1, "an.nv", "123456"), func(p []byte) { p[30]++ })
	b.ReportAllocs()
	for b.Loop() {
		s.serve(packet, k)
	}
}

// 100,000 requests held at once: what this package keeps of each, and what it
// has made for the Handler to keep.
func BenchmarkHeldMemory(b *testing.B) {
	const n = 100_000
	for name, keep := range map[string]func(r *login.Request) any{
		"front-end": func(r *login.Request) any { return nil },
		"request":   func(r *login.Request) any { return r },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				kept := make([]any, 0, n)
				s, k := quiet(b, handlerFunc(func(r *login.Request) func() {
					kept = append(kept, keep(r))
					return func() {}
				}))
				before := heap()
				for i := range n {
					k.source = netip.AddrPortFrom(k.source.Addr(), uint16(i/256+1))
					s.serve(asks(byte(i), i, "an.nv", "a password of a user", text(32, "vpn1"), text(31, "203.0.113.7")), k)
				}
				b.ReportMetric(float64(heap()-before)/n, "B/hold")
				if s.exchanges.held != n {
					b.Fatal("not all are held")
				}
				runtime.KeepAlive(kept)
			}
		})
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
