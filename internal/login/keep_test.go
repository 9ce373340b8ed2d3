package login_test

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
)

// An upstream is a first factor that gives something to keep with each right
// password, each time something else.
type upstream struct {
	w    *world
	says func(checks int64) login.Checked
}

func (u upstream) Resolve(ctx context.Context, name string) (login.Identity, error) {
	return u.w.Resolve(ctx, name)
}

func (u upstream) Check(ctx context.Context, id login.Identity, pw []byte) (login.Checked, error) {
	c, err := u.w.Check(ctx, id, pw)
	if err == nil && c.First == login.FirstRight {
		c = u.says(u.w.checks.Load())
	}
	return c, err
}

// through has a request checked by an upstream that gives keep-1, keep-2, ...
func (w *world) through(r *login.Request) {
	r.First = upstream{w, func(checks int64) login.Checked {
		return login.Checked{First: login.FirstRight, Keep: []byte("keep-" + string('0'+rune(checks)))}
	}}
}

// mschap is a request with a proof of the password in place of it, which our
// directory takes.
func (w *world) mschap(challenge string) func(*login.Request) {
	return func(r *login.Request) {
		w.through(r)
		r.Conversation, r.NoChallenge, r.Password = true, true, []byte(challenge)
		r.First = proof{r.First}
	}
}

type proof struct{ login.FirstFactor }

func (p proof) Check(ctx context.Context, id login.Identity, given []byte) (login.Checked, error) {
	if !strings.HasPrefix(string(given), "proof") {
		return p.FirstFactor.Check(ctx, id, []byte("wrong"))
	}
	return p.FirstFactor.Check(ctx, id, []byte(password))
}

func (p *pending) kept(keep string) {
	p.w.Helper()
	require.Equal(p.w, keep, string(p.is(login.Accept, login.Accepted).Keep))
}

// second is another node on the same store.
func (w *world) second() *world { return w.secondOn(w.store) }

// secondOn is one that sees that store through another.
func (w *world) secondOn(s login.Store) *world {
	other := &world{T: w.T, store: w.store}
	o := w.Engine.Options
	o.Store = s
	o.People, o.Prompter, o.Auditor = other, other, other
	other.Engine = login.New(o)
	ctx, stop := context.WithCancel(w.Context())
	ended := make(chan error, 1)
	go func() { ended <- other.Engine.Run(ctx) }()
	other.stop = sync.OnceFunc(func() { stop(); require.NoError(w, <-ended) })
	w.Cleanup(other.stop)
	synctest.Wait()
	return other
}

