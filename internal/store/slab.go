package store

// A slab holds many values of one size, known by number, in few big pages. T
// has no pointers, so that the collector need not look into a page. A page
// never moves and is never given back: what is free is used again.
type slab[T any] struct {
	pages [][]T
	used  uint32   // the highest number that was ever taken
	free  []uint32 // lower ones that were given back
}

// slabPage is how many values share a page.
const slabPage = 512

// at is value number id, to be read and written in place.
func (s *slab[T]) at(id uint32) *T {
	return &s.pages[id/slabPage][id%slabPage]
}

// take begins the use of a value, which may be anything, and returns its number,
// which is never 0.
func (s *slab[T]) take() uint32 {
	if n := len(s.free); n > 0 {
		id := s.free[n-1]
		s.free = s.free[:n-1]
		return id
	}
	s.used++
	if int(s.used/slabPage) >= len(s.pages) {
		s.pages = append(s.pages, make([]T, slabPage))
	}
	return s.used
}

// give ends the use of id.
func (s *slab[T]) give(id uint32) { s.free = append(s.free, id) }
