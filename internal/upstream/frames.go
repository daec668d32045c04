package upstream

import "encoding/binary"

// The parts of HTTP/2 that the pool needs to know (RFC 9113 §4.1, §6).
const (
	frameHeaderSize = 9

	frameSettings = 4
	frameGoAway   = 7

	flagAck = 1

	settingSize                 = 6
	settingMaxConcurrentStreams = 3
)

// unlimited is the limit on streams that net/http sees.
const unlimited = 1<<31 - 1

// frames reads the peer's frames on their path to net/http, for what concerns the whole connection.
//
// It also replaces the value of each MAX_CONCURRENT_STREAMS by unlimited, because the pool keeps to
// that limit. If net/http did, a request that got its slot before the limit was lowered would wait
// inside RoundTrip, and all other requests of the connection behind it.
type frames struct {
	header  [frameHeaderSize]byte
	have    int // bytes of header
	left    int // bytes of the payload
	setting [settingSize]byte
	part    int  // bytes of setting
	seen    bool // the peer's first SETTINGS came
	conn    *Conn
}

func (f *frames) scan(p []byte) {
	for len(p) > 0 {
		if f.have < frameHeaderSize {
			n := copy(f.header[f.have:], p)
			f.have, p = f.have+n, p[n:]
			if f.have == frameHeaderSize {
				f.begin()
			}
			continue
		}
		n := min(len(p), f.left)
		if f.isSettings() {
			f.settings(p[:n])
		}
		f.left, p = f.left-n, p[n:]
		if f.left == 0 {
			f.end()
		}
	}
}

func (f *frames) isSettings() bool {
	return f.header[3] == frameSettings && f.header[4]&flagAck == 0
}

// begin is called when a frame's header is complete.
func (f *frames) begin() {
	f.left = int(f.header[0])<<16 | int(f.header[1])<<8 | int(f.header[2])
	f.part = 0
	if f.header[3] == frameGoAway {
		f.conn.pool.drain(f.conn)
	}
	if f.left == 0 {
		f.end()
	}
}

// end is called at the end of each frame.
func (f *frames) end() {
	f.have = 0
	if f.isSettings() && !f.seen {
		f.limit(unlimited)
	}
}

func (f *frames) limit(streams uint32) {
	f.seen = true
	f.conn.pool.setLimit(f.conn, streams)
}

// settings reads a piece of the payload of SETTINGS.
func (f *frames) settings(p []byte) {
	const idSize = 2
	for i, b := range p {
		f.setting[f.part] = b
		limits := f.part >= idSize && binary.BigEndian.Uint16(f.setting[:]) == settingMaxConcurrentStreams
		if limits {
			p[i] = byte(uint32(unlimited) >> (8 * (settingSize - 1 - f.part)))
		}
		f.part = (f.part + 1) % settingSize
		if limits && f.part == 0 {
			f.limit(binary.BigEndian.Uint32(f.setting[idSize:]))
		}
	}
}
