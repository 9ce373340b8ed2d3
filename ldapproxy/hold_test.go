package ldapproxy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nmcclain/ldap"
	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
)

func TestWhatIsSentBehindAHeldBindRunsAsWhoItMadeTheClient(t *testing.T) {
	for name, c := range map[string]struct {
		decide func(*visit)
		code   int
		who    string
	}{
		"approved": {(*visit).accept, success, userDN},
		"denied":   {func(v *visit) { v.reject(login.Denied) }, invalid, "anonymous"},
	} {
		t.Run(name, func(t *testing.T) {
			tree, desk := newTree(t), newDesk()
			a := front(t, tree, desk, exempting()).connect()
			a.wantBind(success, serviceDN, password)
			a.write(bindFrame(a.next(), "an", password), searchFrame(a.next()), searchFrame(a.next()))
			held := desk.next(t)
			a.wantSilence(20 * time.Millisecond)
			require.Empty(t, tree.relayed())
			c.decide(held)
			require.Equal(t, c.code, a.read().code)
			for _, id := range []int32{3, 4} {
				r := a.read()
				require.Equal(t, id, r.id)
				require.Equal(t, c.who, r.text)
			}
		})
	}
}

func TestASecondBindWaitsForItsTurn(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	a := front(t, tree, desk, nil).connect()
	a.write(bindFrame(a.next(), "an", password), searchFrame(a.next()), bindFrame(a.next(), "binh", password), searchFrame(a.next()))
	first := desk.next(t)
	require.Equal(t, userDN, first.identity.DN)
	a.wantSilence(20 * time.Millisecond)
	require.Equal(t, 1, desk.asked())
	first.accept()
	require.Equal(t, success, a.read().code)
	require.Equal(t, userDN, a.read().text)
	second := desk.next(t)
	require.Equal(t, otherDN, second.identity.DN)
	second.reject(login.Denied)
	require.Equal(t, invalid, a.read().code)
	require.Equal(t, "anonymous", a.read().text)
}

func TestManyBindsInOneSegmentAreAnsweredInOrder(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	a := front(t, tree, desk, exempting()).connect()
	var all []byte
	for range 4 {
		all = append(all, bindFrame(a.next(), serviceDN, password)...)
		all = append(all, bindFrame(a.next(), userDN, "")...)
		all = append(all, bindFrame(a.next(), "an", password+","+rightCode)...)
		all = append(all, bindFrame(a.next(), "an", "wrong")...)
	}
	a.write(append(all, searchFrame(a.next())...))
	for i := range int32(4) {
		for n, text := range []string{"welcome from the directory", "a bind with a name needs a password", "welcome from the directory", "bad_password for app [TRACE2]"} {
			r := a.read()
			require.Equal(t, 4*i+int32(n)+1, r.id)
			require.Equal(t, text, r.text)
		}
	}
	require.Equal(t, "anonymous", a.read().text)
}

func TestAbandonDoesNotTouchAHeldBind(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	a := front(t, tree, desk, nil).connect()
	a.write(bindFrame(a.next(), "an", password))
	held := desk.next(t)
	a.write(abandonFrame(a.next(), 1), searchFrame(a.next()))
	a.wantSilence(20 * time.Millisecond)
	held.accept()
	require.Equal(t, success, a.read().code)
	require.Equal(t, userDN, a.read().text)
	require.Len(t, tree.relayed(), 1, "an Abandon of the bind is not relayed")
}

func TestAClientThatLeavesAHeldBindLeavesTheAttemptToTheEngine(t *testing.T) {
	for name, leave := range map[string]func(a *app){
		"unbind":                 func(a *app) { a.write(unbindFrame(a.next())) },
		"disconnect":             func(a *app) { a.conn.Close() },
		"disconnect mid-message": func(a *app) { a.write([]byte("\x30\x10\x02\x01")); a.conn.Close() },
		"behind other requests":  func(a *app) { a.write(searchFrame(a.next()), unbindFrame(a.next())) },
	} {
		t.Run(name, func(t *testing.T) {
			tree, desk := newTree(t), newDesk()
			p := front(t, tree, desk, nil)
			a := p.connect()
			a.write(bindFrame(a.next(), "an", password))
			held := desk.next(t)
			leave(a)
			held.wantLeft(t)
			tree.wantEnded(tree.session(0))
			held.accept() // comes too late for this one, and must not disturb
			require.Empty(t, tree.relayed())
			eventually(t, "the connection is not forgotten", func() bool { return p.open() == 0 })
		})
	}
}

