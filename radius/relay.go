package radius

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	layeh "layeh.com/radius"

	"vssgate/internal/accounting"
	"vssgate/internal/secret"
	"vssgate/radius/wire"
)

// A Destination is a server that accounting is sent on to.
type Destination struct {
	Address string // HOST:PORT
	Secret  secret.Secret
}

// How often and how long a record is offered to a server. In between comes the
// same packet: a record that the NAS sends again is another one.
var relayGaps = []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}

// A Relay sends each record on to several servers, each with Identifiers and
// authenticators of its own; the attributes, the NAS's Proxy-States among them,
// go as they came. A record is safe when one of the servers has acknowledged
// it: were all of them needed, one that is down would have the NAS repeat its
// records to the others for ever. What a server did not take is counted and
// told. It is an accounting.Keeper.
type Relay struct {
	servers []*relayServer
}

// NewRelay connects to the servers; Run has the records sent.
func NewRelay(to []Destination, log *slog.Logger) (*Relay, error) {
	r := &Relay{}
	for _, d := range to {
		addr, err := net.ResolveUDPAddr("udp", d.Address)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("radius: accounting server: %w", err), r.close())
		}
		conn, err := net.DialUDP("udp", nil, addr)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("radius: accounting server: %w", err), r.close())
		}
		r.servers = append(r.servers, &relayServer{address: d.Address, key: wire.NewKey([]byte(d.Secret.Reveal())), conn: conn, gaps: relayGaps, tell: newTeller(log)})
	}
	return r, nil
}

// Run takes in what the servers say until ctx ends.
func (r *Relay) Run(ctx context.Context) error {
	var all sync.WaitGroup
	for _, s := range r.servers {
		all.Go(s.read)
	}
	<-ctx.Done()
	err := r.close()
	all.Wait()
	return err
}

func (r *Relay) close() (err error) {
	for _, s := range r.servers {
		err = errors.Join(err, s.conn.Close())
	}
	return err
}

// Ready tells whether some server has taken the last record that it was offered.
func (r *Relay) Ready() bool {
	for _, s := range r.servers {
		if !s.silent.Load() {
			return true
		}
	}
	return false
}

// Account offers a record to all servers; done is told as soon as one has it,
// or none took it.
func (r *Relay) Account(record *accounting.Record, done func(safe bool)) {
	var left atomic.Int32
	left.Store(int32(len(r.servers)))
	once := sync.Once{}
	for _, s := range r.servers {
		s.offer(record, func(taken bool) {
			if last := left.Add(-1) == 0; taken || last {
				once.Do(func() { done(taken) })
			}
		})
	}
}

// A relayServer is one server, and what it was offered.
type relayServer struct {
	address string
	key     *wire.Key
	conn    *net.UDPConn
	gaps    []time.Duration
	tell    *teller
	silent  atomic.Bool // it did not take the last record

	mu     sync.Mutex
	last   byte // Identifier
	offers [256]*offer
}

// An offer is a record that waits for its acknowledgement.
type offer struct {
	packet []byte
	sent   int
	timer  *time.Timer
	done   func(taken bool)
}

// offer sends a record. Where all Identifiers are in use nothing is sent: the
// NAS keeps what cannot be kept here.
func (s *relayServer) offer(r *accounting.Record, done func(taken bool)) {
	s.mu.Lock()
	at, free := s.free()
	var o *offer
	if free {
		o = &offer{packet: s.key.Account(at, r.Attributes, r.Signed), done: done}
		if free = o.packet != nil; free {
			o.timer = time.AfterFunc(s.gaps[0], func() { s.again(at, o) })
			o.sent, s.offers[at] = 1, o
		}
	}
	s.mu.Unlock()
	if !free {
		s.refused("all 256 Identifiers wait for an answer, or the record is too long")
		done(false)
		return
	}
	_, _ = s.conn.Write(o.packet) // an error here is an earlier ICMP message: it is sent again
}

// free finds an Identifier, not the one that was used last. Held: mu.
func (s *relayServer) free() (id byte, ok bool) {
	for range s.offers {
		if s.last++; s.offers[s.last] == nil {
			return s.last, true
		}
	}
	return 0, false
}

// again offers o once more, or gives it up.
func (s *relayServer) again(id byte, o *offer) {
	s.mu.Lock()
	if s.offers[id] != o {
		s.mu.Unlock()
		return
	}
	if o.sent == len(s.gaps) {
		s.offers[id] = nil
		s.mu.Unlock()
		s.refused(fmt.Sprintf("no answer to %d tries; is it up, and is the secret the same there?", o.sent))
		o.done(false)
		return
	}
	o.timer.Reset(s.gaps[o.sent])
	o.sent++
	s.mu.Unlock()
	_, _ = s.conn.Write(o.packet)
}

// refused tells that the server did not take a record.
func (s *relayServer) refused(why string) {
	s.silent.Store(true)
	s.tell.tell(time.Now(), s.address, notTaken, "accounting server did not take a record", func() []slog.Attr {
		return []slog.Attr{slog.String("why", why)}
	})
}

// read takes acknowledgements in until the socket is closed. What is not one is
// passed over: anybody can send it.
func (s *relayServer) read() {
	buf := make([]byte, layeh.MaxPacketLength+1)
	for {
		n, err := s.conn.Read(buf)
		switch {
		case errors.Is(err, net.ErrClosed), errors.Is(err, os.ErrDeadlineExceeded):
			return
		case err != nil || n < headerLen: // nobody listens there; perhaps soon
			continue
		}
		if o := s.taken(buf[:n]); o != nil {
			s.silent.Store(false)
			o.done(true)
		}
	}
}

// taken is the offer that b acknowledges, or nil.
func (s *relayServer) taken(b []byte) *offer {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.offers[b[1]]
	if o == nil || !s.key.Acknowledges(b, o.packet) {
		return nil
	}
	o.timer.Stop()
	s.offers[b[1]] = nil
	return o
}
