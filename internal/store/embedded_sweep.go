package store

import (
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// sweepEvery is how often one of the shards is swept: each of them every 26 s.
// Each unmapEvery sweeps the pages of the file are given back.
const (
	sweepEvery = 100 * time.Millisecond
	unmapEvery = 100
)

func (e *Embedded) sweep() {
	defer e.working.Done()
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		if n%unmapEvery == 0 { // for the first time after loading
			e.unmap()
		}
		select {
		case <-e.stop:
			return
		case <-tick.C:
			e.sweepShard()
		}
	}
}

// sweepShard forgets what has expired in the next shard. Nobody sees what has
// expired, so this is about memory only.
func (e *Embedded) sweepShard() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return
	}
	e.swept = (e.swept + 1) % shards
	now := e.clock.now()
	e.table.each(e.swept, func(rec entry) {
		if past(rec.expires, now) && e.saving[string(rec.key())] == nil {
			if rec.durable {
				e.stage(&write{bucket: bucketRecords, key: string(rec.key())})
			}
			e.table.remove(rec.key())
		}
	})
	for key, m := range e.marks[e.swept] {
		if past(m.expires, now) {
			if m.durable {
				e.stage(&write{bucket: bucketMarks, key: key})
			}
			delete(e.marks[e.swept], key)
		}
	}
	for key, w := range e.windows[e.swept] {
		if w.over(now) {
			delete(e.windows[e.swept], key)
		}
	}
}

// unmap gives back the pages of the file that reading has made part of this
// process; the kernel keeps them as long as it has room, and gives them again
// without the disk. It may fail: nothing depends on it.
func (e *Embedded) unmap() {
	_ = e.db.View(func(tx *bolt.Tx) error {
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, e.db.Info().Data, uintptr(tx.Size()), unix.MADV_DONTNEED)
		return nil
	})
}
