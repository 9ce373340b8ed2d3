package ldapproxy

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
)

// nested is a message with n sequences inside each other.
func nested(n int) []byte {
	var b []byte
	for range n {
		head := []byte{0x30, 0x84, 0, 0, 0, 0}
		binary.BigEndian.PutUint32(head[2:], uint32(len(b)))
		b = append(head, b...)
	}
	body := append([]byte{0x02, 0x01, 0x05}, 0x63, 0x84, 0, 0, 0, 0)
	binary.BigEndian.PutUint32(body[len(body)-4:], uint32(len(b)))
	body = append(body, b...)
	head := []byte{0x30, 0x84, 0, 0, 0, 0}
	binary.BigEndian.PutUint32(head[2:], uint32(len(body)))
	return append(head, body...)
}

func fromHex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// hostile are frames that ended the LDAP package's own server or made it eat
// memory, and others that no client sends.
var hostile = map[string][]byte{
	"an element cut off after its tag":    fromHex("30 01 02"),
	"an element longer than its parent":   fromHex("30 03 02 05 01"),
	"a length of 2^48":                    fromHex("30 86 01 00 00 00 00 00"),
	"a length of 2^63":                    fromHex("30 88 80 00 00 00 00 00 00 00"),
	"a length of 5 GiB":                   fromHex("30 85 01 40 00 00 00"),
	"a length of 4 GiB":                   fromHex("30 84 ff ff ff ff"),
	"a length of 1 GiB":                   fromHex("30 84 40 00 00 00"),
	"an indefinite length":                fromHex("30 80 02 01 05 42 00 00 00"),
	"a length of 127 octets":              fromHex("30 ff 02 01 05"),
	"an empty message":                    fromHex("30 00"),
	"nothing but an id":                   fromHex("30 03 02 01 05"),
	"a message that is no sequence":       fromHex("31 05 02 01 05 42 00"),
	"HTTP":                                []byte("GET / HTTP/1.1\r\n\r\n"),
	"a TLS ClientHello":                   fromHex("16 03 01 00 10 01 00 00 0c"),
	"a high tag number":                   fromHex("30 06 02 01 05 7f 01 00"),
	"an end of contents in the controls":  fromHex("30 10 02 01 01 60 07 02 01 03 04 00 80 00 a0 02 00 00"),
	"an end of contents in a control":     fromHex("30 15 02 01 01 60 07 02 01 03 04 00 80 00 a0 07 30 05 04 01 31 00 00"),
	"a control without a type":            fromHex("30 0c 02 01 05 63 03 04 01 78 a0 02 30 00"),
	"a control with a value of two":       fromHex("30 17 02 01 01 60 07 02 01 03 04 00 80 00 a0 09 30 07 04 01 31 04 00 04 00"),
	"a control with a number behind it":   fromHex("30 16 02 01 01 60 07 02 01 03 04 00 80 00 a0 08 30 06 04 01 31 02 01 05"),
	"a control of long criticality":       fromHex("30 17 02 01 01 60 07 02 01 03 04 00 80 00 a0 09 30 07 04 01 31 01 02 ff ff"),
	"a control with a number for a type":  fromHex("30 0f 02 01 05 63 03 04 01 78 a0 05 30 03 02 01 05"),
	"something else than controls behind": fromHex("30 0a 02 01 05 63 03 04 01 78 04 00"),
	"something behind the controls":       fromHex("30 0c 02 01 05 63 03 04 01 78 a0 00 04 00"),
	"a message 65 deep":                   nested(65),
	"a message 1000 deep":                 nested(1000),
	"a message 10000 deep":                nested(10000),
	"a bind 7 deep":                       fromHex("30 13 02 01 01 60 0e 02 01 03 04 00 a3 07 30 05 30 03 30 01 30"),
	"an empty bind":                       fromHex("30 05 02 01 01 60 00"),
	"a primitive bind":                    fromHex("30 05 02 01 01 40 00"),
	"a BindResponse":                      fromHex("30 0c 02 01 01 61 07 0a 01 00 04 00 04 00"),
	"a SearchResultDone":                  fromHex("30 0c 02 01 01 65 07 0a 01 00 04 00 04 00"),
	"an ExtendedResponse":                 fromHex("30 0c 02 01 01 78 07 0a 01 00 04 00 04 00"),
	"an unknown operation":                fromHex("30 05 02 01 05 7e 00"),
	"an operation that is universal":      fromHex("30 05 02 01 05 04 00"),
	"a Compare without an assertion":      fromHex("30 07 02 01 05 6e 02 04 00"),
	"an extended operation without name":  fromHex("30 05 02 01 05 77 00"),
	"message id 0":                        fromHex("30 05 02 01 00 60 00"),
	"a negative message id":               fromHex("30 05 02 01 ff 42 00"),
	"a message id with a needless octet":  fromHex("30 06 02 02 00 01 42 00"),
	"a message id of five octets":         fromHex("30 09 02 05 00 80 00 00 00 42 00"),
	"a message id of no octets":           fromHex("30 04 02 00 42 00"),
	"a message id in a long length":       fromHex("30 06 02 81 01 05 42 00"),
	"a message id that is no INTEGER":     fromHex("30 05 0a 01 05 42 00"),
}

