package enrol

import (
	"context"
	"sync"
	"time"
)

// revoked are devices that this node knows to be revoked. A store that has
// failed over may have lost that: what was revoked must not come back with it.
type revoked struct {
	mu sync.Mutex
	at map[string]time.Time
}

// maxRevoked bounds how many are remembered; past it any one is forgotten, and
// the store's word is all there is for it.
const maxRevoked = 10_000

func (k *revoked) remember(id string, at time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.at == nil {
		k.at = map[string]time.Time{}
	}
	for old := range k.at {
		if len(k.at) < maxRevoked {
			break
		}
		delete(k.at, old)
	}
	k.at[id] = at
}

func (k *revoked) since(id string) (at time.Time, known bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	at, known = k.at[id]
	return at, known
}

// still makes a device that the store has lost the revocation of revoked again,
// there and in what is returned.
func (p *People) still(ctx context.Context, r deviceRecord) (deviceRecord, error) {
	if r.Revoked != nil {
		p.revoked.remember(r.ID, *r.Revoked)
		return r, nil
	}
	at, known := p.revoked.since(r.ID)
	if !known {
		return r, nil
	}
	r.Revoked, r.PushToken = &at, ""
	_, err := p.Revoke(ctx, r.ID)
	return r, err
}
