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
	n.send(signed(1, 4, authOf(4), 0, text(2, "0123456789abcdef"))) // no name: answered too, so told of
	n.receive()
	n.hearsNothing()
	require.Eventually(t, func() bool { return len(d.events()) == 3 }, patience, time.Millisecond, "who names nobody and hears nothing is nobody's login")
	told := d.events()
	slices.SortFunc(told, func(a, b login.Event) int { return strings.Compare(a.Request.Username, b.Request.Username) })
	require.Equal(t, []string{"", rejectedName}, []string{told[0].Request.Username, told[0].Word})
	require.Equal(t, []string{"an.nv", "203.0.113.7", "bad_message_authenticator"}, []string{told[1].Request.Username, told[1].Request.Station, told[1].Word})
	require.Equal(t, []string{"binh.tt", rejectedNone}, []string{told[2].Request.Username, told[2].Word})
	require.Contains(t, fmt.Sprint(values(attrsOf(t, answer), 18)), told[2].Attempt.Trace(), "the trace that the user reads")
	for i, e := range told {
		require.Equal(t, []login.EventKind{login.EventRefused, login.EventDropped, login.EventRefused}[i], e.Kind)
		require.Nil(t, e.Request.Password)
	}
}

// Whoever is rejected without a login reads six characters too: they lead
// somewhere, however many there are, and neither log nor memory fills.
func TestATraceThatAUserReadsLeadsSomewhere(t *testing.T) {
	const many = 100
	d := &diary{}
	b := start(t, func(o *Options) { // who gives a State that nobody knows
		o.Trail = d
		o.Handler.(*scripted).script = func(r *login.Request) func() {
			id := login.NewID()
			r.Reply(login.Reply{Kind: login.BadAnswer, Reason: login.BadState, Attempt: id, Trace: id.Trace(), Stray: r})
			return nil
		}
	})
	n := newNAS(t, b.addr)
	for what, packet := range map[string]func(i byte) []byte{
		rejectedNone:    func(i byte) []byte { return signed(1, i, authOf(int(i)), 0, text(1, "an.nv")) },
		rejectedForeign: func(i byte) []byte { return asks(i, 1000+int(i), "an.nv", "123456", text(24, strings.Repeat("s", 24))) },
	} {
		read, leads := map[string]bool{}, map[string]bool{}
		for i := range byte(many) {
			n.send(packet(i))
			answer := n.receive()
			require.Equal(t, byte(reject), answer[0])
			text := fmt.Sprint(values(attrsOf(t, answer), 18))
			read[text[len(text)-8:len(text)-2]] = true
		}
		shared := 0
		for _, e := range d.events() {
			require.Equal(t, login.EventRefused, e.Kind)
			if e.Word == what {
				leads[e.Attempt.Trace()] = true
			}
			if e.Word == login.SharedTrace {
				shared++
			}
		}
		require.Equal(t, leads, read)
		require.Less(t, len(leads), 25, "10 a minute, and one for the user's others: two minutes at most")
		require.NotZero(t, shared)
		lines := 0
		for _, line := range strings.Split(b.journal.String(), "\n") {
			if !strings.Contains(line, "radius request refused") || !strings.Contains(line, "reason="+what) {
				continue
			}
			lines++
			_, trace, _ := strings.Cut(line, "trace=")
			require.True(t, leads[trace[:6]], line)
		}
		require.Equal(t, len(leads), lines)
	}
}

// In a flood of many the administrator still finds who read these six characters.
func TestATraceThatAUserReadsInAFloodLeadsToThatUser(t *testing.T) {
	const users = 400 // more than have one of their own in two minutes, but for the last
	d := &diary{}
	b := start(t, func(o *Options) { o.Trail = d })
	n := newNAS(t, b.addr)
	read := map[string][]string{} // traces, by user
	for i := range users + 10 {
		user := fmt.Sprint("user", i%users)
		n.send(signed(1, byte(i), authOf(i), 0, text(1, user))) // no password
		said := fmt.Sprint(values(attrsOf(t, n.receive()), 18))
		read[user] = append(read[user], said[len(said)-8:len(said)-2])
	}
	named, crowd := map[string]string{}, map[string]bool{}
	for _, e := range d.events() {
		switch {
		case e.Word == login.SharedTrace:
		case e.Request.Username == "":
			crowd[e.Attempt.Trace()] = true
		default:
			require.NotContains(t, named, e.Attempt.Trace(), "told once")
			named[e.Attempt.Trace()] = e.Request.Username
		}
	}
	found := 0
	for user, traces := range read {
		for _, trace := range traces {
			if !crowd[trace] {
				require.Equal(t, user, named[trace])
				found++
			}
		}
	}
	require.GreaterOrEqual(t, found, 310)
	require.Less(t, len(named), users+20, "those of one user share one")
	require.Less(t, len(crowd), 3, "bounded for each minute")
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
