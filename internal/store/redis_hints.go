package store

import (
	"context"
	"sync"
	"time"

	"vssgate/internal/login"
)

// channel is where nodes say what they have saved, for those who wait for it:
// a message is any number of hints. The streams say it again within a second,
// whoever missed it, or died before it was said.
const channel = "vssgate:hints"

// gather is how long hints wait for others after a message: on a busy node many
// saves are one message.
const gather = 5 * time.Millisecond

// maxMessage is how long a message may become while Redis does not take it: the
// streams tell of the rest.
const maxMessage = 256 << 10

// A hint says that a record was saved, or perhaps was.
type hint struct {
	id     string // of its entry in the stream; "" when that is not known
	change login.Change
}

// appendHint packs the id, the key and the names, each with its length before it.
func appendHint(b []byte, h hint) []byte {
	for _, s := range [2]string{h.id, h.change.Key} {
		b = append(b, byte(len(s)))
		b = append(b, s...)
	}
	return appendNames(b, h.change.Indexes)
}

// cutHint reads what appendHint wrote and returns what follows it.
func cutHint(s string) (h hint, rest string, err error) {
	if h.id, s, err = cutName(s); err != nil {
		return h, "", err
	}
	if h.change.Key, s, err = cutName(s); err != nil {
		return h, "", err
	}
	h.change.Indexes, rest, err = cutNames(s)
	return h, rest, err
}

// hints are what this node has saved and not yet said.
type hints struct {
	send func(message []byte)
	turn sync.Mutex // held while a message is sent

	mu      sync.Mutex
	waiting []byte
	driving bool
}

// give has a hint sent soon: at once when there was none for a while.
func (h *hints) give(one hint) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.waiting) >= maxMessage || len(one.change.Indexes) > maxIndexes {
		return
	}
	h.waiting = appendHint(h.waiting, one)
	if !h.driving {
		h.driving = true
		go h.drive()
	}
}

// drive sends what waits, until nothing does.
func (h *hints) drive() {
	for h.flush() || h.goesOn() {
		time.Sleep(gather)
	}
}

// goesOn tells whether hints came after all; if not, the next one needs a drive
// of its own.
func (h *hints) goesOn() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.driving = len(h.waiting) > 0
	return h.driving
}

// flush sends what waits now, when no other message is under way, and tells
// whether anything did.
func (h *hints) flush() bool {
	h.turn.Lock()
	defer h.turn.Unlock()
	message := h.take()
	if len(message) > 0 {
		h.send(message)
	}
	return len(message) > 0
}

func (h *hints) take() (message []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	message, h.waiting = h.waiting, nil
	return message
}

func (r *Redis) publish(message []byte) {
	ctx, cancel := context.WithTimeout(context.Background(), tryLimit)
	defer cancel()
	if err := r.client.Publish(ctx, channel, message).Err(); err != nil {
		r.log.Debug("a hint was not sent", "error", err)
	}
}

// toldOf are the entries of which hints have told since the look before the
// last: the streams need not tell of them again. A hint may come after the look
// that found its entry.
type toldOf struct {
	now, before map[string]string // record key by entry
}

func (t *toldOf) note(id, key string) {
	if id == "" {
		return
	}
	if t.now == nil {
		t.now = map[string]string{}
	}
	t.now[id] = key
}

func (t *toldOf) has(id, key string) bool {
	told, ok := t.now[id]
	if !ok {
		told, ok = t.before[id]
	}
	return ok && told == key
}

func (t *toldOf) looked() { t.now, t.before = nil, t.now }
