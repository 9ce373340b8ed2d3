package login_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
)

// The rules of joining (docs/login-flow.md) that have no test beside what they
// are for.

// probing is CHAP or MS-CHAP after PAP; our directory cannot check it.
func probing(r *login.Request) {
	r.Conversation, r.Probe, r.NoChallenge, r.Password, r.First = true, true, true, nil, nil
}

func TestProbesBesideAnOpenLoginByPasswordStayUnanswered(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Hold, login.ApprovalSimple)
		branch := client(login.Hold, login.ApprovalSimple)
		branch.Name = "branch-vpn"
		w.ask(vpn, probing).is(login.BadAnswer, login.Probed) // nobody's password came
		held := w.ask(vpn)
		held.waits()
		w.ask(vpn, probing).is(login.Silence, login.Probed)
		w.second().ask(vpn, probing).is(login.Silence, login.Probed)
		w.ask(vpn, probing, station("198.51.100.9")).is(login.BadAnswer, login.Probed)
		w.ask(vpn, probing, user("binh")).is(login.BadAnswer, login.Probed)
		w.ask(branch, probing).is(login.BadAnswer, login.Probed)
		held.waits()

		time.Sleep(vpn.Hold) // the NAS was told to log in again, but its login is still open
		held.is(login.Reject, login.HoldOver)
		w.ask(vpn, probing).is(login.Silence, login.Probed)
		w.approve("")
		w.ask(vpn).is(login.Accept, login.Accepted)
		w.ask(vpn, probing).is(login.BadAnswer, login.Probed)
		require.Equal(w, 1, w.prompted())
		require.EqualValues(w, 1, w.checks.Load())
		require.Len(w, w.audited(), 1)
	})
}

func TestAProofThatCanBeCheckedIsAProbeOnlyBesideAPassword(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Hold, login.ApprovalSimple)
		tries := func(challenge string) func(*login.Request) {
			return func(r *login.Request) { w.mschap(challenge)(r); r.Probe = true }
		}
		w.ask(vpn, tries("proof 1")).waits()
		retry := w.ask(vpn, tries("proof 2")) // a NAS that knows MS-CHAP alone
		retry.waits()
		require.Equal(w, 1, w.prompted())
		w.ask(vpn).waits() // now by password: another login of this NAS, or its other method
		w.ask(vpn, tries("proof 3")).waits()
		w.approve("")

		other := station("198.51.100.9")
		w.ask(vpn, other).waits()
		w.ask(vpn, tries("proof 4"), other).is(login.Silence, login.Probed)
		require.EqualValues(w, 5, w.checks.Load())
	})
}

// Every part of the join key counts: what differs in one is checked for itself.
func TestAJoinKeyThatDiffersInAnyPartIsCheckedForItself(t *testing.T) {
	branch := client(login.Hold, login.ApprovalSimple)
	branch.Name = "branch-vpn"
	vpn := client(login.Hold, login.ApprovalSimple)
	for name, c := range map[string]struct {
		client *login.Client
		change func(*login.Request)
	}{
		"front end":          {vpn, bind},
		"client":             {branch, func(*login.Request) {}},
		"NAS-Identifier":     {vpn, nas("nas-2")},
		"Calling-Station-Id": {vpn, station("198.51.100.9")},
		"no station":         {vpn, station("")},
		"typed user name":    {vpn, user("AN")},
		"password":           {vpn, saying("other")},
		"a boundary moved":   {vpn, func(r *login.Request) { r.NAS, r.Station = "nas203.0", ".113.7" }},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(w *world) {
				w.ask(vpn).waits()
				w.ask(c.client, c.change)
				synctest.Wait()
				require.EqualValues(w, 2, w.checks.Load())
			})
		})
	}
}

