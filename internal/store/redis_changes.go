package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"vssgate/internal/login"
)

// lookEvery is how often all streams are read.
const lookEvery = time.Second

// lookBack is from when on the first look reads, so that nothing is missed
// between what a node read before and its first look.
const lookBack = 30 * time.Second

// A reader follows the change streams.
type reader struct {
	*Redis
	changed func(login.Change)
	cursors []string // the last entry read, by part
	last    []string // the record it named: a stream that began anew may use an entry's id again
	told    toldOf
	failing bool
}

// followers are those to whom a Redis tells changes: one of them reads for all.
type followers struct {
	reading chan struct{} // held by who reads
	joined  chan struct{} // somebody came: what is behind lookBack is told anew

	mu  sync.Mutex
	all map[*func(login.Change)]struct{}
}

func newFollowers() *followers {
	return &followers{reading: make(chan struct{}, 1), joined: make(chan struct{}, 1), all: map[*func(login.Change)]struct{}{}}
}

func (f *followers) join(changed func(login.Change)) (leave func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all[&changed] = struct{}{}
	select {
	case f.joined <- struct{}{}:
	default:
	}
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.all, &changed)
	}
}

func (f *followers) tell(c login.Change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for changed := range f.all {
		(*changed)(c)
	}
}

// Changes implements login.Store. A node that could not read for so long that
// the stream has forgotten (20,000 changes) is told of every record there is,
// but not of those deleted meanwhile.
func (r *Redis) Changes(ctx context.Context, changed func(login.Change)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	defer r.followers.join(changed)()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case r.followers.reading <- struct{}{}:
	}
	defer func() { <-r.followers.reading }()
	return r.follow(ctx)
}

// follow reads the changes and tells all who follow them.
func (r *Redis) follow(ctx context.Context) error {
	subscribed := r.client.Subscribe(ctx, channel)
	defer subscribed.Close()
	heard := subscribed.Channel()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	rd := r.newReader()
	for rd.lookAll(ctx); ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case hint, open := <-heard:
			if !open {
				heard = nil // the client is closed; ctx ends soon
				continue
			}
			rd.hear(hint.Payload)
		case <-r.followers.joined:
			rd = r.newReader()
			rd.lookAll(ctx)
		case <-tick.C:
			rd.lookAll(ctx)
		}
	}
}

func (r *Redis) newReader() *reader {
	return &reader{Redis: r, changed: r.followers.tell, cursors: make([]string, r.parts), last: make([]string, r.parts)}
}

// hear tells of what a node says it has saved. What cannot be read is left to
// the streams: another version may have published it.
func (rd *reader) hear(message string) {
	for message != "" {
		var h hint
		var err error
		if h, message, err = cutHint(message); err != nil {
			return
		}
		rd.told.note(h.id, h.change.Key)
		rd.changed(h.change)
	}
}

func (rd *reader) lookAll(ctx context.Context) {
	defer rd.told.looked()
	for part := range rd.cursors {
		err := rd.check(ctx, part)
		if err == nil {
			err = rd.read(ctx, part)
		}
		if rd.report(ctx, err) {
			return // the others would fail as well; in a second they are asked again
		}
	}
}

// report logs the first of several failures, and that they are over.
func (rd *reader) report(ctx context.Context, err error) (failed bool) {
	if ctx.Err() != nil {
		return true
	}
	if err != nil && !rd.failing {
		rd.log.Warn("the store's changes cannot be read", "error", err)
	}
	if err == nil && rd.failing {
		rd.log.Info("the store's changes are read again")
	}
	rd.failing = err != nil
	return rd.failing
}

// check sees whether the stream is the one that the cursor is of.
func (rd *reader) check(ctx context.Context, part int) error {
	ctx, cancel := limited(ctx)
	defer cancel()
	if rd.cursors[part] == "" {
		now, err := rd.Now(ctx)
		if err != nil {
			return err
		}
		rd.cursors[part] = strconv.FormatInt(now.Add(-lookBack).UnixMilli(), 10) + "-0"
		return nil
	}
	info, err := rd.client.XInfoStream(ctx, rd.streamKey(part)).Result()
	switch {
	case redis.HasErrorPrefix(err, "no such key"):
		rd.cursors[part] = "0-0" // empty, or began anew: then from its beginning
		return nil
	case err != nil:
		return fmt.Errorf("redis: %w", err)
	}
	if later(rd.cursors[part], info.LastGeneratedID) {
		rd.cursors[part] = "0-0" // it began anew
	}
	if forgotten(info, rd.cursors[part]) {
		return rd.catchUp(ctx, part, info.LastGeneratedID)
	}
	return nil
}

