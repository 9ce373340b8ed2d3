package login_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
	"vssgate/internal/store"
	"vssgate/internal/testenv"
	"vssgate/otp"
)

// A State that we did not make costs nothing: no memory, no look-up, no record.
func TestAHundredThousandRandomStatesLeaveNothingBehind(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Challenge, login.ApprovalNumber)
		guess := func() {
			state := make([]byte, 24)
			rand.Read(state)
			w.ask(vpn, withState(state), saying("123456")).is(login.BadAnswer, login.BadState)
		}
		held := func() uint64 {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		for range 1000 {
			guess()
		}
		before := held()
		for range 100_000 {
			guess()
		}
		require.Less(w, int64(held())-int64(before), int64(1<<20))
		require.Empty(w, w.audited())
		require.Zero(w, w.checks.Load())
	})
}

// Who does not know the password can try for ever: the owner is not locked out,
// here or in the directory, but for the throttle's time, and no phone rings.
func TestTriesWithoutThePasswordLockNobody(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Append, login.ApprovalSimple)
		tries := 20_000
		if os.Getenv("VSSGATE_LONG") != "" {
			tries = 100_000
		}
		for i := range tries {
			w.ask(vpn, saying(fmt.Sprintf("guess-%d,%06d", i%50, i)), station(strconv.Itoa(i%1000))).is(login.Reject, login.BadPassword)
		}
		require.LessOrEqual(w, w.checks.Load(), int64(testPolicy.Throttle.PerAccount), "so many reached the directory")
		require.Zero(w, w.prompted())
		time.Sleep(testPolicy.Throttle.Within)
		w.ask(vpn, station("the owner's")).is(login.Reject, login.AppendNeeded)
		w.ask(vpn, station("the owner's"), saying(password+","+w.phone().Code)).is(login.Accept, login.Accepted)
	})
}

func TestOfTwoPhonesThatAnswerAtOnceOneCounts(t *testing.T) {
	for range 20 {
		in(t, func(w *world) {
			held := w.ask(client(login.Hold, login.ApprovalSimple))
			held.waits()
			id := w.phone().ID
			kinds := []login.AnswerKind{login.Approve, login.Deny}
			var said [2]error
			var phones sync.WaitGroup
			for i, kind := range kinds {
				phones.Go(func() {
					_, said[i] = w.Engine.Answer(w.Context(), id, login.Answering{Kind: kind, Person: person, Device: fmt.Sprintf("phone-%d", i)})
				})
			}
			phones.Wait()
			require.True(w, (said[0] == nil) != (said[1] == nil), "%v", said)
			reply := held.got()
			require.Equal(w, said[0] == nil, reply.Kind == login.Accept)
			require.Len(w, w.audited(), 1)
			require.Equal(w, reply.Kind == login.Accept, w.audited()[0].Accepted)
		})
	}
}

// One code, three nodes at one Redis, 64 hands at once: one is let in, and there
// is one record. Where so many guesses lock the account, whoever finds it locked
// before another's guess is noted in the login may end that: then nobody is.
func TestOneCodeFromManyHandsAtThreeNodesLetsOneIn(t *testing.T) {
	for _, lockedAfter := range []int{1000, testPolicy.Lockout.After} {
		t.Run(fmt.Sprintf("locked after %d", lockedAfter), func(t *testing.T) { manyHands(t, lockedAfter) })
	}
}

