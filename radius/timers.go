package radius

import (
	"cmp"
	"slices"
	"time"

	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"
)

// Timers are what the NASes of a client have shown of their patience with
// requests of one method. A NAS does not say when it stops waiting; only this
// is taken for having given up:
//
//   - It had sent the same packet again at least once, and then did not for two
//     and a half times its last gap, while the request was still unanswered. Gaps
//     that double are waited for, and one lost packet does not mislead; of several
//     such requests the median counts. It has waited until one gap after the
//     last try.
//   - Three times in a row a request that was never sent again was replaced, by
//     another under its Identifier or by a retry that joined its login, each
//     time after the same time but for a tenth: a machine's timer. A user who
//     loses patience and logs in anew is not that regular, and proves nothing.
//
// A packet that comes again proves that its NAS was waiting until then.
type Timers struct {
	Client  string
	Method  string        // pap, chap, ms-chap or eap
	Gap     time.Duration // between the first two tries; 0: never sent again
	Tries   int           // how often a packet is sent; 0: not known
	Wait    time.Duration // in all, before it gives up; 0: not known
	AtLeast time.Duration // it has waited that long, for sure
	GiveUps int           // how many Tries and Wait rest on
	Seen    time.Time     // the last of what was learnt
}

// The methods, as exchanges keep them.
var methods = [...]string{"pap", "chap", "ms-chap", "eap"}

func (p *packet) method() uint8 {
	switch {
	case p.counts.of(rfc2869.EAPMessage_Type) > 0:
		return 3
	case p.counts.of(rfc2865.UserPassword_Type) > 0 || p.counts.of(rfc2865.State_Type) > 0:
		return 0
	case p.counts.of(rfc2865.CHAPPassword_Type) > 0:
		return 1
	case p.msCHAP():
		return 2
	}
	return 0
}

// millis is a time in milliseconds. It wraps after seven weeks; differences of
// less are right all the same.
type millis uint32

func (m millis) duration() time.Duration { return time.Duration(m) * time.Millisecond }

// tries are how often, and when, a held packet has come. Small: each held
// request has one.
type tries struct {
	begun, last millis // the first and the last time
	first, gap  millis // between the first two, and the last two
	sent        uint8  // beyond 255 it stays there
	method      uint8
}

// again: the packet came once more. Two that come at once are one that the
// network has doubled.
func (y *tries) again(at millis) {
	if at-y.last < shortestGap {
		return
	}
	y.gap, y.last = at-y.last, at
	if y.sent == 1 {
		y.first = y.gap
	}
	y.sent = uint8(min(int(y.sent)+1, 255))
}

// Limits of what is kept of a client's timers.
const (
	keptGiveUps  = 9
	agreeing     = 3
	shortestWait = millis(500) // a request replaced sooner is a probe, or a user's double click
	shortestGap  = millis(100)
	maxTimers    = 10_000
)

// A giveUp is one request whose NAS stopped waiting.
type giveUp struct {
	gap, wait millis
	tries     uint8
}

// timers are those of one client and method.
type timers struct {
	before   Timers // what was known before the start
	giveUps  []giveUp
	replaced []millis
	gap      millis
	atLeast  millis
	seen     time.Time
}

type timersOf struct {
	client string
	method uint8
}

// learn takes in how the request y ended: answered, or replaced because its NAS
// was not waiting any more.
func (t *exchanges) learn(x *exchange, now time.Time, replaced bool) {
	y := &x.tries
	waited, quiet := t.millis(now)-y.begun, t.millis(now)-y.last
	if x.accounting || y.sent <= 1 && (!replaced || waited < shortestWait) {
		return
	}
	k := t.timersOf(timersOf{x.client.name(), y.method})
	if k == nil {
		return
	}
	k.seen = now
	if y.sent > 1 {
		k.gap, k.atLeast = y.first, max(k.atLeast, y.last-y.begun)
	}
	switch {
	case y.sent > 1 && quiet > y.gap*5/2:
		k.giveUps = push(k.giveUps, giveUp{y.first, y.last - y.begun + y.gap, y.sent}, keptGiveUps)
	case replaced && y.sent == 1:
		k.replaced = push(k.replaced, waited, agreeing)
	}
}

// push keeps the last n.
func push[T any](all []T, one T, n int) []T {
	if len(all) == n {
		copy(all, all[1:])
		all = all[:n-1]
	}
	return append(all, one)
}

func (t *exchanges) timersOf(of timersOf) *timers {
	k := t.timers[of]
	if k == nil && len(t.timers) < maxTimers {
		k = &timers{}
		t.timers[of] = k
	}
	return k
}

func (t *exchanges) millis(now time.Time) millis { return millis(now.Sub(t.made).Milliseconds()) }

// report is what is known by now.
func (k *timers) report(of timersOf) Timers {
	r := k.before
	r.Client, r.Method = of.client, methods[of.method]
	r.AtLeast = max(r.AtLeast, k.atLeast.duration())
	if k.gap > 0 {
		r.Gap = k.gap.duration()
	}
	if !k.seen.IsZero() {
		r.Seen = k.seen
	}
	switch {
	case len(k.giveUps) > 0:
		r.Gap = median(k.giveUps, func(g giveUp) millis { return g.gap }).duration()
		r.Wait = median(k.giveUps, func(g giveUp) millis { return g.wait }).duration()
		r.Tries = int(median(k.giveUps, func(g giveUp) millis { return millis(g.tries) }))
		r.GiveUps = len(k.giveUps)
	case len(k.replaced) == agreeing && agree(k.replaced):
		r.Wait = median(k.replaced, func(m millis) millis { return m }).duration()
		r.Tries, r.GiveUps = 1, agreeing
	}
	return r
}

func median[T any](all []T, of func(T) millis) millis {
	values := make([]millis, len(all))
	for i, one := range all {
		values[i] = of(one)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// agree: no machine's timer is off by more than a tenth.
func agree(all []millis) bool {
	least, most := slices.Min(all), slices.Max(all)
	return most-least <= least/10
}

// Timers are what was learnt of all clients' NASes, by client and method.
func (s *Server) Timers() (all []Timers) {
	s.exchanges.mu.Lock()
	defer s.exchanges.mu.Unlock()
	for of, k := range s.exchanges.timers {
		all = append(all, k.report(of))
	}
	slices.SortFunc(all, func(a, b Timers) int {
		return cmp.Or(cmp.Compare(a.Client, b.Client), cmp.Compare(a.Method, b.Method))
	})
	return all
}

// Recall tells what was learnt before the start; what is learnt anew replaces
// it.
func (s *Server) Recall(before []Timers) {
	s.exchanges.mu.Lock()
	defer s.exchanges.mu.Unlock()
	for _, b := range before {
		method := slices.Index(methods[:], b.Method)
		if method < 0 {
			continue
		}
		if k := s.exchanges.timersOf(timersOf{b.Client, uint8(method)}); k != nil {
			k.before = b
		}
	}
}

// crowdedAt is how many held requests of one port are close to the 256 that
// have an Identifier: the next ones take one from a login that waits.
const crowdedAt = 200
