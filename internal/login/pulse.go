package login

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A bind joins a login only where no open connection waits. Whoever waits at a
// node that was killed waits no more, but nobody is left to say so. So a node that
// holds binds has a pulse: a record in the store, saved once a second. Who waits
// at it is known by it (heldAt), and two rules, each by the monotonic clock of the
// node that follows it, keep a connection from being given up by others before its
// own node has given it up:
//
//   - A node whose pulse was not saved for pulseGood gives up the binds that wait
//     by it: they are answered 52 and never let in. That pulse never beats again.
//   - A node takes another for dead when it has read the same beat of its pulse
//     twice, stillFor apart.
//
// Between the last beat that was acknowledged, from whose sending the first clock
// runs, and the first reading, from whose end the second one does, nothing but
// more time can pass. A pulse that is not there proves nothing: then the store has
// another memory than the one it was written to.
type pulse struct {
	name string
	rec  Record // as it was saved last; the beating goroutine's alone

	mu    sync.Mutex
	until time.Duration // it is good until then, by Engine.clock
}

const (
	beatEvery = time.Second
	pulseGood = 4 * time.Second
	stillFor  = 6 * time.Second // pulseGood, and a margin for clocks that run unlike
	lookAgain = 250 * time.Millisecond
)

// pulseKept is how long the store remembers a pulse: longer than any login by far,
// whatever its clock does.
const pulseKept = time.Hour

func pulseKey(name string) string { return "pulse:" + name }

// lives tells whether the pulse is good now.
func (p *pulse) lives(now func() time.Duration) bool { return p.left(now) > 0 }

// left is for how long it is good yet.
func (p *pulse) left(now func() time.Duration) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.until - now()
}

// renew makes it good until then, if it still is: one that was not for a moment
// never is again.
func (p *pulse) renew(now func() time.Duration, until time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now() < p.until {
		p.until = until
	}
}

// stop ends it at once.
func (p *pulse) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.until = 0
}

// pulses are this node's, one after the other, and what it saw of others'.
type pulses struct {
	node   string          // begins the names of all of its pulses, in this life
	wanted chan *firstBeat // by Engine.beats
	ended  chan struct{}   // closed when nothing beats any more

	mu    sync.Mutex
	now   *pulse
	first *firstBeat // under way
	begun int
	seen  map[string]*sighting
}

// A firstBeat is waited for by all binds that need it.
type firstBeat struct {
	done  chan struct{}
	pulse *pulse
	err   error
}

func newPulses() pulses {
	var raw [6]byte
	rand.Read(raw[:])
	return pulses{
		node: base64.RawURLEncoding.EncodeToString(raw[:]) + ".", wanted: make(chan *firstBeat, 1), ended: make(chan struct{}), seen: map[string]*sighting{},
	}
}

// heldAt is the request's id, by which everybody sees at whose pulse it waits.
func heldAt(request string, p *pulse) string {
	id, _, _ := strings.Cut(request, "@")
	return id + "@" + p.name
}

// pulse is the name of the pulse that the chain's newest request waits by; "" none.
func (c *Chain) pulse() string {
	_, name, _ := strings.Cut(c.Newest, "@")
	return name
}

// waits tells whether somebody waits in the chain, as far as the attempt says: who
// waits by a pulse does until he says otherwise, whatever the store's clock says.
func (c *Chain) waits(now time.Time) bool {
	return !c.Until.IsZero() && (c.pulse() != "" || now.Before(c.Until))
}

// taken tells whether somebody waits in the attempt who is not known to wait no more.
func (e *Engine) taken(a *Attempt, q *asking, now time.Time) bool {
	return slices.ContainsFunc(a.Chains, func(c Chain) bool { return c.waits(now) && !e.lost(&c, a.ID, q) })
}

// lost tells whether who waited in the chain is known to wait no more: here, where
// that can be seen, or at a node that q found dead.
func (e *Engine) lost(c *Chain, id ID, q *asking) bool {
	name := c.pulse()
	switch {
	case name == "":
		return false
	case strings.HasPrefix(name, e.pulses.node):
		return !e.waitsHere(id, c.Newest)
	}
	return slices.Contains(q.dead, name)
}

// waitsHere tells whether this request is unanswered here, by a pulse that is good.
func (e *Engine) waitsHere(id ID, request string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if k := e.known[id]; k != nil {
		for q := k.asking; q != nil; q = q.next {
			if q.facts.Request == request && !e.fenced(q) {
				return true
			}
		}
	}
	return false
}

