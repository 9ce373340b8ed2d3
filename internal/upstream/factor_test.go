package upstream

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2868"
	"layeh.com/radius/rfc2869"

	"vssgate/internal/login"
	"vssgate/radius/wire"
)

const (
	accept    = layeh.CodeAccessAccept
	reject    = layeh.CodeAccessReject
	challenge = layeh.CodeAccessChallenge
)

func TestTheRequestIsOurOwn(t *testing.T) {
	f := startFake(t, always(accept))
	b := newBench(t, Options{}, f)
	list := pap("an.nv", text(rfc2865.CallingStationID_Type, "203.0.113.7"), text(rfc2865.Class_Type, "x"))
	for range 2 {
		checked, err := b.check(t, list, "mật khẩu dài hơn mười sáu byte")
		require.NoError(t, err)
		require.Equal(t, login.FirstRight, checked.First)
	}
	one, two := f.at(0), f.at(1)
	require.NotEqual(t, one.Identifier, two.Identifier)
	require.NotEqual(t, one.Authenticator, two.Authenticator)
	require.EqualValues(t, rfc2869.MessageAuthenticator_Type, one.raw[wire.HeaderLen], "Message-Authenticator comes first")
	require.True(t, wire.NewKey([]byte(shared)).Authentic(one.raw, one.raw[4:wire.HeaderLen], wire.HeaderLen))
	require.Equal(t, "mật khẩu dài hơn mười sáu byte", rfc2865.UserPassword_GetString(one.Packet))
	var kinds []layeh.Type
	for _, a := range one.Attributes[1:] {
		kinds = append(kinds, a.Type)
	}
	require.Equal(t, []layeh.Type{1, 2, 32, 31, 25}, kinds, "in order, the password in its place")
}

func TestWhatAnAnswerMeans(t *testing.T) {
	said := text(rfc2865.ReplyMessage_Type, "what the upstream says")
	class := text(rfc2865.Class_Type, "staff")
	between := []*layeh.AVP{text(rfc2865.ProxyState_Type, "p"), text(rfc2865.State_Type, "s")}
	for name, c := range map[string]struct {
		list  layeh.Attributes
		code  layeh.Code
		with  []*layeh.AVP
		first login.First
		who   string
		keeps layeh.Attributes
		relay layeh.Attributes
	}{
		"accepted, about whom was asked":      {pap("an.nv"), accept, append(between, said, class), login.FirstRight, "id-of-an", layeh.Attributes{said, class}, nil},
		"accepted, about whom it says":        {pap("an.nv"), accept, []*layeh.AVP{text(1, "binh")}, login.FirstRight, "id-of-binh", layeh.Attributes{text(1, "binh")}, nil},
		"EAP, the inner name":                 {eap("anonymous", "\x02\x01\x00\x06\x0d\x00"), accept, []*layeh.AVP{text(1, "an.nv")}, login.FirstRight, "id-of-an", layeh.Attributes{text(1, "an.nv")}, nil},
		"accepted, nobody we know":            {pap("an.nv"), accept, []*layeh.AVP{text(1, "chi")}, login.FirstRight, "", layeh.Attributes{text(1, "chi")}, nil},
		"rejected, with what it says":         {pap("an.nv"), reject, append(between, said), login.FirstWrong, "", nil, layeh.Attributes{said}},
		"another round, with what it says":    {pap("an.nv"), challenge, append(between, said), login.FirstMore, "", nil, layeh.Attributes{said}},
		"an empty name is as if there's none": {pap("an.nv"), accept, []*layeh.AVP{text(1, "")}, login.FirstRight, "id-of-an", layeh.Attributes{text(1, "")}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, Options{}, startFake(t, always(c.code, c.with...)))
			checked, err := b.check(t, c.list, "secret")
			require.NoError(t, err)
			require.Equal(t, c.first, checked.First)
			if c.first == login.FirstRight {
				require.Equal(t, c.who, checked.Identity.ID)
				require.Equal(t, wire.Pack(c.keeps), checked.Keep)
				return
			}
			require.Nil(t, checked.Identity)
			require.Nil(t, checked.Keep)
			require.Equal(t, wire.Pack(c.relay), checked.Relay)
			if c.first == login.FirstWrong {
				require.Equal(t, login.BadPassword, checked.Reason)
			}
		})
	}
}