func TestWhatTheFirstFactorGaveComesBackWithTheAccept(t *testing.T) {
	held := client(login.Hold, login.ApprovalSimple)
	asked := client(login.Challenge, login.ApprovalNumber)
	then := client(login.Hold, login.ApprovalSimple)
	then.Hold, then.Then = 25*time.Second, login.ThenChallenge
	for name, test := range map[string]func(w *world){
		"held": func(w *world) {
			p := w.ask(held, w.through)
			p.waits()
			w.approve("")
			p.kept("keep-1")
		},
		"with a challenge and a code in between": func(w *world) {
			r := w.ask(asked, w.through).is(login.Ask, "")
			require.Nil(w, r.Keep, "with an accept only")
			w.ask(asked, w.through, withState(r.State), saying(w.phone().Code)).kept("keep-1")
			w.ask(asked, w.through, withState(r.State), saying(w.codeOf(r))).kept("keep-1") // the reply was lost
		},
		"held, then challenged": func(w *world) {
			p := w.ask(then, w.through)
			time.Sleep(then.Hold)
			r := p.is(login.Ask, "")
			w.approve("")
			w.ask(then, w.through, withState(r.State), saying("")).kept("keep-1")
		},
		"to a retry that joined without a check": func(w *world) {
			w.ask(held, w.through).waits()
			p := w.ask(held, w.through)
			p.waits()
			w.approve("")
			p.kept("keep-1")
			require.EqualValues(w, 1, w.checks.Load())
		},
		"to a new chain that joined without a check": func(w *world) {
			w.ask(asked, w.through).is(login.Ask, "")
			r := w.ask(asked, w.through).is(login.Ask, "")
			w.approve(r.Number)
			w.ask(asked, w.through, withState(r.State), saying("ok")).kept("keep-1")
		},
		"to the retry that collects a late approval": func(w *world) {
			p := w.ask(held, w.through)
			time.Sleep(held.Hold)
			p.is(login.Reject, login.HoldOver)
			w.approve("")
			w.ask(held, w.through).kept("keep-1")
			w.ask(held, w.through).kept("keep-1") // the reply was lost
		},
		"to an appended code": func(w *world) {
			w.ask(held, w.through).waits()
			w.ask(held, w.through, saying(password+","+w.phone().Code)).kept("keep-1")
		},
		"by another node": func(w *world) {
			p := w.ask(held, w.through)
			other := w.second()
			retry := other.ask(held, other.through)
			retry.waits()
			p.is(login.Silence, "")
			w.approve("")
			retry.kept("keep-1")
			w.ask(held, w.through).kept("keep-1")
			require.Zero(w, other.checks.Load())
		},
		"the newest request's own, where each is checked": func(w *world) {
			w.ask(held, w.mschap("proof 1")).waits()
			p := w.ask(held, w.mschap("proof 2"))
			p.waits()
			w.approve("")
			p.kept("keep-2")
			require.Equal(w, 1, w.prompted())
		},
		"its own, where a proof took the place of what the password gave": func(w *world) {
			w.ask(held, w.through).waits()
			w.ask(held, w.mschap("proof")).waits()
			p := w.ask(held, w.through)
			p.waits()
			w.approve("")
			p.kept("keep-3")
		},
		"its own, where a proof took the place of what the password before a code gave": func(w *world) {
			w.ask(held, w.through).waits()
			w.ask(held, w.mschap("proof")).waits()
			w.ask(held, w.through, saying(password+","+w.phone().Code)).kept("keep-3")
		},
	} {
		t.Run(name, func(t *testing.T) { in(t, test) })
	}
}

// approve approves the one open login.
func (w *world) approve(number string) {
	w.Helper()
	_, err := w.answer(w.phone().ID, login.Approve, number)
	require.NoError(w, err)
	synctest.Wait()
}

// codeOf is the code of a login that may have ended.
func (w *world) codeOf(r login.Reply) string { return w.Keys.Code(r.Attempt[:], w.Policy.CodeDigits) }

func TestWhatIsKeptIsSealedAndGoneWhenNobodyIsLetIn(t *testing.T) {
	in(t, func(w *world) {
		p := w.ask(client(login.Hold, login.ApprovalSimple), w.through)
		p.waits()
		id := w.phone().ID
		open, err := w.store.Load(w.Context(), login.KeyOf(id))
		require.NoError(w, err)
		require.NotContains(w, string(open.Value), "keep-1")
		plain, err := w.Keys.Open(open.Key, open.Value)
		require.NoError(w, err)
		require.Contains(w, string(plain), "keep-1")
		_, err = w.answer(id, login.Deny, "")
		require.NoError(w, err)
		require.Nil(w, p.is(login.Reject, login.Denied).Keep)
		denied, err := w.store.Load(w.Context(), login.KeyOf(id))
		require.NoError(w, err)
		plain, err = w.Keys.Open(denied.Key, denied.Value)
		require.NoError(w, err)
		require.NotContains(w, string(plain), "keep-1")
	})
}

func TestTooMuchToKeepFailsThatRequest(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Hold, login.ApprovalSimple)
		gives := func(n int) func(*login.Request) {
			return func(r *login.Request) {
				r.First = upstream{w, func(int64) login.Checked {
					return login.Checked{First: login.FirstRight, Keep: bytes.Repeat([]byte{1}, n)}
				}}
			}
		}
		w.ask(vpn, gives(login.MaxKeep+1)).is(login.NoAnswer, login.Unavailable)
		require.Zero(w, w.prompted())
		p := w.ask(vpn, gives(login.MaxKeep))
		p.waits()
		w.approve("")
		require.Len(w, p.is(login.Accept, login.Accepted).Keep, login.MaxKeep)
	})
}

