package login_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
)

// void are the logins of which it was said that the store has forgotten them.
type void struct {
	mu  sync.Mutex
	ids []login.ID
}

func (v *void) Tell(e login.Event) {
	if e.Kind == login.EventVoid {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.ids = append(v.ids, e.Attempt)
	}
}

func (v *void) said() []login.ID {
	synctest.Wait()
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.ids
}

// forgetLogins has the store forget all open logins, as a Redis does that fails over.
func (w *world) forgetLogins() {
	w.Helper()
	recs, err := w.store.Find(w.Context(), "open", "", 0)
	require.NoError(w, err)
	for _, rec := range recs {
		rec.Value, rec.Indexes = nil, nil
		_, err := w.store.Save(w.Context(), rec, login.Condition{})
		require.NoError(w, err)
	}
}

// Whoever is held in a login that the store has forgotten is let go when that is
// seen, and not when the hold is over; what the store knows still waits on.
func TestWhatTheStoreForgotIsGivenUpWhenThatIsSeen(t *testing.T) {
	in(t, func(w *world) {
		trail := &void{}
		other := w.secondOn(w.linkQuietly())
		other.Trail = trail
		vpn := client(login.Hold, login.ApprovalSimple)
		held := other.ask(vpn)
		asked := other.ask(client(login.Challenge, login.ApprovalNumber), user("binh"))
		asked.got()
		held.waits()
		before := w.open()
		require.Len(w, before, 2)
		w.forgetLogins()
		kept := other.ask(vpn, user("binh"), station("203.0.113.8"))
		kept.waits()
		time.Sleep(time.Second)
		held.waits() // nobody has said anything

		other.Reconsider(w.Context())
		held.is(login.NoAnswer, login.Unavailable)
		kept.waits()
		said := trail.said()
		for _, l := range before {
			require.Contains(w, said, l.ID)
			_, err := w.answer(l.ID, login.Approve, "")
			require.Error(w, err)
		}
		require.Len(w, w.open(), 1)
		require.NotContains(w, said, w.open()[0].ID)
	})
}

// A hung store answers no question about a login, each for a second.
type hung struct {
	login.Store
	on atomic.Bool
}

func (h *hung) Load(ctx context.Context, keys ...string) (login.Record, error) {
	if h.on.Load() && strings.HasPrefix(keys[0], "attempt:") {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		<-ctx.Done()
		return login.Record{}, ctx.Err()
	}
	return h.Store.Load(ctx, keys...)
}

func TestANodeStopsWhileItLooksForVoidLogins(t *testing.T) {
	in(t, func(w *world) {
		h := &hung{Store: w.store}
		other := w.secondOn(h)
		for i := range 40 {
			vpn := client(login.Challenge, login.ApprovalNumber)
			vpn.Name = fmt.Sprint("vpn", i)
			other.ask(vpn, user("binh"), station(fmt.Sprintf("203.0.113.%d", i))).got()
		}
		h.on.Store(true)
		ctx, stop := context.WithCancel(w.Context())
		other.Reconsider(ctx)
		other.Reconsider(ctx) // the one before ends
		begun := time.Now()
		stop()
		other.stop()
		require.Less(w, time.Since(begun), 2*time.Second) // by a clock that stands still while anybody works
	})
}

// linkQuietly is a link of a node that hears of no changes.
func (w *world) linkQuietly() *link {
	l := w.link()
	l.quiet = true
	return l
}
