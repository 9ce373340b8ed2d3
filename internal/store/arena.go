package store

import (
	"encoding/binary"
	"slices"
)

// An arena holds blocks of bytes of any length in few big chunks, in which the
// collector sees no pointers. New blocks go to the end of the open chunk. What is
// freed leaves a hole; when holes are more than a sixteenth, the chunk that has most
// of them is emptied: its blocks move to the open one. So what is held takes little
// more than its size, whatever sizes come and go.
type arena struct {
	chunk  int // how big one is: chunkSize, but for tests
	chunks []chunk
	open   int                            // the chunk that grows
	spare  []byte                         // what the next one is made of
	size   int                            // of all chunks
	holes  int                            // in all chunks
	moved  func(owner uint32, at blockAt) // told when a block has moved
}

// A chunk is a row of blocks, each behind its owner and its length. Those of
// nobody are holes.
type chunk struct {
	bytes []byte // nil: this place among the chunks is free
	holes int
}

// blockAt is where a block lies. The zero value is none.
type blockAt struct{ chunk, offset uint32 }

const (
	chunkSize = 128 << 10
	blockHead = 8
)

// newArena has a chunk that takes nothing, so that no block is at zero.
func newArena(moved func(uint32, blockAt)) *arena {
	return &arena{chunk: chunkSize, moved: moved, chunks: make([]chunk, 1)}
}

// at are the bytes of a block. They are the arena's, and good until the next add
// or free.
func (a *arena) at(at blockAt) []byte {
	head := a.chunks[at.chunk].bytes[at.offset:]
	return head[blockHead:][:binary.NativeEndian.Uint32(head[4:])]
}

// add copies content into a block of owner's, who is not 0.
func (a *arena) add(owner uint32, content []byte) blockAt {
	n := a.room(blockHead + len(content))
	c := &a.chunks[n]
	at := blockAt{uint32(n), uint32(len(c.bytes))}
	c.bytes = binary.NativeEndian.AppendUint32(c.bytes, owner)
	c.bytes = binary.NativeEndian.AppendUint32(c.bytes, uint32(len(content)))
	c.bytes = append(c.bytes, content...)
	return at
}

// room is a chunk that has room for need bytes: a chunk of its own for a big
// block, or the open one. If that is full its rest becomes a hole.
func (a *arena) room(need int) int {
	if need > a.chunk/32 {
		return a.newChunk(need)
	}
	full := a.open
	if c := a.chunks[full].bytes; cap(c)-len(c) < need {
		a.open = a.newChunk(a.chunk)
		a.hole(full, cap(c)-len(c))
	}
	return a.open
}

func (a *arena) newChunk(size int) int {
	n := 1 + slices.IndexFunc(a.chunks[1:], func(c chunk) bool { return c.bytes == nil })
	if n == 0 {
		n = len(a.chunks)
		a.chunks = append(a.chunks, chunk{})
	}
	if size == a.chunk && a.spare != nil {
		a.chunks[n].bytes, a.spare = a.spare, nil
	} else {
		a.chunks[n].bytes = make([]byte, 0, size)
	}
	a.size += size
	return n
}

// free makes a block a hole. Others may move. It comes to an end: the chunk that
// is emptied has more than a sixteenth of holes, and the one that this may fill
// ends with less than half of that.
func (a *arena) free(at blockAt) {
	binary.NativeEndian.PutUint32(a.chunks[at.chunk].bytes[at.offset:], 0)
	a.hole(int(at.chunk), blockHead+len(a.at(at)))
	for a.tooMany() {
		a.empty(a.worst())
	}
}

// tooMany: a sixteenth, and what the open chunk may have.
func (a *arena) tooMany() bool { return a.holes > a.size/16+a.chunk }

// hole counts size bytes more that nobody uses, and gives the chunk back when
// that is all of it.
func (a *arena) hole(n, size int) {
	c := &a.chunks[n]
	c.holes += size
	a.holes += size
	if n != a.open && c.bytes != nil && c.holes == cap(c.bytes) {
		a.size -= c.holes
		a.holes -= c.holes
		if cap(c.bytes) == a.chunk {
			a.spare = c.bytes[:0]
		}
		*c = chunk{}
	}
}

// worst is the chunk with most holes besides the open one.
func (a *arena) worst() int {
	most, worst := 0, 0
	for n, c := range a.chunks {
		if n != a.open && c.holes > most {
			most, worst = c.holes, n
		}
	}
	return worst
}

// empty moves the blocks of a chunk to the open one.
func (a *arena) empty(n int) {
	left := a.chunks[n].bytes
	for len(left) > 0 {
		owner, length := binary.NativeEndian.Uint32(left), binary.NativeEndian.Uint32(left[4:])
		content := left[blockHead:][:length]
		if owner != 0 {
			a.moved(owner, a.add(owner, content))
			a.hole(n, blockHead+len(content))
		}
		left = left[blockHead+length:]
	}
}
