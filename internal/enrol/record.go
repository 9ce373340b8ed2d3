package enrol

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"vssgate/internal/login"
)

// saveTries bounds how often a change is tried again after another one came
// first. Records of this package change by human hands, so few are enough.
const saveTries = 16

// errBusy: others changed the record saveTries times in a row.
var errBusy = errors.New("changed by others again and again")

// A filed is a value that knows where it is listed.
type filed interface{ indexes() []string }

// load reads and opens the value under key, or says ErrNotFound.
func load[T any](ctx context.Context, p *People, key string) (v T, rec login.Record, err error) {
	rec, err = p.store.Load(ctx, key)
	if errors.Is(err, login.ErrNotFound) {
		return v, login.Record{Key: key, Durable: true}, ErrNotFound
	}
	if err != nil {
		return v, rec, err
	}
	v, err = open[T](p, rec)
	return v, rec, err
}

// open gives the value of a record. It must have been sealed for that key.
func open[T any](p *People, rec login.Record) (v T, err error) {
	plain, err := p.keys.Open(rec.Key, rec.Value)
	if err == nil {
		err = json.Unmarshal(plain, &v)
	}
	if err != nil {
		return v, fmt.Errorf("record %s: %w", rec.Key, err)
	}
	return v, nil
}

// save seals v and commits it as rec, which v was read from. What a newer version
// has added there stays.
func (p *People) save(ctx context.Context, rec login.Record, v filed, cond login.Condition) (login.Record, error) {
	var old []byte
	if len(rec.Value) > 0 {
		var err error
		if old, err = p.keys.Open(rec.Key, rec.Value); err != nil {
			return rec, fmt.Errorf("record %s: %w", rec.Key, err)
		}
	}
	plain, err := login.EncodeOver(old, v)
	if err != nil {
		return rec, err
	}
	rec.Value = p.keys.Seal(rec.Key, plain)
	rec.Indexes = v.indexes()
	rec.Durable = true
	return p.store.Save(ctx, rec, cond)
}

// edit changes the value under key by change, which may run several times, and
// writes only when something did change. Nothing of a newer version stays if change
// takes away rec's value.
func edit[T filed](ctx context.Context, p *People, key string, change func(v *T, rec *login.Record) error) (v T, err error) {
	for range saveTries {
		var rec login.Record
		if v, rec, err = load[T](ctx, p, key); err != nil {
			return v, err
		}
		before, err := json.Marshal(v)
		if err != nil {
			return v, err
		}
		if err := change(&v, &rec); err != nil {
			return v, err
		}
		after, err := json.Marshal(v)
		if err != nil {
			return v, err
		}
		if bytes.Equal(before, after) {
			return v, nil
		}
		if _, err = p.save(ctx, rec, v, login.Condition{}); !errors.Is(err, login.ErrConflict) {
			return v, err
		}
	}
	return v, fmt.Errorf("record %s: %w", key, errBusy)
}

// page is how many records are listed at a time.
const page = 500

// list opens every record under an index, in the order of their keys.
func list[T any](ctx context.Context, p *People, index string) (all []T, err error) {
	for after := ""; ; {
		recs, err := p.store.Find(ctx, index, after, page)
		if err != nil {
			return nil, err
		}
		for _, rec := range recs {
			v, err := open[T](p, rec)
			if err != nil {
				return nil, err
			}
			all = append(all, v)
			after = rec.Key
		}
		if len(recs) < page {
			return all, nil
		}
	}
}
