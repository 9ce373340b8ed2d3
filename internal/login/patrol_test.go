package login_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
)

// A deafened store does a Save and loses its answer, as a connection does that breaks.
type deafened struct {
	login.Store
	saves int // so many of them; then all is well
}

func (u *deafened) Save(ctx context.Context, r login.Record, cond login.Condition) (login.Record, error) {
	saved, err := u.Store.Save(ctx, r, cond)
	if u.saves--; u.saves >= 0 && err == nil {
		return login.Record{}, errors.New("no answer")
	}
	return saved, err
}

// A login whose node does not know that it was saved, or lives no more, ends in
// its record all the same: nodes look for such logins.
func TestALoginThatNobodyWatchesEndsInOneRecord(t *testing.T) {
	in(t, func(w *world) {
		w.Engine.Store = &deafened{w.store, 1}
		w.ask(client(login.Hold, login.ApprovalSimple)).is(login.NoAnswer, login.Unavailable)
		w.phone()
		require.Zero(w, w.prompted(), "whether the prompt is claimed is not known: none is sent")
		time.Sleep(5 * time.Minute)
		records := w.audited()
		require.Len(w, records, 1)
		require.Equal(w, login.Expired, records[0].Reason)
	})
}

// A deaf store takes nothing for a while.
type deaf struct {
	login.Store
	now atomic.Bool
}

func (d *deaf) Save(ctx context.Context, r login.Record, cond login.Condition) (login.Record, error) {
	if d.now.Load() {
		return login.Record{}, errors.New("nobody listens")
	}
	return d.Store.Save(ctx, r, cond)
}

// A node that has written a login's record and cannot say so writes it no second
// time: it says so as soon as it can.
func TestARecordThatStandsIsNotWrittenAgain(t *testing.T) {
	for name, end := range map[string]func(*world, *pending){
		"an approval": func(w *world, p *pending) { w.approve(""); p.is(login.Accept, login.Accepted) },
		"its end":     func(w *world, p *pending) { time.Sleep(2 * time.Minute); p.is(login.Reject, login.HoldOver) },
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(w *world) {
				weak := &deaf{Store: w.store}
				w.Engine.Store = weak
				p := w.ask(client(login.Hold, login.ApprovalSimple))
				p.waits()
				w.mu.Lock()
				w.writing = func() { weak.now.Store(true) }
				w.mu.Unlock()
				end(w, p)
				time.Sleep(5 * time.Second)
				weak.now.Store(false)
				time.Sleep(2 * time.Second)
				require.NoError(w, w.Overviews(w.Context(), func(login.Overview) bool { require.Fail(w, "it is closed"); return true }))
				time.Sleep(5 * time.Minute)
				require.Len(w, w.audited(), 1)
			})
		})
	}
}

// Of two nodes that find the same record owed, one writes it.
func TestAnOwedRecordIsWrittenByOneOfAll(t *testing.T) {
	for range 10 { // whichever node ends the login
		in(t, func(w *world) {
			w.ask(client(login.Hold, login.ApprovalSimple)).waits()
			w.mu.Lock()
			w.broken = errors.New("the disk is full")
			w.mu.Unlock()
			nodes := []*world{w.second(), w.second()}
			for _, n := range nodes {
				n.mu.Lock()
				n.disk = time.Second
				n.mu.Unlock()
			}
			time.Sleep(4 * time.Minute)
			require.Len(w, append(nodes[0].audited(), nodes[1].audited()...), 1)
		})
	}
}

func TestACrewMayGrowWhileSomebodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := login.New(login.Options{})
		done := 0
		var mu sync.Mutex
		for i := range 100 {
			e.Work(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				mu.Lock()
				defer mu.Unlock()
				done++
			})
		}
		go func() {
			time.Sleep(50 * time.Millisecond)
			e.Work(func() { time.Sleep(time.Second) })
		}()
		began := time.Now()
		e.WaitForAll()
		require.Equal(t, 100, done)
		require.Equal(t, 1050*time.Millisecond, time.Since(began))
	})
}
