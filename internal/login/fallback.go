package login

import (
	"bytes"
	"context"

	"vssgate/otp"
)

// Codes of an account's own (Fallbacks) name no login: who has one needs no
// phone. They are typed where the login's own code is, and count where the
// policy allows them. Each is good once: it is used up, and that is committed,
// before anybody is let in by it; a crash in between loses the code.

const allowFallbacks = AllowTOTP | AllowRecovery | AllowHelp

// mayUse are the factors that count for anybody.
func (p *Policy) mayUse() FactorSet {
	all := p.Factors
	for i := range p.Rules {
		all |= p.Rules[i].Factors
	}
	return all
}

// codeOf is the code in what was typed at a challenge; "" when it has the form
// of none that counts. VssID shows its own as 123 456.
func (p *Policy) codeOf(typed []byte, factors FactorSet) string {
	said := bytes.ReplaceAll(typed, []byte(" "), nil)
	for digits := range p.lengths(factors) {
		if otp.IsCode(said, digits) {
			return string(said)
		}
	}
	if code, ok := otp.ParseRecoveryCode(string(typed)); ok && factors&AllowRecovery != 0 {
		return code
	}
	return ""
}

// lengths are those of codes of digits, the longest first.
func (p *Policy) lengths(factors FactorSet) func(yield func(digits int) bool) {
	return func(yield func(int) bool) {
		for digits := otp.MaxDigits; digits >= otp.MinDigits; digits-- {
			counts := digits == p.CodeDigits || digits == otp.TimeDigits && factors&AllowTOTP != 0 || digits == otp.HelpDigits && factors&AllowHelp != 0
			if counts && !yield(digits) {
				return
			}
		}
	}
}

// A cut is a password and the code that was appended to it.
type cut struct {
	password []byte
	code     string
}

// cuts are the ways to split an appended code off that would count.
func (p *Policy) cuts(r *Request, factors FactorSet) (ways []cut) {
	if r.Conversation || r.Rule != "" || len(r.State) > 0 {
		return nil
	}
	for digits := range p.lengths(factors) {
		if password, code, ok := cutCode(r.Password, r.Client.Separator, digits); ok {
			ways = append(ways, cut{password, code})
		}
	}
	separator := []byte(r.Client.Separator)
	if at := bytes.LastIndex(r.Password, separator); at >= 0 && len(separator) > 0 && factors&AllowRecovery != 0 {
		if code, ok := otp.ParseRecoveryCode(string(r.Password[at+len(separator):])); ok {
			ways = append(ways, cut{r.Password[:at], code})
		}
	}
	return ways
}

// cutFallback takes a code of the account's own off the password that begins a
// login: for an account that has such codes the part before it is the password.
func (e *Engine) cutFallback(ctx context.Context, q *asking, id *Identity) error {
	if q.code != "" || e.Fallbacks == nil {
		return nil
	}
	if len(e.PolicyNow().cuts(q.req, e.PolicyNow().mayUse())) == 0 {
		return nil // as nearly always: nobody is asked
	}
	now, err := e.Store.Now(ctx)
	if err != nil {
		return err
	}
	kinds, _, err := e.Fallbacks.Fallbacks(ctx, id.ID)
	if err != nil {
		return err
	}
	factors := e.PolicyNow().FactorsFor(q.req, id, now)
	if kinds &= factors; kinds == 0 {
		return nil
	}
	ways := e.PolicyNow().cuts(q.req, kinds)
	if len(ways) == 0 {
		ways = e.PolicyNow().cuts(q.req, factors) // one that was used up, perhaps
	}
	if len(ways) == 0 || len(ways[0].password) == 0 {
		return nil
	}
	q.req.Password, q.code, q.begins = ways[0].password, ways[0].code, kinds
	q.secret = e.secretOf(q.req, q.req.Password)
	q.guess = []byte(q.facts.Request)
	q.facts.Chain, q.facts.Code, q.facts.CanAsk, q.facts.Begins = -1, CodeUncounted, false, true
	return nil
}

// fallBack settles what confirms a login of the account for which these factors
// count: a phone, then it returns 0; or, where no phone can, the codes of its
// own, which then make up for the phone that is missing.
func (e *Engine) fallBack(ctx context.Context, q *asking, account *Account, factors FactorSet) (phoneless FactorSet, err error) {
	lacks := q.facts.Problem == NoDevice || q.facts.Problem == OldApp
	phone := factors.Has(AllowApprove) || factors.Has(AllowCode)
	if phone && !lacks || q.facts.Problem != "" && !lacks {
		return 0, nil
	}
	typable := q.facts.CanAsk || !q.req.Conversation // MS-CHAP: neither asked for nor appended
	if e.Fallbacks != nil && factors&allowFallbacks != 0 && typable {
		kinds, person, err := e.Fallbacks.Fallbacks(ctx, q.identity.ID)
		if err != nil {
			return 0, err
		}
		if person == account.Person && person != "" {
			phoneless = kinds & factors
		}
	}
	switch {
	case phoneless != 0:
		q.facts.Problem, account.Notify = "", PushMissing
	case !phone:
		q.facts.Problem = NotAllowed // what counts here the account does not have
	}
	return phoneless, nil
}

// anew tells whether a code behind the password of a login that has ended may
// begin another one: the account has codes of its own.
func (e *Engine) anew(ctx context.Context, a *Attempt) (bool, error) {
	if e.Fallbacks == nil || a.Factors&allowFallbacks == 0 {
		return false, nil
	}
	kinds, _, err := e.Fallbacks.Fallbacks(ctx, a.Who.ID)
	return kinds&a.Factors != 0, err
}

// whichCode tells what q's code is a code of: this login's, or the account's
// own, which is then used up.
func (e *Engine) whichCode(ctx context.Context, a *Attempt, q *asking) (Factor, error) {
	if a.Factors.Has(AllowCode) && e.Keys.VerifyCode(a.ID[:], e.PolicyNow().CodeDigits, q.code) {
		return FactorCode, nil
	}
	kinds := a.Factors & allowFallbacks
	if kinds == 0 || e.Fallbacks == nil {
		return FactorNone, nil
	}
	return e.Fallbacks.UseFallback(ctx, FallbackCode{Attempt: a.ID, Account: a.Who.ID, Person: a.Person, Kinds: kinds, Code: q.code})
}

// noticeUse tells the person's phones that a login was let in without one.
func (e *Engine) noticeUse(a *Attempt) {
	words := map[Factor]NoticeWord{FactorRecovery: NoticeRecovery, FactorHelp: NoticeHelp}
	if word, known := words[a.Verdict.Factor]; known {
		e.Prompter.Notice(Notice{Person: a.Person, Word: word})
	}
}
