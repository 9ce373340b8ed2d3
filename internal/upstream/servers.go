package upstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	layeh "layeh.com/radius"

	"vssgate/radius/wire"
)

// How long a server that did not answer is passed over, unless Status-Server
// finds it sooner; and for how long a word from a server proves that it is there.
const (
	passedOverFor = 30 * time.Second
	fresh         = 2 * time.Second
	probeFor      = time.Second // a busy server says something to somebody meanwhile
)

// A server is one of a Factor's.
type server struct {
	address string
	secret  []byte
	key     *wire.Key
	link    Link
	udp     *udp // nil: over TLS
	tell    *teller

	mu     sync.Mutex
	heard  time.Time // when it last said something genuine
	since  time.Time // it does not answer since then; zero: it does, as far as we know
	retry  time.Time // until then it is passed over
	probes bool      // it has answered Status-Server, so silence tells something
}

func newServer(s Server, o Options) *server {
	secret := []byte(s.Secret.Reveal())
	n := &server{address: s.Address, secret: secret, key: wire.NewKey(secret), link: s.Link}
	n.tell = newTeller(o.Log.With("first_factor", o.Name, "server", s.Address), o.Meter)
	if n.link == nil {
		n.udp = newUDP(s.Address, n.key, n.tell)
		n.link = n.udp
	}
	return n
}

