package login_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
)

// A link is how one node reaches the store that it shares.
type link struct {
	login.Store
	cut   atomic.Bool  // nothing arrives any more
	mute  atomic.Bool  // no pulse does
	deaf  atomic.Bool  // they do, but that is not heard
	late  atomic.Int64 // after how long it is heard
	skew  *skew        // of the store's clock
	slow  atomic.Int64 // how long it takes until the node hears of a person's logins
	quiet bool         // of changes it hears nothing
	beats atomic.Int64
	pulse atomic.Value // its key
}

// skew is by how much the store's clock is wrong.
type skew struct{ atomic.Int64 }

func (s *skew) of(t time.Time) time.Time { return t.Add(time.Duration(s.Load())) }

var errCut = errors.New("the store is out of reach")

func (w *world) link() *link { return &link{Store: w.store, skew: &skew{}} }

func (l *link) lost() error {
	time.Sleep(time.Second)
	return errCut
}

func (l *link) Now(ctx context.Context) (time.Time, error) {
	now, err := l.Store.Now(ctx)
	return l.skew.of(now), err
}

func (l *link) Load(ctx context.Context, keys ...string) (login.Record, error) {
	if l.cut.Load() {
		return login.Record{}, l.lost()
	}
	rec, err := l.Store.Load(ctx, keys...)
	rec.Read = l.skew.of(rec.Read)
	return rec, err
}

func (l *link) Find(ctx context.Context, index, after string, limit int) ([]login.Record, error) {
	if l.cut.Load() {
		return nil, l.lost()
	}
	all, err := l.Store.Find(ctx, index, after, limit)
	if strings.HasPrefix(index, "p:") {
		time.Sleep(time.Duration(l.slow.Load()))
	}
	for i := range all {
		all[i].Read = l.skew.of(all[i].Read)
	}
	return all, err
}

func (l *link) Save(ctx context.Context, r login.Record, cond login.Condition) (login.Record, error) {
	if strings.HasPrefix(r.Key, "pulse:") {
		l.beats.Add(1)
		l.pulse.Store(r.Key)
		if l.mute.Load() {
			return r, errCut
		}
	}
	if l.cut.Load() {
		return r, l.lost()
	}
	rec, err := l.Store.Save(ctx, r, cond)
	rec.Read = l.skew.of(rec.Read)
	if strings.HasPrefix(r.Key, "pulse:") {
		time.Sleep(time.Duration(l.late.Load()))
		if l.deaf.Load() {
			return rec, errCut
		}
	}
	return rec, err
}

func (l *link) Changes(ctx context.Context, changed func(login.Change)) error {
	if l.quiet {
		<-ctx.Done()
		return ctx.Err()
	}
	return l.Store.Changes(ctx, changed)
}

// kill ends a node without a word.
func (w *world) kill(l *link) {
	l.cut.Store(true)
	w.stop()
}

// within runs a check each 50 ms of a time, and after it.
func within(d time.Duration, check func()) {
	for range d / (50 * time.Millisecond) {
		check()
		time.Sleep(50 * time.Millisecond)
	}
	check()
}

func (w *world) open() []login.OpenLogin {
	w.Helper()
	synctest.Wait()
	list, err := w.Logins(w.Context(), person)
	require.NoError(w, err)
	return list.Open
}

// sendAway ends the login of a bind that has one of its own beside the first.
func (w *world) sendAway(first login.ID, p *pending) {
	w.Helper()
	p.leave()
	p.is(login.Silence, "")
	open := slices.DeleteFunc(w.open(), func(l login.OpenLogin) bool { return l.ID == first })
	require.Len(w, open, 1, "two connections never share a login")
	_, err := w.answer(open[0].ID, login.Deny, "")
	require.NoError(w, err)
}

// holding is an application whose bind waits at a node beside, and that node.
func holding(w *world, change ...func(*login.Request)) (wiki *login.Client, other *world, way *link, first *pending) {
	wiki, way = client(login.Hold, login.ApprovalSimple), w.link()
	other = w.secondOn(way)
	first = other.ask(wiki, append(change, bind)...)
	first.waits()
	return wiki, other, way, first
}

