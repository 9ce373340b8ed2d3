package trail

import (
	"math"
	"time"

	"vssgate/internal/login"
)

// maxEvents are kept of one login; of more the last is replaced.
const maxEvents = 40

// An event is a login.Event, small: there may be a million.
type event struct {
	at    uint32 // ms after the login began
	took  uint32 // µs; of what came several times: from the first to the last
	word  uint16 // an index into words
	kind  login.EventKind
	count uint8 // how often, one after the other
}

// An entry is one login as this node saw it.
type entry struct {
	id       login.ID
	began    time.Time
	client   *login.Client
	frontEnd login.FrontEnd
	typed    string
	from     string
	session  string // Acct-Session-Id, if the NAS named it
	device   string // that answered
	service  bool   // a service account's, which a rule lets in
	said     said
	proven   bool // its password was found right: the store has it
	events   []event
	ended    *ended // nil: open, as far as this node knows
}

// ended is what is known of a login that is over.
type ended struct {
	at       time.Time
	stage    string
	reason   string
	username string // the directory's
	account  string
	nas      string
	client   string
	frontEnd login.FrontEnd
	factor   string
	wouldBe  string // observed: what would have been
	requests int
	pushes   int
	took     time.Duration
}

// said is the reply that the user read last.
type said struct {
	kind     login.ReplyKind
	reason   uint16
	prompt   uint16
	approval uint16
	tries    uint8
	codes    login.FactorSet
	number   bool
	until    int64 // Unix; 0: none
}

// words are what is said of events, each kept once. They come from small sets;
// a word beyond the limit is not kept.
type words struct {
	byWord map[string]uint16
	all    []string
}

const maxWords = 4096

func newWords() *words { return &words{byWord: map[string]uint16{"": 0}, all: []string{""}} }

func (w *words) of(word string) uint16 {
	if i, known := w.byWord[word]; known {
		return i
	}
	if len(w.all) >= maxWords {
		return 0
	}
	i := uint16(len(w.all))
	w.all = append(w.all, word)
	w.byWord[word] = i
	return i
}

func (e *entry) at(t time.Time) uint32 { return uint32(max(t.Sub(e.began).Milliseconds(), 0)) }

// lastAt is when something happened last.
func (e *entry) lastAt() time.Time {
	if len(e.events) == 0 {
		return e.began
	}
	return e.began.Add(time.Duration(e.events[len(e.events)-1].at) * time.Millisecond)
}

// add notes an event. What happens several times in a row is one event.
func (e *entry) add(kind login.EventKind, word uint16, t time.Time, took time.Duration) {
	if n := len(e.events); n > 0 {
		last := &e.events[n-1]
		if last.kind == kind && last.word == word && repeats(kind) {
			last.count = max(last.count, last.count+1) // at 255 it stays
			last.took = 1000 * (e.at(t) - last.at)
			return
		}
		if n == maxEvents {
			e.events = e.events[:n-1]
		}
	}
	if e.events == nil {
		e.events = make([]event, 0, 4)
	}
	e.events = append(e.events, event{at: e.at(t), took: uint32(min(took.Microseconds(), math.MaxUint32)), word: word, kind: kind, count: 1})
}

func repeats(k login.EventKind) bool {
	return k == login.EventAgain || k == login.EventResent || k == login.EventPush || k == login.EventPhone
}

// asks takes over who asks, from the first request.
func (e *entry) asks(r *login.Request) {
	if e.client != nil || r == nil {
		return
	}
	e.client, e.frontEnd, e.typed, e.session, e.service = r.Client, r.FrontEnd, login.ShownName(r.Username), r.Session, r.Rule != ""
	if e.from = r.Station; e.from == "" && r.Source.IsValid() {
		e.from = r.Source.String()
	}
}
