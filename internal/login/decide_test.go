package login

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	began    = time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)
	deadline = began.Add(2 * time.Minute)
	testRule = Policy{ValidFor: 2 * time.Minute, Grace: time.Minute, CodeDigits: 6, NumberDigits: 2, WrongCodes: 3, MaxOpen: 3}
)

// open is an attempt whose password is proven and whose prompt is out, with
// one chain whose newest request is "r".
func open(change ...func(*Attempt)) *Attempt {
	a := &Attempt{Created: began, Deadline: deadline, Prompted: true, Chains: []Chain{{Newest: "r", Number: "42"}}}
	for _, c := range change {
		c(a)
	}
	return a
}

func ended(reason Reason, ago time.Duration) func(*Attempt) {
	return func(a *Attempt) {
		a.Verdict = &Verdict{Reason: reason, Factor: FactorCode, At: began.Add(time.Minute - ago), LetIn: []byte("self")}
	}
}

func answered(g Given) func(*Attempt) { return func(a *Attempt) { a.Answer = &g } }

// asks is a request with a right password in mode hold.
func asks(change ...func(*Facts)) *Facts {
	f := &Facts{Request: "r", Entered: true, Self: []byte("self"), First: FirstRight, Mode: Hold, Then: ThenReject, HoldUntil: began.Add(90 * time.Second)}
	for _, c := range change {
		c(f)
	}
	return f
}