// The application of a node that is killed binds again at another node: that joins
// the login, once the node is known to be dead, and the approval lets it in.
func TestABindWhoseNodeDiedIsJoinedByItsRetry(t *testing.T) {
	in(t, func(w *world) {
		wiki, other, way, _ := holding(w)
		id := w.phone().ID
		other.kill(way)
		retry := w.ask(wiki, bind)
		time.Sleep(7 * time.Second)
		retry.waits()
		seen := w.phone()
		require.Equal(w, id, seen.ID, "one login")
		require.Equal(w, 2, seen.Waiting)
		_, err := w.answer(id, login.Approve, "")
		require.NoError(w, err)
		retry.is(login.Accept, login.Accepted)
		require.Equal(w, 1, w.prompted()+other.prompted())
		require.Len(w, w.audited(), 1)
	})
}

// Once a node is known to be dead nobody waits for that again; nor for a node that
// said before it stopped that nobody waits there.
func TestNobodyWaitsForWhatIsKnown(t *testing.T) {
	in(t, func(w *world) {
		wiki, other, way, left := holding(w)
		second := other.ask(wiki, bind, user("binh"))
		second.waits()
		left.leave()
		left.is(login.Silence, "")
		w.ask(wiki, bind).waits()
		require.Equal(w, 3, w.open()[0].Waiting+w.open()[1].Waiting)
		other.kill(way)
		again := w.ask(wiki, bind, user("binh"))
		time.Sleep(3 * time.Second)
		again.leave()
		time.Sleep(4 * time.Second)
		again.is(login.Silence, "")
		began := time.Now()
		w.ask(wiki, bind, user("binh")).waits()
		synctest.Wait()
		require.Equal(w, []int{2, 2}, []int{w.open()[0].Waiting, w.open()[1].Waiting})
		require.Zero(w, time.Since(began))
	})
}

// While the other node lives a second bind gets a login of its own, within about a
// second.
func TestABindThatWaitsAtALivingNodeIsNotJoined(t *testing.T) {
	in(t, func(w *world) {
		wiki, _, _, first := holding(w)
		id := w.phone().ID
		for range 2 { // when nothing was seen of that node before, and when something was
			second := w.ask(wiki, bind)
			time.Sleep(1500 * time.Millisecond)
			second.waits()
			first.waits()
			w.sendAway(id, second)
			time.Sleep(10 * time.Second)
		}
		first.waits()
	})
}

// A node whose beats do not arrive, though everything else does, answers the binds
// that it holds before anybody joins them; new ones it holds only when a beat has
// arrived again.
func TestANodeThatCannotSayThatItLivesGivesItsBindsUp(t *testing.T) {
	in(t, func(w *world) {
		wiki, other, way, first := holding(w)
		time.Sleep(10 * time.Second)
		id := w.phone().ID
		way.mute.Store(true)
		retry := w.ask(wiki, bind)
		answered := false
		within(8*time.Second, func() {
			synctest.Wait()
			if len(first.reply) > 0 && !answered {
				first.is(login.NoAnswer, login.Unavailable)
				answered = true
			}
			require.True(w, answered || w.open()[0].Waiting == 1, "joined while somebody waits")
		})
		require.True(w, answered)
		retry.waits()
		require.Equal(w, 2, w.phone().Waiting)
		other.ask(wiki, bind, user("binh")).is(login.NoAnswer, login.Unavailable)
		_, err := w.answer(id, login.Approve, "")
		require.NoError(w, err)
		retry.is(login.Accept, login.Accepted)

		way.mute.Store(false)
		other.ask(wiki, bind, user("binh")).waits()
		require.Equal(w, 2, w.prompted()+other.prompted())
	})
}

// A node that reaches the store no more does not wait for that to give its binds up.
func TestANodeThatIsCutOffGivesItsBindsUpInTime(t *testing.T) {
	in(t, func(w *world) {
		_, _, way, first := holding(w)
		time.Sleep(10500 * time.Millisecond)
		way.cut.Store(true)
		time.Sleep(3400 * time.Millisecond)
		first.waits()
		time.Sleep(200 * time.Millisecond)
		first.is(login.NoAnswer, login.Unavailable)
	})
}

