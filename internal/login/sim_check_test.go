package login_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"vssgate/internal/enrol"
	"vssgate/internal/login"
)

// witnessed is what was seen of the nodes from outside, and what of it must not
// be. Things have an order: seen counts them.
type witnessed struct {
	seen       int
	violations []string
	shown      map[login.ID]login.OpenLogin // by phones
	order      []login.ID
	challenges []*challenge
	answers    []*simAnswer
	prompts    map[login.ID]int
	records    map[login.ID][]login.AuditRecord
	attempts   map[string]*simAttempt // by key
	letIn      map[login.ID]*simAsk
	usedCodes  map[string]login.ID // of an account's own
	disturbed  bool                // a node or the store has failed: an audit record may have been written twice
}

// A simAttempt is what the store saw of a login.
type simAttempt struct {
	begun   int       // when it was saved first
	begunAt time.Time // the same, by the store's clock
	begunBy time.Time // the same, by a clock that nobody sets
	ended   int       // when its verdict was saved; 0: it was not
	endedAt time.Time // the same, by the store's clock
	endedBy time.Time // the same, by a clock that nobody sets
	void    bool      // the store has lost what it had since it began
	alone   bool      // its verdict is at a primary that is none any more
}

// A simAnswer is what a phone said, and what it was told.
type simAnswer struct {
	phone  *simPhone
	login  login.OpenLogin
	kind   login.AnswerKind
	number string
	begun  int
	done   int // never: it has not heard
	doneAt time.Time
	alone  bool // its node spoke to a primary that is none any more
	out    login.Outcome
	err    error
}

const never = math.MaxInt

func newWitnessed() witnessed {
	return witnessed{
		shown: map[login.ID]login.OpenLogin{}, prompts: map[login.ID]int{}, records: map[login.ID][]login.AuditRecord{},
		attempts: map[string]*simAttempt{}, letIn: map[login.ID]*simAsk{}, usedCodes: map[string]login.ID{},
	}
}

// tick numbers the things that happen.
func (w *witnessed) tick() int { w.seen++; return w.seen }

func (s *simulation) violated(format string, args ...any) {
	s.violations = append(s.violations, fmt.Sprintf(format, args...))
	s.tracef("VIOLATED: "+format, args...)
}

// saved is told by the store of each save: attempts are listed by their person
// until they have a verdict.
func (s *simulation) saved(m *simServer, r login.Record, wasOpen bool) {
	a := s.attempts[r.Key]
	open := slices.ContainsFunc(r.Indexes, isPerson)
	switch {
	case a == nil && open:
		s.attempts[r.Key] = &simAttempt{begun: s.tick(), begunAt: m.now(), begunBy: time.Now()}
	case a != nil && wasOpen && !open && a.ended != 0:
		s.violated("%s ended a second time", r.Key)
	case a != nil && wasOpen && !open:
		a.ended, a.endedAt, a.endedBy, a.alone = s.tick(), m.now(), time.Now(), m.alone
	case a != nil && open && a.ended != 0:
		s.violated("%s is open again", r.Key)
	}
}

// look is what a user's phones show now.
func (s *simulation) look(u *simUser) {
	list, err := s.observer.Logins(s.Context(), u.person)
	if err != nil {
		s.violated("cannot look: %v", err)
		return
	}
	for _, l := range slices.Backward(list.Open) {
		if was, known := s.shown[l.ID]; !known {
			s.order = append(s.order, l.ID)
		} else if was.Code != l.Code {
			s.violated("the code of %s was another one", l.ID.Trace())
		}
		s.shown[l.ID] = l
	}
}

// shownTo is all that was ever shown to a user's phones, in that order.
func (s *simulation) shownTo(u *simUser) (all []login.OpenLogin) {
	for _, id := range s.order {
		if s.shown[id].Username == u.who.Username {
			all = append(all, s.shown[id])
		}
	}
	return all
}

// Ready, Prompt, Closed and Notice are the push service.
func (n *simNode) Ready() bool           { return true }
func (n *simNode) Closed(login.Prompt)   {}
func (n *simNode) Notice(login.Notice)   {}
func (n *simNode) Prompt(p login.Prompt) { go n.prompt(p) }

func (n *simNode) prompt(p login.Prompt) {
	if mine, err := n.engine.MayPrompt(context.Background(), p); !mine || err != nil {
		return
	}
	n.s.mu.Lock()
	defer n.s.mu.Unlock()
	if n.dead.Load() {
		return
	}
	n.s.tracef("%s prompts for %s", n.name, p.Login.Trace())
	if n.s.prompts[p.Login]++; n.s.prompts[p.Login] > 1 {
		n.s.violated("%s was prompted twice", p.Login.Trace())
	}
}

// Login is the audit: a file of each node, which its death leaves as it is.
func (n *simNode) Login(r login.AuditRecord) error {
	return n.pass(n.s.Context(), "audit", func() error {
		n.s.tracef("%s writes %s: %s %s", n.name, r.Attempt.Trace(), r.Reason, r.Factor)
		for _, before := range n.s.records[r.Attempt] {
			if before.Reason != r.Reason || before.Factor != r.Factor {
				n.s.violated("%s: the verdict %q was turned into %q", r.Attempt.Trace(), before.Reason, r.Reason)
			}
		}
		n.s.records[r.Attempt] = append(n.s.records[r.Attempt], r)
		return nil
	})
}

