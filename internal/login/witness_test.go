package login_test

import (
	"cmp"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
)

// honest is what a phone's evidence says of an approval as it was given.
func honest(g login.Given) login.Answering {
	return login.Answering{Kind: login.Approve, Number: g.Number, Person: person, Device: g.Device}
}

// What the store says of an approval lets nobody in where the evidence says
// something else: the login is revoked, and audit keeps what was taken for it.
func TestAnApprovalIsWitnessedWhereItLetsIn(t *testing.T) {
	for name, c := range map[string]struct {
		approval login.Approval
		says     func(*login.Answering)
		fails    error
	}{
		"nothing that stands": {fails: login.ErrEvidence},
		"it was a deny":       {says: func(a *login.Answering) { a.Kind = login.Deny }},
		"another device":      {says: func(a *login.Answering) { a.Device = "phone-2" }},
		"another person":      {says: func(a *login.Answering) { a.Person = "person-2" }},
		"enrolled with the login open": {says: func(a *login.Answering) {
			a.Enrolled = time.Now()
		}},
		"another login was shown": {says: func(a *login.Answering) { a.Shown = &login.Shown{Client: "wifi"} }},
		"another number":          {approval: login.ApprovalNumber, says: func(a *login.Answering) { a.Number = "1" + a.Number }},
		"no number":               {approval: login.ApprovalNumber, says: func(a *login.Answering) { a.Number = "" }},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(w *world) {
				w.evidence = func(_ login.ID, g login.Given) (login.Answering, error) {
					said := honest(g)
					if c.says != nil {
						c.says(&said)
					}
					return said, c.fails
				}
				mode, number := login.Hold, ""
				if c.approval == login.ApprovalNumber {
					mode = login.Challenge
				} else {
					c.approval = login.ApprovalSimple
				}
				vpn := client(mode, c.approval)
				held := w.ask(vpn)
				if mode == login.Challenge {
					asked := held.is(login.Ask, "")
					number = asked.Number
					held = w.ask(vpn, withState(asked.State), saying("ok"))
				}
				held.waits()
				told, err := w.answer(w.phone().ID, login.Approve, number)
				require.NoError(w, err)
				require.Equal(w, login.OutcomeRejected, told.Outcome)
				held.is(login.Reject, login.Revoked)
				records := w.audited()
				require.Len(w, records, 1)
				require.Equal(w, []string{"phone-1", "device_key", "jws"}, []string{records[0].Device, records[0].Presence, records[0].Signed})
				w.evidence = nil
				w.ask(client(login.Append, login.ApprovalSimple)).is(login.Reject, login.AppendNeeded)
				_, err = w.answer(w.phone().ID, login.Approve, "") // the next one goes well
				require.NoError(w, err)
				w.ask(client(login.Append, login.ApprovalSimple)).is(login.Accept, login.Accepted)
			})
		})
	}
}

// While nobody can tell whether the evidence stands nobody is let in, and nothing
// is decided.
func TestAnApprovalThatCannotBeWitnessedWaits(t *testing.T) {
	in(t, func(w *world) {
		vpn := client(login.Hold, login.ApprovalSimple)
		w.evidence = func(login.ID, login.Given) (login.Answering, error) {
			return login.Answering{}, errors.New("store away")
		}
		held := w.ask(vpn)
		held.waits()
		_, err := w.answer(w.phone().ID, login.Approve, "")
		require.NoError(w, err)
		held.is(login.NoAnswer, login.Unavailable)
		require.Empty(w, w.audited())
		w.evidence = nil
		w.ask(vpn).is(login.Accept, login.Accepted)
	})
}

// A node that went over to somebody else writes an approval that no phone could
// have given: the one that lets in goes by what was signed.
func TestAConjuredApprovalLetsNobodyIn(t *testing.T) {
	for name, c := range map[string]struct {
		approval login.Approval
		signed   login.Answering
		conjured login.Given
	}{
		"without the number":                         {login.ApprovalNumber, login.Answering{}, login.Given{}},
		"the number of nobody":                       {login.ApprovalNumber, login.Answering{Number: "1"}, login.Given{Number: "1"}},
		"another number":                             {login.ApprovalNumber, login.Answering{Number: "1"}, login.Given{Number: "own"}},
		"for another chain":                          {login.ApprovalNumber, login.Answering{Number: "first"}, login.Given{Number: "first", Chain: 1}},
		"where codes alone count":                    {login.ApprovalOff, login.Answering{}, login.Given{}},
		"without the number that was signed":         {login.ApprovalNumber, login.Answering{Number: "first"}, login.Given{}},
		"without any number, of a chain without one": {login.ApprovalNumber, login.Answering{}, login.Given{Chain: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(w *world) {
				vpn := client(login.Challenge, c.approval)
				numbers := map[string]string{"first": w.ask(vpn).is(login.Ask, "").Number}
				asked := w.ask(vpn).is(login.Ask, "") // of a chain of its own
				numbers["own"] = asked.Number
				held := w.ask(vpn, withState(asked.State), saying("ok"))
				held.waits()
				real := func(number string) string { return cmp.Or(numbers[number], number) }
				w.evidence = func(login.ID, login.Given) (login.Answering, error) {
					c.signed.Kind, c.signed.Person, c.signed.Device, c.signed.Number = login.Approve, person, "phone-1", real(c.signed.Number)
					return c.signed, nil
				}
				require.NoError(w, w.Conjure(w.Context(), w.phone().ID, func(a *login.Attempt) {
					g := c.conjured
					g.Kind, g.Device, g.Number, g.At = login.Approve, "phone-1", real(g.Number), time.Now()
					a.Answer = &g
					if g.Chain == 1 && g.Number == "" {
						a.Chains[1].Number = ""
					}
				}))
				synctest.Wait()
				require.Empty(w, accepted(w.audited()))
				select {
				case r := <-held.reply:
					require.Equal(w, login.Revoked, r.Reason)
				default: // the approval is not for its chain
				}
			})
		})
	}
}

func accepted(all []login.AuditRecord) (let []login.AuditRecord) {
	for _, r := range all {
		if r.Accepted {
			let = append(let, r)
		}
	}
	return let
}
