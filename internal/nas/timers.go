package nas

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"vssgate/internal/login"
)

// Timers are what a client's NASes have shown of their patience; radius.Timers
// says what they rest on.
type Timers struct {
	Client, Method string
	Gap            time.Duration
	Tries          int
	Wait, AtLeast  time.Duration
	GiveUps        int
	Seen           time.Time
}

// enough give-ups to believe in a wait. One may be two lost packets.
const enough = 3

// Advice is what to change where a NAS stops waiting before hold ends, "" where
// it does not, or too little is known.
func (t Timers) Advice(hold time.Duration) string {
	if t.GiveUps < enough || t.Wait == 0 || hold <= t.Wait {
		return ""
	}
	return fmt.Sprintf("hold: %s is longer than this NAS waits (%s): write hold: %s, or raise the NAS's time-out above %s; vssgate nas show KIND --client %s has the lines",
		short(hold), t.waits(), short(Below(t.Wait)), short(hold), t.Client)
}

func (t Timers) waits() string {
	if t.Tries > 1 {
		return fmt.Sprintf("%s: %d tries, the first two %s apart", short(t.Wait), t.Tries, short(t.Gap))
	}
	return short(t.Wait) + ", one try"
}

// Below is a hold that ends before a NAS does that waits so long: a tenth less,
// a second at least, for the way back.
func Below(wait time.Duration) time.Duration {
	hold := (wait - max(wait/10, time.Second)).Truncate(time.Second)
	return max(hold, time.Second)
}

// short writes a duration as people do: 2m, 1.5s.
func short(t time.Duration) string {
	switch {
	case t >= time.Minute && t%time.Minute == 0:
		return fmt.Sprintf("%dm", t/time.Minute)
	case t%time.Second == 0:
		return fmt.Sprintf("%ds", t/time.Second)
	}
	return t.Round(time.Millisecond).String()
}

// A Timekeeper keeps timers over restarts and warns of holds that are longer
// than a NAS waits. The last node that has learnt something is believed.
type Timekeeper struct {
	Store login.Store
	Read  func() []Timers                   // what the front end has learnt
	Hold  func(client string) time.Duration // as configured
	Log   *slog.Logger

	saved  map[string]Timers
	warned map[string]time.Time
}

const (
	timersIndex = "nas/timers"
	keepEvery   = time.Minute
	warnEvery   = time.Hour
)

func timersKey(t Timers) string { return keyOf("nas/timers/", t.Method+"\x00"+t.Client) }

// Load is what was learnt before.
func (k *Timekeeper) Load(ctx context.Context) (all []Timers, err error) {
	stored, err := k.Store.Find(ctx, timersIndex, "", 0)
	if err != nil {
		return nil, fmt.Errorf("timers of NASes: %w", err)
	}
	k.saved, k.warned = map[string]Timers{}, map[string]time.Time{}
	for _, record := range stored {
		var t Timers
		if err := json.Unmarshal(record.Value, &t); err != nil { // measured again
			k.Log.Warn("timers of a NAS cannot be read", "record", record.Key, "error", err)
			continue
		}
		all, k.saved[record.Key] = append(all, t), t
	}
	return all, nil
}

// Run saves and warns once a minute, and saves at the end.
func (k *Timekeeper) Run(ctx context.Context) error {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
			defer cancel()
			k.Keep(last, time.Now())
			return nil
		case now := <-tick.C:
			k.Keep(ctx, now)
		}
	}
}

// Keep saves what has changed, and warns. A store that cannot be asked is asked
// again next time: nothing depends on it.
func (k *Timekeeper) Keep(ctx context.Context, now time.Time) {
	for _, t := range k.Read() {
		key := timersKey(t)
		if advice := t.Advice(k.Hold(t.Client)); advice != "" && now.Sub(k.warned[key]) >= warnEvery {
			k.warned[key] = now
			k.Log.Warn("a NAS gives up before hold ends", "client", t.Client, "method", t.Method, "waits", t.Wait, "hint", advice)
		}
		if same(k.saved[key], t) {
			continue
		}
		if err := k.save(ctx, key, t); err != nil {
			k.Log.Debug("timers of a NAS are not saved", "client", t.Client, "error", err)
			continue
		}
		k.saved[key] = t
	}
}

// same: nothing but the time has changed.
func same(a, b Timers) bool {
	a.Seen, b.Seen = time.Time{}, time.Time{}
	return a == b
}

func (k *Timekeeper) save(ctx context.Context, key string, t Timers) error {
	value, err := json.Marshal(t)
	if err != nil {
		return err
	}
	err = login.ErrConflict
	for try := 0; errors.Is(err, login.ErrConflict) && try < saveTries; try++ {
		stored, loading := k.Store.Load(ctx, key)
		if loading != nil && !errors.Is(loading, login.ErrNotFound) {
			return loading
		}
		stored.Key, stored.Value, stored.Indexes, stored.Durable = key, value, []string{timersIndex}, true
		_, err = k.Store.Save(ctx, stored, login.Condition{})
	}
	return err
}
