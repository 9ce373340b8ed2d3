package login

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"vssgate/otp"
)

// Options is what an Engine is made of. All fields but Fallbacks and Trail are
// needed.
type Options struct {
	Policy    Policy // to begin with; see Engine.Use
	Store     Store
	Keys      *otp.Keys
	People    People
	Witness   Witness
	Fallbacks Fallbacks // may be nil: accounts have no codes of their own
	Prompter  Prompter
	Auditor   Auditor
	Meter     Meter
	Log       *slog.Logger
	Trail     Trail // may be nil: nobody is told what happens to logins

	// InGroup tells whether one of a user's groups is the group with that DN,
	// however they are spelt; nil: nobody is in any. For emergencies.
	InGroup func(groups []string, dn string) bool

	// KeepGroups are those of a user's groups that are still needed when a login
	// has begun, for what the NAS is told of the user; nil: all.
	KeepGroups func(groups []string) []string

	// Patience bounds everything one decision waits for: directory, store.
	Patience time.Duration
	// MaxBusy bounds how many requests are decided at once; more are answered
	// NoAnswer, Shed, for the front end to count and to tell of: there may be very
	// many. Held requests do not count.
	MaxBusy int

	// Alone: no other node has this store, so none needs to know that this one
	// lives.
	Alone bool
}

// Engine is the loop around Decide. Make one with New, start Run, hand it
// requests with Handle and phones' answers with Answer.
type Engine struct {
	Options
	born   time.Time // the origin of clock
	now    atomic.Pointer[Policy]
	busy   atomic.Int64
	pulses pulses

	strays Strays // of what was shed

	mayBeEmergency atomic.Bool // an emergency was declared, here or elsewhere, and may be on
	working        crew

	mu          sync.Mutex
	stopLooking func()              // for void logins: see Reconsider
	unpaid      map[ID]bool         // logins whose audit record this node could not write
	known       map[ID]*known       // attempts that are open or asked for here: see table.go
	alarms      alarms              // those of them that are due some time
	alarm       *time.Timer         // of the first alarm
	rings       time.Duration       // when the alarm rings; 0: it does not
	checking    map[string]*flight  // first factors being asked, by join key
	rounds      map[string]*round   // first factors of several rounds, by State
	watchers    map[string]*watcher // who waits for the next change of an index or key
}

// An asking is a request on its way through the engine. There may be 100,000
// that are held, so what only a decision needs is apart, and gone meanwhile.
type asking struct {
	*work
	parked

	id    ID    // its attempt
	facts Facts //

	mu      sync.Mutex
	running bool
	again   bool
	done    bool
	gone    bool
	entered bool // its entry into the attempt is saved
	blamed  bool // its wrong code is noted in the attempt, and saved
	talks   bool // parked: Request.Conversation
	shown   bool // the Trail knows of it
	mute    bool // the Trail is not to know: it knows of others like it
	waited  bool // and that it is held

	next  *asking       // of the same attempt; guarded by Engine.mu, as is
	wake  time.Duration // when to decide again, by Engine.clock; 0: when something changes
	pulse *pulse        // a bind that may be held: the pulse it waits by; set under Engine.mu, as is facts.Request then
}

// work is what is known of a request while it is being decided.
type work struct {
	req       *Request
	own       ID        // the attempt it begins when there is none to join
	began     time.Time // by this node's clock, for "took"
	secret    []byte    // MAC of client, name and password: see Attempt.Secret
	scope     []byte    // MAC of where it came from: see Attempt.Scope
	lasting   []byte    // see Attempt.Lasting
	code      string    // the code that came, if any
	begins    FactorSet // that code is to begin a login: what the account has; see fallback.go
	guess     []byte    // what makes this guess known again
	lock      *readLock // the account's, as it was when q came; used once
	codesSeen uint64    // the account's counter of codes, before the login begins: a later success forgives only what was counted before
	resolved  *Identity // whom the directory knows under the typed name; nil: not asked
	identity  *Identity // whose login it is
	checked   *Checked  // nil: not asked
	flight    *flight   // it asks the first factor for others too
	seen      []*saved  // the person's open logins when this one was to begin
	looked    bool      // they were looked up, and serve once
	until     time.Time // locked_out: until when
	required  time.Time // let in before a rule's date: the date
	dead      []string  // pulses of nodes that have died: who waited there waits no more
}

// parked is what is kept of the request itself while it is held: who asked, and
// how to answer. Its password is known to be right; nothing secret is kept.
type parked struct {
	frontEnd FrontEnd
	client   *Client
	station  string
	source   netip.Addr
	reply    func(Reply)
}

