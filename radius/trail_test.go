package radius

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
)

// A diary is a Trail that tests read.
type diary struct {
	mu  sync.Mutex
	all []login.Event
}

func (d *diary) Tell(e login.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = append(d.all, e)
}

func (d *diary) events() []login.Event {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]login.Event(nil), d.all...)
}

func TestWhatCameAgainIsTold(t *testing.T) {
	d := &diary{}
	var again atomic.Int64
	b := start(t, func(o *Options) {
		h := o.Handler.(*scripted)
		h.script = func(r *login.Request) func() {
			r.Again = func() { again.Add(1) }
			h.asked <- asking{r, nil}
			return nil
		}
		o.Trail = d
	})
	n := newNAS(t, b.addr)
	request := asks(7, 1, "an.nv", "secret", text(44, "5F00A1"))
	n.send(request)
	r := b.next(t)
	require.Equal(t, "5F00A1", r.Session)
	n.send(request)
	b.dropped(t, Retransmission)
	n.hearsNothing()
	require.EqualValues(t, 1, again.Load())
	id := login.NewID()
	r.Reply(login.Reply{Kind: login.Reject, Reason: login.Denied, Attempt: id})
	answer := n.receive()
	n.send(request)
	require.Equal(t, answer, n.receive())
	require.Equal(t, []login.Event{{Attempt: id, Kind: login.EventResent}}, d.events())
	require.EqualValues(t, 1, again.Load(), "the request is forgotten with its answer")
}

func TestRequestsThatAreNotServedAreToldIfTheyNameAUser(t *testing.T) {
	d := &diary{}
	b := start(t, func(o *Options) { o.Trail = d })
	n := newNAS(t, b.addr)
	n.send(asksBy("another-secret-here", 1, 1, "an.nv", "secret", text(31, "203.0.113.7:1024")))
	b.dropped(t, BadAuthenticator)
	n.send(pack(1, 2, authOf(2), text(33, "x")))
	b.dropped(t, BareProxyState)
	n.send(signed(1, 3, authOf(3), 0, text(1, "binh.tt"))) // no password: refused, and answered
	answer := n.receive()
	require.Equal(t, byte(reject), answer[0])
	n.hearsNothing()
	require.Eventually(t, func() bool { return len(d.events()) == 2 }, patience, time.Millisecond, "who names nobody is nobody's login")
	told := d.events()
	slices.SortFunc(told, func(a, b login.Event) int { return strings.Compare(a.Request.Username, b.Request.Username) })
	require.Equal(t, []string{"an.nv", "203.0.113.7", "bad_message_authenticator"}, []string{told[0].Request.Username, told[0].Request.Station, told[0].Word})
	require.Equal(t, []string{"binh.tt", rejectedNone}, []string{told[1].Request.Username, told[1].Word})
	require.Contains(t, fmt.Sprint(values(attrsOf(t, answer), 18)), told[1].Attempt.Trace(), "the trace that the user reads")
	for _, e := range told {
		require.Equal(t, login.EventDropped, e.Kind)
		require.Nil(t, e.Request.Password)
	}
}

func TestRubbishIsNotToldWithoutEnd(t *testing.T) {
	var n named
	now := time.Now()
	allowed := 0
	for range 1000 {
		if n.allow(now) {
			allowed++
		}
	}
	require.Equal(t, maxNamed, allowed)
	require.True(t, n.allow(now.Add(time.Second)))
}