func (p *proxy) open() int {
	p.meter.mu.Lock()
	defer p.meter.mu.Unlock()
	return p.meter.open
}

func TestTheEngineIsNotToldThatAnAnsweredClientHasGone(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	p := front(t, tree, desk, nil)
	a := p.connect()
	a.write(bindFrame(a.next(), "an", password))
	held := desk.next(t)
	held.accept()
	require.Equal(t, success, a.read().code)
	a.conn.Close()
	p.stop()
	select {
	case <-held.left:
		t.Fatal("told")
	default:
	}
}

func TestWhatWaitsBehindABindIsBounded(t *testing.T) {
	large := searchFrame(2, fmt.Sprintf("1.%060000d", 1))
	for name, c := range map[string]struct {
		fits, over [][]byte
	}{
		"16 operations": {repeat(searchFrame(2), maxQueued), [][]byte{searchFrame(3)}},
		"64 KiB":        {[][]byte{large}, [][]byte{large}},
		"a long frame":  {nil, [][]byte{[]byte("\x30\x84\x00\x02\x00\x00\x02\x01\x05\x66\x84\x00\x01\xff\xf0")}},
	} {
		t.Run(name, func(t *testing.T) {
			tree, desk := newTree(t), newDesk()
			a := front(t, tree, desk, exempting()).connect()
			a.wantBind(success, serviceDN, password)
			a.write(bindFrame(a.next(), "an", password))
			held := desk.next(t)
			a.write(c.fits...)
			a.wantSilence(20 * time.Millisecond)
			a.write(c.over...)
			a.wantNotice(busy)
			held.wantLeft(t)
			tree.wantEnded(tree.session(0))
		})
	}
}

func repeat(frame []byte, n int) (all [][]byte) {
	for range n {
		all = append(all, frame)
	}
	return all
}

func TestADirectoryLostDuringAHoldIsNeverASuccess(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	a := front(t, tree, desk, nil).connect()
	a.write(bindFrame(a.next(), "an", password))
	held := desk.next(t)
	tree.session(0).conn.Close()
	r := a.read()
	require.Equal(t, int32(1), r.id)
	require.Equal(t, unavailable, r.code)
	held.wantLeft(t)
	held.accept()
	a.wantNotice(unavailable)
}

func TestAStrayBindResponseNeverReachesTheClient(t *testing.T) {
	for name, held := range map[string]bool{"during a hold": true, "at any other time": false} {
		for _, id := range []string{"\x02\x01\x01", "\x02\x02\x00\x01", "\x02\x01\x02", "\x02\x01\x00"} {
			t.Run(fmt.Sprintf("%s with id %x", name, id), func(t *testing.T) {
				tree, desk := newTree(t), newDesk()
				a := front(t, tree, desk, nil).connect()
				a.write(bindFrame(a.next(), "an", password))
				v := desk.next(t)
				if !held {
					v.accept()
					require.Equal(t, success, a.read().code)
				}
				body := id + "\x61\x07\x0a\x01\x00\x04\x00\x04\x00"
				_, err := tree.session(0).conn.Write([]byte("\x30" + string(rune(len(body))) + body))
				require.NoError(t, err)
				if held {
					require.Equal(t, unavailable, a.read().code)
				}
				a.wantNotice(unavailable)
			})
		}
	}
}

