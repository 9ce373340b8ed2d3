package login_test

import (
	"sync"
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

		other.Reconsider()
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

// linkQuietly is a link of a node that hears of no changes.
func (w *world) linkQuietly() *link {
	l := w.link()
	l.quiet = true
	return l
}
