package login_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
)

// A diary is a Trail that writes down what it is told.
type diary struct {
	mu  sync.Mutex
	all []login.Event
}

func (d *diary) Tell(e login.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = append(d.all, e)
}

// of are the lines about one login, and those told under none.
func (d *diary) of(id login.ID) (lines []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.all {
		if e.Attempt != id {
			continue
		}
		line := fmt.Sprintf("%s %s", names[e.Kind], e.Word)
		if e.Reply != nil {
			line = fmt.Sprintf("%s %s alone=%t", line, e.Reply.Reason, e.Alone)
		}
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return lines
}

var names = map[login.EventKind]string{
	login.EventAsked: "asked", login.EventJoined: "joined", login.EventAgain: "again", login.EventChecked: "checked", login.EventCode: "code",
	login.EventPrompt: "prompt", login.EventPhone: "phone", login.EventHeld: "held", login.EventEnded: "ended", login.EventReply: "reply",
	login.EventDropped: "dropped",
}

// follow has a diary kept.
func (w *world) follow() *diary {
	d := &diary{}
	w.Engine.Trail = d
	return d
}

func TestWhatHappensToALoginIsTold(t *testing.T) {
	in(t, func(w *world) {
		d := w.follow()
		vpn := client(login.Challenge, login.ApprovalNumber)
		one := w.ask(vpn).is(login.Ask, "")
		code := w.phone().Code
		two := w.ask(vpn, withState(one.State), saying(wrong(code))).is(login.Ask, "")
		held := w.ask(vpn, withState(two.State), saying("ok"))
		held.waits()
		_, err := w.answer(w.phone().ID, login.Approve, one.Number)
		require.NoError(w, err)
		held.is(login.Accept, login.Accepted)
		told := d.of(one.Attempt)
		answered := slices.Index(told, "phone approve") // told by the phone's own goroutine: the held request may be quicker
		require.Greater(w, answered, slices.Index(told, "held"))
		require.Equal(w, []string{"asked password", "checked right", "prompt sent", "reply alone=false", "asked code", "code wrong", "reply alone=false",
			"asked ok", "held", "ended accepted", "reply accepted alone=false"}, slices.Delete(slices.Clone(told), answered, answered+1))
		for _, e := range d.all {
			require.NotContains(w, fmt.Sprintf("%s %s", e.Word, e.Device), code)
			require.NotContains(w, e.Word, one.Number)
		}
		require.Equal(w, 3, w.audited()[0].Requests)
	})
}

func TestWhatBecomesOfARequestThatIsNoLoginIsTold(t *testing.T) {
	in(t, func(w *world) {
		d := w.follow()
		vpn := client(login.Hold, login.ApprovalSimple)
		bad := w.ask(vpn, saying("wrong")).is(login.Reject, login.BadPassword)
		again := w.ask(vpn, saying("wrong")).is(login.Reject, login.BadPassword)
		require.Equal(w, bad.Attempt, again.Attempt)
		require.Equal(w, []string{"asked password", "checked bad_password", "ended bad_password", "reply bad_password alone=true", "joined", "reply bad_password alone=false"},
			d.of(bad.Attempt))
		w.dead.Store(true)
		down := w.ask(vpn, station("203.0.113.8")).is(login.NoAnswer, login.Unavailable)
		require.Equal(w, []string{"asked password", "checked unreachable", "reply unavailable alone=true"}, d.of(down.Attempt))
		w.dead.Store(false)
		forged := w.ask(vpn, withState(make([]byte, 24))).is(login.BadAnswer, login.BadState)
		require.Empty(w, d.of(forged.Attempt), "the front end tells of it, under a trace that it chooses")
		require.NotNil(w, forged.Stray)
	})
}

func TestARequestThatJoinsOnlyAfterItsCheckIsToldUnderTheLoginItJoins(t *testing.T) {
	in(t, func(w *world) {
		d := w.follow()
		vpn := client(login.Hold, login.ApprovalSimple)
		first := w.ask(vpn)
		first.waits()
		id := w.phone().ID
		other := w.ask(vpn, user("AN")) // another spelling: only the directory knows that it is the same
		other.waits()
		first.is(login.Silence, "")
		require.Contains(w, d.of(id), "joined")
		require.Contains(w, d.of(id), "reply superseded alone=false")
		was := login.ID{}
		for _, e := range d.all {
			if e.Kind == login.EventJoined {
				was = e.Was
			}
		}
		require.Equal(w, []string{"asked password", "checked right"}, d.of(was))
		other.leave()
		other.is(login.Silence, "")
		require.Contains(w, d.of(id), "reply left alone=false")
	})
}

func TestARetransmissionIsToldUnderTheLoginThatItIsOf(t *testing.T) {
	in(t, func(w *world) {
		d := w.follow()
		var again func()
		p := w.ask(client(login.Hold, login.ApprovalSimple), func(r *login.Request) {
			reply := r.Reply
			r.Reply = func(l login.Reply) { reply(l) }
			again = func() { r.Again() }
		})
		p.waits()
		again()
		require.Contains(w, d.of(w.phone().ID), "again")
	})
}

func TestAnOpenLoginIsSeenByAdministrators(t *testing.T) {
	in(t, func(w *world) {
		p := w.ask(client(login.Hold, login.ApprovalSimple))
		p.waits()
		id := w.phone().ID
		var all []login.Overview
		require.NoError(w, w.Overviews(w.Context(), func(o login.Overview) bool { all = append(all, o); return true }))
		require.Len(w, all, 1)
		o := all[0]
		require.Equal(w, []string{"hq-vpn", "nas", "203.0.113.7", "an", "an", ident}, []string{o.Client, o.NAS, o.From, o.Username, o.Typed, o.Account})
		require.Equal(w, []any{id, true, false, 1}, []any{o.ID, o.Waits, o.Approved, o.Requests})
		p.leave()
		p.is(login.Silence, "")
		_, err := w.answer(id, login.Approve, "")
		require.NoError(w, err)
		require.NoError(w, w.Overviews(w.Context(), func(one login.Overview) bool { o = one; return false }))
		require.Equal(w, []any{false, true, "phone-1"}, []any{o.Waits, o.Approved, o.Device})
		time.Sleep(3 * time.Minute)
		w.audited()
		require.NoError(w, w.Overviews(w.Context(), func(login.Overview) bool { require.Fail(w, "it has ended"); return true }))
	})
}

func TestWhatCountsAgainstAnAccountIsSeenByAdministrators(t *testing.T) {
	in(t, func(w *world) {
		standing := func() login.Standing {
			s, err := w.Standing(w.Context(), ident)
			require.NoError(w, err)
			return s
		}
		require.Equal(w, login.Standing{LocksAt: 5}, standing())
		vpn := client(login.Hold, login.ApprovalSimple)
		start := time.Now()
		for i := range 4 {
			w.ask(vpn, saying(strconv.Itoa(i))).is(login.Reject, login.BadPassword)
			time.Sleep(time.Minute)
		}
		s := standing()
		require.Equal(w, 4, s.WrongPasswords)
		require.WithinDuration(w, start.Add(10*time.Minute), s.ThrottledUntil, time.Second)
		w.ask(vpn).is(login.Reject, login.BadPassword)
		time.Sleep(time.Until(s.ThrottledUntil) + 11*time.Second)
		require.Zero(w, standing().ThrottledUntil)

		for range 3 { // prompts that nobody answers
			w.ask(vpn).waits()
			time.Sleep(3 * time.Minute)
		}
		s = standing()
		require.Equal(w, 3, s.Prompts)
		require.False(w, s.PromptedFrom.IsZero())
		before := w.prompted()
		w.ask(vpn).waits()
		require.Equal(w, before, w.prompted())
		time.Sleep(time.Until(s.PromptedFrom) + 3*time.Minute)
		w.ask(vpn).waits()
		require.Equal(w, before+1, w.prompted())
		_, err := w.answer(w.phone().ID, login.Report, "")
		require.NoError(w, err)
		s = standing()
		require.True(w, s.Locked && s.Reported)
		require.WithinDuration(w, time.Now().Add(15*time.Minute), s.LockedUntil, time.Second)
		require.NoError(w, w.Unlock(w.Context(), ident))
		require.False(w, standing().Locked)

		for range 2 {
			typedWrong(w, 3)
			time.Sleep(11 * time.Second)
		}
		s = standing()
		require.Equal(w, []any{true, false, 5, 10}, []any{s.Locked, s.Reported, s.WrongCodes, s.LocksAt})
	})
}
