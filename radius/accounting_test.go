package radius

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/binary"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/accounting"
	"vssgate/internal/login"
)

// accounts is an Accounting-Request, its Request Authenticator made as RFC 2866
// section 3 says; signed: with a Message-Authenticator over zeros in its place.
func accounts(id byte, signed bool, attrs ...attr) []byte {
	return accountsBy(shared, id, signed, attrs...)
}

func accountsBy(secret string, id byte, signed bool, attrs ...attr) []byte {
	if signed {
		attrs = append([]attr{{80, make([]byte, 16)}}, attrs...)
	}
	b := pack(4, id, [16]byte{}, attrs...)
	if signed {
		h := hmac.New(md5.New, []byte(secret))
		h.Write(b)
		copy(b[22:], h.Sum(nil))
	}
	sum := md5Of(b, []byte(secret))
	copy(b[4:], sum[:])
	return b
}

func number(kind byte, n uint32) attr { return attr{kind, binary.BigEndian.AppendUint32(nil, n)} }

// A ledger is an Accountant that the tests answer for.
type ledger struct {
	told  chan recorded
	ready atomic.Bool
}

type recorded struct {
	*accounting.Record
	done func(safe bool)
}

func (l *ledger) Ready() bool                                        { return l.ready.Load() }
func (l *ledger) Account(r *accounting.Record, done func(safe bool)) { l.told <- recorded{r, done} }

func (l *ledger) next(t testing.TB) recorded {
	select {
	case r := <-l.told:
		return r
	case <-time.After(patience):
		require.Fail(t, "no record")
		return recorded{}
	}
}

// startAccounting runs a server whose only socket takes accounting.
func startAccounting(t testing.TB) (*bench, *ledger) {
	l := &ledger{told: make(chan recorded, 100)}
	l.ready.Store(true)
	return startOn(t, listen(t, "udp4", "127.0.0.1:0"), func(o *Options) { o.Accountant = l }, (*Server).ServeAccounting), l
}

// acknowledged requires b to be the Accounting-Response to request.
func acknowledged(t testing.TB, request, b []byte) []attr {
	require.Equal(t, []byte{5, request[1]}, b[:2])
	require.Equal(t, len(b), int(binary.BigEndian.Uint16(b[2:])))
	sum := md5Of(b[:4], request[4:20], b[20:], []byte(shared))
	require.Equal(t, sum[:], b[4:20], "Response Authenticator")
	return attrsOf(t, b)
}

func TestAccountingIsAnsweredWhenItIsKept(t *testing.T) {
	b, l := startAccounting(t)
	n := newNAS(t, b.addr)
	request := accounts(7, false, number(40, 2), text(44, "5F00A1"), text(1, "an.nv"), text(31, "203.0.113.7:1024"), text(32, "vpn1"),
		number(42, 7), number(52, 1), number(43, 9), number(46, 60), number(49, 4), number(41, 3), number(55, 1764000000),
		attr{8, []byte{10, 8, 0, 2}}, attr{97, []byte{0, 64, 0x20, 1, 0xd, 0xb8, 0, 1, 0, 2}}, number(5, 17), attr{25, []byte{1, 0}},
		text(33, "first"), text(33, "second"), text(2, "0123456789abcdef"))
	n.send(append(request, "padding behind Length"...))
	r := l.next(t)
	require.Equal(t, "hq-vpn", r.Client)
	require.Equal(t, "vpn1", r.NAS)
	require.Equal(t, netip.MustParseAddr("127.0.0.1"), r.Source)
	require.Equal(t, []string{"Stop", "5F00A1", "an.nv", "203.0.113.7", "17", "Idle-Timeout"}, []string{r.Status, r.Session, r.Username, r.Station, r.Port, r.Cause})
	require.Equal(t, []uint64{1<<32 + 7, 9}, []uint64{r.In, r.Out})
	require.Equal(t, []time.Duration{time.Minute, 3 * time.Second}, []time.Duration{r.Lasted, r.Delay})
	require.Equal(t, int64(1764000000), r.When().Unix())
	require.Equal(t, "10.8.0.2", r.Address.String())
	require.Equal(t, "2001:db8:1:2::/64", r.Prefix.String())
	require.NotContains(t, string(r.Attributes), "0123456789abcdef", "an Accounting-Request has no password to hand on")
	require.Contains(t, string(r.Attributes), "first")
	require.Zero(t, b.used("hq-vpn"), "not a login")

	n.send(request)
	b.dropped(t, Retransmission)
	r.done(true)
	answer := n.receive()
	require.Equal(t, []string{"first", "second"}, values(acknowledged(t, request, answer), 33))
	n.send(request)
	require.Equal(t, answer, n.receive(), "sent again, it gets the same bytes")
	require.Empty(t, l.told)
}