func TestHiddenValuesAreKeptOpen(t *testing.T) {
	f := startFake(t, func(_ *fake, p *layeh.Packet, _ int) [][]byte {
		hidden, err := layeh.NewTunnelPassword([]byte("the key"), []byte{0x80, 1}, []byte(shared), p.Authenticator[:])
		if err != nil {
			panic(err)
		}
		return [][]byte{says(p, accept, &layeh.AVP{Type: rfc2868.TunnelPassword_Type, Attribute: append(layeh.Attribute{1}, hidden...)})}
	})
	checked, err := newBench(t, Options{}, f).check(t, pap("an.nv"), "secret")
	require.NoError(t, err)
	require.Equal(t, wire.Pack(layeh.Attributes{text(rfc2868.TunnelPassword_Type, "\x01the key")}), checked.Keep)
}

// An answer whose hidden values do not open is none: a key of rubbish would let
// somebody in who then can do nothing, or worse.
func TestAnAnswerWithABrokenKeyIsNone(t *testing.T) {
	f := startFake(t, always(accept, text(rfc2868.TunnelPassword_Type, "\x01short")))
	_, err := newBench(t, Options{}, f).check(t, pap("an.nv"), "secret")
	require.ErrorContains(t, err, "does not open")
}

func TestAConversationStaysWithItsServer(t *testing.T) {
	f := startFake(t, func(_ *fake, p *layeh.Packet, n int) [][]byte {
		if n == 1 {
			return [][]byte{says(p, challenge, text(rfc2865.State_Type, "state of the upstream"), text(rfc2865.ReplyMessage_Type, "more?"))}
		}
		if string(p.Get(rfc2865.State_Type)) != "state of the upstream" || rfc2865.UserPassword_GetString(p) != "answer" {
			return [][]byte{says(p, reject)}
		}
		return [][]byte{says(p, accept)}
	})
	other := startFake(t, always(reject))
	b := newBench(t, Options{}, f, other)
	checked, err := b.check(t, pap("an.nv"), "secret")
	require.NoError(t, err)
	require.Equal(t, login.FirstMore, checked.First)
	require.Nil(t, f.at(0).Get(rfc2865.State_Type))
	b.servers[0].silent(time.Now().Add(time.Hour), context.DeadlineExceeded) // another login found it dead
	require.Equal(t, b.servers[1], b.inOrder(time.Now())[0])
	next := checked.Next(&login.Request{First: b.Asking(pap("an.nv"))})
	checked, err = next.Check(t.Context(), login.Identity{}, []byte("answer"))
	require.NoError(t, err)
	require.Equal(t, login.FirstRight, checked.First)
	require.Zero(t, other.times())
}

func TestARoundThatComesByAnotherWayLetsNobodyIn(t *testing.T) {
	next := goOn(&server{}, nil)(&login.Request{First: people{}})
	_, err := next.Resolve(t.Context(), "an.nv")
	require.Error(t, err)
	_, err = next.Check(t.Context(), login.Identity{}, nil)
	require.Error(t, err)
}

// The outer name of EAP is nobody: only its end tells whom it is about.
func TestTheOuterNameOfEAPIsNotResolved(t *testing.T) {
	b := newBench(t, Options{}, startFake(t, silence))
	who, err := b.Asking(eap("an.nv", "x")).Resolve(t.Context(), "an.nv")
	require.NoError(t, err)
	require.Zero(t, who)
	who, err = b.Asking(pap("an.nv")).Resolve(t.Context(), "an.nv")
	require.NoError(t, err)
	require.Equal(t, "id-of-an", who.ID)
}

func TestAPasswordThatIsTooLongIsWrong(t *testing.T) {
	f := startFake(t, always(accept))
	checked, err := newBench(t, Options{}, f).check(t, pap("an.nv"), string(make([]byte, 129)))
	require.NoError(t, err)
	require.Equal(t, login.FirstWrong, checked.First)
	require.Zero(t, f.times())
}