func TestAfterARightPasswordTheAccountJoinsFromItsPlaceByAnyMethod(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Hold, login.ApprovalSimple)
		w.ask(vpn).waits()
		an, err := w.Resolve(w.Context(), "an")
		require.NoError(w, err)
		eap := w.ask(vpn, w.turnsOut(&an), func(r *login.Request) { r.Password = []byte("proof") })
		eap.waits()
		require.Equal(w, 1, w.prompted())
		for _, change := range []func(*login.Request){nas("nas-2"), station("198.51.100.9")} {
			w.ask(vpn, w.turnsOut(&an), func(r *login.Request) { r.Password = []byte("proof") }, change).waits()
		}
		list, err := w.Logins(w.Context(), person)
		require.NoError(w, err)
		require.Len(w, list.Open, 3, "elsewhere it is another login")
		eap.waits()
	})
}

// Without a station the packet alone tells logins apart: whoever else has the
// password gets a login of his own, also right after the owner was let in.
func TestWithoutStationASecondLoginIsNeverTheOwners(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Hold, login.ApprovalSimple)
		packet := func(p string) func(*login.Request) { return func(r *login.Request) { r.Packet = []byte(p) } }
		owner := w.ask(vpn, station(""), packet("1"))
		owner.waits()
		w.approve("")
		owner.is(login.Accept, login.Accepted)
		w.ask(vpn, station(""), packet("1")).is(login.Accept, login.Accepted) // at the other node, say
		w.ask(vpn, station(""), packet("2")).waits()
		require.Equal(w, 2, w.prompted())
		time.Sleep(10 * time.Second)
		w.ask(vpn, station(""), packet("1")).waits()
		require.Len(w, w.audited(), 1)
	})
}

// The right code of an open login behind another password is that password's
// last digits: nobody is let in by it, and the login does not notice.
func TestTheRightCodeBehindAnotherPasswordIsNoAppendedCode(t *testing.T) {
	for _, mode := range []login.Mode{login.Challenge, login.Hold, login.Append} {
		t.Run(string(mode), func(t *testing.T) {
			in(t, func(w *world) {
				vpn := client(mode, login.ApprovalOff)
				w.ask(vpn)
				code := w.phone().Code
				w.ask(vpn, saying("other,"+code)).is(login.Reject, login.BadPassword)
				w.ask(vpn, saying("a,b,"+code)).is(login.Reject, login.BadPassword)
				require.EqualValues(w, 3, w.checks.Load(), "each was asked once, whole")
				require.Equal(w, 1, w.phone().Waiting)
				w.ask(vpn, saying(password+","+code)).is(login.Accept, login.Accepted)
			})
		})
	}
}

func TestWithoutStationNobodyCollectsTheOwnersApproval(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Hold, login.ApprovalSimple)
		owner := w.ask(vpn, station(""))
		time.Sleep(vpn.Hold)
		owner.is(login.Reject, login.AppendNeeded)
		w.approve("")
		w.ask(vpn, station("")).waits()
	})
}

func TestJoinUserJoinsFromAnywhereTheNASNames(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Hold, login.ApprovalSimple)
		vpn.JoinUser = true
		first := w.ask(vpn, station(""))
		first.waits()
		time.Sleep(time.Second)
		w.ask(vpn, station(""), nas("nas-2")).waits() // another NAS is another login
		retry := w.ask(vpn, station(""))
		first.is(login.Silence, "")
		retry.waits()
		spelt := w.ask(vpn, station(""), user("AN"))
		retry.is(login.Silence, "")
		time.Sleep(vpn.Hold)
		spelt.is(login.Reject, login.HoldOver)
		list, err := w.Logins(w.Context(), person)
		require.NoError(w, err)
		require.Len(w, list.Open, 2)
		w.ask(vpn, station(""), nas("nas-2"), saying(password+","+list.Open[0].Code)).is(login.Accept, login.Accepted)
		w.approve("")
		w.ask(vpn, station("")).is(login.Accept, login.Accepted)
	})
}

