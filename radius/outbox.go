package radius

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"time"
)

// maxWaiting is how much may wait to be written to one connection: several
// thousand packets. Who takes none is not there any more.
const maxWaiting = 1 << 20

// lastWords is how long a peer is listened to that takes nothing any more: why
// it closes the connection may be on its way.
const lastWords = time.Second

// An outbox is what is to be written to a TLS connection: put together by
// whoever has something to say, and written by one goroutine, so that a peer
// that does not read keeps nobody waiting.
type outbox struct {
	tls     *tls.Conn
	timeout time.Duration // until the peer takes what we write
	single  bool          // each packet in a TLS record of its own: FreeRADIUS 3.2.1 closes a connection that brings two in one

	mu      sync.Mutex
	change  sync.Cond // of what follows
	waiting []byte    // packets, end to end
	ending  bool      // what waits is the last
}

func (o *outbox) init(conn *tls.Conn, timeout time.Duration) {
	o.tls, o.timeout, o.change.L = conn, timeout, &o.mu
}

var errSlow = errors.New("the other side does not read what it is sent")

// put has b written. It does not wait.
func (o *outbox) put(b []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ending {
		return net.ErrClosed
	}
	if len(o.waiting)+len(b) > maxWaiting {
		o.abort() // the reader ends, and with it all
		return errSlow
	}
	o.waiting = append(o.waiting, b...)
	o.change.Signal()
	return nil
}

// abort closes the connection without a word, and without waiting.
func (o *outbox) abort() { o.tls.NetConn().Close() }

// write writes what waits until end is called, or the connection fails.
func (o *outbox) write() {
	var batch []byte
	for last := false; !last; {
		batch, last = o.next(batch)
		if len(batch) == 0 {
			continue
		}
		if err := o.send(batch); err != nil {
			time.AfterFunc(lastWords, o.abort)
			return
		}
	}
}

// send writes packets, end to end. They are ours: whole and well formed.
func (o *outbox) send(batch []byte) error {
	o.tls.SetWriteDeadline(time.Now().Add(o.timeout))
	for len(batch) > 0 {
		size := len(batch)
		if o.single {
			size = int(binary.BigEndian.Uint16(batch[2:]))
		}
		if _, err := o.tls.Write(batch[:size]); err != nil {
			return err
		}
		batch = batch[size:]
	}
	return nil
}

// next takes what waits, once there is something, and leaves the space of used
// for more.
func (o *outbox) next(used []byte) (batch []byte, last bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.waiting) == 0 && !o.ending {
		o.change.Wait()
	}
	if cap(used) > maxWaiting/16 { // a burst is no reason to keep so much
		used = nil
	}
	batch, o.waiting = o.waiting, used[:0]
	return batch, o.ending
}

// end has what waits written as the last.
func (o *outbox) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ending = true
	o.change.Signal()
}
