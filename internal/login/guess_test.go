package login_test

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
	"vssgate/internal/store"
)

func (w *world) standing() login.Standing {
	w.Helper()
	s, err := w.Standing(w.Context(), ident)
	require.NoError(w, err)
	return s
}

// What a user was told was wrong counts, whatever happens to the process then.
func TestAWrongCodeThatWasAnsweredCountsAfterACrash(t *testing.T) {
	in(t, func(w *world) {
		typedWrong(w, 2)
		require.Equal(w, 2, w.standing().WrongCodes)
		copied := t.TempDir() + "/copy.db" // as an unclean stop leaves it
		require.NoError(w, copyFile(w.path, copied))
		again, err := store.OpenEmbedded(copied, w.Engine.Log)
		require.NoError(w, err)
		defer again.Close()
		other := w.second()
		other.Engine.Store = again
		s, err := other.Standing(w.Context(), ident)
		require.NoError(w, err)
		require.Equal(w, 2, s.WrongCodes)
	})
}

// Whoever guesses while the owner logs in gains nothing by the owner's success.
func TestWhatIsGuessedElsewhereMeanwhileIsNotForgiven(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Challenge, login.ApprovalNumber)
		owner := w.ask(vpn).is(login.Ask, "")
		code := w.phone().Code
		guesser := w.ask(vpn, station("198.51.100.1")).is(login.Ask, "")
		for range 2 {
			guesser = w.ask(vpn, station("198.51.100.1"), withState(guesser.State), saying(wrong(code))).is(login.Ask, "")
		}
		w.ask(vpn, withState(owner.State), saying(code)).is(login.Accept, login.Accepted)
		synctest.Wait()
		require.Equal(w, 2, w.standing().WrongCodes)
	})
}

// A right code ends the lock that wrong ones had made, and none that the owner
// has asked for.
func TestARightCodeDoesNotEndTheLockOfAReport(t *testing.T) {
	in(t, func(w *world) {
		typedWrong(w, 3)
		typedWrong(w, 2)
		require.True(w, w.standing().Locked)
		time.Sleep(16 * time.Minute)
		vpn := client(login.Challenge, login.ApprovalNumber)
		mine := w.ask(vpn).is(login.Ask, "")
		code := w.phone().Code
		w.ask(vpn, station("198.51.100.1")).is(login.Ask, "")
		list, err := w.Logins(w.Context(), person)
		require.NoError(w, err)
		require.Len(w, list.Open, 2)
		w.disk = time.Second // the report locks the account while the accept is being written
		other := list.Open[0]
		if other.Code == code {
			other = list.Open[1]
		}
		reported := make(chan error, 1)
		go func() {
			_, err := w.answer(other.ID, login.Report, "")
			reported <- err
		}()
		time.Sleep(900 * time.Millisecond)
		accepted := w.ask(vpn, withState(mine.State), saying(code))
		time.Sleep(5 * time.Second)
		require.NoError(w, <-reported)
		accepted.is(login.Accept, login.Accepted)
		s := w.standing()
		require.True(w, s.Locked && s.Reported, "%+v", s)
	})
}

// next is a store to which a node of the next version writes as well: it adds a
// field to what is counted, once to each record.
type next struct {
	login.Store
	lacking []string // records of counts that were written without it since
}

func (n *next) Save(ctx context.Context, r login.Record, c login.Condition) (login.Record, error) {
	if counts := bytes.HasPrefix(r.Value, []byte(`{"`)); counts && r.Version == 0 {
		r.Value = append([]byte(`{"newer":1,`), r.Value[1:]...)
	} else if counts && !bytes.Contains(r.Value, []byte(`"newer":1`)) {
		n.lacking = append(n.lacking, r.Key)
	}
	return n.Store.Save(ctx, r, c)
}

func TestWhatANewerVersionHasAddedToTheCountsStays(t *testing.T) {
	in(t, func(w *world) {
		beside := &next{Store: w.store}
		w.Engine.Store = beside
		typedWrong(w, 3)
		typedWrong(w, 2)
		require.True(w, w.standing().Locked)
		require.NoError(w, w.Unlock(w.Context(), ident))
		require.Empty(w, beside.lacking)
	})
}

// Each lock is twice as long as the one before, up to a day.
func TestLocksGrowToADayAndNoFurther(t *testing.T) {
	in(t, func(w *world) {
		for _, want := range []time.Duration{15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour, 16 * time.Hour, 24 * time.Hour, 24 * time.Hour} {
			typedWrong(w, 3)
			typedWrong(w, 2)
			s := w.standing()
			require.True(w, s.Locked)
			require.Equal(w, want, time.Until(s.LockedUntil).Round(time.Minute))
			time.Sleep(time.Until(s.LockedUntil) + time.Minute)
		}
	})
}
