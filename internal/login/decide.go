package login

import "time"

// Policy is what the configuration says about all logins. Plain values.
type Policy struct {
	ValidFor     time.Duration // from the right password to the deadline
	Grace        time.Duration // how long an approval may stay uncollected
	CodeDigits   int
	NumberDigits int
	WrongCodes   int // per login
	MaxOpen      int // open attempts of one account at one client
	Lockout      Lockout
	Throttle     Throttle
	PushLimit    Limit
	Factors      FactorSet // which second factors count, unless a rule says others
	Rules        []Rule    // the first that matches decides
}

// Lockout is when wrong codes lock an account: after each After wrong codes,
// first for For, then twice as long each time up to a day; at StopAfter until
// an administrator unlocks.
type Lockout struct {
	After     int
	For       time.Duration
	StopAfter int
}

// Throttle bounds the wrong passwords passed to the directory.
type Throttle struct {
	PerAccount, PerSource int
	Within                time.Duration
}

// Limit is at most Count within Within.
type Limit struct {
	Count  int
	Within time.Duration
}

// How long a lost reply may be asked for again, a refused password is not
// tried again, and an appended code is recognised after its login ended.
const (
	repeatFor     = 10 * time.Second
	refusedFor    = 10 * time.Second
	recogniseFor  = 10 * time.Minute
	cleanUpMargin = time.Minute
)

// CodeState is what is known of a code that came with a request.
type CodeState uint8

// From uncounted to compared: a code is counted before it is compared.
const (
	NoCode CodeState = iota
	CodeUncounted
	CodeCounted
	CodeRight
	CodeWrong
)

// Facts are what is known of one request, as far as the decision needs it.
type Facts struct {
	Request   string    // its id
	Chain     int       // the chain it belongs to; -1: it carried an appended code
	Self      []byte    // by what it is known when it is asked again: join key, or State and code
	Entered   bool      // it is, or was, the newest of its chain
	Gone      bool      // the asker has left
	CanAsk    bool      // the asker can show a challenge
	Code      CodeState //
	CodeIs    Factor    // CodeRight: what it is a code of
	Begins    bool      // the code came with the password that begins a login
	First     First     // its password
	Refused   Reason    // First is FirstWrong: how
	Rule      string    // lets in without a second factor
	Problem   Reason    // what stands in the account's way
	Mode      Mode      //
	HoldUntil time.Time // zero: it is not held
	Then      Then      // when the hold is over
}

// ActionKind is what Decide wants done.
type ActionKind uint8

// The actions. The first five need no request; the last ones end in a reply.
const (
	ActWait     ActionKind = iota // until Until, or until something changes
	ActEnd                        // the attempt ends with Reason; the request is told
	ActCheck                      // ask the first factor
	ActCount                      // count the code
	ActCompare                    // compare the code
	ActPrompt                     // claim the prompt and send it, then decide again
	ActAccept                     // end the attempt and let this request in by Factor
	ActRepeat                     // the same answer as the request that was let in
	ActTell                       // reply Reason; the attempt goes on, or has ended before
	ActAsk                        // challenge
	ActRelay                      // hand the first factor's round on
	ActNoAnswer                   // a dependency is down
	ActSilence                    // reply nothing
	ActOwed                       // wait for the audit record of a verdict, then decide again
)

// An Action is the next thing to do.
type Action struct {
	Kind   ActionKind
	Reason Reason
	Factor Factor
	Until  time.Time
	Prompt PromptText // ActAsk: a text other than the usual one
}

