package radius

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	layeh "layeh.com/radius"

	"vssgate/internal/secret"
	"vssgate/radius/wire"
)

// A line is one connection of a Link.
type line struct {
	outbox
	limits linkLimits
	secret []byte
	key    *wire.Key // of the secret
	v11    bool
	heard  atomic.Int64  // when the server last said something, in Unix nanoseconds; 0: never
	probed bool          // the server answers Status-Server; of watch alone
	lost   chan struct{} // closed with the connection
	why    error         // set before that

	mu      sync.Mutex
	last    uint32 // Identifier, or Token
	pending map[uint32]*question
}

// A question is a request that has no answer yet.
type question struct {
	header  [headerLen]byte
	sent    bool
	answer  chan []byte // takes one
	dropped time.Time   // nobody waits for the answer since then
}

func newLine(conn *tls.Conn, secret secret.Secret, limits linkLimits) *line {
	k := &line{limits: limits, secret: []byte(secret.Reveal()), v11: conn.ConnectionState().NegotiatedProtocol == protocolV11, lost: make(chan struct{}), pending: map[uint32]*question{}}
	k.key = wire.NewKey(k.secret)
	k.outbox.init(conn, limits.write)
	k.single = true
	if k.v11 { // begins anywhere, so that Tokens of two connections differ (RFC 9765 section 4.2.1)
		var first [4]byte
		rand.Read(first[:])
		k.last = binary.BigEndian.Uint32(first[:])
	}
	return k
}

func (k *line) protocol() string {
	if k.v11 {
		return protocolV11
	}
	return protocolV10
}

// serve reads answers until the connection is lost, or ctx ends.
func (k *line) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(ctx, func() { k.tls.SetReadDeadline(time.Unix(1, 0)) })
	var others sync.WaitGroup
	others.Go(k.write)
	others.Go(func() { k.watch(ctx) })
	why := k.read()
	k.mu.Lock()
	if k.why == nil {
		k.why = why
	}
	why = k.why
	k.mu.Unlock()
	close(k.lost)
	if stop() { // else ctx ended it, and the server is told
		k.abort()
	}
	cancel()
	k.end()
	others.Wait()
	k.tls.Close()
	return why
}

func (k *line) isLost() bool {
	select {
	case <-k.lost:
		return true
	default:
		return false
	}
}

// lose ends the connection.
func (k *line) lose(why error) {
	k.mu.Lock()
	k.why = why
	k.mu.Unlock()
	k.abort()
}

func (k *line) read() error {
	r := bufio.NewReaderSize(k.tls, layeh.MaxPacketLength)
	buf := make([]byte, layeh.MaxPacketLength)
	for {
		b, err := readPacket(r, buf)
		if err != nil {
			return err
		}
		if err := k.take(b); err != nil {
			return err
		}
		k.heard.Store(time.Now().UnixNano())
	}
}

// take hands an answer to who waits for it. What breaks the rules is an error,
// and ends the connection (RFC 6613 section 2.6.4); what answers nothing is
// passed over, also Protocol-Error (RFC 7930).
func (k *line) take(b []byte) error {
	switch layeh.Code(b[0]) {
	case layeh.CodeAccessAccept, layeh.CodeAccessReject, layeh.CodeAccessChallenge:
	default:
		return nil
	}
	id := uint32(b[1])
	if k.v11 {
		id = token(b)
	}
	p := k.answered(id)
	if p == nil {
		return nil
	}
	err := k.genuine(b, p)
	switch {
	case err == nil:
		p.answer <- bytes.Clone(b)
	case id == 0 && !k.v11: // may be the late answer to an older watchdog
		return nil
	}
	return err
}

// answered takes the request with that Identifier off the list; nil: none was
// sent.
func (k *line) answered(id uint32) *question {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := k.pending[id]
	if p == nil || !p.sent {
		return nil
	}
	delete(k.pending, id)
	return p
}