func TestHostileFramesEndTheirConnectionAndNothingElse(t *testing.T) {
	for name, frame := range hostile {
		t.Run(name, func(t *testing.T) {
			tree, desk := newTree(t), newDesk()
			p := front(t, tree, desk, nil)
			other := p.connect()
			other.wantBind(success, "an", password+","+rightCode)
			a := p.connect()
			a.conn.Write(frame)
			a.wantNotice(protocolError)
			require.Equal(t, userDN, other.whoAmI())
			require.Equal(t, 1, desk.asked())
			require.Len(t, tree.relayed(), 1)
			require.Equal(t, 1, p.meter.refused("bad_frame"))
		})
	}
}

func TestABindWithAnUnusualMessageIDIsNeverAnsweredEarly(t *testing.T) {
	for _, id := range []string{"02 02 00 01", "02 01 00", "02 01 ff", "02 05 00 00 00 00 01", "02 04 00 00 00 01"} {
		tree, desk := newTree(t), newDesk()
		a := front(t, tree, desk, nil).connect()
		body := append(fromHex(id), bindFrame(1, "an", password)[5:]...)
		a.write(append([]byte{0x30, byte(len(body))}, body...))
		a.wantNotice(protocolError)
		require.Zero(t, tree.connections())
		require.Zero(t, desk.asked())
	}
}

func TestTheLargestMessageIDWorks(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	a := front(t, tree, desk, nil).connect()
	for _, id := range []int32{1, 127, 128, 255, 256, 1<<31 - 1} {
		a.id = id - 1
		a.write(bindFrame(a.next(), "an", password))
		desk.next(t).accept()
		require.Equal(t, successWithControl(id), a.read().frame)
	}
}