// Decide holds the whole policy: what is known of the attempt, of the request
// (nil: a timer asks) and the store's time -> the next action. The first row
// that fits wins. Nothing but the one row ActAccept lets anybody in.
func Decide(a *Attempt, f *Facts, p *Policy, now time.Time) Action {
	switch {
	case f.silent(a):
		return Action{Kind: ActSilence}
	case f != nil && a.Verdict != nil && a.Owed: // nobody is answered before the audit record is written
		return Action{Kind: ActOwed}
	case a.Verdict != nil && f.asksAgain(a.Verdict, now):
		return Action{Kind: ActRepeat, Reason: Accepted, Factor: a.Verdict.Factor}
	case a.Verdict != nil:
		return Action{Kind: ActTell, Reason: a.Verdict.told()}
	case a.over(now) && !a.approved(now, p.Grace):
		return end(Expired)
	case a.Answer.refusal() != "":
		return end(a.Answer.refusal())
	case a.Wrong >= p.WrongCodes:
		return end(BadCode)
	case f == nil:
		return Action{Kind: ActWait, Until: a.nextChange(now, p.Grace)}
	case f.First == FirstUnknown:
		return Action{Kind: ActCheck}
	case f.First == FirstMore:
		return Action{Kind: ActRelay}
	case f.First == FirstWrong:
		return end(f.Refused)
	case f.First != FirstRight:
		return Action{Kind: ActNoAnswer, Reason: Unavailable}
	case f.grant(a, p, now) != FactorNone: // the only row that lets in
		return Action{Kind: ActAccept, Reason: Accepted, Factor: f.grant(a, p, now)}
	case f.Problem == LockedOut && a.comparing():
		return Action{Kind: ActTell, Reason: LockedOut}
	case f.Problem != "":
		return end(f.Problem)
	case f.Code == CodeUncounted && a.Counted >= p.WrongCodes: // the last of them are still being compared
		return Action{Kind: ActTell, Reason: BadCode}
	case f.Code == CodeUncounted:
		return Action{Kind: ActCount}
	case f.Code == CodeCounted:
		return Action{Kind: ActCompare}
	case f.Code == CodeWrong && f.Begins && !a.Prompted:
		return end(BadCode)
	case f.Code == CodeWrong && f.CanAsk:
		return Action{Kind: ActAsk, Prompt: PromptWrongCode}
	case f.Code == CodeWrong:
		return Action{Kind: ActTell, Reason: WrongCode}
	case !a.Prompted:
		return Action{Kind: ActPrompt}
	case f.CanAsk && (f.Mode == Challenge && f.HoldUntil.IsZero() || a.Phoneless != 0):
		return Action{Kind: ActAsk}
	case f.Mode == Append || a.Phoneless != 0:
		return Action{Kind: ActTell, Reason: AppendNeeded}
	case now.Before(f.HoldUntil):
		return Action{Kind: ActWait, Until: f.HoldUntil}
	case f.Then == ThenChallenge && f.CanAsk:
		return Action{Kind: ActAsk, Prompt: PromptAgain}
	default:
		return Action{Kind: ActTell, Reason: HoldOver}
	}
}

// grant is by what a request whose password is right may be let in now: a
// written rule; a right code before the deadline; an approval given before
// the deadline and younger than grace, for the newest request of its chain.
func (f *Facts) grant(a *Attempt, p *Policy, now time.Time) Factor {
	switch {
	case f.Rule != "":
		return Factor(f.Rule)
	case f.Problem != "":
		return FactorNone
	case f.Code == CodeRight && now.Before(a.Deadline):
		return f.CodeIs
	case f.Code == NoCode && a.approved(now, p.Grace) && a.Answer.letsIn(a, f.Chain):
		return FactorApproval
	}
	return FactorNone
}

// letsIn tells whether an approval is for that chain: the one whose number was
// typed; without a number the newest, whichever that is when it is collected.
func (g *Given) letsIn(a *Attempt, chain int) bool {
	if g.Number == "" {
		return chain >= 0 && chain == a.newest()
	}
	return chain == g.Chain
}

// comparing: a code that was counted is still to be compared. It may be right,
// so whoever comes behind it is refused, but does not end the login.
func (a *Attempt) comparing() bool { return a.Counted > a.Wrong }

// silent: the asker has gone, or a newer request of the same chain came.
func (f *Facts) silent(a *Attempt) bool {
	if f == nil {
		return false
	}
	return f.Gone || f.Entered && (f.Chain >= len(a.Chains) || a.Chains[f.Chain].Newest != f.Request)
}

// asksAgain: the reply that let this request in was lost. A verdict that lies far
// ahead is of before the store's clock was set back, nobody knows how long ago.
func (f *Facts) asksAgain(v *Verdict, now time.Time) bool {
	return f != nil && v.Reason == Accepted && len(v.LetIn) > 0 && string(v.LetIn) == string(f.Self) && now.Sub(v.At).Abs() < repeatFor
}

// told is what a request learns that comes too late for the verdict.
func (v *Verdict) told() Reason {
	if v.Reason == Accepted {
		return CodeUsed
	}
	return v.Reason
}

// refusal is the verdict a phone's answer asks for; "" none.
func (g *Given) refusal() Reason {
	if g == nil {
		return ""
	}
	switch g.Kind {
	case Approve:
		return ""
	case Report:
		return Reported
	case WrongNumberGiven:
		return WrongNumber
	case Withdrawn:
		return Revoked
	default:
		return Denied
	}
}

// over tells whether the deadline has come. An attempt whose password is not
// proven yet has none.
func (a *Attempt) over(now time.Time) bool {
	return !a.Deadline.IsZero() && !now.Before(a.Deadline)
}

// nextChange is when time alone will change the decision.
func (a *Attempt) nextChange(now time.Time, grace time.Duration) time.Time {
	if a.approved(now, grace) {
		if collect := a.Answer.At.Add(grace); collect.After(a.Deadline) {
			return collect
		}
	}
	return a.Deadline
}

func end(r Reason) Action { return Action{Kind: ActEnd, Reason: r} }