func TestDecide(t *testing.T) {
	first := func(first First, why Reason) func(*Facts) {
		return func(f *Facts) { f.First, f.Refused = first, why }
	}
	code := func(c CodeState) func(*Facts) {
		return func(f *Facts) {
			if f.Code = c; c == CodeRight {
				f.CodeIs = FactorCode
			}
		}
	}
	phoneless := func(a *Attempt) { a.Phoneless = AllowTOTP }
	begins := func(f *Facts) { f.Chain, f.Entered, f.Begins = -1, false, true }
	unprompted := func(a *Attempt) { a.Prompted, a.Chains = false, nil }
	challenged := func(f *Facts) { f.Mode, f.CanAsk, f.HoldUntil, f.Then = Challenge, true, time.Time{}, ThenChallenge }
	noFacts := (*Facts)(nil)
	minute := began.Add(time.Minute)
	approved := Given{Kind: Approve, Number: "42", At: began.Add(50 * time.Second)}
	simple := Given{Kind: Approve, At: began.Add(50 * time.Second)}

	for _, c := range []struct {
		name string
		a    *Attempt
		f    *Facts
		now  time.Time
		want Action
	}{
		{"a request whose asker has gone is dropped", open(), asks(func(f *Facts) { f.Gone = true }), minute, Action{Kind: ActSilence}},
		{"a request that a newer one superseded is dropped", open(), asks(func(f *Facts) { f.Request = "older" }), minute, Action{Kind: ActSilence}},
		{"a superseded request is dropped even when the login was denied", open(ended(Denied, 0)), asks(func(f *Facts) { f.Request = "older" }), minute, Action{Kind: ActSilence}},
		{"the request that was let in gets the same answer within 10 s", open(ended(Accepted, 9*time.Second)), asks(func(f *Facts) { f.Entered = false }), minute, Action{Kind: ActRepeat, Reason: Accepted, Factor: FactorCode}},
		{"after 10 s the code has been used", open(ended(Accepted, 10*time.Second)), asks(), minute, Action{Kind: ActTell, Reason: CodeUsed}},
		{"nor is an accept given again that lies 10 s ahead: the clock was set back", open(ended(Accepted, -10*time.Second)), asks(), minute, Action{Kind: ActTell, Reason: CodeUsed}},
		{"a clock that is a little behind does no harm", open(ended(Accepted, -9*time.Second)), asks(), minute, Action{Kind: ActRepeat, Reason: Accepted, Factor: FactorCode}},
		{"another request than the one let in learns that the code was used", open(ended(Accepted, time.Second)), asks(func(f *Facts) { f.Self = []byte("other") }), minute, Action{Kind: ActTell, Reason: CodeUsed}},
		{"a request that nothing is known of never repeats an accept", open(func(a *Attempt) { a.Verdict = &Verdict{Reason: Accepted, At: minute} }), asks(func(f *Facts) { f.Self = nil }), minute, Action{Kind: ActTell, Reason: CodeUsed}},
		{"an ended login tells its reason", open(ended(Denied, time.Second)), asks(), minute, Action{Kind: ActTell, Reason: Denied}},
		{"at the deadline a login expires", open(), asks(), deadline, Action{Kind: ActEnd, Reason: Expired}},
		{"a timer finds the deadline too", open(), noFacts, deadline, Action{Kind: ActEnd, Reason: Expired}},
		{"a right code at the deadline is too late", open(), asks(code(CodeRight)), deadline, Action{Kind: ActEnd, Reason: Expired}},
		{"an approval given in time is collected after the deadline", open(answered(Given{Kind: Approve, Number: "42", At: deadline.Add(-time.Second)})), asks(), deadline.Add(50 * time.Second), Action{Kind: ActAccept, Reason: Accepted, Factor: FactorApproval}},
		{"an approval older than grace is void", open(answered(Given{Kind: Approve, Number: "42", At: deadline.Add(-time.Second)})), asks(), deadline.Add(59 * time.Second), Action{Kind: ActEnd, Reason: Expired}},
		{"an approval given at the deadline is void", open(answered(Given{Kind: Approve, Number: "42", At: deadline})), asks(), deadline, Action{Kind: ActEnd, Reason: Expired}},
		{"a right code after the deadline is too late even while an approval waits", open(answered(Given{Kind: Approve, Number: "42", At: deadline.Add(-time.Second)})), asks(code(CodeRight)), deadline.Add(time.Second), Action{Kind: ActTell, Reason: HoldOver}},
		{"a denied login ends", open(answered(Given{Kind: Deny})), asks(), minute, Action{Kind: ActEnd, Reason: Denied}},
		{"a reported login ends", open(answered(Given{Kind: Report})), noFacts, minute, Action{Kind: ActEnd, Reason: Reported}},
		{"a wrong number ends it", open(answered(Given{Kind: WrongNumberGiven})), noFacts, minute, Action{Kind: ActEnd, Reason: WrongNumber}},
		{"a withdrawn login ends", open(answered(Given{Kind: Withdrawn})), asks(), minute, Action{Kind: ActEnd, Reason: Revoked}},
		{"an answer of an unknown kind refuses", open(answered(Given{Kind: "maybe"})), asks(), minute, Action{Kind: ActEnd, Reason: Denied}},
		{"wrong codes at the limit end it", open(func(a *Attempt) { a.Wrong, a.Counted = 3, 3 }), asks(), minute, Action{Kind: ActEnd, Reason: BadCode}},
		{"a timer waits for the deadline", open(), noFacts, minute, Action{Kind: ActWait, Until: deadline}},
		{"a timer waits for the end of grace", open(answered(Given{Kind: Approve, At: deadline.Add(-time.Second)})), noFacts, minute, Action{Kind: ActWait, Until: deadline.Add(59 * time.Second)}},
		{"an unproven password is checked", &Attempt{}, asks(first(FirstUnknown, ""), code(CodeRight)), minute, Action{Kind: ActCheck}},
		{"a first factor of several rounds is relayed", &Attempt{}, asks(first(FirstMore, "")), minute, Action{Kind: ActRelay}},
		{"a wrong password ends it", &Attempt{}, asks(first(FirstWrong, BadPassword), code(CodeRight)), minute, Action{Kind: ActEnd, Reason: BadPassword}},
		{"an unreachable directory gives no answer", &Attempt{}, asks(first(FirstUnreachable, "")), minute, Action{Kind: ActNoAnswer, Reason: Unavailable}},
		{"a first factor that nobody knows gives no answer", open(), asks(first(First(99), ""), code(CodeRight)), minute, Action{Kind: ActNoAnswer, Reason: Unavailable}},
		{"a rule lets in and is named", &Attempt{}, asks(func(f *Facts) { f.Rule = "exempt:cn=svc" }), minute, Action{Kind: ActAccept, Reason: Accepted, Factor: "exempt:cn=svc"}},
		{"a rule does not let a wrong password in", &Attempt{}, asks(first(FirstWrong, BadPassword), func(f *Facts) { f.Rule = "exempt:cn=svc" }), minute, Action{Kind: ActEnd, Reason: BadPassword}},
		{"an account without device is refused", &Attempt{}, asks(func(f *Facts) { f.Problem = NoDevice }), minute, Action{Kind: ActEnd, Reason: NoDevice}},
		{"a locked account is refused with the right code", open(), asks(code(CodeRight), func(f *Facts) { f.Problem = LockedOut }), minute, Action{Kind: ActEnd, Reason: LockedOut}},
		{"a locked account is refused when approved", open(answered(approved)), asks(func(f *Facts) { f.Problem = LockedOut }), minute, Action{Kind: ActEnd, Reason: LockedOut}},
		{"a code is counted before it is compared", open(), asks(code(CodeUncounted)), minute, Action{Kind: ActCount}},
		{"no more codes are counted than may be wrong", open(func(a *Attempt) { a.Counted = 3 }), asks(code(CodeUncounted)), minute, Action{Kind: ActTell, Reason: BadCode}},
		{"who comes behind a code that is being compared does not end the login", open(func(a *Attempt) { a.Counted = 1 }), asks(code(CodeUncounted), func(f *Facts) { f.Problem = LockedOut }), minute, Action{Kind: ActTell, Reason: LockedOut}},
		{"a locked account ends it when none is", open(func(a *Attempt) { a.Counted, a.Wrong = 1, 1 }), asks(code(CodeUncounted), func(f *Facts) { f.Problem = LockedOut }), minute, Action{Kind: ActEnd, Reason: LockedOut}},
		{"a counted code is compared", open(func(a *Attempt) { a.Counted = 3 }), asks(code(CodeCounted)), minute, Action{Kind: ActCompare}},
		{"the right code lets in", open(func(a *Attempt) { a.Counted, a.Wrong = 3, 2 }), asks(code(CodeRight)), minute, Action{Kind: ActAccept, Reason: Accepted, Factor: FactorCode}},
		{"the right code lets in by the appended way", open(), asks(code(CodeRight), func(f *Facts) { f.Chain, f.Entered = -1, false }), minute, Action{Kind: ActAccept, Reason: Accepted, Factor: FactorCode}},
		{"a code of the account's own lets in and is named", open(), asks(code(CodeRight), func(f *Facts) { f.CodeIs = FactorTOTP }), minute, Action{Kind: ActAccept, Reason: Accepted, Factor: FactorTOTP}},
		{"a right code of nobody knows what does not", open(), asks(code(CodeRight), func(f *Facts) { f.CodeIs = FactorNone }), minute, Action{Kind: ActWait, Until: began.Add(90 * time.Second)}},
		{"a code of the account's own at the deadline is too late", open(), asks(code(CodeRight), func(f *Facts) { f.CodeIs = FactorHelp }), deadline, Action{Kind: ActEnd, Reason: Expired}},
		{"a wrong code that came with the password opens no login", open(unprompted), asks(code(CodeWrong), begins), minute, Action{Kind: ActEnd, Reason: BadCode}},
		{"it does not end a login that others wait in", open(), asks(code(CodeWrong), begins), minute, Action{Kind: ActTell, Reason: WrongCode}},
		{"a wrong code prompts nobody", open(unprompted), asks(code(CodeWrong), func(f *Facts) { f.Chain, f.Entered = -1, false }), minute, Action{Kind: ActTell, Reason: WrongCode}},
		{"no phone can confirm: a request that cannot be asked is not held", open(phoneless), asks(), minute, Action{Kind: ActTell, Reason: AppendNeeded}},
		{"no phone can confirm: `ok` is asked again at once", open(phoneless), asks(challenged, func(f *Facts) { f.HoldUntil = minute.Add(time.Second) }), minute, Action{Kind: ActAsk}},
		{"no phone can confirm: hold, then challenge, asks at once", open(phoneless), asks(func(f *Facts) { f.CanAsk, f.Then = true, ThenChallenge }), minute, Action{Kind: ActAsk}},
		{"an approval lets the newest request of its chain in", open(answered(approved)), asks(), minute, Action{Kind: ActAccept, Reason: Accepted, Factor: FactorApproval}},
		{"an approval with a number lets no other chain in", open(answered(approved), func(a *Attempt) { a.Chains = append(a.Chains, Chain{Newest: "r2", Number: "77"}) }),
			asks(func(f *Facts) { f.Request, f.Chain = "r2", 1 }), minute, Action{Kind: ActWait, Until: began.Add(90 * time.Second)}},
		{"an approval without number lets the newest chain in", open(answered(simple), func(a *Attempt) { a.Chains = append(a.Chains, Chain{Newest: "r2"}) }),
			asks(func(f *Facts) { f.Request, f.Chain = "r2", 1 }), minute, Action{Kind: ActAccept, Reason: Accepted, Factor: FactorApproval}},
		{"an approval without number lets no older chain in", open(answered(simple), func(a *Attempt) { a.Chains = append(a.Chains, Chain{Newest: "r2"}) }),
			asks(), minute, Action{Kind: ActWait, Until: began.Add(90 * time.Second)}},
		{"an approval does not make a wrong code right", open(answered(approved)), asks(code(CodeWrong)), minute, Action{Kind: ActTell, Reason: WrongCode}},
		{"an approval lets no appended code in", open(answered(simple)), asks(code(CodeWrong), func(f *Facts) { f.Chain, f.Entered = -1, false }), minute, Action{Kind: ActTell, Reason: WrongCode}},
		{"the prompt is claimed once the password is right", open(func(a *Attempt) { a.Prompted = false }), asks(), minute, Action{Kind: ActPrompt}},
		{"a wrong code is challenged again", open(), asks(code(CodeWrong), challenged), minute, Action{Kind: ActAsk, Prompt: PromptWrongCode}},
		{"mode challenge asks at once", open(), asks(challenged), minute, Action{Kind: ActAsk}},
		{"mode append says what to add", open(), asks(func(f *Facts) { f.Mode, f.HoldUntil = Append, time.Time{} }), minute, Action{Kind: ActTell, Reason: AppendNeeded}},
		{"mode append collects an approval", open(answered(simple)), asks(func(f *Facts) { f.Mode, f.HoldUntil = Append, time.Time{} }), minute, Action{Kind: ActAccept, Reason: Accepted, Factor: FactorApproval}},
		{"a request is held", open(), asks(), minute, Action{Kind: ActWait, Until: began.Add(90 * time.Second)}},
		{"`ok` is held and then challenged again", open(), asks(challenged, func(f *Facts) { f.HoldUntil = minute }), minute, Action{Kind: ActAsk, Prompt: PromptAgain}},
		{"hold over, then challenge", open(), asks(func(f *Facts) { f.HoldUntil, f.Then, f.CanAsk = minute, ThenChallenge, true }), minute, Action{Kind: ActAsk, Prompt: PromptAgain}},
		{"hold over, then challenge that the NAS cannot show", open(), asks(func(f *Facts) { f.HoldUntil, f.Then = minute, ThenChallenge }), minute, Action{Kind: ActTell, Reason: HoldOver}},
		{"hold over, then reject", open(), asks(func(f *Facts) { f.HoldUntil = minute }), minute, Action{Kind: ActTell, Reason: HoldOver}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if len(c.a.Chains) == 0 {
				c.f.Entered = false // nothing to enter yet
			}
			require.Equal(t, c.want, Decide(c.a, c.f, &testRule, c.now))
		})
	}
}