// genuine: inside TLS a Message-Authenticator may be missing, but not wrong.
func (k *line) genuine(b []byte, p *question) error {
	if k.v11 {
		if _, drop := walk(b, new(counts)); drop != "" {
			return fmt.Errorf("an answer that is no RADIUS packet: %s", drop)
		}
		return nil
	}
	if _, fault := k.key.Genuine(b, p.header[:]); fault != "" && fault != wire.Unsigned {
		return fmt.Errorf("an answer that is not genuine: %s; does the server use another secret than %s?", fault, tlsSecret.Reveal())
	}
	return nil
}

// ask sends one request and waits for its answer.
func (k *line) ask(ctx context.Context, encode func(id uint32, v11 bool) ([]byte, error)) ([]byte, error) {
	id, p, err := k.begin(time.Now())
	if err != nil {
		return nil, err
	}
	return k.exchange(ctx, id, p, encode)
}

func (k *line) exchange(ctx context.Context, id uint32, p *question, encode func(id uint32, v11 bool) ([]byte, error)) ([]byte, error) {
	b, err := encode(id, k.v11)
	if err == nil {
		k.mu.Lock()
		copy(p.header[:], b)
		p.sent = true
		k.mu.Unlock()
		if err = k.put(b); err != nil {
			err = fmt.Errorf("%w: %w", ErrNoLink, err)
		}
	}
	if err != nil {
		k.forget(id)
		return nil, err
	}
	select {
	case answer := <-p.answer:
		return answer, nil
	case <-k.lost:
		return nil, fmt.Errorf("connection lost: %w", k.why)
	case <-ctx.Done():
		k.leave(id, p)
		return nil, ctx.Err()
	}
}

// begin finds an Identifier, or takes the next Token. Identifier 0 is kept for
// the watchdog (RFC 6613 section 2.6.5).
func (k *line) begin(now time.Time) (id uint32, p *question, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	p = &question{answer: make(chan []byte, 1)}
	if k.v11 {
		k.last++
		k.pending[k.last] = p
		return k.last, p, nil
	}
	for range 255 {
		k.last = k.last%255 + 1
		old := k.pending[k.last]
		if old == nil || !old.dropped.IsZero() && now.Sub(old.dropped) >= k.limits.late {
			k.pending[k.last] = p
			return k.last, p, nil
		}
	}
	return 0, nil, fmt.Errorf("%w: a connection of RADIUS/1.0 has 255 Identifiers", wire.ErrBusy)
}

func (k *line) forget(id uint32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.pending, id)
}

// leave gives a request up. Its answer may still come: its Identifier is not
// used again before that, or for a while.
func (k *line) leave(id uint32, p *question) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pending[id] != p {
		return
	}
	if p.dropped = time.Now(); k.v11 {
		delete(k.pending, id)
	}
}

var errSilent = errors.New("the server does not answer its watchdog (Status-Server)")

// watch asks a server that has not said anything for a while whether it is
// there. Who has never answered such a question may not know it: only TCP tells
// then.
func (k *line) watch(ctx context.Context) {
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		}
		if since := time.Since(time.Unix(0, k.heard.Load())); since < k.limits.watchdog {
			next.Reset(k.limits.watchdog - since)
			continue
		}
		if k.probe(ctx) {
			k.probed = true
		} else if ctx.Err() == nil && k.probed && time.Since(time.Unix(0, k.heard.Load())) >= k.limits.silence {
			k.lose(errSilent)
			return
		}
		next.Reset(k.limits.watchdog)
	}
}

// probe sends Status-Server (RFC 5997).
func (k *line) probe(ctx context.Context) (answered bool) {
	ctx, cancel := context.WithTimeout(ctx, k.limits.silence)
	defer cancel()
	if k.v11 {
		_, err := k.ask(ctx, func(id uint32, _ bool) ([]byte, error) {
			b := [headerLen]byte{byte(layeh.CodeStatusServer), 0, 0, headerLen}
			binary.BigEndian.PutUint32(b[4:], id)
			return b[:], nil
		})
		return err == nil
	}
	p := &question{answer: make(chan []byte, 1)}
	k.mu.Lock()
	k.pending[0] = p
	k.mu.Unlock()
	_, err := k.exchange(ctx, 0, p, func(uint32, bool) ([]byte, error) {
		b := layeh.New(layeh.CodeStatusServer, k.secret)
		b.Identifier = 0
		return k.key.Sign(b)
	})
	return err == nil
}