// forgotten tells whether the stream may have dropped entries behind cursor.
func forgotten(info *redis.XInfoStream, cursor string) bool {
	oldest := info.LastGeneratedID
	if info.Length > 0 {
		oldest = info.FirstEntry.ID
	}
	return info.EntriesAdded > info.Length && later(oldest, cursor)
}

// read tells what is behind the cursor, and what is at it when that is not what
// was read there.
func (rd *reader) read(ctx context.Context, part int) error {
	const most = 1000
	for {
		entries, err := rd.readPage(ctx, part, most)
		if err != nil {
			return err
		}
		for _, e := range entries {
			key, _ := e.Values["k"].(string)
			if e.ID == rd.cursors[part] && key == rd.last[part] {
				continue
			}
			rd.cursors[part], rd.last[part] = e.ID, key
			if !rd.told.has(e.ID, key) {
				rd.tell(e)
			}
		}
		if len(entries) < most {
			return nil
		}
	}
}

func (rd *reader) readPage(ctx context.Context, part int, most int64) ([]redis.XMessage, error) {
	ctx, cancel := limited(ctx)
	defer cancel()
	entries, err := rd.client.XRangeN(ctx, rd.streamKey(part), rd.cursors[part], "+", most).Result()
	if err != nil {
		return nil, fmt.Errorf("redis: read changes: %w", err)
	}
	return entries, nil
}

func (rd *reader) tell(e redis.XMessage) {
	key, _ := e.Values["k"].(string)
	packed, _ := e.Values["n"].(string)
	names, _, err := cutNames(packed)
	if err != nil {
		rd.log.Error("a change cannot be read", "record", key, "error", err)
		return
	}
	rd.changed(login.Change{Key: key, Indexes: names})
}

// catchUp tells of every record in the part, since what changed is forgotten.
func (rd *reader) catchUp(ctx context.Context, part int, last string) error {
	rd.log.Warn("the store's changes were not read in time; all records are looked at again", "part", part)
	prefix := rd.name(part, "r:")
	err := rd.scan(ctx, prefix, func(keys []string) error {
		seen, err := rd.peek(ctx, keys)
		for _, s := range seen {
			if s.alive {
				rd.changed(login.Change{Key: s.Key, Indexes: s.Indexes})
			}
		}
		return err
	})
	if err == nil {
		rd.cursors[part] = last
	}
	return err
}

// scan visits all keys with a prefix, cut off, on whichever servers they are.
func (r *Redis) scan(ctx context.Context, prefix string, visit func([]string) error) error {
	one := func(ctx context.Context, c *redis.Client) error {
		for cursor := uint64(0); ; {
			keys, next, err := c.Scan(ctx, cursor, glob(prefix)+"*", 500).Result()
			if err != nil {
				return err
			}
			for i := range keys {
				keys[i] = strings.TrimPrefix(keys[i], prefix)
			}
			if err := visit(keys); err != nil || next == 0 {
				return err
			}
			cursor = next
		}
	}
	switch c := r.client.(type) {
	case *redis.ClusterClient:
		return c.ForEachMaster(ctx, one)
	case *redis.Client:
		return one(ctx, c)
	}
	return errors.New("redis: unknown kind of client")
}

// glob escapes what SCAN would take for a pattern.
func glob(s string) string {
	return strings.NewReplacer(`*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`, `\`, `\\`).Replace(s)
}

// later tells whether stream entry a comes after b.
func later(a, b string) bool {
	aMs, aSeq := entryID(a)
	bMs, bSeq := entryID(b)
	return aMs > bMs || aMs == bMs && aSeq > bSeq
}

func entryID(s string) (ms, seq uint64) {
	before, after, _ := strings.Cut(s, "-")
	ms, _ = strconv.ParseUint(before, 10, 64)
	seq, _ = strconv.ParseUint(after, 10, 64)
	return ms, seq
}