func TestAProofIsCheckedByItself(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Hold, login.ApprovalSimple)
		w.slow = time.Second
		right := w.ask(vpn, w.mschap("proof"))
		wrong := w.ask(vpn, w.mschap("forged")) // at the same instant, same name and station
		none := w.ask(vpn, w.mschap("forged"), func(r *login.Request) { r.Password = nil })
		time.Sleep(2 * time.Second)
		right.waits()
		wrong.is(login.Reject, login.BadPassword)
		none.is(login.Reject, login.BadPassword)
		require.EqualValues(w, 3, w.checks.Load())
		again := w.ask(vpn, w.mschap("proof")) // the same proof in another packet
		again.waits()
		right.is(login.Silence, "")
		w.ask(vpn, w.mschap("forged")).is(login.Reject, login.BadPassword)
		require.EqualValues(w, 3, w.checks.Load(), "neither is asked again")
	})
}

// What was proven by one conversation is not proven by another that looks like
// it: in the same words, without words, or by a password of the same letters.
func TestAConversationIsNotTakenForAnother(t *testing.T) {
	says := func(first login.First) func(*login.Request) {
		return func(r *login.Request) { r.Conversation, r.First = true, verdict{first} }
	}
	for name, words := range map[string][]byte{"in the same words": []byte("words"), "without words": nil} {
		t.Run(name, func(t *testing.T) {
			in(t, func(w *world) {
				vpn := client(login.Hold, login.ApprovalSimple)
				saying := func(r *login.Request) { r.Password = words }
				right := w.ask(vpn, says(login.FirstMore), saying).is(login.Relay, "")
				wrong := w.ask(vpn, says(login.FirstMore), saying).is(login.Relay, "")
				w.ask(vpn, says(login.FirstRight), saying, withState(right.State)).waits()
				w.ask(vpn, says(login.FirstWrong), saying, withState(wrong.State)).is(login.Reject, login.BadPassword)
				w.ask(vpn, says(login.FirstRight), saying, withState(wrong.State)).is(login.BadAnswer, login.BadState)
			})
		})
	}
	t.Run("without words or rounds", func(t *testing.T) {
		in(t, func(w *world) {
			vpn := client(login.Hold, login.ApprovalSimple)
			w.ask(vpn, says(login.FirstRight), saying("")).waits()
			w.ask(vpn, says(login.FirstRight), func(r *login.Request) { r.Password = nil }).waits()
			w.ask(vpn, says(login.FirstWrong), func(r *login.Request) { r.Password = nil }).is(login.Reject, login.BadPassword)
		})
	})
	t.Run("by a password of the same letters", func(t *testing.T) {
		in(t, func(w *world) {
			vpn := client(login.Hold, login.ApprovalSimple)
			w.ask(vpn, w.mschap("proof")).waits()
			w.ask(vpn, saying("proof")).is(login.Reject, login.BadPassword)
		})
	})
	t.Run("about another user", func(t *testing.T) {
		in(t, func(w *world) {
			vpn := client(login.Hold, login.ApprovalSimple)
			more := w.ask(vpn, says(login.FirstMore)).is(login.Relay, "")
			w.ask(vpn, says(login.FirstRight), user("binh"), withState(more.State)).is(login.BadAnswer, login.BadState)
			w.ask(vpn, says(login.FirstRight), withState(more.State)).waits()
		})
	})
}

// A verdict is a first factor that always says the same, of whoever asks.
type verdict struct{ login.First }

func (v verdict) Resolve(_ context.Context, name string) (login.Identity, error) {
	return login.Identity{ID: "uuid of " + name, Username: name}, nil
}

