package enrol

import (
	"context"
	"errors"

	"vssgate/internal/login"
)

// installationKey is a record that says, by who can open it, whose store this is.
// It is made when there are accounts and all are of one key.
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
	noted, err := p.belongs(ctx)
	if err != nil || noted == nil {
		return err
	}
	rec := login.Record{Key: installationKey, Value: p.keys.Seal(installationKey, nil), Durable: true, Version: noted.Version}
	_, _ = p.store.Save(ctx, rec, login.Condition{}) // another node's is as good, and without one the accounts say it again
	return nil
}

// belongs goes by the record, and where that is not this installation's by the
// accounts: without a record one that can be opened is enough, against a record all
// must be ours, for those that it was made for may be gone. noted: all of them are
// ours, and this is the record that does not say so yet.
func (p *People) belongs(ctx context.Context) (noted *login.Record, err error) {
	rec, err := p.store.Load(ctx, installationKey)
	if err != nil && !errors.Is(err, login.ErrNotFound) || err == nil && p.opens(rec) {
		return nil, err
	}
	accounts, err := p.store.Find(ctx, indexAccounts, "", page)
	if err != nil || len(accounts) == 0 {
		return nil, err
	}
	ours := 0
	for _, a := range accounts {
		if p.opens(a) {
			ours++
		}
	}
	switch {
	case ours == len(accounts):
		return &rec, nil
	case ours == 0 || rec.Version > 0:
		return nil, ErrForeign
	}
	return nil, nil
}

func (p *People) opens(r login.Record) bool {
	_, err := p.keys.Open(r.Key, r.Value)
	return err == nil
}