func TestANASThatGivesUpLeavesItsLoginOpenForARetry(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Hold, login.ApprovalSimple)
		first := w.ask(vpn)
		first.waits()
		first.leave() // its Identifier is used for somebody else
		first.is(login.Silence, "")
		id := w.phone().ID
		other := w.ask(vpn, user("binh"), station("198.51.100.9"))
		other.waits()
		done, err := w.answer(id, login.Approve, "")
		require.NoError(w, err)
		require.Equal(w, login.OutcomeRetry, done.Outcome)
		w.ask(vpn).is(login.Accept, login.Accepted)
		other.waits()
	})
}

// The second login is listed at once, newest first; numbers and codes say which
// is meant, a bare tap does not.
func TestOfTwoLoginsANumberSaysWhich(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Challenge, login.ApprovalNumber)
		first := w.ask(vpn).is(login.Ask, "")
		time.Sleep(time.Second)
		second := w.ask(vpn, station("198.51.100.9")).is(login.Ask, "")
		list, err := w.Logins(w.Context(), person)
		require.NoError(w, err)
		require.Equal(w, []login.ID{second.Attempt, first.Attempt}, []login.ID{list.Open[0].ID, list.Open[1].ID})
		_, err = w.answer(second.Attempt, login.Approve, second.Number)
		require.NoError(w, err)
		w.ask(vpn, withState(second.State), saying("ok"), station("198.51.100.9")).is(login.Accept, login.Accepted)
		w.ask(vpn, withState(first.State), saying(w.phone().Code)).is(login.Accept, login.Accepted)
	})
}

// then: challenge. What the user does at the challenge, all of it.
func TestHoldThenChallengeTakesWhateverTheUserDoes(t *testing.T) {
	for name, test := range map[string]func(w *world, answer func(string, []byte) *pending, ask login.Reply){
		"the code": func(w *world, answer func(string, []byte) *pending, ask login.Reply) {
			answer(w.phone().Code, ask.State).is(login.Accept, login.Accepted)
		},
		"approved first, then nothing typed": func(w *world, answer func(string, []byte) *pending, ask login.Reply) {
			w.approve("")
			answer("", ask.State).is(login.Accept, login.Accepted)
		},
		"approved first, then ok": func(w *world, answer func(string, []byte) *pending, ask login.Reply) {
			w.approve("")
			answer("ok", ask.State).is(login.Accept, login.Accepted)
		},
		"ok first, then approved": func(w *world, answer func(string, []byte) *pending, ask login.Reply) {
			p := answer("ok", ask.State)
			p.waits()
			time.Sleep(24 * time.Second)
			p.waits()
			w.approve("")
			p.is(login.Accept, login.Accepted)
		},
		"ok, and nobody confirms: challenged again, then the code": func(w *world, answer func(string, []byte) *pending, ask login.Reply) {
			p := answer("ok", ask.State)
			time.Sleep(25 * time.Second)
			again := p.is(login.Ask, "")
			require.Equal(w, login.PromptAgain, again.Prompt)
			require.NotEqual(w, ask.State, again.State)
			answer(w.phone().Code, again.State).is(login.Accept, login.Accepted)
		},
		"a wrong code, then the right one": func(w *world, answer func(string, []byte) *pending, ask login.Reply) {
			again := answer(wrong(w.phone().Code), ask.State).is(login.Ask, "")
			require.Equal(w, login.PromptWrongCode, again.Prompt)
			answer(w.phone().Code, again.State).is(login.Accept, login.Accepted)
		},
		"denied while held after the challenge: told at once": func(w *world, answer func(string, []byte) *pending, ask login.Reply) {
			p := answer("", ask.State)
			p.waits()
			_, err := w.answer(w.phone().ID, login.Deny, "")
			require.NoError(w, err)
			p.is(login.Reject, login.Denied)
		},
		"denied before anything is typed": func(w *world, answer func(string, []byte) *pending, ask login.Reply) {
			code := w.phone().Code
			_, err := w.answer(w.phone().ID, login.Deny, "")
			require.NoError(w, err)
			answer(code, ask.State).is(login.Reject, login.Denied)
		},
		"the password again in a new login joins": func(w *world, _ func(string, []byte) *pending, ask login.Reply) {
			vpn := client(login.Hold, login.ApprovalSimple)
			p := w.ask(vpn)
			p.waits()
			w.approve("")
			require.Equal(w, ask.Attempt, p.is(login.Accept, login.Accepted).Attempt)
		},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(w *world) {
				vpn := client(login.Hold, login.ApprovalSimple)
				vpn.Hold, vpn.Then = 25*time.Second, login.ThenChallenge
				held := w.ask(vpn)
				held.waits()
				time.Sleep(25*time.Second - 1)
				held.waits()
				time.Sleep(time.Nanosecond)
				ask := held.is(login.Ask, "")
				require.Empty(w, ask.Number)
				test(w, func(said string, state []byte) *pending { return w.ask(vpn, withState(state), saying(said)) }, ask)
				require.EqualValues(w, 1, w.checks.Load())
				require.Equal(w, 1, w.prompted())
				require.Len(w, w.audited(), 1)
			})
		})
	}
}