// takePulse gives a bind that may be held this node's pulse. An error: nobody
// would know that it waits, so it must not.
func (e *Engine) takePulse(ctx context.Context, q *asking) error {
	if e.Alone || q.req.FrontEnd != LDAP || q.req.Client.Mode != Hold {
		return nil
	}
	p, err := e.pulse(ctx)
	if err != nil {
		return fmt.Errorf("a bind cannot be held while the other nodes cannot be told that this one lives: %w", err)
	}
	e.mu.Lock()
	q.facts.Request, q.pulse = heldAt(q.facts.Request, p), p
	e.mu.Unlock()
	return nil
}

// fenced tells whether q waits, or waited, by a pulse that has stopped: whatever
// comes now, it is not let in.
func (e *Engine) fenced(q *asking) bool { return q.pulse != nil && !q.pulse.lives(e.clock) }

var errFenced = errors.New("this node has not reached the store for too long; others may have taken the login over")

// pulse is this node's, once a beat of it is acknowledged. All who need the first
// beat wait for one.
func (e *Engine) pulse(ctx context.Context) (*pulse, error) {
	ps := &e.pulses
	ps.mu.Lock()
	if p := ps.now; p != nil && p.lives(e.clock) {
		ps.mu.Unlock()
		return p, nil
	}
	first := ps.first
	if first == nil {
		first = &firstBeat{done: make(chan struct{})}
		ps.first = first
		ps.wanted <- first
	}
	ps.mu.Unlock()
	select {
	case <-first.done:
		return first.pulse, first.err
	case <-ps.ended:
		return nil, errStops
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// beats keeps this node's pulses up, from when the first one is needed until ctx ends.
func (e *Engine) beats(ctx context.Context) {
	ps := &e.pulses
	defer close(ps.ended)
	for {
		select {
		case <-ctx.Done():
			return
		case first := <-ps.wanted:
			first.pulse, first.err = e.beginPulse(ctx)
			ps.mu.Lock()
			ps.now, ps.first = first.pulse, nil
			ps.mu.Unlock()
			close(first.done)
			if first.err == nil {
				e.keepUp(ctx, first.pulse)
			}
		}
	}
}

func (e *Engine) beginPulse(ctx context.Context) (*pulse, error) {
	ctx, cancel := context.WithTimeout(ctx, pulseGood)
	defer cancel()
	now, err := e.Store.Now(ctx)
	if err != nil {
		return nil, err
	}
	e.pulses.begun++
	p := &pulse{name: e.pulses.node + strconv.Itoa(e.pulses.begun)}
	sent := e.clock()
	p.rec, err = e.Store.Save(ctx, Record{Key: pulseKey(p.name), Value: []byte{1}, Expires: now.Add(pulseKept)}, Condition{})
	if err != nil {
		return nil, err
	}
	p.until = sent + pulseGood
	return p, nil
}

// keepUp beats until ctx ends, or until the pulse has stopped: then who waits by
// it is given up.
func (e *Engine) keepUp(ctx context.Context, p *pulse) {
	var failed error
	for next := e.clock() + beatEvery; ; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(min(next-e.clock(), p.left(e.clock))):
		}
		left := p.left(e.clock)
		if left <= 0 {
			e.giveUp(p, failed)
			return
		}
		next = max(next+beatEvery, e.clock())
		good, cancel := context.WithTimeout(ctx, left)
		failed = e.beat(good, p)
		cancel()
	}
}

// beat saves the pulse once more.
func (e *Engine) beat(ctx context.Context, p *pulse) error {
	for {
		sent := e.clock()
		rec := p.rec
		rec.Expires = rec.Read.Add(pulseKept)
		rec, err := e.Store.Save(ctx, rec, Condition{})
		if err == nil {
			p.rec = rec
			p.renew(e.clock, sent+pulseGood)
			return nil
		}
		if !errors.Is(err, ErrConflict) {
			return err
		}
		rec, err = e.Store.Load(ctx, p.rec.Key)
		if errors.Is(err, ErrNotFound) { // another memory, in which nothing renews this pulse
			p.stop()
		}
		if err != nil {
			return err
		}
		p.rec = rec // saved before, and the answer was lost
	}
}

// giveUp answers those who wait by a pulse that has stopped, before anybody else
// may take this node for dead.
func (e *Engine) giveUp(p *pulse, why error) {
	var given []*asking
	e.mu.Lock()
	for _, k := range e.known {
		for q := k.asking; q != nil; q = q.next {
			if q.pulse == p {
				given = append(given, q)
			}
		}
	}
	e.mu.Unlock()
	if len(given) > 0 {
		e.Log.Error("the binds held here are given up (52), for the other nodes may take this one for dead", "binds", len(given), "cause", causeOf(why))
	}
	for _, q := range given {
		e.poke(q)
	}
}

