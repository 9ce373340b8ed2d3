package login_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
)

// ruled adds policies that match everybody.
func (w *world) ruled(rules ...login.Rule) {
	for i := range rules {
		rules[i].Name = "policies[" + string(rune('0'+i)) + "]"
		if rules[i].Match == nil {
			rules[i].Match = func(*login.Request, *login.Identity) bool { return true }
		}
	}
	w.Policy.Rules = rules
}

func TestWhenAPolicyLetsInOnThePasswordAlone(t *testing.T) {
	soon, past := time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC), time.Unix(0, 0)
	for _, c := range []struct {
		name    string
		rule    login.Rule
		problem login.Reason
		by      login.Factor // "": asked, or refused for the problem
		would   login.Reason
		told    bool // that a phone will be needed
	}{
		{"always", login.Rule{}, "", "", "", false},
		{"always, without a phone", login.Rule{}, login.NoDevice, "", "", false},
		{"never", login.Rule{Require: login.RequireNever, Date: soon}, "", "exempt:policies[0]", login.Asked, false},
		{"never, without a phone", login.Rule{Require: login.RequireNever, Date: soon}, login.NoDevice, "exempt:policies[0]", login.NoDevice, false},
		{"never, but its time is over", login.Rule{Require: login.RequireNever, Date: past}, "", "", "", false},
		{"never, from a network", login.Rule{Require: login.RequireNever, Date: soon, Network: true}, "", login.FactorTrustedNetwork, login.Asked, false},
		{"never, for a locked account", login.Rule{Require: login.RequireNever, Date: soon}, login.LockedOut, "", "", false},
		{"from a day to come", login.Rule{Require: login.RequireFrom, Date: soon}, "", "exempt:policies[0]", login.Asked, false},
		{"from a day to come, without a phone", login.Rule{Require: login.RequireFrom, Date: soon}, login.NoDevice, "exempt:policies[0]", login.NoDevice, true},
		{"from a day to come, without a number", login.Rule{Require: login.RequireFrom, Date: soon}, login.NoNumber, "exempt:policies[0]", login.NoNumber, true},
		{"from a day that has come", login.Rule{Require: login.RequireFrom, Date: past}, "", "", "", false},
		{"from a day that has come, without a phone", login.Rule{Require: login.RequireFrom, Date: past}, login.NoDevice, "", "", false},
		{"if there is a phone, and there is", login.Rule{Require: login.RequireIfDevice}, "", "", "", false},
		{"if there is a phone, and there is none", login.Rule{Require: login.RequireIfDevice}, login.NoDevice, "exempt:policies[0]", login.NoDevice, false},
		{"if there is a phone, and not even a number", login.Rule{Require: login.RequireIfDevice}, login.NoNumber, "exempt:policies[0]", login.NoNumber, false},
		{"if there is a phone, and it is too old", login.Rule{Require: login.RequireIfDevice}, login.OldApp, "", "", false},
		{"if there is a phone, and the number has changed", login.Rule{Require: login.RequireIfDevice}, login.NumberChanged, "", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			in(t, func(w *world) {
				w.problem = c.problem
				w.ruled(c.rule)
				p := w.ask(client(login.Hold, login.ApprovalSimple))
				switch {
				case c.by == "" && c.problem == "":
					p.waits()
				case c.by == "":
					p.is(login.Reject, c.problem)
				default:
					r := p.is(login.Accept, login.Accepted)
					require.Equal(w, c.by, r.Factor)
					require.Equal(w, c.told, !r.Required.IsZero())
					last := w.audited()[0]
					require.Equal(w, c.would, last.WouldBe)
					require.Equal(w, c.by, last.Factor)
					require.Zero(w, w.prompted())
				}
				w.ask(client(login.Hold, login.ApprovalSimple), saying("wrong")).is(login.Reject, login.BadPassword)
			})
		})
	}
}

func TestTheFirstPolicyThatMatchesDecides(t *testing.T) {
	in(t, func(w *world) {
		never := login.Rule{Require: login.RequireNever, Date: time.Now().Add(time.Hour)}
		only := func(name string) func(*login.Request, *login.Identity) bool {
			return func(_ *login.Request, who *login.Identity) bool { return who.Username == name }
		}
		first, second := never, login.Rule{}
		first.Match, second.Match = only("binh"), only("an")
		w.ruled(first, second, never)
		w.ask(client(login.Hold, login.ApprovalSimple)).waits()
		w.ask(client(login.Hold, login.ApprovalSimple), user("binh")).is(login.Accept, login.Accepted)
		time.Sleep(time.Hour) // the end of an exemption needs no restart
		w.ask(client(login.Hold, login.ApprovalSimple), user("binh")).waits()
	})
}

