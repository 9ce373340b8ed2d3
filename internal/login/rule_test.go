package login_test

import (
	"context"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
	"vssgate/internal/store"
)

// remembering is a client that remembers for an hour.
func remembering(mode login.Mode, approval login.Approval) *login.Client {
	c := client(mode, approval)
	c.Remember = time.Hour
	return c
}

// confirmed is a login that was approved after a minute of waiting, 20 s ago:
// past the time in which a lost reply may be asked for again.
func (w *world) confirmed(c *login.Client, change ...func(*login.Request)) {
	w.Helper()
	p := w.ask(c, change...)
	p.waits()
	w.approve("")
	p.is(login.Accept, login.Accepted)
	time.Sleep(20 * time.Second)
}

func (p *pending) remembered() {
	p.w.Helper()
	require.Equal(p.w, login.FactorRemembered, p.is(login.Accept, login.Accepted).Factor)
}

func TestARememberedLoginIsNotAskedAgain(t *testing.T) {
	in(t, func(w *world) {
		vpn := remembering(login.Hold, login.ApprovalSimple)
		w.confirmed(vpn) // GlobalProtect's portal
		w.ask(vpn, nas("gateway")).remembered()
		require.EqualValues(w, 2, w.checks.Load(), "the password is still checked")
		require.Equal(w, 1, w.prompted())
		records := w.audited()
		require.Len(w, records, 2)
		require.Equal(w, login.FactorApproval, records[0].Factor)
		require.Equal(w, login.FactorRemembered, records[1].Factor)
		require.Empty(w, records[1].Device)
	})
}

func TestPortalAndGatewaySecondsApart(t *testing.T) {
	in(t, func(w *world) {
		vpn := remembering(login.Hold, login.ApprovalSimple)
		p := w.ask(vpn)
		p.waits()
		w.approve("")
		p.is(login.Accept, login.Accepted)
		w.ask(vpn).is(login.Accept, login.Accepted) // one NAS: as after a lost reply
		w.ask(vpn, nas("gateway")).remembered()     // two
		require.Equal(w, 1, w.prompted())
	})
}

func TestWhatWasTypedAtThePortalDoesForTheGateway(t *testing.T) {
	in(t, func(w *world) {
		vpn := remembering(login.Append, login.ApprovalSimple)
		w.ask(vpn).is(login.Reject, login.AppendNeeded)
		typed := password + "," + w.phone().Code
		w.ask(vpn, saying(typed)).is(login.Accept, login.Accepted)
		time.Sleep(20 * time.Second)
		w.ask(vpn, saying(typed)).remembered()
		w.ask(vpn, saying(typed), station("198.51.100.9")).is(login.Reject, login.CodeUsed)
		require.Equal(w, 1, w.prompted())
	})
}

func TestWhatIsNotRemembered(t *testing.T) {
	other := func(c *login.Client) { c.Name = "branch-vpn" }
	for name, c := range map[string]struct {
		first, then func(*login.Request)
		client      func(*login.Client)
		wait        time.Duration
	}{
		"elsewhere":                     {then: station("198.51.100.9")},
		"at another client":             {client: other},
		"at a client that does not":     {client: func(c *login.Client) { c.Remember = 0 }},
		"where the time became shorter": {client: func(c *login.Client) { c.Remember = 10 * time.Second }},
		"for another account":           {then: user("binh")},
		"after its time":                {wait: time.Hour - 20*time.Second},
		"without a station":             {first: station(""), then: station("")},
		"by a proof":                    {first: byProof, then: byProof},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(w *world) {
				nothing := func(*login.Request) {}
				if c.first == nil {
					c.first = nothing
				}
				if c.then == nil {
					c.then = nothing
				}
				w.confirmed(remembering(login.Hold, login.ApprovalSimple), c.first)
				time.Sleep(c.wait)
				vpn := remembering(login.Hold, login.ApprovalSimple)
				if c.client != nil {
					c.client(vpn)
				}
				w.ask(vpn, nas("gateway"), c.then).waits()
			})
		})
	}
}

// byProof is MS-CHAP with the same challenge each time.
func byProof(r *login.Request) {
	r.Conversation, r.First, r.Password = true, proof{r.First}, []byte("proof")
}

func TestRememberingIsNeverExtended(t *testing.T) {
	in(t, func(w *world) {
		vpn := remembering(login.Hold, login.ApprovalSimple)
		w.confirmed(vpn)
		for range 3 {
			w.ask(vpn).remembered()
			time.Sleep(19 * time.Minute)
		}
		time.Sleep(3 * time.Minute)
		w.ask(vpn).waits()
	})
}