// causeOf says in words why a pulse has stopped; nil: its last beat had arrived.
func causeOf(err error) string {
	switch {
	case err == nil:
		return "this node stood still for more than " + pulseGood.String() + " (a paused machine, or one that has far too much to do)"
	case errors.Is(err, ErrNotFound):
		return "the store has forgotten this node (Redis was restarted, failed over or emptied)"
	}
	return "the store took no word of this node for " + pulseGood.String() + ": " + err.Error()
}

// A sighting is what this node saw of another's pulse, by its own clock.
type sighting struct {
	turn    chan struct{} // who may look, and read what follows; a lock that a context ends the waiting for
	version uint64        // of the beat; 0: it was not there
	since   time.Duration // when that was read first, and the answer was there
	sent    time.Duration // when it was asked for last
}

// A glance is a sighting at an instant.
type glance struct {
	version uint64
	still   time.Duration // for so long it was the same
}

// look reads a pulse, unless that was asked for at that instant or later.
func (e *Engine) look(ctx context.Context, name string, notBefore time.Duration) (glance, error) {
	s := e.sightingOf(name)
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return glance{}, context.Cause(ctx)
	}
	if s.sent == 0 || s.sent < notBefore {
		sent := e.clock()
		rec, err := e.Store.Load(ctx, pulseKey(name))
		if err != nil && !errors.Is(err, ErrNotFound) {
			return glance{}, err
		}
		if s.sent == 0 || rec.Version != s.version {
			s.version, s.since = rec.Version, e.clock()
		}
		s.sent = sent
	}
	return glance{s.version, s.sent - s.since}, nil
}

// maxSightings bounds what is remembered of others' pulses: those of nodes that
// died long ago are among them.
const maxSightings = 1000

func (e *Engine) sightingOf(name string) *sighting {
	ps := &e.pulses
	ps.mu.Lock()
	defer ps.mu.Unlock()
	s := ps.seen[name]
	if s == nil {
		if len(ps.seen) >= maxSightings {
			clear(ps.seen)
		}
		s = &sighting{turn: make(chan struct{}, 1)}
		ps.seen[name] = s
	}
	return s
}

// died waits until another node's pulse beats, about a second, or until it has
// stood still for stillFor. errLeft: q's asker has gone.
func (e *Engine) died(ctx context.Context, q *asking, name string) (bool, error) {
	first, err := e.look(ctx, name, e.clock())
	for now := first; err == nil; now, err = e.look(ctx, name, e.clock()-lookAgain) {
		switch {
		case now.version == 0 || now.version != first.version:
			return false, nil
		case now.still >= stillFor:
			return true, nil
		case q.hasLeft():
			return false, errLeft
		}
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-e.pulses.ended:
			return false, errStops
		case <-time.After(lookAgain):
		}
	}
	return false, err
}

// elsewhere are the pulses of other nodes by which somebody waits in the attempt.
func (e *Engine) elsewhere(a *Attempt, now time.Time) (names []string) {
	for i := range a.Chains {
		c := &a.Chains[i]
		if name := c.pulse(); name != "" && c.waits(now) && !strings.HasPrefix(name, e.pulses.node) {
			names = append(names, name)
		}
	}
	return names
}

var errStops = errors.New("this node stops")

var errLeft = errors.New("the asker has left meanwhile")

// mourn notes which of those nodes are dead. Meanwhile q is not being decided;
// errLeft: its asker has gone.
func (e *Engine) mourn(ctx context.Context, q *asking, names []string) error {
	e.busy.Add(-1)
	defer e.busy.Add(1)
	q.dead = nil
	dead, errs := make([]bool, len(names)), make([]error, len(names))
	var looks sync.WaitGroup
	for i, name := range names {
		looks.Go(func() { dead[i], errs[i] = e.died(ctx, q, name) })
	}
	looks.Wait()
	for i, name := range names {
		if dead[i] {
			q.dead = append(q.dead, name)
		}
	}
	if q.hasLeft() {
		return errLeft
	}
	return errors.Join(errs...)
}

func (q *asking) hasLeft() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.gone
}

// unwaitSoon has it said, as soon as the store can be told, that a bind does not
// wait any more which was given up without: while this node lives, the others
// would take it for waiting until the login's end.
func (e *Engine) unwaitSoon(id ID, request string) {
	e.working.Go(func() {
		for e.unwaitNow(id, request) != nil {
			select {
			case <-e.pulses.ended:
				return
			case <-time.After(closeAgain):
			}
		}
	})
}

func (e *Engine) unwaitNow(id ID, request string) error {
	ctx, cancel := context.WithTimeout(context.Background(), e.Patience)
	defer cancel()
	for range maxRounds {
		s, err := e.load(ctx, id)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if s.Attempt.Verdict != nil || !s.Attempt.unwait(request) {
			return nil
		}
		if err = e.save(ctx, s, Condition{}); !errors.Is(err, ErrConflict) {
			return err
		}
	}
	return errRaces
}
