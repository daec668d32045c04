package proxy

import "testing"

// A stream holds a large buffer only while reads fill the one it has.
func TestBufferFollowsTheReads(t *testing.T) {
	var b buffers
	p := b.get(smallBuffer)
	full := len(payload(p))
	for _, tt := range []struct{ read, want int }{
		{200, smallBuffer},
		{full - 1, smallBuffer},
		{full, largeBuffer},
		{largeBuffer, largeBuffer},
		{full, largeBuffer},
		{full - 1, smallBuffer},
	} {
		p = b.next(p, tt.read)
		if len(p) != tt.want {
			t.Errorf("after a read of %d bytes there is room for %d, want %d", tt.read, len(p), tt.want)
		}
	}
	b.put(p)
}