// park drops what a held request does without.
func (q *asking) park() {
	r := q.req
	q.parked, q.talks = parked{r.FrontEnd, r.Client, r.Station, r.Source, r.Reply}, r.Conversation
	q.work = nil
}

// resume makes a parked request one that can be decided.
func (q *asking) resume() {
	if q.work == nil {
		p := q.parked
		q.work = &work{identity: &Identity{}, req: &Request{
			FrontEnd: p.frontEnd, Client: p.client, Station: p.station, Source: p.source, Conversation: q.talks, Reply: p.reply,
		}}
	}
}

// New makes an Engine. Start Run before handing it requests.
func New(o Options) *Engine {
	e := &Engine{
		Options:  o,
		born:     time.Now(),
		pulses:   newPulses(),
		known:    map[ID]*known{},
		checking: map[string]*flight{},
		rounds:   map[string]*round{},
		watchers: map[string]*watcher{},
	}
	e.now.Store(&e.Options.Policy)
	e.mayBeEmergency.Store(true) // from before: the first login asks
	return e
}

// Use puts another policy in the place of the one that there is. What is open
// goes on under it: its deadline and its factors stay as they were when it began.
func (e *Engine) Use(p Policy) { e.now.Store(&p) }

// PolicyNow is the policy that decides now; Options.Policy only began.
func (e *Engine) PolicyNow() *Policy { return e.now.Load() }

// Run watches the store and the deadlines of open attempts until ctx ends, and
// then waits for the requests that are being decided. It returns nil.
func (e *Engine) Run(ctx context.Context) error {
	defer e.working.Wait()
	e.working.Go(func() { e.patrol(ctx) }) // beside the watch, so that no change is missed meanwhile
	e.working.Go(func() { e.beats(ctx) })
	err := e.Store.Changes(ctx, e.changed)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// patrolEvery is how often a node looks for logins that nobody has ended.
const patrolEvery = time.Minute

// patrol takes over the open attempts that the store remembers from before, and
// then, again and again, those whose time is over and that are not closed: their
// node is dead, or has not heard that they were saved.
func (e *Engine) patrol(ctx context.Context) {
	for due := (func(Record) bool)(nil); ; {
		if err := e.adopt(ctx, due); err == nil {
			due = isOver
		} else if ctx.Err() == nil {
			e.Log.Error("cannot read the open logins; trying again", "in", patrolEvery, "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(patrolEvery):
		}
	}
}

// adopt watches the open attempts that are due; nil: all of them.
func (e *Engine) adopt(ctx context.Context, due func(Record) bool) error {
	for after := ""; ; {
		recs, err := e.Store.Find(ctx, indexOpen, after, 1000)
		if err != nil || len(recs) == 0 {
			return err
		}
		for _, rec := range recs {
			after = rec.Key
			if due != nil && !due(rec) {
				continue
			}
			if s, err := e.open(rec); err == nil {
				e.watch(s)
			}
		}
	}
}

// Handle takes a request on and returns at once; one with a Rule, which nobody
// holds, it decides before it returns. Request.Reply is called exactly once, when
// the verdict or another reply is there. leave tells the engine that the asker
// has gone: the attempt stays open for a retry to join.
func (e *Engine) Handle(r *Request) (leave func()) {
	if len(r.State) > 0 && !e.genuine(r.State, r.Client) { // anybody can send one: it costs no more than this
		id := NewID()
		r.Reply(Reply{Kind: BadAnswer, Reason: BadState, Attempt: id, Trace: id.Trace(), Stray: r, ValidFor: e.PolicyNow().ValidFor})
		return func() {}
	}
	q := &asking{work: &work{req: r, own: NewID(), identity: &Identity{}, began: time.Now()}}
	q.id = q.own
	q.facts.Request = newRequestID()
	r.Again = e.again(q)
	if r.Rule != "" {
		q.running = true
		e.working.Do(func() { e.decide(q) })
	} else {
		e.poke(q)
	}
	return func() {
		q.mu.Lock()
		q.gone = true
		q.mu.Unlock()
		e.poke(q)
	}
}

func newRequestID() string {
	var raw [8]byte
	rand.Read(raw[:])
	return hex.EncodeToString(raw[:])
}

// poke has q decided (again). Any number of pokes while a decision is under
// way lead to one more decision after it.
func (e *Engine) poke(q *asking) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.done:
	case q.running:
		q.again = true
	default:
		q.running = true
		e.working.Go(func() { e.decide(q) })
	}
}

// decide runs until q is answered or held and nothing has changed meanwhile.
func (e *Engine) decide(q *asking) {
	if n := e.busy.Add(1); e.MaxBusy > 0 && n > int64(e.MaxBusy) && !q.entered {
		e.shed(q)
	}
	defer e.busy.Add(-1)
	for {
		e.decideOnce(q)
		q.mu.Lock()
		if q.done || !q.again {
			q.running = false
			q.mu.Unlock()
			return
		}
		q.again = false
		q.mu.Unlock()
	}
}

