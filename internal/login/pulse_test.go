package login_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
)

// A bind waits at a node that dies. Its application binds again at the other node:
// that joins the login, once the node is known to be dead, and is let in by it.
func TestABindWhoseNodeDiedIsJoinedByItsRetry(t *testing.T) {
	in(t, func(w *world) {
		wiki := client(login.Hold, login.ApprovalSimple)
		other := w.second()
		first := other.ask(wiki, bind, station("10.1.2.3"))
		synctest.Wait()
		first.waits()
		id := w.phone().ID
		other.die()
		retry := w.ask(wiki, bind, station("10.1.2.3"))
		time.Sleep(4 * time.Second)
		retry.waits()
		require.Equal(w, id, w.phone().ID, "one login")
		_, err := w.answer(id, login.Approve, "")
		require.NoError(w, err)
		retry.is(login.Accept, login.Accepted)
		require.Equal(w, 1, w.prompted()+other.prompted())
	})
}

// While the other node lives, a second bind gets a login of its own, within about
// a second.
func TestABindThatWaitsAtALivingNodeIsNotJoined(t *testing.T) {
	in(t, func(w *world) {
		wiki := client(login.Hold, login.ApprovalSimple)
		other := w.second()
		first := other.ask(wiki, bind, station("10.1.2.3"))
		first.waits()
		time.Sleep(10 * time.Second)
		second := w.ask(wiki, bind, station("10.1.2.3"))
		time.Sleep(1100 * time.Millisecond)
		second.waits()
		list, err := w.Logins(w.Context(), person)
		require.NoError(w, err)
		require.Len(w, list.Open, 2, "two connections never share a login")
		first.waits()
	})
}
