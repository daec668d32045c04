package proxy

import "sync"

// buffers are those through which answers pass. A stream of events, which mostly waits,
// holds a small one; a large one is held only while the bytes come in numbers.
type buffers struct{ small, large sync.Pool }

// get gives one of eventBufferSize or copyBufferSize.
func (b *buffers) get(size int) []byte {
	if size == eventBufferSize {
		if p, ok := b.small.Get().(*[eventBufferSize]byte); ok {
			return p[:]
		}
		return make([]byte, eventBufferSize)
	}
	if p, ok := b.large.Get().(*[copyBufferSize]byte); ok {
		return p[:]
	}
	return make([]byte, copyBufferSize)
}

// put takes one back.
func (b *buffers) put(p []byte) {
	if len(p) == eventBufferSize {
		b.small.Put((*[eventBufferSize]byte)(p))
		return
	}
	b.large.Put((*[copyBufferSize]byte)(p))
}

// next changes the buffer for the next read, by how much the last one put into it.
func (b *buffers) next(p []byte, n int) []byte {
	size := eventBufferSize
	if n >= eventBufferSize {
		size = copyBufferSize
	}
	if len(p) == size {
		return p
	}
	b.put(p)
	return b.get(size)
}