func TestAPolicyChoosesTheFactors(t *testing.T) {
	in(t, func(w *world) {
		w.ruled(login.Rule{Factors: login.AllowCode})
		vpn := client(login.Challenge, login.ApprovalSimple)
		q := w.ask(vpn).is(login.Ask, "")
		require.Equal(w, login.ApprovalOff, w.phone().Approval)
		_, err := w.answer(w.phone().ID, login.Approve, "")
		require.ErrorIs(w, err, login.ErrApprovalOff)
		w.ask(vpn, withState(q.State), saying(w.phone().Code)).is(login.Accept, login.Accepted)
	})
	in(t, func(w *world) {
		w.ruled(login.Rule{Factors: login.AllowApprove})
		vpn := client(login.Challenge, login.ApprovalSimple)
		q := w.ask(vpn).is(login.Ask, "")
		require.Empty(w, w.phone().Code, "a code that does not count is not shown")
		id := w.phone().ID
		code := w.Keys.Code(id[:], 6)
		q = w.ask(vpn, withState(q.State), saying(code)).is(login.Ask, "")
		require.Equal(w, login.PromptWrongCode, q.Prompt, "nor does it let in")
		w.approve("")
		w.ask(vpn, withState(q.State), saying("ok")).is(login.Accept, login.Accepted)
	})
}

func TestAnEmergencyLetsItsGroupInUntilItEnds(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Hold, login.ApprovalSimple)
		w.InGroup = func(_ []string, dn string) bool { return dn == "cn=duty" }
		w.problem = login.NoDevice
		w.ask(vpn).is(login.Reject, login.NoDevice)
		_, err := w.DeclareEmergency(w.Context(), login.Emergency{Group: "cn=others"}, time.Hour)
		require.NoError(w, err)
		w.ask(vpn).is(login.Reject, login.NoDevice)
		require.NoError(w, w.EndEmergency(w.Context()))

		for _, span := range []time.Duration{0, 59 * time.Second, time.Hour + time.Second} {
			_, err = w.DeclareEmergency(w.Context(), login.Emergency{Group: "cn=duty"}, span)
			require.ErrorIs(w, err, login.ErrEmergencySpan)
		}
		on, err := w.DeclareEmergency(w.Context(), login.Emergency{Group: "cn=duty", Why: "down"}, 30*time.Minute)
		require.NoError(w, err)
		_, err = w.DeclareEmergency(w.Context(), login.Emergency{Group: "cn=duty"}, time.Hour)
		require.ErrorIs(w, err, login.ErrEmergencyOn, "it cannot be renewed while it is on")
		require.Equal(w, login.FactorEmergency, w.ask(vpn).is(login.Accept, login.Accepted).Factor)
		w.ask(vpn, saying("wrong")).is(login.Reject, login.BadPassword)
		w.problem = login.LockedOut
		w.ask(vpn, station("198.51.100.7")).is(login.Reject, login.LockedOut)
		w.problem = login.NoDevice

		w.Engine = login.New(w.Options) // and it survives a restart
		ctx, stop := context.WithCancel(w.Context())
		defer stop()
		go w.Engine.Run(ctx)
		synctest.Wait()
		require.Equal(w, login.FactorEmergency, w.ask(vpn, station("198.51.100.8")).is(login.Accept, login.Accepted).Factor)
		time.Sleep(time.Until(on.Until))
		w.ask(vpn, station("198.51.100.9")).is(login.Reject, login.NoDevice)
		none, err := w.EmergencyOn(w.Context())
		require.NoError(w, err)
		require.Nil(w, none)
	})
}

func TestPoliciesSeeAllGroupsAndTheLoginKeepsFew(t *testing.T) {
	in(t, func(w *world) {
		w.groups = []string{"cn=a", "cn=b", "cn=c"}
		w.KeepGroups = func(all []string) []string {
			require.Len(w, all, 3)
			return all[:1]
		}
		seen := 0
		w.ruled(login.Rule{Match: func(_ *login.Request, who *login.Identity) bool { seen = len(who.Groups); return false }})
		p := w.ask(client(login.Hold, login.ApprovalSimple))
		p.waits()
		require.Equal(w, 3, seen)
		w.approve("")
		require.Equal(w, []string{"cn=a"}, p.is(login.Accept, login.Accepted).Identity.Groups)
	})
}

func TestGroupsAreCompletedWhenThePasswordIsRight(t *testing.T) {
	in(t, func(w *world) {
		asked := 0
		w.groups, w.later = []string{"cn=a"}, func() ([]string, error) { asked++; return []string{"cn=a", "cn=above"}, nil }
		w.ruled(login.Rule{Name: "above", Match: func(_ *login.Request, who *login.Identity) bool { return slices.Contains(who.Groups, "cn=above") }, Require: login.RequireNever, Date: time.Now().Add(time.Hour)})
		w.ask(client(login.Hold, login.ApprovalSimple), saying("wrong")).is(login.Reject, login.BadPassword)
		require.Zero(w, asked, "strangers cannot make the directory work")
		reply := w.ask(client(login.Hold, login.ApprovalSimple)).is(login.Accept, login.Accepted)
		require.Equal(w, 1, asked)
		require.Equal(w, []string{"cn=a", "cn=above"}, reply.Identity.Groups)
	})
}

// Which rule is somebody's cannot be told without the groups.
func TestGroupsThatCannotBeAskedForGiveNoAnswer(t *testing.T) {
	in(t, func(w *world) {
		w.later = func() ([]string, error) { return nil, errors.New("directory is down") }
		w.ruled(login.Rule{Require: login.RequireNever, Date: time.Now().Add(time.Hour)})
		w.ask(client(login.Hold, login.ApprovalSimple)).is(login.NoAnswer, login.Unavailable)
	})
}
