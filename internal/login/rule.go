package login

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"vssgate/otp"
)

// The written rules of a client that let in on the first factor alone. Audit
// names them as the factor.
const (
	FactorObserve    Factor = "observe"    // the client's time of trial: asks nobody
	FactorRemembered Factor = "remembered" // confirmed a while ago: same account, password and place
)

// rule is the written rule by which q needs no second factor; FactorNone: none
// does. policy is the one that matches q, now the store's time.
func (e *Engine) rule(ctx context.Context, q *asking, account Account, policy Rule, now time.Time) (Factor, error) {
	switch {
	case now.Before(q.req.Client.Observe):
		return FactorObserve, nil
	case q.facts.Problem == LockedOut: // wrong codes, or the owner said that somebody else knows the password
		return FactorNone, nil
	}
	on, err := e.emergency(ctx, q)
	switch {
	case err != nil:
		return FactorNone, err
	case on:
		return FactorEmergency, nil
	}
	if by := policy.letsIn(q.facts.Problem, now); by != FactorNone {
		return by, nil
	}
	if q.facts.Problem != "" {
		return FactorNone, nil
	}
	known, err := e.remembers(ctx, q, q.req.Password, account.Person, now)
	if err != nil || !known {
		return FactorNone, err
	}
	return FactorRemembered, nil
}

// wouldBe is what would have become of an observed login: what stands in the
// account's way, or that the second factor would have been asked for.
func (q *asking) wouldBe() Reason {
	if q.facts.Problem != "" {
		return q.facts.Problem
	}
	return Asked
}

// remembered is a second factor that was given: for whom, with which password,
// when. It is never extended, and nothing but an accept makes one.
type remembered struct {
	Secret []byte // by what the password is known again: see Attempt.Lasting
	Person string // who confirmed
	At     time.Time
}

// maxRemember bounds Client.Remember.
const maxRemember = 24 * time.Hour

// lastingOf stands for an account's password, however the name is typed, and for
// the last time that everything remembered of the person was ended: what was begun
// before that is never known again, whatever any clock says.
func (e *Engine) lastingOf(ctx context.Context, account string, password []byte, person string) ([]byte, error) {
	known := [][]byte{[]byte("lasting"), []byte(account), password}
	switch rec, err := e.Store.Load(ctx, e.listedAs(forgotten, person)); {
	case err == nil:
		known = append(known, rec.Value, strconv.AppendUint(nil, rec.Version, 10))
	case !errors.Is(err, ErrNotFound):
		return nil, err
	}
	return half(e.Keys.MAC(otp.PurposeJoin, known...)), nil
}

// placeToRemember is the record of that account at q's client from q's station;
// "" where nothing is remembered: the client does not, the station is not
// known, or no password came that could be known again.
func (e *Engine) placeToRemember(r *Request, account string) string {
	if r.Client.Remember <= 0 || r.Station == "" || r.Conversation || account == "" {
		return ""
	}
	return e.listedAs("remembered:", account, string(r.FrontEnd), r.Client.Name, r.Station)
}

// remembers tells whether the person whose account it is now gave the second
// factor for this account, password and place not long ago, and nothing has
// happened since that would end that. What q begins otherwise is to be known by
// q.lasting.
func (e *Engine) remembers(ctx context.Context, q *asking, password []byte, person string, now time.Time) (_ bool, err error) {
	key := e.placeToRemember(q.req, q.identity.ID)
	if key == "" {
		return false, nil
	}
	if q.lasting, err = e.lastingOf(ctx, q.identity.ID, password, person); err != nil {
		return false, err
	}
	rec, err := e.Store.Load(ctx, key)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var m remembered
	plain, err := e.Keys.Open(key, rec.Value)
	if err == nil {
		err = json.Unmarshal(plain, &m)
	}
	if err != nil {
		e.Log.Error("a remembered second factor in the store was not made by this installation; it does not count", "account", q.identity.ID, "error", err)
		return false, nil
	}
	return person != "" && m.Person == person && bytes.Equal(m.Secret, q.lasting) && now.Before(m.At.Add(min(q.req.Client.Remember, maxRemember))), nil
}

// remember notes that the second factor was given for the login that let q in.
// It is a comfort: when it cannot be written, the next login is asked again.
func (e *Engine) remember(ctx context.Context, a *Attempt, q *asking) {
	key := e.placeToRemember(q.req, a.Who.ID)
	m := remembered{Secret: a.Lasting, Person: a.Person, At: a.Verdict.At}
	switch by := a.Verdict.Factor; {
	case by.typed():
	case by == FactorApproval:
		m.At = a.Answer.At
	default:
		return
	}
	if key == "" || a.Person == "" || len(a.Lasting) == 0 {
		return
	}
	plain, err := json.Marshal(m)
	if err == nil {
		err = e.replace(ctx, key, e.Keys.Seal(key, plain), m.At.Add(min(q.req.Client.Remember, maxRemember)))
	}
	if err != nil {
		e.Log.Error("a second factor is not remembered; the next login is asked again", "trace", a.ID.Trace(), "account", a.Who.ID, "error", err)
	}
}

// unremember drops what is remembered there: a wrong password came from it.
func (e *Engine) unremember(ctx context.Context, q *asking, account string) error {
	if account == "" {
		account = "nobody" // who takes as long as somebody
	}
	key := e.placeToRemember(q.req, account)
	if key == "" {
		return nil
	}
	return e.replace(ctx, key, nil, time.Time{})
}

// Forget ends everything that is remembered of a person, on all nodes: a login
// was denied or reported, a device revoked, an account changed. Nor is a login
// remembered that is open now.
func (e *Engine) Forget(ctx context.Context, person string) error {
	if person == "" {
		return nil
	}
	now, err := e.Store.Now(ctx)
	if err != nil {
		return err
	}
	at, err := now.MarshalText()
	if err != nil {
		return err
	}
	return e.replace(ctx, e.listedAs(forgotten, person), at, now.Add(forgottenFor))
}

const forgotten = "forgotten:"

// forgottenFor is how long a forgetting is kept: far longer than anything is
// remembered. Who is remembered over its end is asked once more.
const forgottenFor = 366 * 24 * time.Hour

// replace writes a committed record over whatever is there; a nil value
// deletes it.
func (e *Engine) replace(ctx context.Context, key string, value []byte, expires time.Time) error {
	for range maxRounds {
		rec, err := e.Store.Load(ctx, key)
		switch {
		case errors.Is(err, ErrNotFound) && value == nil:
			return nil
		case errors.Is(err, ErrNotFound):
			rec = Record{Key: key}
		case err != nil:
			return err
		}
		rec.Value, rec.Expires, rec.Durable = value, expires, true
		if _, err = e.Store.Save(ctx, rec, Condition{}); !errors.Is(err, ErrConflict) {
			return err
		}
	}
	return errRaces
}