// Separators and digits inside a password are the password's own: it is asked
// once, and a code may follow it all the same.
func TestAPasswordThatEndsLikeACodeIsAPassword(t *testing.T) {
	for _, odd := range []string{"a,b,123456", "123456", ",,123456,", "pw,push", strings.Repeat("đ", 60) + ",123456"} {
		for _, mode := range []login.Mode{login.Challenge, login.Hold, login.Append} {
			t.Run(odd+" in mode "+string(mode), func(t *testing.T) {
				in(t, func(w *world) {
					vpn := client(mode, login.ApprovalOff)
					w.changed = odd
					if odd == "pw,push" {
						w.changed = "pw" // the word is cut off
					}
					w.ask(vpn, saying(odd))
					code := w.phone().Code
					require.EqualValues(w, 1, w.checks.Load())
					w.ask(vpn, saying(w.changed+","+wrong(code))).is(login.Reject, login.WrongCode)
					w.ask(vpn, saying(w.changed+","+code)).is(login.Accept, login.Accepted)
					require.EqualValues(w, 1, w.checks.Load())
					require.Equal(w, 1, w.prompted())
				})
			})
		}
	}
}

// A hooked store does something before each Save.
type hooked struct {
	login.Store
	before func(login.Record)
}

func (h hooked) Save(ctx context.Context, r login.Record, cond login.Condition) (login.Record, error) {
	h.before(r)
	return h.Store.Save(ctx, r, cond)
}

// Two nodes look for the login to join before either has begun one: one begins it,
// the other joins.
func TestOneLoginIsBegunAtTwoNodesAtOnce(t *testing.T) {
	in(t, func(w *world) {
		slow := hooked{w.store, func(login.Record) { time.Sleep(10 * time.Millisecond) }}
		a, b := w.secondOn(slow), w.secondOn(slow)
		office := client(login.Hold, login.ApprovalSimple)
		one := a.ask(office, station("10.1.2.3"), user("an"))
		two := b.ask(office, station("10.1.2.3"), user("AN")) // another join key: each checks by itself
		time.Sleep(time.Second)
		list, err := w.Logins(w.Context(), person)
		require.NoError(w, err)
		require.Len(w, list.Open, 1)
		require.Equal(w, 1, a.prompted()+b.prompted())
		_, err = w.answer(list.Open[0].ID, login.Approve, "")
		require.NoError(w, err)
		synctest.Wait()
		accepts := 0
		for _, p := range []*pending{one, two} {
			select {
			case r := <-p.reply:
				if r.Kind == login.Accept {
					accepts++
				}
			default:
			}
		}
		require.Equal(w, 1, accepts)
	})
}

