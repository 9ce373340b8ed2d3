package login

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"time"
)

// A Rule is a written policy: for whom and from where the second factor is
// needed, from when on, and which one. The first that matches decides.
type Rule struct {
	Name    string // what audit calls it: "policies[2]"
	Match   func(r *Request, id *Identity) bool
	Require Require
	Date    time.Time // RequireFrom: since when; RequireNever: until when, then the rule is none
	Network bool      // matches by the user's network: audit says trusted_network
	Factors FactorSet // 0: those of Policy
}

// Require is when a Rule wants the second factor.
type Require uint8

// The requirements.
const (
	RequireAlways   Require = iota
	RequireFrom             // from Date on; before, the first factor lets in
	RequireIfDevice         // once the person has a phone; before, the first factor lets in
	RequireNever            // not until Date
)

// FactorTrustedNetwork is a RequireNever for a network. Other rules are named
// "exempt:" and their name.
const (
	FactorTrustedNetwork Factor = "trusted_network"
	FactorEmergency      Factor = "emergency"
	exempt                      = "exempt:"
)

// A FactorSet is which second factors count for a login; 0: approval and code.
type FactorSet uint8

// What a FactorSet is made of.
const (
	AllowApprove FactorSet = 1 << iota
	AllowCode
	AllowTOTP
	AllowRecovery
	AllowHelp
)

// Has tells whether the set holds one of those factors.
func (s FactorSet) Has(f FactorSet) bool {
	if s == 0 {
		s = AllowApprove | AllowCode
	}
	return s&f != 0
}

// limit makes those factors the only ones that count for the attempt.
func (a *Attempt) limit(to FactorSet) {
	a.Factors = to
	if !to.Has(AllowApprove) {
		a.Approval = ApprovalOff
	}
}

// matching is the rule for a request of that user; a zero Rule when none says
// anything.
func (p *Policy) matching(r *Request, who *Identity, now time.Time) Rule {
	for _, rule := range p.Rules {
		if rule.Require == RequireNever && !now.Before(rule.Date) {
			continue // it has ended
		}
		if rule.Match(r, who) {
			return rule
		}
	}
	return Rule{}
}

// FactorsFor are the second factors that count for a request of that user.
func (p *Policy) FactorsFor(r *Request, who *Identity, now time.Time) FactorSet {
	return cmp.Or(p.matching(r, who, now).Factors, p.Factors)
}

// WouldLetIn is by which rule such a request would be let in on the first
// factor alone at that time, with that in the account's way; FactorNone: none.
func (p *Policy) WouldLetIn(r *Request, who *Identity, problem Reason, at time.Time) Factor {
	rule := p.matching(r, who, at)
	return rule.letsIn(problem, at)
}

// letsIn is by what a policy lets q in on the first factor alone.
func (r *Rule) letsIn(problem Reason, now time.Time) Factor {
	switch {
	case r.Require == RequireNever && r.Network:
		return FactorTrustedNetwork
	case r.Require == RequireNever,
		r.Require == RequireFrom && now.Before(r.Date),
		r.Require == RequireIfDevice && (problem == NoDevice || problem == NoNumber):
		return Factor(exempt + r.Name)
	}
	return FactorNone
}

// An Emergency lets a group in on the first factor alone for at most an hour:
// when the second factor is out of order and work must go on.
type Emergency struct {
	Group string    `json:"group"` // DN
	Until time.Time `json:"until"` // by the store's clock
	By    string    `json:"by"`
	Why   string    `json:"why"`
}

const (
	emergencyKey = "emergency"
	maxEmergency = time.Hour
)

// Errors of DeclareEmergency.
var (
	ErrEmergencyOn   = errors.New("an emergency is on: it ends by itself and cannot be renewed while it is on")
	ErrEmergencySpan = errors.New("an emergency lasts 1 to 60 minutes")
)

// DeclareEmergency begins an emergency, on all nodes. It cannot be renewed
// while it is on.
func (e *Engine) DeclareEmergency(ctx context.Context, em Emergency, lasts time.Duration) (Emergency, error) {
	if lasts < time.Minute || lasts > maxEmergency {
		return em, ErrEmergencySpan
	}
	now, err := e.Store.Now(ctx)
	if err != nil {
		return em, err
	}
	rec, err := e.Store.Load(ctx, emergencyKey)
	switch {
	case errors.Is(err, ErrNotFound):
		rec = Record{Key: emergencyKey}
	case err != nil:
		return em, err
	default:
		if on, err := e.emergencyOf(rec); err == nil && now.Before(on.Until) {
			return on, ErrEmergencyOn
		}
	}
	em.Until = now.Add(lasts)
	plain, err := json.Marshal(em)
	if err != nil {
		return em, err
	}
	rec.Value, rec.Expires, rec.Durable = e.Keys.Seal(emergencyKey, plain), em.Until.Add(cleanUpMargin), true
	if _, err := e.Store.Save(ctx, rec, Condition{}); errors.Is(err, ErrConflict) {
		return em, ErrEmergencyOn // somebody else was first
	} else if err != nil {
		return em, err
	}
	e.mayBeEmergency.Store(true)
	return em, nil
}

// EndEmergency ends it before its time. No emergency is no error.
func (e *Engine) EndEmergency(ctx context.Context) error {
	return e.replace(ctx, emergencyKey, nil, time.Time{})
}

// EmergencyOn is the emergency that is on now; nil: none.
func (e *Engine) EmergencyOn(ctx context.Context) (*Emergency, error) {
	rec, err := e.Store.Load(ctx, emergencyKey)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	em, err := e.emergencyOf(rec)
	if err != nil || !rec.Read.Before(em.Until) {
		return nil, err
	}
	return &em, nil
}

// emergencyOf opens the record: only who has the installation's key made it.
func (e *Engine) emergencyOf(rec Record) (em Emergency, err error) {
	plain, err := e.Keys.Open(emergencyKey, rec.Value)
	if err == nil {
		err = json.Unmarshal(plain, &em)
	}
	return em, err
}

// emergency tells whether one is on for q. The store is asked only when there
// may be one; a node that has not heard of it yet asks for the second factor.
func (e *Engine) emergency(ctx context.Context, q *asking) (bool, error) {
	if !e.mayBeEmergency.Load() {
		return false, nil
	}
	em, err := e.EmergencyOn(ctx)
	if err != nil || em == nil {
		e.mayBeEmergency.Store(err != nil)
		return false, err
	}
	return e.InGroup != nil && e.InGroup(q.identity.Groups, em.Group), nil
}