// A late approval is remembered from when it was given.
func TestRememberingBeginsWithTheConfirmation(t *testing.T) {
	in(t, func(w *world) {
		vpn := remembering(login.Hold, login.ApprovalSimple)
		p := w.ask(vpn)
		time.Sleep(vpn.Hold)
		p.is(login.Reject, login.HoldOver)
		w.approve("")
		time.Sleep(50 * time.Second)
		w.ask(vpn).is(login.Accept, login.Accepted)
		time.Sleep(time.Hour - 51*time.Second)
		w.ask(vpn).remembered()
		time.Sleep(time.Second)
		w.ask(vpn).waits()
	})
}

func TestWhatEndsRemembering(t *testing.T) {
	revoked := func(w *world) {
		require.NoError(w, w.Withdraw(w.Context(), person, func(_, device string) bool { return device == "phone-2" }))
	}
	answered := func(kind login.AnswerKind) func(*world) {
		return func(w *world) {
			p := w.ask(client(login.Hold, login.ApprovalSimple), nas("elsewhere"), station("198.51.100.9"))
			p.waits()
			_, err := w.answer(w.phone().ID, kind, "")
			require.NoError(w, err)
			p.got()
			time.Sleep(20 * time.Minute) // past the lock of a report
		}
	}
	for name, ends := range map[string]func(w *world){
		"a denied login of the person's":   answered(login.Deny),
		"a reported login of the person's": answered(login.Report),
		"a revoked device":                 revoked,
		"another person's account now":     func(w *world) { w.person = "person-2" },
		"a wrong password from there": func(w *world) {
			w.ask(remembering(login.Hold, login.ApprovalSimple), saying("wrong")).is(login.Reject, login.BadPassword)
		},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(w *world) {
				vpn := remembering(login.Hold, login.ApprovalSimple)
				w.confirmed(vpn)
				w.ask(vpn).remembered()
				ends(w)
				w.ask(vpn).waits()
			})
		})
	}
}

// The store's clock may be set back, or ahead: what is ended stays ended, and
// what is confirmed after that is remembered.
func TestWhatIsEndedStaysSoWhateverTheClockSays(t *testing.T) {
	for _, by := range []time.Duration{-50 * time.Second, -2 * time.Second, 0, 2 * time.Second, 50 * time.Second} {
		t.Run(by.String(), func(t *testing.T) {
			in(t, func(w *world) {
				way := w.link()
				node := w.secondOn(way)
				vpn := remembering(login.Hold, login.ApprovalSimple)
				confirm := func(from string) {
					p := node.ask(vpn, nas(from))
					p.waits()
					list, err := node.Logins(w.Context(), person)
					require.NoError(w, err)
					require.Len(w, list.Open, 1)
					_, err = node.answer(list.Open[0].ID, login.Approve, "")
					require.NoError(w, err)
					p.is(login.Accept, login.Accepted)
					node.ask(vpn, nas("gateway")).remembered()
				}
				revoked := func() {
					require.NoError(w, node.Withdraw(w.Context(), person, func(_, _ string) bool { return true }))
				}
				confirm("1")
				way.skew.Store(int64(by))
				revoked()
				confirm("2")
				revoked()
				way.skew.Store(0)
				confirm("3")
			})
		})
	}
}

// A login that was open when everything was ended is not remembered, though it is
// confirmed after that.
func TestALoginThatWasOpenThenIsNotRemembered(t *testing.T) {
	in(t, func(w *world) {
		vpn := remembering(login.Hold, login.ApprovalSimple)
		p := w.ask(vpn)
		p.waits()
		require.NoError(w, w.Forget(w.Context(), person))
		time.Sleep(3 * time.Second)
		w.approve("")
		p.is(login.Accept, login.Accepted)
		time.Sleep(20 * time.Second)
		w.ask(vpn).waits()
	})
}

func TestAWrongPasswordElsewhereForgetsNothing(t *testing.T) {
	in(t, func(w *world) {
		vpn := remembering(login.Hold, login.ApprovalSimple)
		w.confirmed(vpn)
		w.ask(vpn, saying("wrong"), station("198.51.100.9")).is(login.Reject, login.BadPassword)
		w.ask(vpn, saying("wrong"), user("binh")).is(login.Reject, login.BadPassword)
		w.ask(vpn).remembered()
	})
}

