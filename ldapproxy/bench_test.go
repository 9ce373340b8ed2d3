package ldapproxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nmcclain/ldap"
	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
	"vssgate/internal/testenv"
)

// heldEnv makes the test program a Server in a process of its own, so that its
// memory is its own: the value is the directory's address.
const heldEnv = "VSSGATE_BENCH_HELD"

// heldCertEnv makes that Server speak LDAPS: certificate and key files.
const heldCertEnv = "VSSGATE_BENCH_HELD_CERT"

func TestMain(m *testing.M) {
	if addr := os.Getenv(heldEnv); addr != "" {
		serveHeld(addr)
		return
	}
	if os.Getenv(faultyEnv) != "" {
		serveFaulty()
		return
	}
	if addr := os.Getenv(oursEnv); addr != "" {
		serveOurs(addr)
		return
	}
	os.Exit(m.Run())
}

// distant is a directory that is only dialled.
type distant string

func (d distant) ResolveBind(context.Context, string) (login.Identity, error) {
	return login.Identity{ID: "id", DN: userDN}, nil
}
func (d distant) NobodyDN() string { return nobodyName }
func (d distant) Dial(ctx context.Context) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", string(d))
}

// forever holds every bind as an engine does: no goroutine, an entry in a table.
type forever struct{ held chan *login.Request }

func (f *forever) Handle(r *login.Request) func() {
	checked, err := r.First.Check(context.Background(), login.Identity{ID: "id", DN: userDN}, r.Password)
	if err != nil || checked.First != login.FirstRight {
		fmt.Fprintln(os.Stderr, "not checked:", err)
		os.Exit(1)
	}
	f.held <- r
	return func() {}
}

// serveHeld prints its address; then, for each number read, waits for that many
// held binds and prints its resident memory; and last answers them all.
func serveHeld(directory string) {
	f := &forever{held: make(chan *login.Request, 20000)}
	var secure *tls.Config
	if files := os.Getenv(heldCertEnv); files != "" {
		cert, key, _ := strings.Cut(files, " ")
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			panic(err)
		}
		secure = &tls.Config{Certificates: []tls.Certificate{pair}}
	}
	s, err := New(Options{
		TLS:     secure,
		Rules:   Rules{Clients: []Client{{Login: &login.Client{Name: "app"}, Prefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Directory: distant(directory)}}},
		Handler: f, Text: func(*login.Client, login.Reply) string { return "" }, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		panic(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go s.Serve(context.Background(), ln, secure != nil)
	fmt.Println(ln.Addr())
	var all []*login.Request
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		n, err := strconv.Atoi(in.Text())
		if err != nil {
			break
		}
		for len(all) < n {
			all = append(all, <-f.held)
		}
		debug.FreeOSMemory()
		fmt.Println(resident())
	}
	for _, r := range all {
		r.Reply(login.Reply{Kind: login.Accept})
	}
	select {} // until the parent ends it
}

// resident is this process's memory in bytes.
func resident() int {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kib, _ := strconv.Atoi(strings.Fields(rest)[0])
	return kib << 10
}

// BenchmarkHeldBind measures what a held bind costs a Server in resident memory,
// with both its connections; the one to the directory is plain TCP.
func BenchmarkHeldBind(b *testing.B) {
	ca := testenv.CA(b)
	plain := func(addr string) (net.Conn, error) { return net.Dial("tcp", addr) }
	secure := func(addr string) (net.Conn, error) { return tls.Dial("tcp", addr, &tls.Config{RootCAs: ca.Pool}) }
	b.Run("ldap", func(b *testing.B) { benchmarkHeld(b, "", plain, 28<<10) })
	b.Run("ldaps", func(b *testing.B) { benchmarkHeld(b, ca.CertFile+" "+ca.KeyFile, secure, 60<<10) })
}

func benchmarkHeld(b *testing.B, cert string, dial func(string) (net.Conn, error), limit float64) {
	const held, spare = 8900, 100 // 9000 in all
	for b.Loop() {
		server := startHeld(b, cert)
		all := holdBinds(b, dial, server.addr, spare)
		before := server.measure(spare)
		all = append(all, holdBinds(b, dial, server.addr, held)...)
		each := float64(server.measure(spare+held)-before) / held
		b.ReportMetric(each, "B/held")
		if each > limit {
			b.Errorf("a held bind costs %.0f bytes", each)
		}
		fmt.Fprintln(server.in, "answer")
		for _, conn := range all {
			_, frame, err := readFrame(&source{r: conn}, false)
			require.NoError(b, err)
			require.Equal(b, successWithControl(1), frame)
			conn.Close()
		}
	}
}

// heldServer is a Server in a process of its own.
type heldServer struct {
	b    *testing.B
	addr string
	in   io.Writer
	out  *bufio.Scanner
}

func startHeld(b *testing.B, cert string) *heldServer {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), heldEnv+"="+newTree(b).addr, heldCertEnv+"="+cert)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(b, err)
	out, err := cmd.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, cmd.Start())
	b.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	s := &heldServer{b: b, in: in, out: bufio.NewScanner(out)}
	s.addr = s.line()
	return s
}

func (s *heldServer) line() string { s.out.Scan(); return s.out.Text() }

// measure is the Server's resident memory as soon as it holds n binds.
func (s *heldServer) measure(n int) int {
	fmt.Fprintln(s.in, n)
	size, err := strconv.Atoi(s.line())
	require.NoError(s.b, err)
	return size
}

func holdBinds(b *testing.B, dial func(string) (net.Conn, error), addr string, n int) (all []net.Conn) {
	for range n {
		conn, err := dial(addr)
		require.NoError(b, err)
		_, err = conn.Write(bindFrame(1, userDN, password))
		require.NoError(b, err)
		all = append(all, conn)
	}
	return all
}

// BenchmarkRelaySearch relays searches with 1000 entries each; allocations and
// time are per frame that passed.
func BenchmarkRelaySearch(b *testing.B) {
	const entries = 1000
	tree, desk := newTree(b), newDesk()
	var all []byte
	for range entries {
		all = append(all, entry(1, 400)...)
	}
	all = append(all, encodeResult(1, ldap.ApplicationSearchResultDone, 0, "")...)
	tree.onOther = func(*session, header, []byte) []byte { return all }
	a := front(b, tree, desk, nil).connect()
	a.conn.SetDeadline(time.Time{})
	request, buf := searchFrame(1), make([]byte, len(all))
	b.ReportAllocs()
	b.SetBytes(int64(len(all)))
	for b.Loop() {
		tree.mu.Lock()
		tree.frames = tree.frames[:0]
		tree.mu.Unlock()
		if _, err := a.conn.Write(request); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(a.conn, buf); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/entries, "ns/frame")
}

// BenchmarkBind is a whole bind of an exempt account: the engine adds nothing.
func BenchmarkBind(b *testing.B) {
	tree, desk := newTree(b), newDesk()
	a := front(b, tree, desk, exempting()).connect()
	a.conn.SetDeadline(time.Time{})
	b.ReportAllocs()
	for b.Loop() {
		a.wantBind(success, serviceDN, password)
	}
}

// BenchmarkDecodeBind is what a bind costs before anybody is asked.
func BenchmarkDecodeBind(b *testing.B) {
	frame := bindFrame(1, userDN, password)
	b.ReportAllocs()
	for b.Loop() {
		h, err := parseHeader(frame, maxInspected, true)
		if err == nil {
			err = guard(h, frame)
		}
		if err == nil {
			_, _, err = decodeBind(h, frame, true, nil)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