// judge looks at an answer as soon as it is given.
func (s *simulation) judge(a *simAsk) {
	r := a.reply[len(a.reply)-1]
	if len(a.reply) > 1 {
		s.violated("%s was answered twice", a.request.Packet)
	}
	if a.wrong && !s.disturbed && r.Kind != login.Reject && r.Kind != login.Silence {
		s.violated("%s: a wrong password was answered with %s", a.request.Packet, replyWord(r))
	}
	switch r.Kind {
	case login.Silence:
		if a.request.FrontEnd == login.LDAP && !a.left {
			s.violated("%s: another bind took the place of one that waits at a living node", r.Attempt.Trace())
		}
	case login.Accept:
		s.judgeAccept(a, r)
	case login.Ask:
		if !a.right {
			s.violated("a challenge for a wrong password: %s", a.request.Packet)
		}
		s.challenges = append(s.challenges, &challenge{state: r.State, number: r.Number, login: r.Attempt, of: a.asked})
	}
}

// judgeAccept is what must hold of everybody who is let in.
func (s *simulation) judgeAccept(a *simAsk, r login.Reply) {
	trace := r.Attempt.Trace()
	if !a.right {
		s.violated("%s: let in with a wrong password", trace)
	}
	if !slices.ContainsFunc(s.records[r.Attempt], func(rec login.AuditRecord) bool { return rec.Accepted && rec.Factor == r.Factor }) {
		s.violated("%s: let in without a record", trace)
	}
	if r.Identity.ID != a.user.who.ID {
		s.violated("%s: let in as %s", trace, r.Identity.ID)
	}
	if first := s.letIn[r.Attempt]; first != nil {
		if !sameAsker(first.asked, a.asked) || a.code != first.code {
			s.violated("%s: let in two requests", trace)
		}
		return
	}
	s.letIn[r.Attempt] = a
	s.happened["accept "+string(r.Factor)]++
	at := s.attempts[login.KeyOf(r.Attempt)]
	if r.Factor == login.FactorRemembered {
		if !a.alone {
			s.judgeRemembered(a, trace)
		}
		return
	}
	if at == nil || at.ended == 0 {
		s.violated("%s: let in by a login that the store does not know as ended", trace)
		return
	}
	if d := at.endedBy.Sub(at.begunBy); d > testPolicy.ValidFor+testPolicy.Grace && s.nodeOf(r.Attempt) == a.node {
		s.violated("%s: let in %v after it began, by any clock", trace, d)
	}
	if g := s.refusedBefore(r.Attempt, at.ended); g != nil {
		s.violated("%s: let in though a phone had said %s", trace, g.kind)
	}
	if !at.alone { // it cannot know what was revoked at the other
		s.judgeRevoked(a, at, trace)
	}
	switch r.Factor {
	case login.FactorCode:
		s.judgeCode(a, r.Attempt, at)
	case login.FactorApproval:
		s.judgeApproval(a, r.Attempt, at)
	case login.FactorRecovery, login.FactorTOTP:
		s.judgeOwnCode(a, r)
	default:
		s.violated("%s: let in by %q", trace, r.Factor)
	}
}

// nodeOf is the node that began a login, as far as a challenge tells.
func (s *simulation) nodeOf(id login.ID) *simNode {
	for _, c := range s.challenges {
		if c.login == id {
			return s.askOf(c.of).node
		}
	}
	return nil
}

func (s *simulation) judgeCode(a *simAsk, id login.ID, at *simAttempt) {
	l, known := s.shown[id]
	switch {
	case !known:
		s.violated("%s: let in by a code that no phone showed", id.Trace())
	case l.Code != a.code:
		s.violated("%s: let in by the code of another login", id.Trace())
	case !at.endedAt.Before(l.Expires):
		s.violated("%s: let in by a code %v after the deadline", id.Trace(), at.endedAt.Sub(l.Expires))
	}
}

// judgeApproval: some phone of the person approved it, not revoked before, with
// the number that this asker saw, not longer than grace before.
func (s *simulation) judgeApproval(a *simAsk, id login.ID, at *simAttempt) {
	c := a.request.Client
	fits := func(g *simAnswer) bool {
		counts := at.alone || g.phone.revoked == 0 || g.phone.revoked > g.begun
		return counts && g.login.ID == id && g.kind == login.Approve && g.begun < at.ended && g.phone.user == a.user &&
			(g.err == nil || !refusedAnswer(g.err)) && (c.Approval != login.ApprovalNumber || a.from != nil && g.number == a.from.number) &&
			(g.done > at.ended || at.endedAt.Before(g.doneAt.Add(testPolicy.Grace)))
	}
	switch {
	case c.Approval == login.ApprovalOff:
		s.violated("%s: approved where only codes count", id.Trace())
	case !slices.ContainsFunc(s.answers, fits):
		s.violated("%s: let in though nobody approved it in time, with this number", id.Trace())
	}
	for _, g := range s.answers {
		if fits(g) && g.done < at.ended && a.node != nil {
			s.happened["retry collected"]++
		}
	}
}