// A node is about to prompt the next login in turn when a new one begins at another
// node: that waits for its turn behind it.
func TestANewLoginDoesNotOvertakeThoseThatWait(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Hold, login.ApprovalSimple)
		var read func() // once, when a person's logins have been read
		x := w.secondOn(reading{w.store, func() {
			if do := read; do != nil {
				read = nil
				do()
			}
		}})
		first := x.ask(vpn, station("1"))
		first.waits()
		id, code := w.phone().ID, w.phone().Code
		for _, from := range []string{"2", "3"} {
			time.Sleep(time.Second)
			x.ask(vpn, station(from)).waits()
		}
		require.Equal(w, 1, w.prompted()+x.prompted())
		read = func() {
			if s, err := w.Logins(w.Context(), person); err == nil && !slices.ContainsFunc(s.Open, func(l login.OpenLogin) bool { return l.ID == id }) {
				w.ask(vpn, station("4"))
				time.Sleep(time.Second)
			}
		}
		x.ask(vpn, station("1"), saying(password+","+code)).is(login.Accept, login.Accepted)
		time.Sleep(5 * time.Second)
		require.Equal(w, 2, w.prompted()+x.prompted())
	})
}

// A reading store does something after each Find of a person's logins.
type reading struct {
	login.Store
	then func()
}

func (r reading) Find(ctx context.Context, index, after string, limit int) ([]login.Record, error) {
	all, err := r.Store.Find(ctx, index, after, limit)
	if strings.HasPrefix(index, "p:") {
		r.then()
	}
	return all, err
}

// A login that waits for another one's turn on the phone gets its own, also when the
// other one ends just before it is there to be seen.
func TestALoginWhoseTurnCameBeforeItWasThereIsPrompted(t *testing.T) {
	in(t, func(w *world) {
		office := client(login.Hold, login.ApprovalSimple)
		first := w.ask(office, station("10.1.2.3"))
		first.waits()
		id, ended := w.phone().ID, false
		other := w.secondOn(hooked{w.store, func(login.Record) {
			if !ended {
				ended = true
				_, err := w.answer(id, login.Deny, "")
				require.NoError(w, err)
				time.Sleep(time.Second)
			}
		}})
		second := other.ask(office, station("10.9.9.9"))
		time.Sleep(2 * time.Second)
		second.waits()
		first.is(login.Reject, login.Denied)
		require.Equal(w, 2, w.prompted()+other.prompted())
	})
}

// A retry joins a login in the instant in which that ends: nobody has superseded
// it, so it hears how, and the request that was let in may ask once more.
func TestARetryThatJoinsWhileTheLoginEndsIsAnswered(t *testing.T) {
	for name, c := range map[string]struct {
		ask    func(*login.Request)
		answer login.AnswerKind
		kind   login.ReplyKind
		reason login.Reason
	}{
		"a bind, denied":       {bind, login.Deny, login.Reject, login.Denied},
		"a request, denied":    {user("an"), login.Deny, login.Reject, login.Denied},
		"a request, let in":    {user("an"), login.Approve, login.Accept, login.Accepted},
		"a bind, let in there": {bind, login.Approve, login.Reject, login.CodeUsed},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(w *world) {
				office := client(login.Hold, login.ApprovalSimple)
				first := w.ask(office, c.ask)
				first.waits()
				if c.kind == login.Reject { // a bind joins only where nobody waits
					time.Sleep(office.Hold)
					first.is(login.Reject, login.HoldOver)
				}
				id, ended := w.phone().ID, false
				other := w.secondOn(hooked{w.store, func(r login.Record) {
					if r.Key != login.KeyOf(id) || ended {
						return
					}
					ended = true
					_, err := w.answer(id, c.answer, "")
					require.NoError(w, err)
					if c.reason == login.CodeUsed {
						w.ask(office, c.ask).is(login.Accept, login.Accepted)
					}
				}})
				retry := other.ask(office, c.ask)
				time.Sleep(time.Second)
				retry.is(c.kind, c.reason)
				require.Len(w, append(w.audited(), other.audited()...), 1)
			})
		})
	}
}
