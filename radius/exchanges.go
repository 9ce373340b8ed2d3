package radius

import (
	"net/netip"
	"sync"
	"time"

	"vssgate/internal/login"
)

// Limits of what is remembered of answered requests.
const (
	rememberFor   = 60 * time.Second // longer than the widest gap between two tries of a NAS (pam_radius)
	rememberCount = 200_000
	rememberBytes = 64 << 20
	exchangeBytes = 280 // what an exchange costs beside its answer, table included
)

// A key is what a NAS tells its open requests apart by.
type key struct {
	socket     *socket
	local      netip.Addr // the address that was asked, where the socket has several
	source     netip.AddrPort
	identifier uint32 // or the Token of RADIUS/1.1
}

// A port is where a NAS asks from, as long as an exchange with it is known. It
// is kept once for all of them.
type port struct {
	socket *socket
	origin
	exchanges int
	held      int
}

// An origin is what ports of one socket differ in: see key.
type origin struct {
	local  netip.Addr
	source netip.AddrPort
}

// A place is where an exchange is found in its socket's table.
type place struct {
	port       *port
	identifier uint32
}

// A stage is how far an exchange has come.
type stage uint8

const (
	held     stage = iota // the Handler has it
	answered              // answer was sent, or is silence if it is nil
	gone                  // its NAS left before the answer: never answered
	over                  // forgotten
)

// An exchange is one request and its answer. It keeps nothing of the request
// that is not needed to encode the answer.
type exchange struct {
	server *Server
	client *client
	place
	accounting    bool
	stage         stage // guarded by exchanges.mu, as is all from leave on
	authenticator [16]byte
	proxyState    [][]byte
	eap           bool // its answer carries EAP, for the EAP packet eapID
	eapID         byte
	tries         tries

	leave        func()
	again        func()   // tells who follows the login that the packet came again
	attempt      login.ID // when it is answered: of which login
	answer       []byte
	answeredAt   int64     // nanoseconds since 1970
	older, newer *exchange // among the answered
}

func (x *exchange) key() key {
	return key{x.port.socket, x.port.local, x.port.source, x.identifier}
}

// exchanges are all exchanges, held and answered, of all sockets: each socket
// has its own table of them, the limits are common.
type exchanges struct {
	maxHeld int
	meter   Meter
	made    time.Time

	mu             sync.Mutex // guards what is below, and the sockets' tables
	timers         map[timersOf]*timers
	held           int
	answers, bytes int
	oldest, newest *exchange // of the answered
}

func newExchanges(maxHeld int, meter Meter) *exchanges {
	return &exchanges{maxHeld: maxHeld, meter: meter, made: time.Now(), timers: map[timersOf]*timers{}}
}

// A beginning is what becomes of a request that has come in.
type beginning struct {
	drop    Drop   // "": new; it is held now
	resend  []byte // with Retransmission: the answer, if there is one
	left    func() // the old request's leave: to be called, outside of any lock
	crowded bool   // the NAS's port has nearly as many held as it has Identifiers

	// With Retransmission, for who follows the login: what tells of it while the
	// request is held (nil: nobody follows), and which it is when it is answered.
	again   func()
	attempt login.ID
}

// begin takes x in under the key k, unless it is known (RFC 5080 section 2.2.2).
// Another request under the same key means that the NAS gave the old one up: it
// will take no answer to it.
func (t *exchanges) begin(x *exchange, k key, now time.Time) (b beginning) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expire(now)
	x.place = place{k.socket.port(origin{k.local, k.source}), k.identifier}
	defer func() {
		if b.drop != "" {
			x.port.release()
		}
	}()
	old := k.socket.known[x.place]
	if old != nil && old.authenticator == x.authenticator && old.client.same(x.client) {
		if old.stage == held {
			old.tries.again(t.millis(now))
		}
		return beginning{drop: Retransmission, resend: old.answer, again: old.again, attempt: old.attempt}
	}
	if old != nil {
		b.left = t.supersede(old, now)
	}
	if t.held >= t.maxHeld || k.socket.draining {
		b.drop = TooManyHeld
		return b
	}
	k.socket.known[x.place] = x
	x.tries.begun, x.tries.sent = t.millis(now), 1
	x.tries.last = x.tries.begun
	b.crowded = t.count(x, +1) >= crowdedAt
	return b
}