// refusedAnswer: the phone was told for certain that its answer does not count.
func refusedAnswer(err error) bool {
	var ended *login.EndedError
	for _, no := range []error{enrol.ErrRevoked, login.ErrNotYours, login.ErrSeveralLogins, login.ErrWrongNumber, login.ErrNumberMissing, login.ErrApprovalOff} {
		if errors.Is(err, no) {
			return true
		}
	}
	return errors.As(err, &ended)
}

// refusedBefore finds a phone that was told that its no counts before then.
func (s *simulation) refusedBefore(id login.ID, then int) *simAnswer {
	for _, g := range s.answers {
		if g.login.ID == id && g.done < then && (g.out == login.OutcomeRejected || errors.Is(g.err, login.ErrWrongNumber)) {
			return g
		}
	}
	return nil
}

// judgeRevoked: what was open when a phone was revoked lets nobody in, and what
// the phone said after it never counts.
func (s *simulation) judgeRevoked(a *simAsk, at *simAttempt, trace string) {
	for _, p := range s.phones {
		if p.user == a.user && p.revoked != 0 && at.begun < p.revoking && at.ended > p.revoked {
			s.violated("%s: let in though a phone that showed it was revoked meanwhile", trace)
		}
	}
}

func (s *simulation) judgeOwnCode(a *simAsk, r login.Reply) {
	mine := slices.Contains(a.user.recovery, a.code)
	if r.Factor == login.FactorTOTP {
		mine = len(a.code) == 6
	}
	if !mine {
		s.violated("%s: let in by a code that is none of the account's", r.Attempt.Trace())
	}
	if by, used := s.usedCodes[a.code]; used && by != r.Attempt {
		s.violated("%s: let in by a code that %s has used", r.Attempt.Trace(), by.Trace())
	}
	s.usedCodes[a.code] = r.Attempt
}

// judgeRemembered: the user was let in by a second factor from the same place not
// long ago, and no phone of theirs said no since, and none was revoked.
func (s *simulation) judgeRemembered(a *simAsk, trace string) {
	begun := 0
	for id, recs := range s.records {
		r, at, by := recs[0], s.attempts[login.KeyOf(id)], s.letIn[id]
		here := by == nil || by.request.Station == a.request.Station // who was let in may not have heard of it
		if r.Accepted && at != nil && here && r.Account == a.user.who.ID && r.Client == a.request.Client.Name && a.answered.Sub(at.endedAt) < recalls.Remember+time.Minute {
			begun = max(begun, at.ended)
		}
	}
	if begun == 0 {
		s.violated("%s: remembered though there is nothing to remember", trace)
	}
	for _, g := range s.answers {
		if g.phone.user == a.user && g.begun > begun && g.done < a.began && (g.out == login.OutcomeRejected || errors.Is(g.err, login.ErrWrongNumber)) {
			s.violated("%s: remembered though a phone has said %s since", trace, g.kind)
		}
	}
	for _, p := range s.phones {
		if p.user == a.user && p.revoking > begun && p.revoked != 0 && p.revoked < a.began {
			s.violated("%s: remembered though a phone was revoked since", trace)
		}
	}
}

// judgeAnswer looks at what a phone was told.
func (s *simulation) judgeAnswer(g *simAnswer) {
	if g.err != nil {
		return
	}
	if g.phone.revoked != 0 && g.phone.revoked < g.begun && !g.alone { // it cannot know; that lets nobody in: see judgeApproval
		s.violated("a revoked phone's answer was taken")
	}
	if s.shown[g.login.ID].Username != g.phone.user.who.Username {
		s.violated("a phone answered somebody else's login")
	}
	if g.out == login.OutcomeRejected && s.letIn[g.login.ID] != nil {
		s.violated("%s was rejected by a phone, after it had let in", g.login.ID.Trace())
	}
}

// judgeAll looks at what must hold at any time.
func (s *simulation) judgeAll() {
	for id, a := range s.letIn {
		if recs := s.records[id]; len(recs) > 0 && !recs[0].Accepted {
			s.violated("%s let in %s, and is recorded as %s", id.Trace(), a.request.Packet, recs[0].Reason)
		}
	}
}

// judgeEnd: everything has ended, once.
func (s *simulation) judgeEnd() {
	for _, a := range s.asks {
		if len(a.reply) == 0 && !a.node.dead.Load() {
			s.violated("%s was never answered by %s", a.request.Packet, a.node.name)
		}
	}
	if open := s.server.find("open", "", 0); len(open) > 0 {
		s.violated("%d logins are open for ever", len(open))
	}
	for _, id := range s.order {
		at := s.attempts[login.KeyOf(id)]
		if n := len(s.records[id]); n == 0 && !at.void {
			s.violated("%s has ended without a record", id.Trace())
		}
	}
	for id, recs := range s.records {
		if len(recs) > 1 {
			s.happened["records twice"]++
			if !s.disturbed {
				s.violated("%s has %d records", id.Trace(), len(recs))
			}
		}
	}
}