func TestAccountingThatIsNotKeptIsNotAnswered(t *testing.T) {
	b, l := startAccounting(t)
	n := newNAS(t, b.addr)
	request := accounts(7, true, number(40, 1), text(44, "1"))
	n.send(request)
	l.next(t).done(false)
	b.dropped(t, NotKept)
	n.send(request)
	l.next(t).done(true)
	require.Empty(t, acknowledged(t, request, n.receive()))
	require.Contains(t, b.String(), "The NAS sends it again")
}

func TestForgedAccountingIsDroppedAndNamed(t *testing.T) {
	forged := accounts(1, true, text(1, "an.nv"))
	forged[30] ^= 1
	sum := md5Of(forged[:4], make([]byte, 16), forged[20:], []byte(shared))
	copy(forged[4:], sum[:])
	for name, c := range map[string]struct {
		b    []byte
		why  Drop
		hint string
	}{
		"another secret":                       {accountsBy("another-secret-here", 1, false, text(1, "an.nv")), BadRequestAuthenticator, "some NASes have a secret of their own for accounting"},
		"a random authenticator":               {pack(4, 1, authOf(9), text(1, "an.nv")), BadRequestAuthenticator, ""},
		"a Message-Authenticator that differs": {forged, BadAuthenticator, ""},
		"a login":                              {asks(1, 1, "an.nv", "secret"), LoginHere, "radius.listen"},
	} {
		t.Run(name, func(t *testing.T) {
			b, l := startAccounting(t)
			newNAS(t, b.addr).send(c.b)
			b.dropped(t, c.why)
			require.Empty(t, l.told)
			require.Contains(t, b.String(), c.hint)
		})
	}
}

func TestAccountingOnTheLoginPortIsNamedWithTheWayOut(t *testing.T) {
	b := start(t, nil)
	n := newNAS(t, b.addr)
	n.send(accounts(1, false, number(40, 1), text(44, "1")))
	b.dropped(t, AccountingHere)
	n.hearsNothing()
	require.True(t, strings.Contains(b.String(), "radius.accounting.listen"), b.String())
}

func TestStatusServerOnTheAccountingPort(t *testing.T) {
	b, l := startAccounting(t)
	n := newNAS(t, b.addr)
	probe := signed(12, 1, authOf(1), 0)
	n.send(probe)
	answer := n.receive()
	require.Equal(t, byte(5), answer[0])
	genuine(t, probe, answer)
	l.ready.Store(false)
	n.send(signed(12, 2, authOf(2), 0))
	b.dropped(t, NotReady)
	n.send(pack(12, 3, authOf(3)))
	b.dropped(t, NoAuthenticator)
}

func TestAConnectionOverTLSTakesBoth(t *testing.T) {
	l := &ledger{told: make(chan recorded, 1)}
	s := secure(t, func(o *Options) { o.Accountant = l })
	n := s.dial(t, s.config(t))
	request := accountsBy(radsec, 1, false, number(40, 1), text(44, "1"))
	n.send(request)
	l.next(t).done(true)
	answer := n.receive()
	require.Equal(t, byte(5), answer[0])
	sum := md5Of(answer[:4], request[4:20], answer[20:], []byte(radsec))
	require.Equal(t, sum[:], answer[4:20])
	n.probe()
	request = asksBy(radsec, 2, 1, "an.nv", "secret")
	n.send(request)
	held := s.next(t)
	n.send(accountsBy(radsec, 2, false, number(40, 1), text(44, "2"))) // the same Identifier: another request, not instead
	l.next(t).done(true)
	require.Equal(t, []byte{5, 2}, n.receive()[:2])
	held.Reply(login.Reply{Kind: login.Accept})
	genuineBy(t, radsec, request, n.receive())
	n.send(accountsBy("another-secret-here", 1, false, number(40, 1)))
	n.isClosed()
	s.closed(t, BadRequestAuthenticator)
}

// Whatever comes, what is read of it fits into its line, and what is relayed is
// made of whole attributes.
func FuzzRecord(f *testing.F) {
	f.Add(accounts(1, false, number(40, 1), text(44, "1"), attr{97, []byte{0, 129}}, attr{8, nil})[20:])
	f.Add(accounts(1, true, text(2, "0123456789abcdef"), text(33, "x"))[20:])
	f.Fuzz(func(t *testing.T, attributes []byte) {
		if len(attributes) > 4000 {
			return
		}
		b := append(pack(4, 1, [16]byte{}), attributes...)
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		sum := md5Of(b, []byte(shared))
		copy(b[4:], sum[:])
		p, drop := open(b, testClient(), takesAccounting)
		if drop != "" {
			return
		}
		r := p.record(testClient(), netip.MustParseAddr("192.0.2.1"), time.Unix(0, 0))
		var n counts
		_, drop = walk(append(make([]byte, 20), r.Attributes...), &n)
		require.Empty(t, drop)
		require.Zero(t, n[2]+n[3]+n[80])
		require.LessOrEqual(t, len(r.Attributes), len(attributes))
	})
}
