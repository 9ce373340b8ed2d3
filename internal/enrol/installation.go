package enrol

import (
	"context"
	"errors"
	"slices"

	"vssgate/internal/login"
)

// installationKey is a record that says, by who can open it, whose store this is.
// It is made when there is an account, and never changes.
const installationKey = "installation"

// ErrForeign: this node has another secret.key than those that filled the store.
// It would find no login of theirs, and reject what they began.
var ErrForeign = errors.New("the accounts in the store were sealed with another secret.key than this node's: all nodes have the same, and so has a store that was put back from a backup (when the key was changed, its old line stays in the file)")

// Belongs tells whether what is in the store is this installation's: ErrForeign.
func (p *People) Belongs(ctx context.Context) error {
	_, err := p.belongs(ctx)
	return err
}

// Claim is Belongs, and notes whose store it is, so that a node with another key
// that was there first for a while does not make the others look foreign.
func (p *People) Claim(ctx context.Context) error {
	unsaid, err := p.belongs(ctx)
	if err != nil || !unsaid {
		return err
	}
	rec := login.Record{Key: installationKey, Value: p.keys.Seal(installationKey, nil), Durable: true}
	_, _ = p.store.Save(ctx, rec, login.Condition{}) // another node's is as good, and without one the accounts say it again
	return nil
}

// belongs goes by the record, and where there is none by the accounts: one that
// can be opened is enough. unsaid: there are accounts and no record.
func (p *People) belongs(ctx context.Context) (unsaid bool, err error) {
	rec, err := p.store.Load(ctx, installationKey)
	recs := []login.Record{rec}
	if errors.Is(err, login.ErrNotFound) {
		unsaid = true
		recs, err = p.store.Find(ctx, indexAccounts, "", page)
	}
	if err != nil || len(recs) == 0 {
		return false, err
	}
	ours := func(r login.Record) bool {
		_, err := p.keys.Open(r.Key, r.Value)
		return err == nil
	}
	if !slices.ContainsFunc(recs, ours) {
		return false, ErrForeign
	}
	return unsaid, nil
}