func manyHands(t *testing.T, lockedAfter int) {
	policy := testPolicy
	policy.Lockout.After = lockedAfter
	policy.Lockout.StopAfter = 1000
	redis := testenv.Redis(t)
	keys, err := otp.ParseKeys([]byte(otp.NewKeyLine()))
	require.NoError(t, err)
	w := &world{T: t}
	var nodes []*login.Engine
	for range 3 {
		nodes = append(nodes, w.node(redis, keys, policy))
	}
	vpn := client(login.Append, login.ApprovalSimple)
	ask := func(node int, typed, nas string) login.Reply {
		reply := make(chan login.Reply, 1)
		nodes[node].Handle(&login.Request{
			FrontEnd: login.RADIUS, Client: vpn, NAS: nas, Station: "203.0.113.7", Username: "an", Password: []byte(typed), First: w,
			Packet: []byte(nas), Reply: func(r login.Reply) { reply <- r },
		})
		return <-reply
	}
	const hands = 64
	for round := range 5 {
		at := "hq" + strconv.Itoa(round)
		require.Equal(t, login.AppendNeeded, ask(round%3, password, at).Reason)
		list, err := nodes[2].Logins(t.Context(), person)
		require.NoError(t, err)
		require.Len(t, list.Open, 1)
		var all sync.WaitGroup
		var mu sync.Mutex
		told := map[login.Reason]int{}
		for i := range hands {
			all.Go(func() {
				r := ask(i%3, password+","+list.Open[0].Code, at+"-"+strconv.Itoa(i))
				mu.Lock()
				defer mu.Unlock()
				told[r.Reason]++
				require.Equal(t, r.Reason == login.Accepted, r.Kind == login.Accept)
			})
		}
		all.Wait()
		if told[login.LockedOut] < hands || lockedAfter > hands {
			require.Equal(t, 1, told[login.Accepted], "%v", told)
		}
		w.mu.Lock()
		require.Len(t, w.audit, round+1)
		w.mu.Unlock()
		require.NoError(t, nodes[0].Unlock(t.Context(), ident), "those who came too late have been counted")
	}
}

// node is one more engine of this world at that Redis, in real time.
func (w *world) node(redis string, keys *otp.Keys, policy login.Policy) *login.Engine {
	s, err := store.OpenRedis(w.Context(), store.RedisOptions{Addresses: []string{redis}, Log: slog.New(slog.DiscardHandler)})
	require.NoError(w, err)
	w.Cleanup(func() { require.NoError(w, s.Close()) })
	return w.nodeAt(s, keys, policy)
}

// nodeAt is one more engine of this world at that store, in real time.
func (w *world) nodeAt(s login.Store, keys *otp.Keys, policy login.Policy) *login.Engine {
	e := login.New(login.Options{
		Policy: policy, Store: s, Keys: keys, People: w, Witness: w, Prompter: w, Auditor: w, Meter: noMeter{},
		Log: slog.New(slog.DiscardHandler), Patience: 10 * time.Second, MaxBusy: 1000,
	})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	w.Cleanup(func() {
		stop()
		require.NoError(w, <-ended)
	})
	return e
}

// A guess that was counted is compared, though others have locked the account since.
func TestAGuessThatWasCountedBeforeOthersLockedTheAccountIsCompared(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Challenge, login.ApprovalNumber)
		ask := w.ask(vpn, nas("1")).is(login.Ask, "")
		bad := wrong(w.phone().Code)
		w.ask(vpn, nas("1"), withState(ask.State), saying(bad)).is(login.Ask, "")
		for _, elsewhere := range []string{"2", "3"} {
			other := w.ask(vpn, nas(elsewhere)).is(login.Ask, "")
			for range 2 {
				other = w.ask(vpn, nas(elsewhere), withState(other.State), saying(bad)).got()
			}
		}
		require.True(w, w.standing().Locked)
		require.NotEqual(w, login.LockedOut, w.ask(vpn, nas("1"), withState(ask.State), saying(bad)).got().Reason)
		w.ask(vpn, nas("1"), withState(ask.State), saying(wrong(bad))).is(login.Reject, login.LockedOut)
	})
}

// A guess that was counted before is let through a lock of guesses, not through
// one that the owner asked for.
func TestAReportedAccountLetsNoEarlierGuessThrough(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Challenge, login.ApprovalNumber)
		ask := w.ask(vpn, nas("1")).is(login.Ask, "")
		bad := wrong(w.phone().Code)
		w.ask(vpn, nas("1"), withState(ask.State), saying(bad)).is(login.Ask, "")
		other := w.ask(vpn, nas("2")).is(login.Ask, "")
		_, err := w.answer(other.Attempt, login.Report, "")
		require.NoError(w, err)
		w.ask(vpn, nas("1"), withState(ask.State), saying(bad)).is(login.Reject, login.LockedOut)
	})
}
