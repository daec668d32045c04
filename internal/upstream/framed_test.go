package upstream_test

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// framed is an upstream's end of a connection of HTTP/2.
type framed struct {
	net.Conn
	*http2.Framer
	head    bytes.Buffer
	encoder *hpack.Encoder
	writing sync.Mutex // held to write, also by goroutines other than the reader
}

// write has frames written by one goroutine at a time.
func (f *framed) write(frames func()) {
	f.writing.Lock()
	defer f.writing.Unlock()
	frames()
}

// newFramed reads the client's preface; nil: there is none.
func newFramed(c net.Conn) *framed {
	if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err != nil {
		return nil
	}
	f := &framed{Conn: c, Framer: http2.NewFramer(c, c)}
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	f.encoder = hpack.NewEncoder(&f.head)
	return f
}

// listenFramed hands each connection to script after its SETTINGS.
func listenFramed(t testing.TB, script func(*framed), settings ...http2.Setting) *origin {
	t.Helper()
	return listenOn(t, func(c net.Conn) {
		if f := newFramed(c); f != nil && f.WriteSettings(settings...) == nil {
			script(f)
		}
	}, "h2")
}

// next gives the next frame that matters, or nil at the end of the connection. It responds to
// SETTINGS and pings.
func (f *framed) next() http2.Frame {
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return nil
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				f.write(func() { _ = f.WriteSettingsAck() })
			}
		case *http2.PingFrame:
			if !frame.IsAck() {
				f.write(func() { _ = f.WritePing(true, frame.Data) })
			}
		case *http2.WindowUpdateFrame:
		default:
			return frame
		}
	}
}

// request skips to the next HEADERS and gives its stream; 0 at the end.
func (f *framed) request() uint32 {
	for {
		switch frame := f.next().(type) {
		case nil:
			return 0
		case *http2.MetaHeadersFrame:
			return frame.StreamID
		}
	}
}

// untilEnd reads until the connection ends.
func (f *framed) untilEnd() {
	for f.next() != nil {
	}
}

// respondsToAll gives each request a whole response until the connection ends.
func (f *framed) respondsToAll() {
	for stream := f.request(); stream != 0; stream = f.request() {
		f.respond(stream, "200", "ok")
	}
}

// begin sends HEADERS with a status.
func (f *framed) begin(stream uint32, status string, end bool) {
	f.write(func() { f.writeHeader(stream, status, end) })
}

func (f *framed) writeHeader(stream uint32, status string, end bool) {
	f.head.Reset()
	_ = f.encoder.WriteField(hpack.HeaderField{Name: ":status", Value: status})
	_ = f.WriteHeaders(http2.HeadersFrameParam{
		StreamID: stream, BlockFragment: f.head.Bytes(), EndHeaders: true, EndStream: end,
	})
}

// respond sends a whole response.
func (f *framed) respond(stream uint32, status, body string) {
	f.write(func() {
		f.writeHeader(stream, status, false)
		_ = f.WriteData(stream, true, []byte(body))
	})
}
