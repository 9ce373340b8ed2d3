package login

import "context"

// ask challenges.
func (e *Engine) ask(ctx context.Context, s *saved, q *asking, text PromptText) error {
	if err := e.leave(ctx, s, q); err != nil {
		return err
	}
	a := &s.Attempt
	c := a.Chains[q.facts.Chain]
	r := Reply{Kind: Ask, Prompt: text, Number: c.Number, State: c.State, Approval: a.Approval, Tries: max(e.PolicyNow().WrongCodes-a.Counted, 0), Codes: a.Phoneless}
	switch {
	case a.Phoneless != 0 && text != PromptWrongCode:
		r.Prompt = PromptFallback
	case text == "":
		r.Prompt = e.promptText(a, c.Number)
	}
	e.finish(q, r)
	return nil
}

// promptText chooses what a first challenge says. A number to match is always
// shown; beside it, or in place of it, whatever keeps the phone silent.
func (e *Engine) promptText(a *Attempt, number string) PromptText {
	switch {
	case a.Notify == PushNotAllowed:
		return PromptNotificationsOff
	case a.Pushes == 0:
		return PromptNoPush
	case number != "":
		return PromptNumber
	case a.Approval == ApprovalSimple && a.Simple:
		return PromptSimple
	}
	return PromptCode
}

// tell replies a reason; the attempt goes on, or has ended before.
func (e *Engine) tell(ctx context.Context, s *saved, q *asking, reason Reason) error {
	if err := e.leave(ctx, s, q); err != nil {
		return err
	}
	a := &s.Attempt
	approval := a.Approval
	switch {
	case reason == AppendNeeded && !a.Placed:
		approval = ApprovalOff
	case reason == HoldOver && a.Several:
		reason = SeveralLogins
	case reason == HoldOver && !a.Placed: // no retry can join and collect an approval; a code can be appended
		reason, approval = AppendNeeded, ApprovalOff
	}
	if a.Verdict == nil {
		e.Log.Info("login answered for now", "trace", a.ID.Trace(), "client", a.Client, "account", a.Who.ID, "username", a.Who.Username, "reason", string(reason))
	}
	e.finish(q, Reply{Kind: Reject, Reason: reason, Interim: a.Verdict == nil, Approval: approval, Tries: max(e.PolicyNow().WrongCodes-a.Counted, 0), Until: q.until, Codes: a.Phoneless})
	return nil
}

// silence drops q: a newer request of its chain came, or its asker has gone.
func (e *Engine) silence(ctx context.Context, s *saved, q *asking) error {
	if q.entered && s.Attempt.Verdict == nil && s.Attempt.unwait(q.facts.Request) {
		if err := e.save(ctx, s, Condition{}); err != nil {
			return err
		}
	}
	e.finish(q, Reply{Kind: Silence})
	return nil
}

// repeat gives the request that was let in its answer again.
func (e *Engine) repeat(s *saved, q *asking) error {
	e.Log.Info("accept given again: the request that was let in asked once more", "trace", s.Attempt.ID.Trace(), "client", s.Attempt.Client,
		"source", q.req.Source, "account", s.Attempt.Who.ID)
	e.Meter.Joined()
	e.finish(q, Reply{Kind: Accept, Reason: Accepted, Identity: s.Attempt.Who, Factor: s.Attempt.Verdict.Factor, Keep: s.Attempt.Verdict.Keep})
	return nil
}

// end concludes the attempt in q's name and answers q.
func (e *Engine) end(ctx context.Context, s *saved, q *asking, act Action) error {
	act, err := e.believed(ctx, &s.Attempt, act)
	if err != nil {
		return err
	}
	if q.facts.First == FirstRight && s.rec.Version == 0 {
		s.Attempt.Who = *q.identity
	}
	if act.Kind == ActAccept && e.fenced(q) { // the approval is left for the retry
		return errFenced
	}
	if err := e.conclude(ctx, s, act, q); err != nil {
		return err
	}
	r := Reply{Kind: Reject, Reason: act.Reason, Until: q.until}
	if act.Reason == BadCode && q.facts.Begins {
		r.Codes = q.begins // what the account has
	}
	if q.facts.First == FirstWrong && q.checked != nil {
		r.Data = q.checked.Relay
	}
	if act.Kind == ActAccept {
		r = Reply{Kind: Accept, Reason: Accepted, Identity: s.Attempt.Who, Factor: act.Factor, Keep: s.Attempt.Verdict.Keep}
		if would := s.Attempt.WouldBe; would == NoDevice || would == NoNumber {
			r.Required = q.required
		}
	}
	if act.Kind == ActAccept {
		e.remember(ctx, &s.Attempt, q) // before the answer: the next login may follow at once
	}
	e.finish(q, r)
	if s.rec.Version == 0 {
		return nil
	}
	if err := e.closeBooks(ctx, s); err != nil {
		e.Log.Error("a login has ended but could not be closed; trying again", "trace", s.Attempt.ID.Trace(), "error", err)
	}
	return nil
}