func (v verdict) Check(context.Context, login.Identity, []byte) (login.Checked, error) {
	return login.Checked{First: v.First, Reason: login.BadPassword}, nil
}

func TestWhoCannotBeChallengedIsHeldAndSeesNoNumber(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Challenge, login.ApprovalSimple)
		p := w.ask(vpn, w.mschap("proof"))
		p.waits()
		time.Sleep(vpn.Hold)
		p.is(login.Reject, login.HoldOver)
		w.approve("")
		w.ask(vpn, w.mschap("proof")).kept("keep-1")

		then := client(login.Hold, login.ApprovalSimple)
		then.Name, then.Then = "branch-vpn", login.ThenChallenge
		p = w.ask(then, w.mschap("proof"))
		time.Sleep(then.Hold)
		p.is(login.Reject, login.HoldOver)
		_, err := w.answer(w.phone().ID, login.Deny, "")
		require.NoError(w, err)

		number := client(login.Challenge, login.ApprovalNumber)
		number.Name = "old-vpn"
		p = w.ask(number, w.mschap("proof"))
		p.waits()
		require.Equal(w, login.ApprovalOff, w.phone().Approval, "nobody saw a number")
	})
}

// A conversation that names the user at its end, as EAP does.
func (w *world) turnsOut(id *login.Identity) func(*login.Request) {
	return func(r *login.Request) {
		r.Username, r.Conversation, r.Password = "anonymous", true, nil
		r.First = proof{upstream{w, func(int64) login.Checked { return login.Checked{First: login.FirstRight, Identity: id} }}}
	}
}

func TestAConversationMayOnlyKnowAtItsEndWhoItWas(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Hold, login.ApprovalSimple)
		an, err := w.Resolve(w.Context(), "an")
		require.NoError(w, err)
		says := func(r *login.Request) { r.Password = []byte("proof") }

		w.ask(vpn).waits()
		p := w.ask(vpn, w.turnsOut(&an), says) // the same account from the same place, whatever it said at first
		p.waits()
		require.Equal(w, "an", w.phone().Username)
		w.approve("")
		require.Equal(w, ident, p.is(login.Accept, login.Accepted).Identity.ID)
		require.Equal(w, ident, w.audited()[0].Account)

		for name, nobody := range map[string]*login.Identity{"nobody": {}, "whom the outer name says: nobody": nil} {
			w.ask(vpn, w.turnsOut(nobody), says, station(name)).is(login.Reject, login.BadPassword)
		}
		w.ask(vpn, w.turnsOut(&an)).is(login.Reject, login.BadPassword)
		require.Equal(w, 1, w.prompted())
	})
}

func TestTheLastRoundOfAConversationJoinsWhenItIsAskedAgain(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Hold, login.ApprovalSimple)
		talk := func(says string) func(*login.Request) {
			return func(r *login.Request) { r.First, r.Conversation, r.Password = conversation{w, 2}, true, []byte(says) }
		}
		one := w.ask(vpn, talk("hello")).is(login.Relay, "")
		held := w.ask(vpn, talk("last"), withState(one.State))
		held.waits()
		w.ask(vpn, talk("other"), withState(one.State)).is(login.BadAnswer, login.BadState)
		again := w.ask(vpn, talk("last"), withState(one.State))
		held.is(login.Silence, "")
		w.approve("")
		again.is(login.Accept, login.Accepted)
	})
}

// A node claims a login's prompt and does not live to send it. The next request of
// that login, at the other node, has it sent: once, whoever asks how often.
func TestAPromptOfADeadNodeIsSentByTheNext(t *testing.T) {
	in(t, func(w *world) {
		office := client(login.Hold, login.ApprovalSimple)
		other := w.second()
		other.mute = true
		other.ask(office, station("10.1.2.3")).waits()
		require.Zero(w, w.prompted()+other.prompted())
		w.ask(office, station("10.1.2.3")).waits()
		require.Zero(w, w.prompted(), "the first node may send it still")
		time.Sleep(5 * time.Second)
		for range 3 {
			w.ask(office, station("10.1.2.3")).waits()
		}
		require.Equal(w, 1, w.prompted())
		other.mute = false
		other.ask(office, station("10.1.2.3")).waits()
		require.Equal(w, 1, w.prompted()+other.prompted())
		_, err := w.answer(w.phone().ID, login.Approve, "")
		require.NoError(w, err)
	})
}