func TestOnlyGenuineAnswersCount(t *testing.T) {
	for reason, junk := range map[string]func(p *layeh.Packet) []byte{
		"bad_response_authenticator": func(p *layeh.Packet) []byte { return saysBy("another-secret", p, accept, true) },
		"no_message_authenticator":   func(p *layeh.Packet) []byte { return saysBy(shared, p, accept, false) },
		"unexpected": func(p *layeh.Packet) []byte {
			other := *p
			other.Identifier += 100
			return says(&other, accept)
		},
		"bad_code":   func(p *layeh.Packet) []byte { return says(p, layeh.CodeAccountingResponse) },
		"bad_length": func(*layeh.Packet) []byte { return []byte("junk") },
	} {
		t.Run(reason, func(t *testing.T) {
			f := startFake(t, func(_ *fake, p *layeh.Packet, _ int) (all [][]byte) {
				for range 30 { // more than others take before they give up
					all = append(all, junk(p))
				}
				return append(all, says(p, reject))
			})
			b := newBench(t, Options{}, f)
			checked, err := b.check(t, pap("an.nv"), "secret")
			require.NoError(t, err)
			require.Equal(t, login.FirstWrong, checked.First, "the genuine answer counts")
			for range 30 {
				require.Equal(t, reason, <-b.drops)
			}
		})
	}
}

func TestTheSameBytesAreSentAgain(t *testing.T) {
	f := startFake(t, func(_ *fake, p *layeh.Packet, n int) [][]byte {
		if n < tries {
			return nil
		}
		return [][]byte{says(p, accept)}
	})
	b := newBench(t, Options{Timeout: 3 * time.Second}, f)
	checked, err := b.check(t, pap("an.nv"), "secret")
	require.NoError(t, err)
	require.Equal(t, login.FirstRight, checked.First)
	require.Equal(t, f.at(0).raw, f.at(1).raw)
	require.Equal(t, f.at(0).raw, f.at(2).raw)
}

func TestSilenceIsAnErrorInTime(t *testing.T) {
	f := startFake(t, silence)
	b := newBench(t, Options{Timeout: 1500 * time.Millisecond}, f)
	begun := time.Now()
	_, err := b.check(t, pap("an.nv"), "secret")
	require.ErrorContains(t, err, f.addr)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NotContains(t, err.Error(), "secret")
	require.Less(t, time.Since(begun), patience/2)
	require.Eventually(t, func() bool { return f.times() >= tries }, patience, time.Millisecond)
	require.Equal(t, tries, f.times(), "the same bytes, no more often than that")
	b.udpSockets(t, 0)
}

// udpSockets wants that the first server has so many sockets.
func (b bench) udpSockets(t *testing.T, n int) {
	t.Helper()
	u := b.servers[0].udp
	u.mu.Lock()
	defer u.mu.Unlock()
	require.Len(t, u.sockets, n)
}

// 256 Identifiers are not enough for 600 logins at once.
func TestMoreThan256RequestsAtOnce(t *testing.T) {
	const many = 600
	held := map[string]asked{} // until all are there
	f := startFake(t, func(f *fake, p *layeh.Packet, n int) (none [][]byte) {
		q := f.at(n - 1)
		f.mu.Lock()
		defer f.mu.Unlock()
		held[fmt.Sprint(q.from, p.Identifier)] = q
		if len(held) == many {
			for _, h := range held {
				f.conn.WriteTo(says(h.Packet, reject, text(18, string(h.Get(1)))), h.from)
			}
		}
		return none
	})
	b := newBench(t, Options{}, f)
	var group sync.WaitGroup
	errs := make(chan error, many)
	for i := range many {
		group.Go(func() {
			checked, err := b.check(t, pap(fmt.Sprintf("user-%d", i)), "secret")
			if err == nil && (checked.First != login.FirstWrong || string(checked.Relay.([]byte)) != string(wire.Pack(layeh.Attributes{text(18, fmt.Sprintf("user-%d", i))}))) {
				err = fmt.Errorf("user-%d got another's answer", i)
			}
			errs <- err
		})
	}
	group.Wait()
	for range many {
		require.NoError(t, <-errs)
	}
	ports := map[string]bool{}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, h := range held {
		ports[h.from.String()] = true
	}
	require.Len(t, ports, 3)
	b.udpSockets(t, 1)
}
