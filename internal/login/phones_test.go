package login_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
)

// answerAs answers as another phone of the same person, or as their backend.
func (w *world) answerAs(device, presence string, id login.ID, kind login.AnswerKind) (login.Answered, error) {
	return w.Engine.Answer(w.Context(), id, login.Answering{Kind: kind, Person: person, Device: device, Presence: presence})
}

func TestOfPhonesThatAnswerAtOnceOneDecidesAndAllAreToldTheEnd(t *testing.T) {
	in(t, func(w *world) {
		held := w.ask(client(login.Hold, login.ApprovalSimple))
		held.waits()
		id := w.phone().ID
		const phones = 8
		errs := make([]error, phones)
		var all sync.WaitGroup
		for i := range phones {
			kind := []login.AnswerKind{login.Approve, login.Deny}[i%2]
			all.Go(func() { _, errs[i] = w.answerAs(fmt.Sprintf("phone-%d", i), "device_key", id, kind) })
		}
		all.Wait()
		stood := 0
		for _, err := range errs {
			if err == nil {
				stood++
				continue
			}
			var ended *login.EndedError
			require.ErrorAs(w, err, &ended)
		}
		require.Equal(w, 1, stood)
		require.Len(w, w.audited(), 1)
		w.mu.Lock()
		defer w.mu.Unlock()
		require.Len(w, w.closed, 1, "login.closed to those that were prompted")
		require.Equal(w, id, w.closed[0].Login)
	})
}

func TestAnAnswerAtTheDeadlineIsTooLate(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Hold, login.ApprovalSimple)
		vpn.Hold = 10 * time.Minute
		held := w.ask(vpn)
		held.waits()
		l := w.phone()
		time.Sleep(time.Until(l.Expires))
		_, err := w.answer(l.ID, login.Approve, "")
		var ended *login.EndedError
		require.ErrorAs(w, err, &ended)
		require.Equal(w, login.Expired, ended.Verdict)
		held.is(login.Reject, login.Expired)

		again := w.ask(vpn)
		again.waits()
		l = w.phone()
		time.Sleep(time.Until(l.Expires) - time.Millisecond)
		done, err := w.answer(l.ID, login.Approve, "")
		require.NoError(w, err)
		require.Equal(w, login.OutcomeAccepted, done.Outcome)
		again.is(login.Accept, login.Accepted)
	})
}

func TestTheAuditTellsABackendFromAPhone(t *testing.T) {
	in(t, func(w *world) {
		held := w.ask(client(login.Hold, login.ApprovalSimple))
		held.waits()
		_, err := w.answerAs("", "backend:vssid", w.phone().ID, login.Approve)
		require.NoError(w, err)
		held.is(login.Accept, login.Accepted)
		got := w.audited()[0]
		require.Equal(w, "backend:vssid", got.Presence)
		require.Empty(w, got.Device)
		require.Empty(w, got.Signed)
	})
}