func TestAChangedPasswordIsRefusedAtOnce(t *testing.T) {
	in(t, func(w *world) {
		vpn := remembering(login.Hold, login.ApprovalSimple)
		w.confirmed(vpn)
		w.changed = "neu-mật-khẩu"
		w.ask(vpn).is(login.Reject, login.BadPassword)
		w.ask(vpn, saying(w.changed)).waits() // and the new one is asked for the second factor
	})
}

func TestANewPasswordIsNotRemembered(t *testing.T) {
	in(t, func(w *world) {
		vpn := remembering(login.Hold, login.ApprovalSimple)
		w.confirmed(vpn)
		w.changed = "neu-mật-khẩu"
		w.ask(vpn, saying(w.changed)).waits()
	})
}

func TestAnAccountThatIsNotUsableIsNotRemembered(t *testing.T) {
	in(t, func(w *world) {
		vpn := remembering(login.Hold, login.ApprovalSimple)
		w.confirmed(vpn)
		w.Engine.People = outdated{w}
		w.ask(vpn).is(login.Reject, login.OldApp)
	})
}

// outdated knows whose the account is, and that his VssID is too old.
type outdated struct{ w *world }

func (o outdated) Account(ctx context.Context, id login.Identity) (login.Account, error) {
	a, err := o.w.Account(ctx, id)
	a.Problem = login.OldApp
	return a, err
}

func TestAnApplicationIsRememberedByItsAddress(t *testing.T) {
	in(t, func(w *world) {
		app := remembering(login.Hold, login.ApprovalSimple)
		w.confirmed(app, bind)
		w.ask(app, bind).remembered()
		w.ask(app, bind).remembered()
		require.EqualValues(w, 3, w.checks.Load(), "each bind on its own connection")
		w.ask(app, bind, saying("wrong")).is(login.Reject, login.BadPassword)
		w.ask(app, bind).waits()
	})
}

func TestRememberingSurvivesARestartAndHoldsOnAllNodes(t *testing.T) {
	in(t, func(w *world) {
		vpn := remembering(login.Hold, login.ApprovalSimple)
		w.confirmed(vpn)
		other := w.second()
		other.ask(vpn).remembered()
		copied := t.TempDir() + "/copy.db" // as an unclean stop leaves it
		require.NoError(w, copyFile(w.path, copied))
		again, err := store.OpenEmbedded(copied, w.Engine.Log)
		require.NoError(w, err)
		defer again.Close()
		other.Engine.Store = again
		other.ask(vpn).remembered()
		require.NoError(w, other.Forget(w.Context(), person))
		other.ask(vpn, station("203.0.113.7")).waits()
	})
}

func TestAnObservedLoginIsLetInAndSaysWhatWouldHaveBeen(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Challenge, login.ApprovalNumber)
		vpn.Observe = time.Now().Add(time.Hour)
		w.ask(vpn, saying("wrong")).is(login.Reject, login.BadPassword)
		w.ask(vpn, w.through).kept("keep-2")
		w.problem = login.NoDevice
		require.Equal(w, login.FactorObserve, w.ask(vpn).is(login.Accept, login.Accepted).Factor)
		w.ask(vpn, user("nobody")).is(login.Reject, login.BadPassword)
		require.Zero(w, w.prompted())

		records := w.audited()
		require.Len(w, records, 4)
		for i, want := range []struct {
			factor  login.Factor
			wouldBe login.Reason
		}{{"", ""}, {login.FactorObserve, login.Asked}, {login.FactorObserve, login.NoDevice}, {"", ""}} {
			require.Equal(w, want.factor, records[i].Factor)
			require.Equal(w, want.wouldBe, records[i].WouldBe)
		}

		time.Sleep(time.Hour)
		w.ask(vpn).is(login.Reject, login.NoDevice)
		w.problem = ""
		w.ask(vpn).is(login.Ask, "")
		require.Equal(w, 1, w.prompted())
	})
}

func TestAnObservedLoginRemembersNothing(t *testing.T) {
	in(t, func(w *world) {
		vpn := remembering(login.Hold, login.ApprovalSimple)
		vpn.Observe = time.Now().Add(time.Minute)
		w.ask(vpn).is(login.Accept, login.Accepted)
		synctest.Wait()
		w.ask(remembering(login.Hold, login.ApprovalSimple)).waits()
	})
}

func copyFile(from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o600)
}