func TestAClaimedLengthCostsNoMemory(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	p := front(t, tree, desk, nil)
	const connections = 200
	before := heap()
	for range connections {
		a := p.connect()
		a.write(fromHex("30 83 00 ff f0 02 01 05 63")) // 64 KiB, of which nothing comes
	}
	eventually(t, "not all are here", func() bool { return p.open() == connections })
	require.Less(t, heap()-before, int64(connections*16<<10))
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// What is refused costs no more than reading it: under a megabyte for each frame,
// everything counted that was allocated on the way.
func TestHostileFramesCostNoMemory(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	p := front(t, tree, desk, nil)
	for name, frame := range hostile {
		t.Run(name, func(t *testing.T) {
			a := p.connect()
			before := allocated()
			a.conn.Write(frame)
			a.wantNotice(protocolError)
			require.Less(t, allocated()-before, uint64(1<<20))
		})
	}
}

// allocated is how much memory was ever asked for.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// Nor does a header whose bytes come one by one, each in time.
func TestAClientThatDripsAHeaderIsCutOff(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	const frame = 200 * time.Millisecond
	p := front(t, tree, desk, func(_ *Options, l *limits) { l.frame = frame })
	a := p.connect()
	whole := make(chan bool, 1)
	go func() {
		for _, b := range []byte("\x30\x84\x00\x00\x00\x20\x02\x04\x01\x02\x03\x04\x63") { // as long as one can be
			if _, err := a.conn.Write([]byte{b}); err != nil {
				whole <- false
				return
			}
			time.Sleep(frame / 2)
		}
		whole <- true
	}()
	eventually(t, "it is still served", func() bool { return p.meter.refused("deadline") == 1 && p.open() == 0 })
	require.False(t, <-whole, "the header was waited for to its end")
}

// A byte now and then keeps nobody's place.
func TestAClientThatDripsIsCutOff(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	p := front(t, tree, desk, func(_ *Options, l *limits) { l.frame = 50 * time.Millisecond })
	a := p.connect()
	go func() {
		for _, b := range bindFrame(1, strings.Repeat("x", 60000), password) {
			if _, err := a.conn.Write([]byte{b}); err != nil {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	eventually(t, "it is still served", func() bool { return p.meter.refused("deadline") == 1 && p.open() == 0 })
	require.Zero(t, desk.asked())
}

func TestSlowClientsAreCutOff(t *testing.T) {
	const cutOff = time.Second // what is asked before is answered in that time
	for name, c := range map[string]struct {
		sent string
		set  func(*limits)
	}{
		"silent from the start":    {"", func(l *limits) { l.first = cutOff }},
		"silent within a header":   {"\x30", func(l *limits) { l.frame = cutOff }},
		"silent within a frame":    {"\x30\x05\x02\x01\x05\x63", func(l *limits) { l.frame = cutOff }},
		"silent without a bind":    {string(searchFrame(1)), func(l *limits) { l.anonymous = cutOff }},
		"silent after a bind":      {string(bindFrame(1, "an", password+","+rightCode)), func(l *limits) { l.bound = cutOff }},
		"silent in a long request": {string(bindFrame(1, "an", password+","+rightCode)), func(l *limits) { l.frame = cutOff }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they wait
			tree, desk := newTree(t), newDesk()
			p := front(t, tree, desk, func(_ *Options, l *limits) { c.set(l) })
			a := p.connect()
			a.write([]byte(c.sent))
			if len(c.sent) > 10 {
				require.Equal(t, int32(1), a.read().id)
			}
			if strings.Contains(name, "long") {
				a.write(longModify(100 << 10)[:70000])
			}
			a.wantNotice(unavailable)
			require.Equal(t, 1, p.meter.refused("deadline"))
		})
	}
}

func TestAFrameByteByByteIsAFrame(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	a := front(t, tree, desk, nil).connect()
	for _, b := range bindFrame(a.next(), "an", password+","+rightCode) {
		a.write([]byte{b})
	}
	require.Equal(t, success, a.read().code)
}

func TestAClientThatNeverReadsIsCutOff(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	big := bytes.Repeat(entry(1, 60000), 20)
	tree.onOther = func(s *session, _ header, _ []byte) []byte {
		for {
			if _, err := s.conn.Write(big); err != nil {
				return nil
			}
		}
	}
	p := front(t, tree, desk, func(_ *Options, l *limits) { l.write = 50 * time.Millisecond })
	a := p.connect()
	a.write(searchFrame(1))
	eventually(t, "it is still served", func() bool { return p.meter.refused("deadline") == 1 && p.open() == 0 })
	tree.wantEnded(tree.session(0))
}

func TestConnectionsAreCapped(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	p := front(t, tree, desk, func(o *Options, _ *limits) { o.MaxConnections = 2 })
	a, b := p.connect(), p.connect()
	require.Equal(t, "anonymous", a.whoAmI())
	require.Equal(t, "anonymous", b.whoAmI())
	p.connect().wantNotice(busy)
	require.Equal(t, 1, p.meter.refused("too_many"))
	a.conn.Close()
	eventually(t, "the place is not free", func() bool { return p.open() == 1 })
	require.Equal(t, "anonymous", p.connect().whoAmI())
}

// One application that leaks connections does not shut the others out.
func TestAClientDoesNotTakeTheLastPlacesOfTheOthers(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	p := front(t, tree, desk, func(o *Options, _ *limits) {
		o.MaxConnections = 16
		o.Clients = append(o.Clients, Client{Login: &login.Client{Name: "other"}, Directory: tree,
			Prefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}})
	})
	from := func(ip string) *app {
		conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}).Dial("tcp", p.addr)
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(patience))
		return &app{t: t, conn: conn, src: source{r: conn}}
	}
	var mine []*app
	for range 14 {
		a := from("127.0.0.1")
		require.Equal(t, "anonymous", a.whoAmI())
		mine = append(mine, a)
	}
	from("127.0.0.1").wantNotice(busy)
	require.Equal(t, 1, p.meter.refused("too_many"))
	for range 2 {
		require.Equal(t, "anonymous", from("127.0.0.2").whoAmI())
	}
	from("127.0.0.2").wantNotice(busy)
	mine[0].conn.Close()
	mine[1].conn.Close()
	mine[2].conn.Close()
	eventually(t, "places are not given back", func() bool { return p.open() == 13 })
	require.Equal(t, "anonymous", from("127.0.0.1").whoAmI())
}