// shed answers q that there is too much to do.
func (e *Engine) shed(q *asking) {
	stray := e.strays.Of(q.req.Client.Name, q.req.Username, q.own, time.Now())
	e.mu.Lock()
	q.id, q.mute = stray.ID, stray.Known || stray.Crowd
	e.mu.Unlock()
	if stray.Crowd && !stray.Known {
		e.told(Event{Attempt: stray.ID, Kind: EventDropped, Word: string(Shed), Request: &Request{FrontEnd: q.req.FrontEnd, Client: q.req.Client}})
		e.told(Event{Attempt: stray.ID, Kind: EventRefused, Word: SharedTrace})
	}
	e.finish(q, Reply{Kind: NoAnswer, Reason: Shed})
}

// decideOnce is one round for q. A panic or an error of ours ends this request
// without an answer, never the server, and never with an accept.
func (e *Engine) decideOnce(q *asking) {
	defer func() {
		if p := recover(); p != nil {
			e.Log.Error("a request failed inside vssgate", "trace", q.id.Trace(), "panic", p, "stack", string(debug.Stack()))
			e.finish(q, Reply{Kind: NoAnswer, Reason: Unavailable})
		}
	}()
	q.mu.Lock()
	done := q.done
	q.facts.Gone = q.gone
	q.mu.Unlock()
	if done {
		return
	}
	q.resume()
	if e.fenced(q) {
		e.finish(q, Reply{Kind: NoAnswer, Reason: Unavailable})
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), e.Patience)
	defer cancel()
	err := e.loop(ctx, q)
	if q.entered && errors.Is(err, ErrNotFound) {
		e.isVoid(q)
	} else if err != nil {
		e.Log.Error("login cannot be decided; the NAS or application is left to try another server", "trace", q.id.Trace(),
			"client", q.req.Client.Name, "error", err)
		e.finish(q, Reply{Kind: NoAnswer, Reason: Unavailable})
	}
}

// maxRounds bounds how often one request may lose a race before it is given up.
const maxRounds = 200

var errRaces = errors.New("lost too many races for one login")

// loop loads, decides and does until q is answered or waits.
func (e *Engine) loop(ctx context.Context, q *asking) error {
	came := !q.entered
	s, err := e.find(ctx, q)
	if s != nil {
		e.asked(q)
		if came && s.rec.Version > 0 {
			e.remind(s)
		}
	}
	for range maxRounds {
		if s == nil || err != nil {
			return err // answered already, or cannot be decided
		}
		now, err := e.Store.Now(ctx)
		if err != nil {
			return err
		}
		var finished bool
		if err = e.enter(s, q, now); err == nil {
			finished, err = e.do(ctx, s, q, Decide(&s.Attempt, &q.facts, e.PolicyNow(), now), now)
		}
		switch {
		case errors.Is(err, ErrConflict), errors.Is(err, ErrLate):
			q.facts.Entered = q.facts.Entered && q.entered // an entry that was not saved is none
			s, err = e.load(ctx, q.id)                     // somebody else was first: decide again on what stands now
		case errors.Is(err, errTaken):
			s, err = e.begin(ctx, q) // somebody else waits in the attempt: this one gets its own
		case errors.Is(err, errBadState):
			e.finish(q, Reply{Kind: BadAnswer, Reason: BadState})
			return nil
		case errors.Is(err, errLeft):
			e.finish(q, Reply{Kind: Silence})
			return nil
		case err != nil || finished:
			return err
		}
		if err != nil {
			return err
		}
	}
	return errRaces
}

// do carries one action out and tells whether the round is over.
func (e *Engine) do(ctx context.Context, s *saved, q *asking, act Action, now time.Time) (finished bool, err error) {
	switch act.Kind {
	case ActCheck:
		return e.check(ctx, s, q)
	case ActRelay:
		return true, e.relay(q)
	case ActCount:
		return false, e.count(ctx, s, q)
	case ActCompare:
		return false, e.compare(ctx, s, q)
	case ActPrompt:
		return false, e.prompt(ctx, s, q, now)
	case ActAccept, ActEnd:
		return true, e.end(ctx, s, q, act)
	case ActRepeat:
		return true, e.repeat(s, q)
	case ActWait:
		return true, e.hold(ctx, s, q, act.Until, now)
	case ActAsk:
		return true, e.ask(ctx, s, q, act.Prompt)
	case ActTell:
		return true, e.tell(ctx, s, q, act.Reason)
	case ActOwed:
		return e.awaitRecord(ctx, s, q)
	case ActSilence:
		return true, e.silence(ctx, s, q)
	default:
		e.finish(q, Reply{Kind: NoAnswer, Reason: Unavailable})
		return true, nil
	}
}

