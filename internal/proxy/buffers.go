package proxy

import (
	"sync"
	"sync/atomic"
)

// The two sizes of buffers, for bodies in either direction. What mostly waits holds a small one: a
// stream of events between two of them, a request of a few words.
const (
	smallBuffer = 2 << 10
	largeBuffer = 32 << 10
)

// buffers are those through which bodies pass.
type buffers struct{ small, large sync.Pool }

// get gives one of smallBuffer or largeBuffer.
func (b *buffers) get(size int) []byte {
	if size == smallBuffer {
		if p, ok := b.small.Get().(*[smallBuffer]byte); ok {
			return p[:]
		}
		return make([]byte, smallBuffer)
	}
	if p, ok := b.large.Get().(*[largeBuffer]byte); ok {
		return p[:]
	}
	return make([]byte, largeBuffer)
}

// put takes one back.
func (b *buffers) put(p []byte) {
	if cap(p) == smallBuffer {
		b.small.Put((*[smallBuffer]byte)(p[:smallBuffer]))
		return
	}
	b.large.Put((*[largeBuffer]byte)(p[:largeBuffer]))
}

// next changes the buffer for the next read, by how much the last one put into it.
func (b *buffers) next(p []byte, n int) []byte {
	size := smallBuffer
	if n >= smallBuffer {
		size = largeBuffer
	}
	if len(p) == size {
		return p
	}
	b.put(p)
	return b.get(size)
}

// memory is what all request bodies together may keep, in buffers.
type memory struct {
	buffers
	limit, used atomic.Int64
}

// take gives an empty buffer; nil if the limit is reached. Past the limit, one can be forced: to
// pass something on and not to keep it, so that no request needs more than one.
func (m *memory) take(size int, force bool) []byte {
	if m.used.Add(int64(size)) > m.limit.Load() && !force {
		m.used.Add(-int64(size))
		return nil
	}
	return m.get(size)[:0]
}

// give takes a buffer back.
func (m *memory) give(p []byte) {
	m.used.Add(-int64(cap(p)))
	m.put(p)
}
