package proxy_test

import (
	"encoding/binary"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// frameFaults are what an HTTP/2 upstream must never send (RFC 9113), after the first request of
// its first connection came.
func frameFaults() map[string]func(c *frameConn, stream uint32) {
	raw := func(kind http2.FrameType, flags http2.Flags, stream uint32, payload ...byte) func(*frameConn, uint32) {
		return func(c *frameConn, _ uint32) { _ = c.WriteRawFrame(kind, flags, stream, payload) }
	}
	setting := func(id http2.SettingID, value uint32) func(*frameConn, uint32) {
		return func(c *frameConn, _ uint32) { _ = c.WriteSettings(http2.Setting{ID: id, Val: value}) }
	}
	return map[string]func(c *frameConn, stream uint32){
		"a stream's window past its limit": func(c *frameConn, stream uint32) { _ = c.WriteWindowUpdate(stream, 1<<31-1) },
		"the connection's window past its limit": func(c *frameConn, _ uint32) {
			_ = c.WriteWindowUpdate(0, 1<<31-1)
		},
		"a window of a stream grows by nothing": func(c *frameConn, stream uint32) {
			_ = c.WriteRawFrame(http2.FrameWindowUpdate, 0, stream, make([]byte, 4))
		},
		"windows past their limit by SETTINGS": func(c *frameConn, stream uint32) {
			_ = c.WriteWindowUpdate(stream, 1<<30)
			_ = c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
		},
		"an initial window above its limit":  setting(http2.SettingInitialWindowSize, 1<<31),
		"a maximum frame size of nothing":    setting(http2.SettingMaxFrameSize, 0),
		"ENABLE_PUSH of 2":                   setting(http2.SettingEnablePush, 2),
		"SETTINGS of a stream":               raw(http2.FrameSettings, 0, 1),
		"SETTINGS of five bytes":             raw(http2.FrameSettings, 0, 0, 0, 1, 0, 0, 0),
		"SETTINGS acknowledged unasked":      raw(http2.FrameSettings, http2.FlagSettingsAck, 0),
		"DATA before HEADERS":                func(c *frameConn, stream uint32) { _ = c.WriteData(stream, true, []byte("x")) },
		"DATA of no stream":                  raw(http2.FrameData, 0, 0, 'x'),
		"DATA of a stream that was not open": raw(http2.FrameData, 0, 999, 'x'),
		"DATA of padding alone":              raw(http2.FrameData, http2.FlagDataPadded, 1, 255, 'x'),
		"HEADERS of no stream":               raw(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 0, 0x88),
		"HEADERS of an even stream":          raw(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 2, 0x88),
		"HEADERS that no one can unpack":     raw(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 1, 0xff, 0xff, 0xff, 0xff, 0xff),
		"HEADERS and then another frame": func(c *frameConn, stream uint32) {
			_ = c.WriteRawFrame(http2.FrameHeaders, 0, stream, []byte{0x88})
			_ = c.WritePing(false, [8]byte{})
		},
		"CONTINUATION of nothing":          raw(http2.FrameContinuation, http2.FlagContinuationEndHeaders, 1, 0x88),
		"PUSH_PROMISE":                     raw(http2.FramePushPromise, http2.FlagPushPromiseEndHeaders, 1, 0, 0, 0, 2, 0x82),
		"RST_STREAM of no stream":          raw(http2.FrameRSTStream, 0, 0, 0, 0, 0, 1),
		"RST_STREAM of three bytes":        raw(http2.FrameRSTStream, 0, 1, 0, 0, 1),
		"PING of nine bytes":               raw(http2.FramePing, 0, 0, make([]byte, 9)...),
		"PRIORITY of a stream upon itself": raw(http2.FramePriority, 0, 1, 0, 0, 0, 1, 0),
		"GOAWAY of four bytes":             raw(http2.FrameGoAway, 0, 0, 0, 0, 0, 0),
		"GOAWAY with an error":             func(c *frameConn, _ uint32) { _ = c.WriteGoAway(0, http2.ErrCodeInternal, nil) },
		"a frame larger than allowed": func(c *frameConn, stream uint32) {
			header := binary.BigEndian.AppendUint32(nil, 1<<24-1)[1:]
			_, _ = c.Write(append(header, 0, 0, 0, 0, 0, byte(stream)))
		},
		"HTTP/1.1 in the middle": func(c *frameConn, _ uint32) { _, _ = c.Write([]byte("HTTP/1.1 200 OK\r\n\r\n")) },
	}
}

// A connection on which an upstream breaks HTTP/2's rules costs the request on it, and nothing
// else: those that wait and those that come are served on other connections.
func TestBrokenFramesStopOneConnection(t *testing.T) {
	for name, fault := range frameFaults() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var connections atomic.Int64
			up := framedUpstream(t, func(c *frameConn) {
				faulty := connections.Add(1) == 1
				for stream := c.request(); stream != 0; stream = c.request() {
					if faulty {
						fault(c, stream)
						faulty = false
						continue
					}
					c.ok(stream, "ok")
				}
			})
			d := openDoor(t, up, func(s *setup) { s.Proxy.ResponseHeaderTimeout, s.Proxy.IdleTimeout = time.Second, time.Second })
			client := newClient(t)
			if response, body := do(t, client, post(t, d, "hello")); response.StatusCode != http.StatusOK {
				if c := code(body); c != "upstream_protocol" && c != "upstream_header_timeout" {
					t.Errorf("the request of that connection: %d %s", response.StatusCode, body)
				}
			}
			apply, err := d.Prepare(settingsFor(up)) // a busy machine may need more than a second to respond
			if err != nil {
				t.Fatal(err)
			}
			apply()
			for range 3 {
				if response, body := do(t, client, post(t, d, "hello")); response.StatusCode != http.StatusOK || body != "ok" {
					t.Errorf("a later request: %d %s", response.StatusCode, body)
				}
			}
		})
	}
}