// Over every combination of what can be known, an accept needs a right
// password and a second factor of this login, or a rule that it names.
func TestAcceptNeedsBothFactors(t *testing.T) {
	accepts := 0
	for _, answer := range []*Given{nil, {Kind: Approve, Number: "42", At: began}, {Kind: Approve, At: began}, {Kind: Deny, At: began}, {Kind: "?"}} {
		for _, verdict := range []*Verdict{nil, {Reason: Accepted, At: began}, {Reason: Denied, At: began}} {
			for first := FirstUnknown; first <= FirstUnreachable+1; first++ {
				for code := NoCode; code <= CodeWrong+1; code++ {
					for _, mode := range []Mode{Challenge, Hold, Append, "?"} {
						for _, chain := range []int{-1, 0} {
							for _, problem := range []Reason{"", NoDevice} {
								for _, rule := range []string{"", "exempt:x"} {
									for _, after := range []time.Duration{0, time.Minute - 1, time.Minute, 2*time.Minute - 1, 2 * time.Minute, 4 * time.Minute} {
										a := open(func(a *Attempt) { a.Answer, a.Verdict = answer, verdict })
										f := &Facts{Request: "r", Chain: chain, First: first, Code: code, Mode: mode, Problem: problem, Rule: rule, HoldUntil: began.Add(time.Minute)}
										now := began.Add(after)
										act := Decide(a, f, &testRule, now)
										if act.Kind != ActAccept && act.Kind != ActRepeat {
											continue
										}
										accepts++
										require.Equal(t, FirstRight, first)
										require.Nil(t, verdict)
										require.NotEqual(t, ActRepeat, act.Kind)
										switch act.Factor {
										case "exempt:x":
											require.Equal(t, "exempt:x", rule)
										case FactorCode:
											require.Equal(t, CodeRight, code)
											require.True(t, now.Before(deadline))
											require.Empty(t, problem)
										case FactorApproval:
											require.NotNil(t, answer)
											require.Equal(t, Approve, answer.Kind)
											require.Less(t, after, testRule.Grace)
											require.Equal(t, 0, chain)
											require.Empty(t, problem)
										default:
											t.Fatalf("let in by %q", act.Factor)
										}
									}
								}
							}
						}
					}
				}
			}
		}
	}
	require.NotZero(t, accepts)
}

// A number that nobody sees could only be typed by mistake.
func TestWhoCannotBeChallengedHasNoNumber(t *testing.T) {
	e := New(Options{Policy: testRule})
	a := &Attempt{Approval: ApprovalNumber, Number: true}
	require.NotEmpty(t, e.newNumber(a, &asking{work: &work{req: &Request{}}}))
	require.Empty(t, e.newNumber(a, &asking{work: &work{req: &Request{NoChallenge: true}}}))
}