func (t *exchanges) supersede(x *exchange, now time.Time) (left func()) {
	if x.stage == held {
		t.meter.Dropped(Superseded)
		t.learn(x, now, true)
	}
	return t.abandon(x)
}

// handled notes how to tell the Handler that x's NAS has gone; if it has
// already, the caller is to do that now. again may be nil.
func (t *exchanges) handled(x *exchange, leave, again func()) (goneAlready bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if x.stage == held {
		x.leave, x.again = leave, again
	}
	return x.stage == gone
}

// belongs notes of which login x is.
func (t *exchanges) belongs(x *exchange, to login.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	x.attempt = to
}

// finish notes x's answer, nil for silence, and reports whether it is to be
// sent: only the first answer to a request that nobody gave up. Its socket
// stays open for it until sent is called.
func (t *exchanges) finish(x *exchange, answer []byte, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if x.stage != held {
		return false
	}
	t.learn(x, now, answer == nil)
	if answer != nil {
		x.port.socket.sending++
	}
	t.count(x, -1)
	x.stage, x.answer, x.answeredAt = answered, answer, now.UnixNano()
	x.leave, x.again, x.proxyState = nil, nil, nil // an answer is encoded once
	t.remember(x)
	t.expire(now)
	return answer != nil
}

// sent tells that an answer that finish gave free has left through s.
func (t *exchanges) sent(s *socket) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.sending--
	s.check()
}

// forget drops x as if it had never come: the same packet again is a new
// request.
func (t *exchanges) forget(x *exchange) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.remove(x)
}

// abandon removes x because its NAS takes no answer any more, and returns what
// tells the Handler so, if it has the request and Handle has returned.
func (t *exchanges) abandon(x *exchange) (leave func()) {
	waits, leave := x.stage == held, x.leave
	t.remove(x)
	if waits {
		x.stage = gone
	}
	return leave
}

func (t *exchanges) remove(x *exchange) {
	switch x.stage {
	case held:
		t.count(x, -1)
	case answered:
		t.unlink(x)
	default:
		return
	}
	delete(x.port.socket.known, x.place)
	x.port.release()
	x.stage, x.leave, x.again, x.answer = over, nil, nil, nil
}

// expire forgets answers that are old, or too many: the oldest first.
func (t *exchanges) expire(now time.Time) {
	for x := t.oldest; x != nil; x = t.oldest {
		if now.UnixNano()-x.answeredAt < int64(rememberFor) && t.answers <= rememberCount && t.bytes <= rememberBytes {
			return
		}
		t.remove(x)
	}
}

func (t *exchanges) remember(x *exchange) {
	t.answers++
	t.bytes += exchangeBytes + len(x.answer)
	x.older = t.newest
	if t.newest != nil {
		t.newest.newer = x
	} else {
		t.oldest = x
	}
	t.newest = x
}

func (t *exchanges) unlink(x *exchange) {
	t.answers--
	t.bytes -= exchangeBytes + len(x.answer)
	if x.older != nil {
		x.older.newer = x.newer
	} else {
		t.oldest = x.newer
	}
	if x.newer != nil {
		x.newer.older = x.older
	} else {
		t.newest = x.older
	}
	x.older, x.newer = nil, nil
}

// count notes that one more or one less request is held, and tells how many of
// its port are.
func (t *exchanges) count(x *exchange, delta int) (ofPort int) {
	t.held += delta
	x.port.socket.held += delta
	if !x.accounting {
		t.meter.IdentifiersInUse(x.client.name(), delta)
	}
	x.port.held += delta
	x.port.socket.check()
	if x.client.version == overV11 { // Tokens enough
		return 0
	}
	return x.port.held
}

// drain lets no more requests in through s and returns a channel that is
// closed when none is held any more and the last answer has left.
func (t *exchanges) drain(s *socket) <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	drained := make(chan struct{})
	s.draining, s.drained = true, sync.OnceFunc(func() { close(drained) })
	s.check()
	return drained
}

// end removes everything that came through s and returns what tells the
// Handler about those that were held.
func (t *exchanges) end(s *socket) (left []func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, x := range s.known {
		if leave := t.abandon(x); leave != nil {
			left = append(left, leave)
		}
	}
	return left
}
