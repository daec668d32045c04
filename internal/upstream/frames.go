package upstream

import "encoding/binary"

// The parts of HTTP/2 that the pool needs to know (RFC 9113 §4.1, §6).
const (
	frameHeaderSize = 9

	frameSettings     = 4
	frameGoAway       = 7
	frameWindowUpdate = 8

	flagAck = 1

	settingSize                 = 6
	settingMaxConcurrentStreams = 3

	windowUpdateSize = 4
)

// unlimited is the limit on streams that net/http sees.
const unlimited = 1<<31 - 1

// windowUpdates reports whether p consists of WINDOW_UPDATE frames, and how many bytes they allow
// the peer to send on single streams.
func windowUpdates(p []byte) (credit int, ok bool) {
	const size = frameHeaderSize + windowUpdateSize
	for ; len(p) >= size && frameSize(p) == windowUpdateSize && p[3] == frameWindowUpdate; p = p[size:] {
		if stream := binary.BigEndian.Uint32(p[5:]); stream != 0 {
			credit += int(binary.BigEndian.Uint32(p[frameHeaderSize:]))
		}
	}
	return credit, len(p) == 0
}

// frameSize returns how many bytes of payload follow a frame's header.
func frameSize(header []byte) int {
	return int(header[0])<<16 | int(header[1])<<8 | int(header[2])
}

// frames reads the peer's frames on their path to net/http, for what concerns the whole connection.
//
// It also replaces the value of each MAX_CONCURRENT_STREAMS by unlimited, so that only the pool
// keeps to the peer's limit on streams:
//
//	peer      SETTINGS: MAX_CONCURRENT_STREAMS = 100
//	frames    pool.setLimit(100); net/http reads "unlimited"
//	Pool      reserves at most 100 slots; other requests get another connection
//	net/http  opens a stream for each request, without waiting
//	Conn      keeps the slot of a cancelled request for resetTime: until its RST_STREAM arrives,
//	          the peer counts the stream, and may refuse one above its limit with
//	          PROTOCOL_ERROR, which does not prove that it was not processed
//
// If net/http kept to the limit, a request that got its slot before the limit was lowered would
// wait inside RoundTrip, with all later ones behind it, and net/http wakes none of them when the
// limit is raised again.
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
	f.left = frameSize(f.header[:])
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
