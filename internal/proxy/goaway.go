package proxy

import (
	"sync"
	"sync/atomic"
)

// farewell tells a client of HTTP/2 to send its next request on another
// connection, while those that are under way are still served. The first GOAWAY of
// a graceful shutdown names the highest stream id for that (RFC 9113 §6.8); net/http
// names the latest that it has seen, and what crosses that is lost to a client that
// cannot send it again.
//
// It follows the frames that the server writes (RFC 9113 §4.1), so as to put one
// more between two of them.
type farewell struct {
	mu     sync.Mutex // held while the server writes
	http2  bool
	begun  bool   // the server wrote something
	header []byte // of the current frame, as far as it was written
	left   int    // what is still to come of its payload

	said bool

	due atomic.Bool // it is to be said
}

const (
	frameHeaderSize = 9
	// lastGoAway is a whole frame: 8 bytes of GOAWAY on stream 0, with the highest
	// stream id and NO_ERROR.
	lastGoAway = "\x00\x00\x08\x07\x00\x00\x00\x00\x00" + "\x7f\xff\xff\xff\x00\x00\x00\x00"
)

// write passes on what the server writes, and the farewell when it is due.
func (f *farewell) write(p []byte, write func([]byte) (int, error)) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := write(p)
	if err == nil {
		f.follow(p)
		f.say(write)
	}
	return n, err
}

// ask has it said, now or after the frame that is being written.
func (f *farewell) ask(write func([]byte) (int, error)) {
	f.due.Store(true)
	if f.mu.TryLock() { // else the one who writes will see it
		defer f.mu.Unlock()
		f.say(write)
	}
}

// say writes the farewell if that is due and possible. The caller holds mu.
func (f *farewell) say(write func([]byte) (int, error)) {
	if f.http2 && f.left == 0 && len(f.header) == 0 && f.due.Load() && !f.said {
		f.said = true
		_, _ = write([]byte(lastGoAway)) // the server's next write meets the same error
	}
}

// follow keeps track of frames. Over HTTP/1 the first byte is that of a status
// line; over HTTP/2 it is of the length of a SETTINGS frame. The caller holds mu.
func (f *farewell) follow(p []byte) {
	if !f.begun && len(p) > 0 {
		f.begun, f.http2 = true, p[0] == 0
	}
	for f.http2 && len(p) > 0 {
		if f.left > 0 {
			n := min(f.left, len(p))
			f.left -= n
			p = p[n:]
			continue
		}
		n := min(frameHeaderSize-len(f.header), len(p))
		f.header = append(f.header, p[:n]...)
		p = p[n:]
		if len(f.header) == frameHeaderSize {
			f.left = int(f.header[0])<<16 | int(f.header[1])<<8 | int(f.header[2])
			f.header = f.header[:0]
		}
	}
}
