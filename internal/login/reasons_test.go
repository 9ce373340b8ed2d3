package login_test

import (
	"bytes"
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
	"vssgate/internal/trail"
)

// refusing is a directory that refuses everybody for a reason.
type refusing struct {
	*world
	why login.Reason
}

func (r refusing) Check(context.Context, login.Identity, []byte) (login.Checked, error) {
	return login.Checked{First: login.FirstWrong, Reason: r.why}, nil
}

func refuses(why login.Reason) func(w *world) login.Reply {
	return func(w *world) login.Reply {
		return w.ask(client(login.Hold, login.ApprovalSimple), func(r *login.Request) { r.First = refusing{w, why} }).is(login.Reject, why)
	}
}

func hasProblem(why login.Reason) func(w *world) login.Reply {
	return func(w *world) login.Reply {
		w.problem = why
		return w.ask(client(login.Hold, login.ApprovalSimple)).is(login.Reject, why)
	}
}

// phoneSays is how a held login ends that the phone answers so.
func phoneSays(kind login.AnswerKind, want login.Reason) func(w *world) login.Reply {
	return func(w *world) login.Reply {
		held := w.ask(client(login.Hold, login.ApprovalSimple))
		_, err := w.answer(w.phone().ID, kind, "")
		require.NoError(w, err)
		return held.is(login.Reject, want)
	}
}

// typed answers a challenge with that many wrong codes.
func typedWrong(w *world, times int) (r login.Reply, code string) {
	vpn := client(login.Challenge, login.ApprovalNumber)
	r = w.ask(vpn).is(login.Ask, "")
	code = w.phone().Code
	for range times {
		r = w.ask(vpn, withState(r.State), saying(wrong(code))).got()
	}
	return r, code
}