// The store takes beats, but the node hears of it too late: that a beat was good
// for longer helps nobody any more.
func TestABeatThatIsHeardOfTooLateIsNone(t *testing.T) {
	in(t, func(w *world) {
		_, _, way, first := holding(w)
		way.late.Store(int64(3500 * time.Millisecond)) // the one before was good for four seconds, half a second less
		time.Sleep(4400 * time.Millisecond)
		way.late.Store(0)
		time.Sleep(10 * time.Second)
		first.is(login.NoAnswer, login.Unavailable)
	})
}

// The store takes beats, and the node does not hear of two of them.
func TestABeatWhoseAnswerIsLostIsFollowedByTheNext(t *testing.T) {
	in(t, func(w *world) {
		_, _, way, first := holding(w)
		way.deaf.Store(true)
		time.Sleep(2500 * time.Millisecond)
		way.deaf.Store(false)
		time.Sleep(20 * time.Second)
		first.waits()
	})
}

// A user has two logins, at a node that dies and at one that lives.
func TestOnlyTheLoginOfTheDeadNodeIsJoined(t *testing.T) {
	for range 10 { // which of them is found first is chance
		in(t, func(w *world) {
			wiki, other, way, _ := holding(w)
			id := w.phone().ID
			alive := w.secondOn(w.link()).ask(wiki, bind)
			time.Sleep(2 * time.Second)
			other.kill(way)
			retry := w.ask(wiki, bind)
			time.Sleep(8 * time.Second)
			retry.waits()
			alive.waits()
			for _, l := range w.open() {
				require.Equal(w, l.ID == id, l.Waiting == 2)
			}
		})
	}
}

// Two binds find at the same instant that nobody waits in a login: one joins it.
func TestOneBindAloneJoins(t *testing.T) {
	in(t, func(w *world) {
		wiki, other, way, first := holding(w)
		first.leave()
		first.is(login.Silence, "")
		way.slow.Store(int64(time.Second))
		one, two := other.ask(wiki, bind), other.ask(wiki, bind)
		time.Sleep(10 * time.Second)
		one.waits()
		two.waits()
		require.Len(w, w.open(), 2)
	})
}

// A node that gave a bind up knows that nobody waits there.
func TestABindThatWasGivenUpIsJoinedAtItsNodeAtOnce(t *testing.T) {
	in(t, func(w *world) {
		wiki, other, way, first := holding(w)
		way.mute.Store(true)
		time.Sleep(5 * time.Second)
		first.is(login.NoAnswer, login.Unavailable)
		way.mute.Store(false)
		other.ask(wiki, bind).waits()
		require.Equal(w, 2, w.phone().Waiting)
		require.Equal(w, 1, other.prompted())
	})
}

// A node stands still in the middle of letting a bind in. When it goes on its word
// is out: the approval is left for the retry; or, when its record was written, it
// is spent, and nobody is let in.
func TestANodeThatStoodStillLetsNobodyIn(t *testing.T) {
	for name, recorded := range map[string]bool{"before the verdict": false, "after it": true} {
		t.Run(name, func(t *testing.T) {
			in(t, func(w *world) {
				wiki, other, way, first := holding(w)
				happened := other.follow()
				stand := sync.OnceFunc(func() {
					way.mute.Store(true)
					time.Sleep(8 * time.Second)
				})
				if recorded {
					other.writing = stand
				} else {
					w.evidence = func(login.ID, login.Given) (login.Answering, error) {
						stand()
						return login.Answering{Kind: login.Approve, Person: person, Device: "phone-1"}, nil
					}
				}
				id := w.phone().ID
				_, err := w.answer(id, login.Approve, "")
				require.NoError(w, err)
				time.Sleep(9 * time.Second)
				first.is(login.NoAnswer, login.Unavailable)
				require.Len(w, other.audited(), map[bool]int{true: 1}[recorded])
				require.Equal(w, recorded, slices.Contains(happened.of(id), "dropped pulse_lost"))
				retry := w.ask(wiki, bind)
				time.Sleep(7 * time.Second)
				if recorded {
					retry.waits()
					require.Equal(w, 1, w.prompted(), "a login of its own")
				} else {
					retry.is(login.Accept, login.Accepted)
				}
			})
		})
	}
}

