package radius

import (
	"context"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/accounting"
)

// A billing is a server that accounting is sent on to, with code of its own.
type billing struct {
	t    testing.TB
	nas  *nas // its socket
	from netip.AddrPort
}

// newBilling makes n servers and a Relay to all of them.
func newBilling(t testing.TB, n int) (*Relay, *journal, []*billing) {
	var all []*billing
	var to []Destination
	for range n {
		conn := listen(t, "udp4", "127.0.0.1:0")
		t.Cleanup(func() { conn.Close() })
		all = append(all, &billing{t: t, nas: &nas{t, conn}})
		to = append(to, Destination{Address: conn.LocalAddr().String(), Secret: shared})
	}
	log := &journal{}
	r, err := NewRelay(to, slog.New(slog.NewTextHandler(log, nil)))
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- r.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
	return r, log, all
}

// receive is the next request, found genuine.
func (b *billing) receive() []byte {
	b.nas.conn.SetReadDeadline(time.Now().Add(patience))
	buf := make([]byte, 4097)
	n, from, err := b.nas.conn.ReadFromUDPAddrPort(buf)
	require.NoError(b.t, err)
	b.from = from
	p, drop := open(buf[:n], testClient(), takesAccounting)
	require.Empty(b.t, drop)
	require.NotNil(b.t, p.Packet)
	return buf[:n]
}

// takes acknowledges a request.
func (b *billing) takes(request []byte) {
	_, err := b.nas.conn.WriteToUDPAddrPort(acknowledgement(request), b.from)
	require.NoError(b.t, err)
}

func acknowledgement(request []byte, attrs ...attr) []byte {
	b := pack(5, request[1], [16]byte(request[4:20]), attrs...)
	sum := md5Of(b, []byte(shared))
	copy(b[4:], sum[:])
	return b
}

// account offers a record; the channel gets what is said of it.
func account(r *Relay, attrs ...attr) <-chan bool {
	done := make(chan bool, 2)
	r.Account(&accounting.Record{Attributes: pack(4, 0, [16]byte{}, attrs...)[20:]}, func(safe bool) { done <- safe })
	return done
}

func said(t testing.TB, done <-chan bool) bool {
	select {
	case safe := <-done:
		return safe
	case <-time.After(patience):
		require.Fail(t, "nothing is said of the record")
		return false
	}
}

func TestARecordIsSafeWhenOneServerHasTakenIt(t *testing.T) {
	r, _, servers := newBilling(t, 2)
	done := account(r, text(1, "an.nv"), text(33, "of the NAS"))
	first, second := servers[0].receive(), servers[1].receive()
	require.Equal(t, []string{"of the NAS"}, values(attrsOf(t, first), 33))
	require.Equal(t, first[20:], second[20:])
	require.Empty(t, done)
	servers[1].takes(second)
	require.True(t, said(t, done))
	servers[0].takes(first)
	again := servers[1] // what comes late changes nothing
	again.takes(second)
	require.True(t, said(t, func() <-chan bool {
		done := account(r)
		servers[0].takes(servers[0].receive())
		return done
	}()))
	require.Empty(t, done, "once")
	require.True(t, r.Ready())
}

func TestWhatNoServerTakesIsTriedAgainAndThenGivenUp(t *testing.T) {
	r, log, servers := newBilling(t, 1)
	r.servers[0].gaps = []time.Duration{time.Millisecond, time.Millisecond, time.Millisecond}
	done := account(r, text(1, "an.nv"))
	first := servers[0].receive()
	for range 2 {
		require.Equal(t, first, servers[0].receive(), "the same packet")
	}
	require.False(t, said(t, done))
	require.False(t, r.Ready())
	require.Contains(t, log.String(), "no answer to 3 tries")
	require.Contains(t, log.String(), servers[0].nas.conn.LocalAddr().String())
	servers[0].takes(first) // too late
	require.Empty(t, done)
}

func TestForgedAcknowledgementsCountForNothing(t *testing.T) {
	r, _, servers := newBilling(t, 1)
	s := servers[0]
	done := account(r, text(1, "an.nv"))
	request := s.receive()
	forged := acknowledgement(request)
	forged[5] ^= 1
	reject := acknowledgement(request)
	reject[0] = 3
	for _, b := range [][]byte{forged, reject, acknowledgement(request)[:19], {}, request} {
		_, err := s.nas.conn.WriteToUDPAddrPort(b, s.from)
		require.NoError(t, err)
	}
	other := account(r)
	s.takes(s.receive())
	require.True(t, said(t, other))
	require.Empty(t, done, "what was forged came before")
	s.takes(request)
	require.True(t, said(t, done))
}

func TestMoreThan256RecordsAreNotTaken(t *testing.T) {
	r, log, servers := newBilling(t, 1)
	r.servers[0].gaps = []time.Duration{time.Hour}
	first := account(r)
	for range 255 {
		account(r)
	}
	require.False(t, said(t, account(r)))
	require.Contains(t, log.String(), "all 256 Identifiers")
	servers[0].takes(servers[0].receive())
	require.True(t, said(t, first))
	require.Empty(t, account(r), "there is room again")
}

func TestARelayedRecordIsSignedWhereItWas(t *testing.T) {
	r, _, servers := newBilling(t, 1)
	r.Account(&accounting.Record{Attributes: []byte{1, 3, 'x'}, Signed: true}, func(bool) {})
	request := servers[0].receive()
	require.Equal(t, []byte{80, 18}, request[20:22])
	require.False(t, said(t, func() <-chan bool {
		done := make(chan bool, 1)
		r.Account(&accounting.Record{Attributes: make([]byte, 4090)}, func(safe bool) { done <- safe })
		return done
	}()), "more than a packet holds")
}
