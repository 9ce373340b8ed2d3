package nas

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"vssgate/internal/login"
)

// A Signer is a NAS whose requests must carry Message-Authenticator.
type Signer struct {
	Source     netip.Addr
	Identifier string // NAS-Identifier as it came; "" none
}

// Ratchets remembers, over restarts and nodes, which NASes must sign their
// requests. A turned ratchet is in force at its node at once, outlives it from
// the answer on to the request that turned it, and is in force at the others
// when they learn of it, within a second or two.
type Ratchets struct {
	store    login.Store
	remember func(client string, signers []Signer) // tells the front end
	log      *slog.Logger
	wake     chan struct{}

	saving sync.Mutex // between what turns and what is forgotten

	mu      sync.Mutex
	turned  map[string][]turn // to be saved, by client
	changed map[string]bool   // keys of records to be read
}

// NewRatchets keeps ratchets in store, and tells remember of all of a client's
// whenever there is something new.
func NewRatchets(store login.Store, remember func(client string, signers []Signer), log *slog.Logger) *Ratchets {
	return &Ratchets{store: store, remember: remember, log: log, wake: make(chan struct{}, 1),
		turned: map[string][]turn{}, changed: map[string]bool{}}
}

// A turn is a ratchet that is to be saved, and who waits for that; nil: nobody
// any more.
type turn struct {
	Signer
	done func(safe bool)
}

const (
	ratchetIndex = "nas/ratchets"
	saveTries    = 16
	againAfter   = time.Second // a store that failed is asked again
	reloadEvery  = 5 * time.Second
)

// ratchetRecord is what the store has of a client.
type ratchetRecord struct {
	Client  string    `json:"client"`
	Signers []written `json:"signers"`
}

type written struct {
	Source     netip.Addr `json:"source"`
	Identifier []byte     `json:"identifier,omitempty"` // may be no text
}

func ratchetKey(client string) string { return keyOf("nas/ratchet/", client) }

// keyOf is a key of bounded length for a client, whatever it is called.
func keyOf(prefix, client string) string {
	sum := sha256.Sum256([]byte(client))
	return prefix + hex.EncodeToString(sum[:16])
}

// Load reads what is remembered. Nothing may be served before: a request
// without Message-Authenticator must not pass because a node has just started.
func (r *Ratchets) Load(ctx context.Context) error {
	all, err := r.store.Find(ctx, ratchetIndex, "", 0)
	if err != nil {
		return fmt.Errorf("which NASes sign their requests: %w", err)
	}
	for _, stored := range all {
		if err := r.tell(stored); err != nil {
			return err
		}
	}
	return nil
}

func (r *Ratchets) tell(stored login.Record) error {
	record, err := unpack(stored)
	if err != nil {
		return err
	}
	signers := make([]Signer, len(record.Signers))
	for i, s := range record.Signers {
		signers[i] = Signer{s.Source, string(s.Identifier)}
	}
	r.remember(record.Client, signers)
	return nil
}

func unpack(stored login.Record) (record ratchetRecord, err error) {
	if err = json.Unmarshal(stored.Value, &record); err != nil {
		err = fmt.Errorf("record %s: %w", stored.Key, err)
	}
	return record, err
}

// Turned notes that a NAS's ratchet has turned here, and returns at once. Run
// saves it and calls done, once: safe when it outlives this node. If it does not
// yet, it is tried again, and nobody hears of that.
func (r *Ratchets) Turned(client string, signer Signer, done func(safe bool)) {
	r.mu.Lock()
	r.turned[client] = append(r.turned[client], turn{signer, done})
	r.mu.Unlock()
	r.wakeUp()
}

func (r *Ratchets) wakeUp() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run saves what has turned here and learns what has turned elsewhere, until
// ctx ends. What the store does not take is kept and tried again.
func (r *Ratchets) Run(ctx context.Context) error {
	var following sync.WaitGroup
	defer following.Wait()
	following.Go(func() {
		if err := r.store.Changes(ctx, r.noteChange); err != nil && ctx.Err() == nil {
			r.log.Error("ratchets of other nodes are not learnt", "error", err)
		}
	})
	reload := time.NewTimer(0) // beside the changes, so that none is missed for long
	defer reload.Stop()
	for {
		var again <-chan time.Time
		if err := errors.Join(r.save(ctx), r.learn(ctx)); err != nil && ctx.Err() == nil {
			r.log.Warn("which NASes sign their requests could not be saved or read; tried again", "error", err)
			again = time.After(againAfter)
		}
		select {
		case <-ctx.Done():
			return r.last(ctx)
		case <-r.wake:
		case <-again:
		case <-reload.C:
			if err := r.Load(ctx); err != nil && ctx.Err() == nil {
				r.log.Warn("which NASes sign their requests could not be read; tried again", "error", err)
			}
			reload.Reset(reloadEvery)
		}
	}
}