// The pulse stops while a bind is on its way into a login: it does not wait there.
func TestABindThatComesWithADyingPulseIsNotHeld(t *testing.T) {
	in(t, func(w *world) {
		wiki, way := client(login.Hold, login.ApprovalSimple), w.link()
		way.quiet = true
		other := w.secondOn(way)
		first := other.ask(wiki, bind)
		first.waits()
		way.mute.Store(true)
		way.slow.Store(int64(5 * time.Second))
		late := other.ask(wiki, bind, user("binh"))
		time.Sleep(6 * time.Second)
		first.is(login.NoAnswer, login.Unavailable)
		late.is(login.NoAnswer, login.Unavailable)
	})
}

// forgets has the store forget the pulse of who reaches it that way.
func (w *world) forgets(way *link) (key string) {
	key = way.pulse.Load().(string)
	rec, err := w.store.Load(w.Context(), key)
	require.NoError(w, err)
	rec.Value = nil
	_, err = w.store.Save(w.Context(), rec, login.Condition{})
	require.NoError(w, err)
	return key
}

// A pulse that is not there may have been forgotten by the store.
func TestAnAbsentPulseIsNoProof(t *testing.T) {
	in(t, func(w *world) {
		wiki, other, way, _ := holding(w)
		other.kill(way)
		w.forgets(way)
		retry := w.ask(wiki, bind)
		within(10*time.Second, func() {
			retry.waits()
			require.Len(w, w.open(), 2)
		})
	})
}

// A node whose pulse the store has forgotten begins no new life under the old name.
func TestAForgottenPulseIsNotRenewed(t *testing.T) {
	in(t, func(w *world) {
		_, _, way, first := holding(w)
		key := w.forgets(way)
		time.Sleep(time.Second)
		first.is(login.NoAnswer, login.Unavailable)
		_, err := w.store.Load(w.Context(), key)
		require.ErrorIs(w, err, login.ErrNotFound)
	})
}

// A bind is answered when its hold is over since it came: its application does not
// wait longer because another node was looked at first.
func TestAHoldBeginsWhenTheBindCame(t *testing.T) {
	in(t, func(w *world) {
		wiki, other, way, _ := holding(w)
		other.kill(way)
		hasty := *wiki
		hasty.Hold = 20 * time.Second
		retry := w.ask(&hasty, bind)
		time.Sleep(hasty.Hold - time.Millisecond)
		retry.waits()
		time.Sleep(2 * time.Millisecond)
		retry.is(login.Reject, login.HoldOver)
	})
}

// The store's clock goes wrong by eight seconds, and right again, when the first
// bind has been held for nearly as long as it may be.
func TestTheStoresClockEndsNobodysWaiting(t *testing.T) {
	for name, by := range map[string]time.Duration{"forth": 8 * time.Second, "back": -8 * time.Second} {
		t.Run(name, func(t *testing.T) {
			in(t, func(w *world) {
				clock, mine, its := &skew{}, w.link(), w.link()
				mine.skew, its.skew = clock, clock
				here, there := w.secondOn(mine), w.secondOn(its)
				wiki := client(login.Hold, login.ApprovalSimple)
				first := there.ask(wiki, bind)
				id := w.phone().ID
				time.Sleep(50 * time.Second)
				for range 2 {
					clock.Store(int64(by) - clock.Load())
					second := here.ask(wiki, bind)
					time.Sleep(1500 * time.Millisecond)
					first.waits()
					second.waits()
					w.sendAway(id, second)
				}
			})
		})
	}
}