// slow is a store whose clock is behind the nodes'.
type slow struct {
	login.Store
	by time.Duration
}

func (s *slow) seen(r login.Record, err error) (login.Record, error) {
	r.Read = r.Read.Add(-s.by)
	if !r.Expires.IsZero() {
		r.Expires = r.Expires.Add(-s.by)
	}
	return r, err
}

func (s *slow) Now(ctx context.Context) (time.Time, error) {
	now, err := s.Store.Now(ctx)
	return now.Add(-s.by), err
}

func (s *slow) Load(ctx context.Context, keys ...string) (login.Record, error) {
	return s.seen(s.Store.Load(ctx, keys...))
}

func (s *slow) Find(ctx context.Context, index, after string, limit int) ([]login.Record, error) {
	all, err := s.Store.Find(ctx, index, after, limit)
	for i := range all {
		all[i], _ = s.seen(all[i], nil)
	}
	return all, err
}

func (s *slow) Save(ctx context.Context, r login.Record, c login.Condition) (login.Record, error) {
	if !r.Expires.IsZero() {
		r.Expires = r.Expires.Add(s.by)
	}
	if !c.Before.IsZero() {
		c.Before = c.Before.Add(s.by)
	}
	return s.seen(s.Store.Save(ctx, r, c))
}

func (s *slow) UseOnce(ctx context.Context, key string, expiry time.Time, durable bool) (bool, error) {
	return s.Store.UseOnce(ctx, key, expiry.Add(s.by), durable)
}

// A node whose clock is ahead would send prompts that are dead when they arrive.
func TestWhatIsLeftOfAPromptIsCountedByTheStoresClock(t *testing.T) {
	in(t, func(w *world) {
		const by = 10 * time.Minute
		w.Engine.Store = &slow{w.store, by}
		begun := time.Now()
		office := client(login.Hold, login.ApprovalSimple)
		first := w.ask(office, station("10.1.2.3"))
		first.waits()
		second := w.ask(office, station("10.1.2.4")) // prompted when the first has ended
		second.waits()
		time.Sleep(10 * time.Second)
		_, err := w.answer(w.prompts[0].Login, login.Deny, "")
		require.NoError(w, err)
		first.is(login.Reject, login.Denied)
		require.Equal(w, 2, w.prompted())
		for i, left := range []time.Duration{2 * time.Minute, 110 * time.Second} {
			require.Equal(w, left, w.prompts[i].Left)
			require.WithinDuration(w, begun.Add(2*time.Minute-by), w.prompts[i].Expires, 0)
		}
	})
}

func TestNoLoginTakesLessThanNoTime(t *testing.T) {
	in(t, func(w *world) {
		redis := &slow{Store: w.store}
		w.Engine.Store = redis
		p := w.ask(client(login.Hold, login.ApprovalSimple))
		p.waits()
		redis.by = 8 * time.Second // it has stepped back
		w.approve("")
		p.is(login.Accept, login.Accepted)
		require.Zero(w, w.audited()[0].Took)
	})
}

func TestALoginThatHasEndedIsNotPrompted(t *testing.T) {
	in(t, func(w *world) {
		w.mute = true // its prompt waits to be sent
		w.ask(client(login.Hold, login.ApprovalSimple), station("10.1.2.3")).waits()
		id := w.phone().ID
		_, err := w.answer(id, login.Deny, "")
		require.NoError(w, err)
		mine, err := w.MayPrompt(w.Context(), login.Prompt{Login: id, Expires: time.Now().Add(time.Minute)})
		require.NoError(w, err)
		require.False(w, mine)
	})
}