// last saves what turned just before the end.
func (r *Ratchets) last(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	if err := r.save(ctx); err != nil {
		r.log.Warn("which NASes sign their requests could not be saved", "error", err)
	}
	return nil
}

func (r *Ratchets) noteChange(c login.Change) {
	if !slices.Contains(c.Indexes, ratchetIndex) {
		return
	}
	r.mu.Lock()
	r.changed[c.Key] = true
	r.mu.Unlock()
	r.wakeUp()
}

// save writes what has turned, a client at a time.
func (r *Ratchets) save(ctx context.Context) error {
	for {
		turns, err := r.saveNext(ctx)
		for _, t := range turns {
			if t.done != nil {
				t.done(err == nil)
			}
		}
		if turns == nil || err != nil {
			return err
		}
	}
}

// saveNext saves what has turned of one client; none: nothing has. What the
// store does not take turns once more, and nobody waits for it.
func (r *Ratchets) saveNext(ctx context.Context) ([]turn, error) {
	r.saving.Lock()
	defer r.saving.Unlock()
	client, turns := r.takeTurned()
	if turns == nil {
		return nil, nil
	}
	err := r.update(ctx, client, func(record *ratchetRecord) bool {
		before := len(record.Signers)
		for _, t := range turns {
			record.add(t.Signer)
		}
		return len(record.Signers) > before
	})
	if err != nil {
		r.mu.Lock()
		for _, t := range turns {
			r.turned[client] = append(r.turned[client], turn{Signer: t.Signer})
		}
		r.mu.Unlock()
	}
	return turns, err
}

func (r *ratchetRecord) add(s Signer) {
	if !slices.ContainsFunc(r.Signers, func(w written) bool { return w.Source == s.Source && string(w.Identifier) == s.Identifier }) {
		r.Signers = append(r.Signers, written{s.Source, []byte(s.Identifier)})
	}
}

func (r *Ratchets) takeTurned() (client string, turns []turn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for client, turns = range r.turned {
		delete(r.turned, client)
		break
	}
	return client, turns
}

// learn reads the records that were changed and tells what is in them.
func (r *Ratchets) learn(ctx context.Context) error {
	r.mu.Lock()
	keys := r.changed
	r.changed = map[string]bool{}
	r.mu.Unlock()
	var errs []error
	for key := range keys {
		stored, err := r.store.Load(ctx, key)
		if err == nil {
			err = r.tell(stored)
		}
		if err != nil && !errors.Is(err, login.ErrNotFound) {
			errs = append(errs, err)
			r.mu.Lock()
			r.changed[key] = true
			r.mu.Unlock()
		}
	}
	return errors.Join(errs...)
}

// update changes a client's record until nobody comes between. change tells
// whether there is something to save.
func (r *Ratchets) update(ctx context.Context, client string, change func(*ratchetRecord) bool) error {
	err := login.ErrConflict
	for try := 0; errors.Is(err, login.ErrConflict) && try < saveTries; try++ {
		var stored login.Record
		record := ratchetRecord{Client: client}
		switch stored, err = r.store.Load(ctx, ratchetKey(client)); {
		case errors.Is(err, login.ErrNotFound):
		case err != nil:
			return err
		default:
			if record, err = unpack(stored); err != nil {
				return err
			}
		}
		if !change(&record) {
			return nil
		}
		if stored.Value, err = login.EncodeOver(stored.Value, record); err != nil {
			return err
		}
		stored.Key, stored.Indexes, stored.Durable = ratchetKey(client), []string{ratchetIndex}, true
		_, err = r.store.Save(ctx, stored, login.Condition{})
	}
	return err
}

// Forget turns back the ratchets of all of a client's NASes, here and at the
// other nodes, and tells how many were remembered.
func (r *Ratchets) Forget(ctx context.Context, client string) (n int, err error) {
	r.saving.Lock()
	defer r.saving.Unlock()
	r.mu.Lock()
	turned := r.turned[client]
	delete(r.turned, client)
	r.mu.Unlock()
	for _, t := range turned {
		if t.done != nil {
			t.done(false)
		}
	}
	return n, r.update(ctx, client, func(record *ratchetRecord) bool {
		n, record.Signers = len(record.Signers), nil
		return n > 0
	})
}
