package proxy

import (
	"sync"
	"sync/atomic"
)

// The two sizes of buffers, for bodies in both directions. Streams and short requests,
// which mostly wait, hold a small one.
const (
	smallBuffer = 2<<10 + chunkHead + chunkEnd
	largeBuffer = 32 << 10
)

// buffers are pools of the buffers through which bodies pass.
type buffers struct{ small, large sync.Pool }

// get returns a buffer of size smallBuffer or largeBuffer.
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

func (b *buffers) put(p []byte) {
	if cap(p) == smallBuffer {
		b.small.Put((*[smallBuffer]byte)(p[:smallBuffer]))
		return
	}
	b.large.Put((*[largeBuffer]byte)(p[:largeBuffer]))
}

// next returns the buffer for the next read, sized by the n bytes of the last read.
func (b *buffers) next(p []byte, n int) []byte {
	size := smallBuffer
	if n >= smallBuffer-chunkHead-chunkEnd {
		size = largeBuffer
	}
	if len(p) == size {
		return p
	}
	b.put(p)
	return b.get(size)
}

// bufferBudget bounds the buffers that all request bodies together keep (retry.memory).
type bufferBudget struct {
	buffers
	limit, used atomic.Int64
}

// take returns an empty buffer, or nil at the limit.
func (b *bufferBudget) take(size int) []byte {
	if b.used.Add(int64(size)) > b.limit.Load() {
		b.used.Add(-int64(size))
		return nil
	}
	return b.get(size)[:0]
}

func (b *bufferBudget) give(p []byte) {
	b.used.Add(-int64(cap(p)))
	b.put(p)
}
