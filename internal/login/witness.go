package login

import (
	"context"
	"errors"
	"fmt"
)

// A Witness reads the evidence of answers that were taken before, perhaps by
// another node.
type Witness interface {
	// Witness verifies the evidence of an answer to a login, with the key of its
	// device as that is known now, and tells what was said and by whom.
	// ErrEvidence: it does not stand. Other errors: that cannot be told now.
	Witness(ctx context.Context, id ID, g Given) (Answering, error)
}

// ErrEvidence is said of an answer that its device did not give, or whose device
// does not count any more.
var ErrEvidence = errors.New("the evidence of the answer does not stand")

// believed is act, or the end of the login where this node finds by itself that
// nobody may be let in, whatever the store says.
func (e *Engine) believed(ctx context.Context, a *Attempt, act Action) (Action, error) {
	if act.Kind != ActAccept {
		return act, nil
	}
	if e.late(a.ID) {
		e.Log.Error("not let in: by this node's own clock the login is over; is the store's clock right?", "trace", a.ID.Trace())
		return end(Expired), nil
	}
	if act.Factor != FactorApproval {
		return act, nil
	}
	err := e.witness(ctx, a)
	if errors.Is(err, ErrEvidence) {
		e.Log.Error("not let in: the approval in the store is not what a phone of this person has signed; somebody may have written into the store, or put an old one back",
			"alert", "evidence", "trace", a.ID.Trace(), "client", a.Client, "account", a.Who.ID, "device", a.Answer.Device, "error", err)
		a.Answer.Kind = Withdrawn // audit keeps what was taken for evidence
		return end(Revoked), nil
	}
	return act, err
}

// witness verifies the approval of a once more, on the node that lets in by it.
// What the attempt says of it is another node's word: only what was signed counts.
func (e *Engine) witness(ctx context.Context, a *Attempt) error {
	g := a.Answer
	said, err := e.Witness.Witness(ctx, a.ID, *g)
	if err != nil {
		return err
	}
	number := said.Number
	if a.Approval != ApprovalNumber {
		number = ""
	}
	switch {
	case said.Kind != Approve || said.Device != g.Device || number != g.Number:
		return fmt.Errorf("%w: something else was said", ErrEvidence)
	case a.Approval == ApprovalOff || a.Approval == ApprovalNumber && (number == "" || g.Chain != a.chainByNumber(number)):
		return fmt.Errorf("%w: this login cannot be approved so", ErrEvidence)
	case a.Person == "" || said.Person != a.Person || !said.Enrolled.Before(a.Created):
		return fmt.Errorf("%w: not a device of this person from before the login", ErrEvidence)
	case said.Shown != nil && !said.Shown.equals(a):
		return fmt.Errorf("%w: another login was shown", ErrEvidence)
	}
	return nil
}
