package upstream

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	layeh "layeh.com/radius"

	"vssgate/internal/login"
)

func TestTheNextServerIsAskedAndTheDeadOnePassedOver(t *testing.T) {
	dead, alive := startFake(t, silence), startFake(t, always(reject))
	b := newBench(t, Options{Timeout: 2 * time.Second}, dead, alive)
	checked, err := b.check(t, pap("an.nv"), "secret")
	require.NoError(t, err)
	require.Equal(t, login.FirstWrong, checked.First)
	require.NotZero(t, dead.times())
	before := dead.times()
	_, err = b.check(t, pap("an.nv"), "secret")
	require.NoError(t, err)
	require.Equal(t, before, dead.times(), "passed over")
	require.Len(t, b.inOrder(time.Now().Add(passedOverFor)), 2, "and tried again later")
	require.Contains(t, b.log.String(), "passed over")
}

// When none answers, all are tried: a login is no worse off for it.
func TestWhenAllAreDeadAllAreTried(t *testing.T) {
	one, two := startFake(t, silence), startFake(t, silence)
	b := newBench(t, Options{Timeout: 100 * time.Millisecond}, one, two)
	for range 2 {
		_, err := b.check(t, pap("an.nv"), "secret")
		require.ErrorContains(t, err, one.addr)
		require.ErrorContains(t, err, two.addr)
	}
	require.Len(t, b.inOrder(time.Now()), 2)
}

// A NAS that gives up says nothing about the server.
func TestWhoGivesUpBlamesNobody(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := startFake(t, func(*fake, *layeh.Packet, int) [][]byte { cancel(); return nil })
	b := newBench(t, Options{}, f)
	_, err := b.Asking(pap("an.nv")).Check(ctx, login.Identity{}, []byte("secret"))
	require.ErrorIs(t, err, context.Canceled)
	require.False(t, b.servers[0].passedOver(time.Now()))
}

func TestPing(t *testing.T) {
	status := func(f *fake, p *layeh.Packet, n int) [][]byte {
		if p.Code != layeh.CodeStatusServer {
			return nil
		}
		return always(accept)(f, p, n)
	}
	t.Run("a server that answers Status-Server is there", func(t *testing.T) {
		f := startFake(t, status)
		b := newBench(t, Options{}, f)
		require.NoError(t, b.Ping(t.Context()))
		require.Equal(t, layeh.CodeStatusServer, f.at(0).Code)
		require.NoError(t, b.Ping(t.Context()))
		require.Equal(t, 1, f.times(), "it has just said something")
	})
	t.Run("also where that answer is not signed, which lets nobody in", func(t *testing.T) {
		f := startFake(t, func(_ *fake, p *layeh.Packet, _ int) [][]byte { return [][]byte{saysBy(shared, p, accept, false)} })
		b := newBench(t, Options{Timeout: 1500 * time.Millisecond}, f)
		require.NoError(t, b.Ping(t.Context()))
		_, err := b.check(t, pap("an.nv"), "secret")
		require.Error(t, err)
	})
	t.Run("one that never knew it may be there", func(t *testing.T) {
		require.NoError(t, newBench(t, Options{}, startFake(t, silence)).Ping(t.Context()))
	})
	t.Run("one that did not answer a login is not, until it is tried again", func(t *testing.T) {
		b := newBench(t, Options{Timeout: 50 * time.Millisecond}, startFake(t, silence))
		_, err := b.check(t, pap("an.nv"), "secret")
		require.Error(t, err)
		require.Error(t, b.Ping(t.Context()))
	})
	t.Run("one whose machine says that nobody listens is not", func(t *testing.T) {
		f := startFake(t, silence)
		f.conn.Close()
		require.ErrorContains(t, newBench(t, Options{}, f).Ping(t.Context()), f.addr)
	})
	t.Run("one of two is enough", func(t *testing.T) {
		gone := startFake(t, silence)
		gone.conn.Close()
		require.NoError(t, newBench(t, Options{}, gone, startFake(t, status)).Ping(t.Context()))
	})
}

func TestOnlyWhatIsNamedPasses(t *testing.T) {
	class, filter := text(25, "class"), text(11, "staff")
	key := &layeh.AVP{Type: 26, Attribute: layeh.Attribute("\x00\x00\x01\x37\x10\x05key")}
	cisco := &layeh.AVP{Type: 26, Attribute: layeh.Attribute("\x00\x00\x00\x09\x01\x05abc")}
	all := layeh.Attributes{class, key, filter, cisco, class}
	for name, c := range map[string]struct {
		names []string
		want  layeh.Attributes
	}{
		"all":       {[]string{All}, all},
		"none":      {nil, layeh.Attributes{key}},
		"by name":   {[]string{"class"}, layeh.Attributes{class, key, class}},
		"by vendor": {[]string{"Cisco-AVPair"}, layeh.Attributes{key, cisco}},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := newPass(c.names)
			require.NoError(t, err)
			require.Equal(t, c.want, p.accept(all))
			require.Equal(t, all, p.challenge(all), "a round goes on as a whole")
		})
	}
	_, err := newPass([]string{"Clas"})
	require.Error(t, err)
}