// A thousand binds begin at once: they need one beat. A node that is alone with its
// store, or serves NASes only, needs none.
func TestAllBindsNeedOneBeat(t *testing.T) {
	in(t, func(w *world) {
		wiki, vpn, way := client(login.Hold, login.ApprovalSimple), client(login.Hold, login.ApprovalSimple), w.link()
		other := w.secondOn(way)
		other.ask(vpn).waits()
		require.Zero(w, way.beats.Load())
		way.late.Store(int64(100 * time.Millisecond))
		all := make([]*pending, 1000)
		for i := range all {
			all[i] = other.ask(wiki, bind)
		}
		time.Sleep(500 * time.Millisecond)
		require.Len(w, w.open(), 4, "three, and the VPN's")
		require.EqualValues(w, 1, way.beats.Load())
	})
	in(t, func(w *world) {
		w.Alone = true
		way := w.link()
		alone := w.secondOn(way)
		alone.ask(client(login.Hold, login.ApprovalSimple), bind).waits()
		time.Sleep(10 * time.Second)
		require.Zero(w, way.beats.Load())
	})
}

// While a bind watches whether another node lives things may change: then it begins
// its login as they are, not as they were.
func TestABindThatWatchedANodeLooksAtEverythingAnew(t *testing.T) {
	for name, test := range map[string]struct {
		meanwhile func(w *world, id login.ID)
		then      func(w *world, retry *pending)
	}{
		"the account is another person's": {func(w *world, _ login.ID) {
			w.mu.Lock()
			w.person = "person-2"
			w.mu.Unlock()
			require.NoError(w, w.Withdraw(w.Context(), person, func(account, _ string) bool { return account == ident }))
		}, func(w *world, retry *pending) {
			retry.waits()
			require.Empty(w, w.open(), "a login for the former person")
			list, err := w.Logins(w.Context(), "person-2")
			require.NoError(w, err)
			require.Len(w, list.Open, 1)
		}},
		"the owner has reported": {func(w *world, id login.ID) {
			_, err := w.answer(id, login.Report, "")
			require.NoError(w, err)
		}, func(_ *world, retry *pending) {
			retry.is(login.Reject, login.LockedOut)
		}},
		"the owner has denied": {func(w *world, id login.ID) {
			_, err := w.answer(id, login.Deny, "")
			require.NoError(w, err)
		}, func(w *world, retry *pending) {
			retry.waits()
			require.Greater(w, time.Until(w.phone().Expires), 115*time.Second, "it has its whole time")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(w *world) {
				wiki, other, way, _ := holding(w)
				id := w.phone().ID
				other.kill(way)
				retry := w.ask(wiki, bind)
				time.Sleep(3 * time.Second)
				test.meanwhile(w, id)
				time.Sleep(5 * time.Second)
				test.then(w, retry)
			})
		})
	}
}

// The store is out of reach as a bind's hold ends, for less than would end the
// node's pulse: the node says later that nobody waits, and the retry joins.
func TestABindThatIsGivenUpIsSaidToWaitNoMore(t *testing.T) {
	in(t, func(w *world) {
		wiki, _, way, first := holding(w)
		id := w.phone().ID
		time.Sleep(54500 * time.Millisecond)
		way.cut.Store(true)
		time.Sleep(1600 * time.Millisecond)
		way.cut.Store(false)
		time.Sleep(2 * time.Second)
		first.is(login.NoAnswer, login.Unavailable)
		retry := w.ask(wiki, bind)
		time.Sleep(10 * time.Second)
		retry.waits()
		require.Equal(w, id, w.phone().ID)
	})
}

func TestTwoDeadNodesAreWatchedAtOnce(t *testing.T) {
	in(t, func(w *world) {
		wiki, other, way, _ := holding(w)
		wayToo := w.link()
		otherToo := w.secondOn(wayToo)
		otherToo.ask(wiki, bind).waits()
		time.Sleep(2 * time.Second)
		require.Len(w, w.open(), 2)
		other.kill(way)
		otherToo.kill(wayToo)
		retry := w.ask(wiki, bind)
		time.Sleep(8 * time.Second)
		retry.waits()
		require.Len(w, w.open(), 2, "it has joined one of them")
	})
}

func TestABindThatWatchesANodeKeepsNoneFromStopping(t *testing.T) {
	in(t, func(w *world) {
		wiki, other, way, _ := holding(w)
		here := w.secondOn(w.link())
		time.Sleep(time.Second)
		other.kill(way)
		p := here.ask(wiki, bind)
		p.waits()
		p.leave()
		began := time.Now()
		here.stop()
		require.Less(w, time.Since(began), time.Second)
	})
}
