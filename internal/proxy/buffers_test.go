package proxy

import "testing"

// A stream holds a large buffer only while reads fill the one it has.
func TestBufferFollowsTheReads(t *testing.T) {
	var b buffers
	p := b.get(smallBuffer)
	for _, tt := range []struct{ read, want int }{
		{200, smallBuffer},
		{smallBuffer - 1, smallBuffer},
		{smallBuffer, largeBuffer},
		{largeBuffer, largeBuffer},
		{smallBuffer, largeBuffer},
		{smallBuffer - 1, smallBuffer},
	} {
		p = b.next(p, tt.read)
		if len(p) != tt.want {
			t.Errorf("after a read of %d bytes there is room for %d, want %d", tt.read, len(p), tt.want)
		}
	}
	b.put(p)
}