func TestABindResponseBehindAnotherAnswerNeverReachesTheClient(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	tree.onOther = func(s *session, h header, _ []byte) []byte {
		return append(append(entry(h.id, 10), s.whoIs(h)...), successWithControl(h.id)...)
	}
	a := front(t, tree, desk, nil).connect()
	a.write(searchFrame(a.next()))
	require.Equal(t, byte(opSearchEntry), a.read().op)
	require.Equal(t, "anonymous", a.read().text)
	a.wantNotice(unavailable)
}

func TestAHeldBindIsNotAnsweredInTheMiddleOfAnotherMessage(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	half, lost := entry(9, 30000)[:20000], make(chan struct{})
	tree.onBind = func(s *session, h header, r bindRequest) []byte {
		s.conn.Write(append(successWithControl(h.id), half...))
		<-lost
		s.conn.(*net.TCPConn).CloseWrite()
		return nil
	}
	a := front(t, tree, desk, nil).connect()
	a.write(bindFrame(a.next(), "an", password))
	held := desk.next(t)
	close(lost)
	got, err := io.ReadAll(a.conn)
	require.NoError(t, err)
	require.Equal(t, half, got)
	held.wantLeft(t)
}

func TestASuccessWhoseConnectionIsGoneLetsNobodyIn(t *testing.T) {
	c := &conn{}
	b := &bind{c: c, frame: successWithControl(1), by: &upstream{}}
	require.Nil(t, b.accept(), "it is lost")
	c.up = &upstream{}
	require.Nil(t, b.accept(), "it is another one")
	require.Equal(t, anonymous, c.standing)
	c.up = b.by
	require.NotNil(t, b.accept())
}

func TestNothingOfARetiredConnectionReachesTheClient(t *testing.T) {
	var out, in net.Conn
	out, in = net.Pipe()
	defer in.Close()
	defer out.Close()
	c := &conn{server: &Server{limits: defaultLimits}, raw: out, out: out}
	u := &upstream{c: c, conn: out}
	u.src.r = bytes.NewReader(entry(1, 10))
	u.retired.Store(true)
	h, err := u.header()
	require.NoError(t, err)
	require.ErrorIs(t, u.pass(h), errGone)
}

// undecided is a directory that takes its time to find somebody.
type undecided struct {
	*tree
	found chan struct{}
}

func (d *undecided) ResolveBind(ctx context.Context, name string) (login.Identity, error) {
	<-d.found
	return d.tree.ResolveBind(ctx, name)
}

func TestControlsOfABindAreItsOwnWhateverComesBehindIt(t *testing.T) {
	tree, desk := &undecided{newTree(t), make(chan struct{})}, newDesk()
	a := front(t, tree, desk, nil).connect()
	bind := withControls(a.next(), bindOp(3, "an", authSimple, []byte(password)), []string{"1.3.6.1.4.1.42.2.27.8.5.9"})
	a.write(bind)
	eventually(t, "the bind is not asked about", func() bool { return desk.asked() == 1 })
	for range 2 { // they take the place of the bind in the read buffer
		a.write(searchFrame(a.next(), strings.Repeat("9", len(bind))))
	}
	a.wantSilence(20 * time.Millisecond)
	close(tree.found)
	desk.next(t).accept()
	require.Equal(t, success, a.read().code)
	require.Equal(t, "\x30\x1b\x04\x191.3.6.1.4.1.42.2.27.8.5.9", string(tree.bindsSeen()[0].controls))
}

// slowTree lets a test decide when a connection to the directory is there.
type slowTree struct {
	*tree
	dial chan struct{}
}

func (d *slowTree) Dial(ctx context.Context) (net.Conn, error) {
	<-d.dial
	return d.tree.Dial(ctx)
}

func TestWhatComesAfterTheAnswerIsNotCountedAsWaitingBehindTheBind(t *testing.T) {
	tree, desk := &slowTree{newTree(t), make(chan struct{}, 1)}, newDesk()
	tree.dial <- struct{}{}
	a := front(t, tree, desk, nil).connect()
	a.write(bindFrame(a.next(), "an", password), searchFrame(a.next()))
	desk.next(t).reject(login.Denied)
	require.Equal(t, invalid, a.read().code)
	for range 2 * maxQueued {
		a.write(searchFrame(a.next()))
	}
	a.wantSilence(20 * time.Millisecond)
	tree.dial <- struct{}{}
	for range 2*maxQueued + 1 {
		require.Equal(t, "anonymous", a.read().text)
	}
}

