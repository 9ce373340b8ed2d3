package ldapproxy

import (
	"errors"
	"io"
	"sync"
)

// smallBuffer is what a connection keeps while nothing happens on it, and
// bigBuffer what it borrows while much does. Held binds wait with the small one.
const (
	smallBuffer = 512
	bigBuffer   = 8 << 10
)

var bigBuffers = sync.Pool{New: func() any { return new([bigBuffer]byte) }}

// source is a read buffer that grows only as data arrives: a length that a peer
// claims costs nothing until the bytes are there. One goroutine uses it.
type source struct {
	r       io.Reader
	buf     []byte
	at, end int // buf[at:end] is read and not used yet
	big     *[bigBuffer]byte
	small   [smallBuffer]byte
}

func (s *source) buffered() []byte { return s.buf[s.at:s.end] }

// skip uses up n buffered bytes.
func (s *source) skip(n int) { s.at += n }

// peek waits until at least n bytes are buffered, and returns all that are. They
// are good until the next call.
func (s *source) peek(n int) ([]byte, error) {
	for s.end-s.at < n {
		s.makeRoom()
		got, err := s.r.Read(s.buf[s.end:])
		s.end += got
		if err != nil && s.end-s.at < n {
			if errors.Is(err, io.EOF) && s.end > s.at {
				return nil, io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	return s.buffered(), nil
}

// makeRoom leaves some space behind end: it starts again at the front of a
// buffer as large as the last read suggests, or moves, or grows.
func (s *source) makeRoom() {
	if s.at == s.end {
		busy := s.end > smallBuffer || s.end == len(s.buf) && s.buf != nil
		s.at, s.end = 0, 0
		s.resize(busy)
		return
	}
	if s.at > 0 {
		s.end = copy(s.buf, s.buffered())
		s.at = 0
	}
	switch {
	case s.end < len(s.buf):
	case s.end < bigBuffer:
		s.big = bigBuffers.Get().(*[bigBuffer]byte)
		copy(s.big[:], s.buf[:s.end])
		s.buf = s.big[:]
	default:
		larger := make([]byte, 2*s.end)
		copy(larger, s.buf)
		s.giveBack()
		s.buf = larger
	}
}

// resize chooses the buffer for the next read; nothing is buffered.
func (s *source) resize(busy bool) {
	switch {
	case !busy:
		s.giveBack()
		s.buf = s.small[:]
	case s.big == nil:
		s.big = bigBuffers.Get().(*[bigBuffer]byte)
		fallthrough
	default:
		s.buf = s.big[:]
	}
}

// giveBack returns the borrowed buffer, wiped: passwords pass through here.
func (s *source) giveBack() {
	if s.big != nil {
		clear(s.big[:])
		bigBuffers.Put(s.big)
		s.big = nil
	}
}
