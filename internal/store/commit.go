package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"
)

// The file's buckets.
var (
	bucketRecords = []byte("records") // key -> appendEntry
	bucketMarks   = []byte("marks")   // key -> expiry, nanoseconds since 1970
	bucketMeta    = []byte("meta")
)

// commitLimit is how long a caller waits for the disk.
const commitLimit = 3 * time.Second

// A write is one change of the file on its way to the disk. All conditions
// were checked before; done is closed when it is committed, or has failed.
type write struct {
	bucket []byte
	key    string
	value  []byte      // nil: delete
	after  func(error) // called with the store's lock held, before done is closed; may be nil
	err    error
	done   chan struct{}
}

// stage hands w to the committer. The caller holds the lock.
func (e *Embedded) stage(w *write) {
	w.done = make(chan struct{})
	e.staged = append(e.staged, w)
	if !e.committing {
		e.committing = true
		e.working.Add(1)
		go e.commit()
	}
}

// commit writes what is staged, everything that came meanwhile in one
// transaction with one sync, until nothing is left.
func (e *Embedded) commit() {
	defer e.working.Done()
	for {
		e.mu.Lock()
		batch := e.staged
		e.staged = nil
		if len(batch) == 0 {
			e.committing = false
			e.mu.Unlock()
			return
		}
		e.mu.Unlock()
		e.settle(batch, e.write(batch))
	}
}

func (e *Embedded) write(batch []*write) error {
	err := e.db.Update(func(tx *bolt.Tx) error {
		for _, w := range batch {
			if err := w.do(tx.Bucket(w.bucket)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("commit to %s: %w", e.path, err)
	}
	return nil
}

func (w *write) do(b *bolt.Bucket) error {
	if w.value == nil {
		return b.Delete([]byte(w.key))
	}
	return b.Put([]byte(w.key), w.value)
}

// settle makes the batch visible, or tells that it failed.
func (e *Embedded) settle(batch []*write, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.broken = err
	for _, w := range batch {
		w.err = err
		if w.after != nil {
			w.after(err)
		}
		close(w.done)
	}
}

// wait returns when w is settled. Whoever loses patience before does not know
// what will become of it.
func (w *write) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, commitLimit, errors.New("the disk does not answer"))
	defer cancel()
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// failure is what went wrong with w, once it is settled.
func (w *write) failure() error {
	select {
	case <-w.done:
		return w.err
	default:
		return nil
	}
}