// Whoever asks why a login failed is told the real reason: list and show (the
// trail), log and audit agree with what the request was answered.
func TestEveryReasonIsToldAsItIs(t *testing.T) {
	cases := []struct {
		reason        login.Reason
		stage, listed string // "": the reason
		verdict       login.Reason
		make          func(w *world) login.Reply
	}{
		{login.Accepted, trail.Ended, "", login.Accepted, func(w *world) login.Reply {
			r, code := typedWrong(w, 1)
			return w.ask(client(login.Challenge, login.ApprovalNumber), withState(r.State), saying(code)).is(login.Accept, login.Accepted)
		}},
		{login.BadPassword, trail.Ended, "", login.BadPassword, refuses(login.BadPassword)},
		{login.PasswordExpired, trail.Ended, "", login.PasswordExpired, refuses(login.PasswordExpired)},
		{login.AccountDisabled, trail.Ended, "", login.AccountDisabled, refuses(login.AccountDisabled)},
		{login.AccountLocked, trail.Ended, "", login.AccountLocked, refuses(login.AccountLocked)},
		{login.NotAllowed, trail.Ended, "", login.NotAllowed, refuses(login.NotAllowed)},
		{login.EmptyPassword, trail.Ended, "", login.EmptyPassword, func(w *world) login.Reply {
			return w.ask(client(login.Hold, login.ApprovalSimple), saying("")).is(login.Reject, login.EmptyPassword)
		}},
		{login.NoDevice, trail.Ended, "", login.NoDevice, hasProblem(login.NoDevice)},
		{login.NoNumber, trail.Ended, "", login.NoNumber, hasProblem(login.NoNumber)},
		{login.BadNumber, trail.Ended, "", login.BadNumber, hasProblem(login.BadNumber)},
		{login.NumberChanged, trail.Ended, "", login.NumberChanged, hasProblem(login.NumberChanged)},
		{login.NoCustodian, trail.Ended, "", login.NoCustodian, hasProblem(login.NoCustodian)},
		{login.OldApp, trail.Ended, "", login.OldApp, hasProblem(login.OldApp)},
		{login.Denied, trail.Ended, "", login.Denied, phoneSays(login.Deny, login.Denied)},
		{login.Reported, trail.Ended, "", login.Reported, phoneSays(login.Report, login.Reported)},
		{login.LockedOut, trail.Ended, "", login.LockedOut, func(w *world) login.Reply {
			phoneSays(login.Report, login.Reported)(w)
			return w.ask(client(login.Hold, login.ApprovalSimple), station("198.51.100.1")).is(login.Reject, login.LockedOut)
		}},
		{login.BadCode, trail.Ended, "", login.BadCode, func(w *world) login.Reply { r, _ := typedWrong(w, 3); return r }},
		{login.WrongNumber, trail.Ended, "", login.WrongNumber, func(w *world) login.Reply {
			vpn := client(login.Challenge, login.ApprovalNumber)
			r := w.ask(vpn).is(login.Ask, "")
			held := w.ask(vpn, withState(r.State), saying("ok"))
			held.waits()
			_, err := w.answer(w.phone().ID, login.Approve, unlike(r.Number))
			require.ErrorIs(w, err, login.ErrWrongNumber)
			return held.is(login.Reject, login.WrongNumber)
		}},
		{login.Expired, trail.Ended, "", login.Expired, func(w *world) login.Reply {
			patient := client(login.Hold, login.ApprovalSimple)
			patient.Hold = 3 * time.Minute
			held := w.ask(patient)
			time.Sleep(2 * time.Minute)
			return held.is(login.Reject, login.Expired)
		}},
		{login.Revoked, trail.Ended, "", login.Revoked, func(w *world) login.Reply {
			held := w.ask(client(login.Hold, login.ApprovalSimple))
			held.waits()
			require.NoError(w, w.Withdraw(w.Context(), person, func(string, string) bool { return true }))
			return held.is(login.Reject, login.Revoked)
		}},
		{login.SeveralLogins, trail.Open, "-", "", func(w *world) login.Reply {
			vpn := client(login.Hold, login.ApprovalSimple)
			one, _ := w.ask(vpn), w.ask(vpn, station("198.51.100.1"))
			one.waits()
			list, err := w.Logins(w.Context(), person)
			require.NoError(w, err)
			_, err = w.answer(list.Open[0].ID, login.Approve, "")
			require.ErrorIs(w, err, login.ErrSeveralLogins)
			time.Sleep(vpn.Hold)
			return one.is(login.Reject, login.SeveralLogins)
		}},
		{login.AppendNeeded, trail.Open, "-", "", func(w *world) login.Reply {
			return w.ask(client(login.Append, login.ApprovalSimple)).is(login.Reject, login.AppendNeeded)
		}},
		{login.WrongCode, trail.Open, "-", "", func(w *world) login.Reply {
			app := client(login.Append, login.ApprovalSimple)
			w.ask(app).is(login.Reject, login.AppendNeeded)
			return w.ask(app, saying(password+","+wrong(w.phone().Code))).is(login.Reject, login.WrongCode)
		}},
		{login.HoldOver, trail.Open, "-", "", func(w *world) login.Reply {
			vpn := client(login.Hold, login.ApprovalSimple)
			held := w.ask(vpn)
			time.Sleep(vpn.Hold)
			return held.is(login.Reject, login.HoldOver)
		}},
		{login.CodeUsed, trail.Ended, string(login.Accepted), login.Accepted, func(w *world) login.Reply {
			r, code := typedWrong(w, 0)
			vpn := client(login.Challenge, login.ApprovalNumber)
			w.ask(vpn, withState(r.State), saying(code)).is(login.Accept, login.Accepted)
			return w.ask(vpn, withState(r.State), saying(code), station("198.51.100.1")).is(login.Reject, login.CodeUsed)
		}},
		{login.Asked, trail.Ended, string(login.Accepted), login.Accepted, func(w *world) login.Reply {
			vpn := client(login.Hold, login.ApprovalSimple)
			vpn.Observe = time.Now().Add(time.Hour)
			r := w.ask(vpn).is(login.Accept, login.Accepted)
			require.Equal(w, login.Asked, w.audited()[0].WouldBe)
			return r
		}},
		{login.Probed, trail.Dropped, "", "", func(w *world) login.Reply {
			vpn := client(login.Hold, login.ApprovalSimple)
			w.ask(vpn).waits()
			return w.ask(vpn, func(r *login.Request) { r.Conversation, r.Probe, r.First = true, true, nil }).is(login.Silence, login.Probed)
		}},
		{login.Unavailable, trail.NoAnswer, "", "", func(w *world) login.Reply {
			w.dead.Store(true)
			return w.ask(client(login.Hold, login.ApprovalSimple)).is(login.NoAnswer, login.Unavailable)
		}},
		{login.Shed, trail.NoAnswer, "", "", func(w *world) login.Reply {
			w.MaxBusy, w.slow = 1, time.Second
			w.ask(client(login.Hold, login.ApprovalSimple)).waits()
			return w.ask(client(login.Hold, login.ApprovalSimple), station("198.51.100.1")).is(login.NoAnswer, login.Shed)
		}},
		{login.BadState, "", "", "", func(w *world) login.Reply { // the front end tells of it: radius, TestATraceThatAUserReadsLeadsSomewhere
			return w.ask(client(login.Challenge, login.ApprovalNumber), withState(make([]byte, 24))).is(login.BadAnswer, login.BadState)
		}},
	}
	tested := map[login.Reason]bool{login.BadMethod: true} // the front ends' own, likewise
	for _, c := range cases {
		tested[c.reason] = true
		t.Run(string(c.reason), func(t *testing.T) {
			in(t, func(w *world) {
				seen, log := trail.New(), &bytes.Buffer{}
				w.Engine.Trail, w.Engine.Log = seen, slog.New(slog.NewJSONHandler(log, nil))
				r := c.make(w)
				synctest.Wait()
				found := seen.Find(r.Trace)
				if c.stage == "" {
					require.NotNil(t, r.Stray)
					require.Empty(t, found)
					return
				}
				require.Nil(t, r.Stray)
				require.Len(t, found, 1, "the trace that the user reads")
				listed := map[string]string{"": string(c.reason), "-": ""}
				want, other := listed[c.listed]
				if !other {
					want = c.listed
				}
				require.Equal(t, []string{c.stage, want}, []string{found[0].Stage, found[0].Reason})
				var audited []login.Reason
				for _, rec := range w.audited() {
					if rec.Attempt == r.Attempt {
						audited = append(audited, rec.Reason)
					}
				}
				if c.verdict == "" {
					require.Empty(t, audited)
					return
				}
				require.Equal(t, []login.Reason{c.verdict}, audited)
				require.Regexp(t, `"msg":"login ended","trace":"`+r.Trace+`".*"reason":"`+string(c.verdict)+`"`, log.String())
			})
		})
	}
	for name, reason := range allReasons(t) {
		require.True(t, tested[reason], "%s (%s) has no case here", name, reason)
	}
}