func TestAnUnknownAddressIsNotServed(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	p := front(t, tree, desk, func(o *Options, _ *limits) { o.Clients[0].Prefixes = nil })
	p.connect().wantEnd()
	require.Equal(t, 1, p.meter.refused("unknown_client"))
	require.Contains(t, p.log.String(), "127.0.0.1")
}

// tired is a listener that fails for a while.
type tired struct {
	net.Listener
	mu   sync.Mutex
	errs []error
}

func (l *tired) Accept() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.errs) > 0 {
		err := l.errs[0]
		l.errs = l.errs[1:]
		return nil, err
	}
	return l.Listener.Accept()
}

func TestAcceptingGoesOnAfterErrors(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	p := front(t, tree, desk, nil)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	outOfFiles := &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	served := make(chan error, 1)
	go func() {
		served <- p.server.Serve(t.Context(), &tired{Listener: ln, errs: []error{outOfFiles, errors.New("odd"), outOfFiles}}, false)
	}()
	p.addr = ln.Addr().String()
	require.Equal(t, "anonymous", p.connect().whoAmI())
	require.Contains(t, p.log.String(), "too many open files")
	ln.Close()
	p.server.mu.Lock()
	for c := range p.server.conns {
		c.raw.Close()
	}
	p.server.mu.Unlock()
	require.ErrorIs(t, <-served, net.ErrClosed, "a listener closed by somebody else is an error")
}

func TestMistakesInTheOptionsAreErrors(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	good := front(t, tree, desk, nil).server.o
	for name, change := range map[string]func(*Options){
		"no handler":                      func(o *Options) { o.Handler = nil },
		"no texts":                        func(o *Options) { o.Text = nil },
		"a client without a directory":    func(o *Options) { o.Clients = []Client{{Login: o.Clients[0].Login}} },
		"a client without settings":       func(o *Options) { o.Clients = []Client{{Directory: tree}} },
		"two clients at one address":      func(o *Options) { o.Clients = append(o.Clients[:1:1], o.Clients[0]) },
		"an exempt bind that is no DN":    func(o *Options) { o.Exempt = []Exempt{{DN: "svc"}} },
		"an exempt bind without a DN":     func(o *Options) { o.Exempt = []Exempt{{}} },
		"an exempt bind that comes twice": func(o *Options) { o.Exempt = []Exempt{{DN: "cn=a,dc=b"}, {DN: "CN=A, dc=b"}} },
	} {
		t.Run(name, func(t *testing.T) {
			o := good
			change(&o)
			_, err := New(o)
			require.Error(t, err)
		})
	}
	s, err := New(good)
	require.NoError(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.Error(t, s.Serve(t.Context(), ln, true), "LDAPS without a certificate")
	_, err = net.Dial("tcp", ln.Addr().String())
	require.Error(t, err)
}

func TestTheLongestPrefixIsTheClient(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	p := front(t, tree, desk, func(o *Options, _ *limits) {
		near := o.Clients[0]
		login := *near.Login
		login.Name = "near"
		near.Login, near.Prefixes = &login, prefixes("127.0.0.1/32", "::1/128")
		o.Clients = append(o.Clients, near)
	})
	a := p.connect()
	require.Equal(t, "bad_password for near [TRACE2]", a.wantBind(invalid, "an", "wrong").text)
}

func prefixes(all ...string) (p []netip.Prefix) {
	for _, s := range all {
		p = append(p, netip.MustParsePrefix(s))
	}
	return p
}