// ask sends what encode makes to the servers in order, or to the one that the
// conversation began with, until one answers or ctx ends. Each that is left has
// an equal part of what is left of the time.
func (f *Factor) ask(ctx context.Context, only *server, encode func(s *server, id uint32, v11 bool) (*layeh.Packet, error)) (*layeh.Packet, *server, error) {
	candidates := f.inOrder(time.Now())
	if only != nil {
		candidates = []*server{only}
	}
	var errs []error
	for i, s := range candidates {
		said, err := s.within(ctx, len(candidates)-i, encode)
		if err == nil {
			return said, s, nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, nil, errors.Join(errs...)
}

// inOrder are the servers to try: those that answer, as far as we know; when
// there are none, all, because a login is no worse off for it.
func (f *Factor) inOrder(now time.Time) (list []*server) {
	for _, s := range f.servers {
		if !s.passedOver(now) {
			list = append(list, s)
		}
	}
	if len(list) == 0 {
		return f.servers
	}
	return list
}

func (s *server) passedOver(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return now.Before(s.retry)
}

// within asks s for the part of ctx's time that is one of so many.
func (s *server) within(ctx context.Context, parts int, encode func(s *server, id uint32, v11 bool) (*layeh.Packet, error)) (*layeh.Packet, error) {
	begun := time.Now()
	deadline, _ := ctx.Deadline()
	share, cancel := context.WithDeadline(ctx, begun.Add(time.Until(deadline)/time.Duration(parts)))
	defer cancel()
	said, err := s.exchange(share, encode)
	if err != nil && !errors.Is(err, wire.ErrBusy) && !errors.Is(ctx.Err(), context.Canceled) {
		s.silent(begun, err)
	}
	return said, err
}

// exchange asks s once and reads the answer, its hidden values open.
func (s *server) exchange(ctx context.Context, encode func(s *server, id uint32, v11 bool) (*layeh.Packet, error)) (*layeh.Packet, error) {
	var asked *layeh.Packet
	plain := false
	b, err := s.link.Ask(ctx, func(id uint32, v11 bool) (b []byte, err error) {
		if asked, err = encode(s, id, v11); err != nil {
			return nil, err
		}
		plain = v11
		return s.sign(asked, v11)
	})
	if err != nil {
		return nil, fmt.Errorf("upstream %s: %w", s.address, err)
	}
	s.answered(time.Now())
	said, err := layeh.Parse(b, s.secret)
	if err == nil && !plain {
		said.Attributes, err = s.opened(said, asked.Authenticator)
	}
	if err != nil {
		return nil, fmt.Errorf("upstream %s: its answer: %w", s.address, err)
	}
	return said, nil
}

// opened are the attributes of an answer with their hidden values as they are.
// What does not open was granted in vain if that was an Access-Accept. In other
// answers it means nothing and is left out: radsecproxy hides values anew in
// Access-Accepts only, and FreeRADIUS sends what it would grant with a reject too.
func (s *server) opened(said *layeh.Packet, authenticator [16]byte) (list layeh.Attributes, err error) {
	if said.Code == layeh.CodeAccessAccept {
		return wire.Open(said.Attributes, s.secret, authenticator)
	}
	for _, a := range said.Attributes {
		if one, err := wire.Open(layeh.Attributes{a}, s.secret, authenticator); err == nil {
			list = append(list, one...)
		}
	}
	return list, nil
}

// sign encodes p; TLS alone protects RADIUS/1.1.
func (s *server) sign(p *layeh.Packet, v11 bool) ([]byte, error) {
	if v11 {
		return p.MarshalBinary()
	}
	return s.key.Sign(p)
}

// answered notes that s is there.
func (s *server) answered(now time.Time) {
	s.mu.Lock()
	since := s.since
	s.heard, s.since, s.retry = now, time.Time{}, time.Time{}
	s.mu.Unlock()
	if !since.IsZero() {
		s.tell.log.Info("upstream RADIUS server answers again", "was_silent_for", now.Sub(since).Round(time.Second))
	}
}

// silent notes that s did not answer what it was asked at begun. It is passed
// over if it has not answered anybody since.
func (s *server) silent(begun time.Time, why error) {
	s.mu.Lock()
	lost, before := s.heard.Before(begun), !s.since.IsZero()
	if lost {
		s.retry = time.Now().Add(passedOverFor)
		if !before {
			s.since = begun
		}
	}
	s.mu.Unlock()
	if lost && !before {
		s.tell.log.Error("upstream RADIUS server does not answer; it is passed over and tried again later", "error", why, "hint", silentHint)
	}
}

const silentHint = "is it up, and is this machine a client there with the same shared secret? A server says nothing to a client that it does not know, or whose Message-Authenticator is wrong"

// Ping tells whether a server answers, as far as can be known: those that know
// Status-Server are asked by it.
func (f *Factor) Ping(ctx context.Context) error {
	errs := make([]error, len(f.servers))
	var all sync.WaitGroup
	for i, s := range f.servers {
		all.Go(func() { errs[i] = s.ping(ctx) })
	}
	all.Wait()
	for _, err := range errs {
		if err == nil {
			return nil
		}
	}
	return errors.Join(errs...)
}

// ping asks s for a word. One that never answered Status-Server may not know it
// (NPS does not): its silence tells nothing.
func (s *server) ping(ctx context.Context) error {
	begun := time.Now()
	s.mu.Lock()
	known := begun.Sub(s.heard) < fresh
	s.mu.Unlock()
	if known {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, probeFor)
	defer cancel()
	_, err := s.link.Ask(ctx, func(id uint32, v11 bool) ([]byte, error) {
		return s.sign(newPacket(s, layeh.CodeStatusServer, id, v11), v11)
	})
	if err == nil {
		s.mu.Lock()
		s.probes = true
		s.mu.Unlock()
		s.answered(time.Now())
		return nil
	}
	err = fmt.Errorf("upstream %s: Status-Server: %w", s.address, err)
	s.mu.Lock()
	tells := s.probes || s.refused(begun, err)
	dead := time.Now().Before(s.retry)
	s.mu.Unlock()
	if tells {
		s.silent(begun, err)
	}
	if tells || dead {
		return err
	}
	return nil
}

// refused tells whether more than silence came back since begun.
func (s *server) refused(begun time.Time, err error) bool {
	if s.udp == nil { // no connection, or it was lost
		return !errors.Is(err, context.DeadlineExceeded)
	}
	return s.udp.refusedSince(begun)
}

// A teller counts what was no answer, and logs it now and then.
type teller struct {
	log   *slog.Logger
	meter Meter

	mu   sync.Mutex
	told map[wire.Fault]time.Time
}

func newTeller(log *slog.Logger, meter Meter) *teller {
	return &teller{log: log, meter: meter, told: map[wire.Fault]time.Time{}}
}

const tellEvery = 10 * time.Second

// wayOut says what to do about a fault. What anybody can cause by sending junk
// has no line.
var wayOut = map[wire.Fault]string{
	wire.BadResponse: "it was made with another shared secret, comes very late, or is forged: compare the secret on both sides",
	wire.Unsigned: "it has no Message-Authenticator, so it may be forged (CVE-2024-3596): update the server, or let it add one; " +
		"docs/upstream-radius.md says how",
	wire.BadSignature: "its Message-Authenticator is wrong: it was forged, or a proxy between changed it",
}

func (t *teller) drop(why wire.Fault) {
	t.meter.UpstreamDropped(string(why))
	hint := wayOut[why]
	now := time.Now()
	t.mu.Lock()
	due := hint != "" && now.Sub(t.told[why]) >= tellEvery
	if due {
		t.told[why] = now
	}
	t.mu.Unlock()
	if due {
		t.log.Warn("answer of an upstream RADIUS server not taken", "reason", string(why), "hint", hint)
	}
}