func TestTheEndOfTheServerIsToldToEverybody(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	p := front(t, tree, desk, nil)
	holding, bound, idle := p.connect(), p.connect(), p.connect()
	bound.wantBind(success, "an", password+","+rightCode)
	require.Equal(t, "anonymous", idle.whoAmI())
	holding.write(bindFrame(1, "an", password))
	held := desk.next(t)
	p.stop()
	for _, a := range []*app{holding, bound, idle} {
		a.wantNotice(unavailable)
	}
	held.wantLeft(t)
	held.accept()
	for i := range tree.connections() {
		tree.wantEnded(tree.session(i))
	}
}

func TestABindIsAnsweredWhileTheServerStops(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	p := front(t, tree, desk, func(o *Options, _ *limits) { o.DrainFor = patience })
	holding, idle := p.connect(), p.connect()
	require.Equal(t, "anonymous", idle.whoAmI())
	holding.write(bindFrame(1, "an", password))
	held := desk.next(t)
	stopped := make(chan bool)
	go func() { p.stop(); close(stopped) }()
	idle.wantNotice(unavailable)
	eventually(t, "somebody new is served", func() bool {
		conn, err := net.Dial("tcp", p.addr)
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	held.accept()
	require.Equal(t, success, holding.read().code)
	holding.wantNotice(unavailable)
	<-stopped
}

func TestALostDirectoryIsTold(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	a := front(t, tree, desk, nil).connect()
	a.wantBind(success, "an", password+","+rightCode)
	tree.session(0).conn.Close()
	a.wantNotice(unavailable)
}

func TestTheDirectorysOwnGoodByeIsNotRepeated(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	a := front(t, tree, desk, nil).connect()
	a.wantBind(success, "an", password+","+rightCode)
	notice := encodeExtended(0, oidNoticeOfDisconnection, ldap.LDAPResultUnavailable, "maintenance")
	tree.session(0).conn.Write(notice)
	tree.session(0).conn.Close()
	require.Equal(t, notice, a.read().frame)
	a.wantEnd()
}

func TestADirectoryLostBeforeTheRebindIsDialledAgain(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	var lost atomic.Bool
	tree.onBind = func(s *session, h header, r bindRequest) []byte {
		if lost.Swap(true) {
			return tree.bind(s, h.id, r)
		}
		s.conn.Close()
		return nil
	}
	a := front(t, tree, desk, nil).connect()
	a.wantBind(unavailable, "an", password)
	a.wantBind(success, "an", password+","+rightCode)
	require.Equal(t, userDN, a.whoAmI())
}

func TestAHeldClientMayBeSilentForAsLongAsTheHold(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	a := front(t, tree, desk, func(_ *Options, l *limits) {
		l.anonymous = 50 * time.Millisecond
	}).connect()
	a.write(bindFrame(a.next(), "an", password))
	held := desk.next(t)
	a.wantSilence(150 * time.Millisecond)
	held.reject(login.Denied)
	require.Equal(t, invalid, a.read().code)
	a.wantNotice(unavailable) // anonymous and silent for too long now
}

func TestTwoConnectionsNeverShareAnything(t *testing.T) {
	tree, desk := newTree(t), newDesk()
	p := front(t, tree, desk, nil)
	a, b := p.connect(), p.connect()
	a.write(bindFrame(7, "an", password))
	heldA := desk.next(t)
	b.write(bindFrame(7, "binh", password))
	heldB := desk.next(t)
	heldB.accept()
	require.Equal(t, success, b.read().code)
	require.Equal(t, otherDN, b.whoAmI())
	heldA.reject(login.Denied)
	require.Equal(t, invalid, a.read().code)
	require.Equal(t, otherDN, b.whoAmI())
	require.Equal(t, "anonymous", a.whoAmI())
}
