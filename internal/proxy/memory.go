package proxy

import (
	"sync"
	"sync/atomic"
)

const (
	chunkSize = 32 << 10
	// smallChunkSize is for bodies that are announced to be no longer.
	smallChunkSize = 2 << 10
)

// memory is what all request bodies together may keep, in chunks.
type memory struct {
	limit       atomic.Int64
	used        atomic.Int64
	small, free sync.Pool // of *[smallChunkSize]byte, *[chunkSize]byte
}

// chunk is a part of a body. The capacity of data is its size.
type chunk struct {
	data     []byte
	borrowed bool // not counted
}

// size is how much the chunk can hold.
func (c chunk) size() int { return cap(c.data) }

// take gives an empty chunk of one of the two sizes, unless the limit is reached.
func (m *memory) take(size int) (c chunk, ok bool) {
	if m.used.Add(int64(size)) > m.limit.Load() {
		m.used.Add(-int64(size))
		return chunk{}, false
	}
	return chunk{data: m.buffer(size)}, true
}

// borrow gives an empty chunk past the limit, to pass something on and not to keep
// it: no request needs more than one.
func (m *memory) borrow(size int) chunk { return chunk{data: m.buffer(size), borrowed: true} }

func (m *memory) buffer(size int) []byte {
	if size == smallChunkSize {
		if b, ok := m.small.Get().(*[smallChunkSize]byte); ok {
			return b[:0]
		}
		return make([]byte, 0, smallChunkSize)
	}
	if b, ok := m.free.Get().(*[chunkSize]byte); ok {
		return b[:0]
	}
	return make([]byte, 0, chunkSize)
}

// give takes a chunk back.
func (m *memory) give(c chunk) {
	if !c.borrowed {
		m.used.Add(-int64(c.size()))
	}
	if c.size() == smallChunkSize {
		m.small.Put((*[smallChunkSize]byte)(c.data[:smallChunkSize]))
		return
	}
	m.free.Put((*[chunkSize]byte)(c.data[:chunkSize]))
}