// hold parks q until the time, or until its attempt changes.
func (e *Engine) hold(ctx context.Context, s *saved, q *asking, until, now time.Time) error {
	if err := e.keep(ctx, s, q); err != nil {
		return err
	}
	if e.fenced(q) {
		return errFenced
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.done {
		return nil
	}
	if !q.waited {
		q.waited = true
		e.told(Event{Attempt: q.id, Kind: EventHeld, Took: until.Sub(now)})
	}
	q.park()
	e.wakeIn(q, until.Sub(now))
	return nil
}

// finish answers q, once.
func (e *Engine) finish(q *asking, r Reply) {
	q.mu.Lock()
	if q.done {
		q.mu.Unlock()
		return
	}
	q.done = true
	gone := q.gone
	q.mu.Unlock()
	e.drop(q)
	if r.Kind == Accept && e.fenced(q) { // the verdict stands, and its record; whoever takes this node for dead must be right
		e.Log.Error("let in, but not told: "+errFenced.Error(), "trace", q.id.Trace(), "client", q.req.Client.Name)
		e.told(Event{Attempt: q.id, Kind: EventDropped, Word: lostPulse})
		r = Reply{Kind: NoAnswer, Reason: Unavailable}
	}
	if r.Kind == NoAnswer && q.entered && q.pulse != nil {
		e.unwaitSoon(q.id, q.facts.Request)
	}
	r.Attempt, r.Trace, r.ValidFor = q.id, q.id.Trace(), e.PolicyNow().ValidFor
	if r.Kind == BadAnswer && q.id == q.own && !q.shown {
		r.Stray = q.req
	}
	e.land(q, &r)
	e.replied(q, &r, gone)
	q.req.Reply(r)
}

// changed wakes whoever waits for the record: held requests, long polls.
func (e *Engine) changed(c Change) {
	id, isAttempt := attemptOfKey(c.Key)
	e.mu.Lock()
	var woken []*asking
	if k := e.known[id]; isAttempt && k != nil {
		for q := k.asking; q != nil; q = q.next {
			woken = append(woken, q)
		}
	}
	if c.Key == emergencyKey {
		e.mayBeEmergency.Store(true)
	}
	for _, name := range append(slices.Clone(c.Indexes), c.Key) {
		if w := e.watchers[name]; w != nil {
			close(w.changed)
			delete(e.watchers, name)
		}
	}
	e.mu.Unlock()
	for _, q := range woken {
		e.poke(q)
	}
}

// A watcher is closed at the next change; waiting counts who looks at it.
type watcher struct {
	changed chan struct{}
	waiting int
}

// next returns a channel that is closed at the next change of an index or key.
// release must be called when nobody looks at it any more.
func (e *Engine) next(name string) (changed <-chan struct{}, release func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	w := e.watchers[name]
	if w == nil {
		w = &watcher{changed: make(chan struct{})}
		e.watchers[name] = w
	}
	w.waiting++
	return w.changed, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if w.waiting--; w.waiting == 0 && e.watchers[name] == w {
			delete(e.watchers, name)
		}
	}
}

// tick asks for an attempt in the name of its deadline.
func (e *Engine) tick(id ID) {
	ctx, cancel := context.WithTimeout(context.Background(), e.Patience)
	defer cancel()
	again, err := e.meetDeadline(ctx, id)
	if err != nil {
		e.Log.Error("cannot end a login at its deadline; trying again", "trace", id.Trace(), "error", err)
		again = time.Second
	}
	if again == 0 {
		e.forget(id)
		return
	}
	e.watchAgain(id, again)
}

// meetDeadline ends the attempt when its time has come, or tells when to look
// again.
func (e *Engine) meetDeadline(ctx context.Context, id ID) (again time.Duration, err error) {
	for range maxRounds {
		s, err := e.load(ctx, id)
		if errors.Is(err, ErrNotFound) {
			e.told(Event{Attempt: id, Kind: EventVoid})
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		act := Decide(&s.Attempt, nil, e.PolicyNow(), s.rec.Read)
		switch act.Kind {
		case ActWait:
			return max(act.Until.Sub(s.rec.Read), time.Millisecond), nil
		case ActEnd:
			err := e.conclude(ctx, s, act, nil)
			if errors.Is(err, ErrConflict) || errors.Is(err, ErrLate) {
				continue
			}
			if err == nil {
				err = e.closeBooks(ctx, s)
			}
			return 0, err
		default: // it has ended; its last words may be owed
			return e.pay(ctx, s)
		}
	}
	return 0, errRaces
}
