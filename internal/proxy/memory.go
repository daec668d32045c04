package proxy

import (
	"sync"
	"sync/atomic"
)

// memory is what all request bodies together may keep, in chunks.
type memory struct {
	limit atomic.Int64
	used  atomic.Int64
	free  sync.Pool // of *[chunkSize]byte
}

// chunk is a part of a body, of up to chunkSize bytes.
type chunk struct {
	data     []byte
	borrowed bool // not counted
}

// take gives an empty chunk, unless the limit is reached.
func (m *memory) take() (c chunk, ok bool) {
	if m.used.Add(chunkSize) > m.limit.Load() {
		m.used.Add(-chunkSize)
		return chunk{}, false
	}
	return chunk{data: m.buffer()}, true
}

// borrow gives an empty chunk past the limit, to pass something on and not to keep
// it: no request needs more than one.
func (m *memory) borrow() chunk { return chunk{data: m.buffer(), borrowed: true} }

func (m *memory) buffer() []byte {
	if b, ok := m.free.Get().(*[chunkSize]byte); ok {
		return b[:0]
	}
	return make([]byte, 0, chunkSize)
}

// give takes a chunk back.
func (m *memory) give(c chunk) {
	if !c.borrowed {
		m.used.Add(-chunkSize)
	}
	m.free.Put((*[chunkSize]byte)(c.data[:chunkSize]))
}