// allReasons are the constants of reason.go.
func allReasons(t *testing.T) map[string]login.Reason {
	file, err := parser.ParseFile(token.NewFileSet(), "reason.go", nil, 0)
	require.NoError(t, err)
	all := map[string]login.Reason{}
	ast.Inspect(file, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok {
			if kind, ok := v.Type.(*ast.Ident); ok && kind.Name == "Reason" {
				value, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
				require.NoError(t, err)
				all[v.Names[0].Name] = login.Reason(value)
			}
		}
		return true
	})
	require.Greater(t, len(all), 25)
	return all
}

// A request that waits for another's check of the same password is the same
// login: what both users read leads to the one record.
func TestWhoWaitsForAnothersCheckReadsItsTrace(t *testing.T) {
	in(t, func(w *world) {
		seen := trail.New()
		w.Engine.Trail, w.slow = seen, time.Second
		vpn := client(login.Hold, login.ApprovalSimple)
		one, two := w.ask(vpn, saying("wrong")), w.ask(vpn, saying("wrong"))
		time.Sleep(time.Second)
		first := one.is(login.Reject, login.BadPassword)
		require.Equal(t, first.Trace, two.is(login.Reject, login.BadPassword).Trace)
		require.Len(t, w.audited(), 1)
		require.Equal(t, first.Attempt, w.audited()[0].Attempt)
		require.Len(t, seen.Logins(func(*trail.Login) bool { return true }, 0), 1)
	})
}

// What is shed in a flood costs no memory, and every trace leads somewhere.
func TestAFloodOfWhatIsShedSharesATrace(t *testing.T) {
	in(t, func(w *world) {
		seen := trail.New()
		w.Engine.Trail, w.MaxBusy, w.slow = seen, 1, time.Second
		vpn := client(login.Hold, login.ApprovalSimple)
		w.ask(vpn).waits()
		traces := map[string]bool{}
		for i := range 50 {
			r := w.ask(vpn, station(strconv.Itoa(i))).is(login.NoAnswer, login.Shed)
			require.Len(t, seen.Find(r.Trace), 1)
			traces[r.Trace] = true
		}
		require.Len(t, traces, 11)
	})
}

func TestAConversationThatNobodyGoesOnWithIsOver(t *testing.T) {
	in(t, func(w *world) {
		seen := trail.New()
		w.Engine.Trail = seen
		vpn := client(login.Hold, login.ApprovalSimple)
		first := w.ask(vpn, func(r *login.Request) { r.Conversation, r.First = true, conversation{w, 1} }).is(login.Relay, "")
		require.Equal(t, trail.Asking, seen.Find(first.Attempt.String())[0].Stage)
		time.Sleep(4 * time.Minute)
		w.ask(vpn, user("binh"))
		synctest.Wait()
		l := seen.Find(first.Attempt.String())[0]
		require.Equal(t, []string{trail.NoAnswer, "left"}, []string{l.Stage, l.Reason})
	})
}
