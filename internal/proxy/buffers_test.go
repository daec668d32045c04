package proxy

import "testing"

// A stream holds a large buffer only while reads fill the one it has.
func TestBufferFollowsTheReads(t *testing.T) {
	var b buffers
	p := b.get(eventBufferSize)
	for _, tt := range []struct{ read, want int }{
		{200, eventBufferSize},
		{eventBufferSize - 1, eventBufferSize},
		{eventBufferSize, copyBufferSize},
		{copyBufferSize, copyBufferSize},
		{eventBufferSize, copyBufferSize},
		{eventBufferSize - 1, eventBufferSize},
	} {
		p = b.next(p, tt.read)
		if len(p) != tt.want {
			t.Errorf("after a read of %d bytes there is room for %d, want %d", tt.read, len(p), tt.want)
		}
	}
	b.put(p)
}
