package enrol

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
	"time"

	"vssgate/internal/login"
	"vssgate/internal/secret"
	"vssgate/otp"
)

// An Activation lets one phone in, once.
type Activation struct {
	Code    secret.Secret // 128 bits, for the QR code: 26 characters of base32
	Typed   secret.Secret // the same by hand: USER:ABCD-EFGH
	URL     secret.Secret // PUBLIC_URL/activate#CODE: what the QR code says; the fragment never reaches a server's log
	Expires time.Time
}

// A Printed is an Activation for whom it was made for to read.
type Printed struct {
	ActivationCode string    `json:"activation_code"`
	TypedCode      string    `json:"typed_code"`
	Expires        time.Time `json:"expires"`
	URL            string    `json:"url"`
}

// Print reveals the activation.
func (a Activation) Print() Printed {
	return Printed{a.Code.Reveal(), a.Typed.Reveal(), a.Expires, a.URL.Reveal()}
}

// activationRecord is an Activation as it is kept: without the code.
type activationRecord struct {
	Account string    `json:"account"`
	Person  string    `json:"person"`
	Expires time.Time `json:"expires"`
	UsedBy  string    `json:"used_by,omitempty"` // the device; for good
	Short   string    `json:"short"`             // the index of the typed form
}

func (r activationRecord) indexes() []string { return []string{r.Short} }

// afterwards is how long a used activation still tells the same phone the same.
const afterwards = 10 * time.Minute

// base32 without padding (RFC 4648 section 6): capital letters and 2 to 7.
var letters = base32.StdEncoding.WithPadding(base32.NoPadding)

const (
	codeBytes    = 16
	codeLetters  = 26
	shortBytes   = 5
	shortLetters = 8
)

// AddActivation makes an activation for the next phone of the account's
// person. ErrNotFound, ErrNoNumber.
func (p *People) AddActivation(ctx context.Context, account string) (Activation, error) {
	a, err := p.Lookup(ctx, account)
	if err != nil {
		return Activation{}, err
	}
	if a.Person == "" {
		return Activation{}, ErrNoNumber
	}
	now, err := p.store.Now(ctx)
	if err != nil {
		return Activation{}, err
	}
	code, short := random(codeBytes), random(shortBytes)
	r := activationRecord{
		Account: account, Person: a.Person,
		Expires: now.Add(ActivationFor).UTC(), Short: p.shortIndexes(a.Username, short)[0],
	}
	rec := login.Record{Key: activationKey(code), Expires: r.Expires.Add(afterwards)}
	if _, err := p.save(ctx, rec, r, login.Condition{}); err != nil {
		return Activation{}, fmt.Errorf("activation for %s: %w", account, err)
	}
	return Activation{
		Code:    secret.Secret(code),
		Typed:   secret.Secret(a.Username + ":" + short[:4] + "-" + short[4:]),
		URL:     secret.Secret(p.options.Load().PublicURL + "/activate#" + code),
		Expires: r.Expires,
	}, nil
}

// Activations that one device may make for its person's next phone, and within
// what time.
const (
	successors      = 5
	successorWithin = time.Hour
)

// AddSuccessor makes an activation for the next phone of the device's person.
// ErrTooMany, ErrNotFound when nothing that person has can be logged in to.
func (p *People) AddSuccessor(ctx context.Context, d Device) (Activation, Account, error) {
	account, err := p.ownAccount(ctx, d)
	if err != nil {
		return Activation{}, account, err
	}
	counted, err := p.store.Count(ctx, login.Quota{Key: "successors:" + d.ID, Limit: login.Limit{Count: successors, Within: successorWithin}})
	if err != nil {
		return Activation{}, account, err
	}
	if !counted {
		return Activation{}, account, ErrTooMany
	}
	act, err := p.AddActivation(ctx, account.ID)
	return act, account, err
}

// ownAccount is the account that the device was activated for, if it is still
// its person's, else another one of theirs.
func (p *People) ownAccount(ctx context.Context, d Device) (Account, error) {
	all, err := p.AccountsOf(ctx, d.Person)
	if err != nil {
		return Account{}, err
	}
	if len(all) == 0 {
		return Account{}, ErrNotFound
	}
	for _, a := range all {
		if a.ID == d.Account {
			return a, nil
		}
	}
	for _, a := range all {
		if a.Kind != OfOrganisation {
			return a, nil
		}
	}
	return all[0], nil
}

func random(size int) string {
	raw := make([]byte, size)
	rand.Read(raw)
	return letters.EncodeToString(raw)
}

func activationKey(code string) string {
	sum := sha256.Sum256([]byte(code))
	return "activation:" + encode(sum[:])
}

// shortIndexes are where a typed code may be listed, the one of the making key
// first. The MAC is keyed: 40 bits could be tried out against a stolen store.
func (p *People) shortIndexes(username, short string) (indexes []string) {
	for _, mac := range p.keys.MACs(otp.PurposeNumber, []byte("activation"), []byte(fold(username)), []byte(short)) {
		indexes = append(indexes, "activation-short:"+encode(mac))
	}
	return indexes
}

func fold(username string) string { return strings.ToLower(strings.TrimSpace(username)) }

// splitCode reads what a phone sent as activation code: the long code, or
// USER:SHORT. Case, spaces and hyphens of the codes do not count.
func splitCode(s string) (username, code string, ok bool) {
	size := codeLetters
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		username, s, size = s[:i], s[i+1:], shortLetters
	}
	code = strings.ToUpper(strings.NewReplacer("-", "", " ", "").Replace(s))
	raw, err := letters.DecodeString(code)
	// The last letter of 26 has two bits that no code has set.
	return username, code, err == nil && len(code) == size && letters.EncodeToString(raw) == code
}

// Wrong typed codes that one user may be tried with, and within what time.
// Past them only the long code works.
const (
	shortTries  = 10
	shortWithin = 10 * time.Minute
)

// activation finds what the code stands for. ErrActivation, ErrTries.
func (p *People) activation(ctx context.Context, sent string) (activationRecord, login.Record, error) {
	username, code, ok := splitCode(sent)
	if !ok {
		return activationRecord{}, login.Record{}, ErrActivation
	}
	if len(code) == codeLetters {
		r, rec, err := load[activationRecord](ctx, p, activationKey(code))
		if errors.Is(err, ErrNotFound) {
			err = ErrActivation
		}
		return r, rec, err
	}
	tries := "activation-tries:" + encode(p.keys.MAC(otp.PurposeNumber, []byte("tries"), []byte(fold(username))))
	counted, err := p.store.Count(ctx, login.Quota{Key: tries, Limit: login.Limit{Count: shortTries, Within: shortWithin}}) // before it is compared
	if err != nil {
		return activationRecord{}, login.Record{}, err
	}
	if !counted {
		return activationRecord{}, login.Record{}, ErrTries
	}
	for _, index := range p.shortIndexes(username, code) {
		recs, err := p.store.Find(ctx, index, "", 1)
		if err != nil {
			return activationRecord{}, login.Record{}, err
		}
		if len(recs) == 0 {
			continue
		}
		if err := p.store.Uncount(ctx, tries); err != nil {
			return activationRecord{}, login.Record{}, err
		}
		r, err := open[activationRecord](p, recs[0])
		return r, recs[0], err
	}
	return activationRecord{}, login.Record{}, ErrActivation
}
