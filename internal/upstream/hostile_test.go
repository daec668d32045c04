package upstream_test

import (
	"context"
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"oauth-proxyd/internal/upstream"
)

// A burst above what a connection takes is spread over as many as it needs, at once.
func TestBurstAboveTheLimitOfStreams(t *testing.T) {
	const burst = 50
	cases := []struct {
		name        string
		limit       uint32
		delay       time.Duration // of SETTINGS; below 0: they never come
		connections int64
		most        time.Duration // until the last request is on its way
	}{
		{"10", 10, 0, 5, 0},
		{"1", 1, 0, burst, 0},
		{"2", 2, 0, burst / 2, 0},
		{"100", 100, 0, 1, 0},
		{"10, after 300 ms", 10, 300 * time.Millisecond, 5, 600 * time.Millisecond},
		{"never", 0, -1, burst, time.Second},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			script := func(_ int64, f *framed) {
				settings := func() { f.limit(c.limit) }
				switch {
				case c.delay == 0:
					settings()
				case c.delay > 0:
					time.AfterFunc(c.delay, settings)
				}
				holds(t, f, max(1, int(c.limit)))
			}
			inBubble(t, script, func(t *testing.T, b *bubble) {
				start, last := time.Now(), atomic.Int64{}
				var work sync.WaitGroup
				for range burst {
					work.Go(func() {
						conn, err := b.Get(t.Context())
						if err != nil {
							t.Error(err)
							return
						}
						last.Store(int64(time.Since(start)))
						response, err := conn.Send(t.Context(), get(t), nil)
						if err != nil {
							t.Error(err)
							return
						}
						response.Body.Close()
					})
				}
				work.Wait()
				if took := time.Duration(last.Load()); took > c.most {
					t.Errorf("the last request was placed after %v", took)
				}
				if n := b.dials.Load(); n < c.connections || n > c.connections+2 {
					t.Errorf("%d connections, want %d", n, c.connections)
				}
			})
		})
	}
}

// limit says how many streams the connection takes.
func (f *framed) limit(streams uint32) {
	f.write(func() { _ = f.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: streams}) })
}

// holds responds to each request after a minute, and counts those that are open.
func holds(t *testing.T, f *framed, limit int) {
	var mu sync.Mutex
	open := 0
	for stream := f.request(); stream != 0; stream = f.request() {
		mu.Lock()
		if open++; open > limit {
			t.Errorf("%d streams on a connection that takes %d", open, limit)
		}
		mu.Unlock()
		time.AfterFunc(time.Minute, func() {
			mu.Lock()
			defer mu.Unlock()
			open--
			f.respond(stream, "200", "ok")
		})
	}
}

// Requests that got a slot on a connection before its limit was lowered are sent without a wait.
// Later ones go to another connection.
func TestLimitIsLoweredWhileRequestsArePlaced(t *testing.T) {
	const placed = 10
	lower := make(chan struct{})
	script := func(number int64, f *framed) {
		f.limit(placed)
		if number > 1 {
			f.respondsToAll()
			return
		}
		f.respond(f.request(), "200", "ok")
		<-lower
		f.limit(1)
		var streams []uint32
		for len(streams) < placed {
			streams = append(streams, f.request())
		}
		for _, stream := range streams {
			f.respond(stream, "200", "ok")
		}
		f.untilEnd()
	}
	inBubble(t, script, func(t *testing.T, b *bubble) {
		succeeds(t, b.Pool)
		conns := make([]*upstream.Conn, placed)
		for i := range conns {
			var err error
			if conns[i], err = b.Get(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		close(lower)
		synctest.Wait()
		succeeds(t, b.Pool) // elsewhere
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var work sync.WaitGroup
		for _, c := range conns {
			work.Go(func() {
				response, err := c.Send(ctx, get(t), nil)
				if err != nil {
					t.Error(err)
					return
				}
				response.Body.Close()
			})
		}
		work.Wait()
		if n := b.dials.Load(); n != 2 {
			t.Errorf("%d connections", n)
		}
	})
}

// A request is refused in time where no connection takes any.
func TestServerThatTakesNoRequests(t *testing.T) {
	for name, script := range map[string]func(int64, *framed){
		"limit of 0": func(_ int64, f *framed) {
			f.limit(0)
			for stream := f.request(); stream != 0; stream = f.request() {
				f.write(func() { _ = f.WriteRSTStream(stream, http2.ErrCodeRefusedStream) })
			}
		},
		"GOAWAY at once": func(_ int64, f *framed) {
			_ = f.WriteSettings()
			_ = f.WriteGoAway(0, http2.ErrCodeNo, nil)
			f.untilEnd()
		},
		"end at once": func(_ int64, f *framed) { f.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, script, func(t *testing.T, b *bubble) {
				start := time.Now()
				_, _, err := attemptUntilProcessed(b.Pool, func() *http.Request { return get(t) })
				if took := time.Since(start); took > 2*time.Second {
					t.Errorf("it took %v", took)
				}
				if err == nil {
					t.Error("there is a response")
				}
				if n := b.dials.Load(); n > 4 {
					t.Errorf("%d connections", n)
				}
				if n := upstream.InUse(b.Pool); n != 0 {
					t.Errorf("%d slots are taken", n)
				}
			})
		})
	}
}

// hostility is what a server does to the connection of its first request.
type hostility func(f *framed, stream uint32)

// many is how often a server repeats itself that floods a connection.
const many = 5000

// repeat has a server do the same n times.
func repeat(n int, do func(f *framed, stream uint32) error) hostility {
	return func(f *framed, stream uint32) {
		for range n {
			if do(f, stream) != nil {
				return
			}
		}
	}
}

// raw sends a frame n times.
func raw(n int, kind http2.FrameType, flags http2.Flags, payload ...byte) hostility {
	return repeat(n, func(f *framed, stream uint32) error { return f.WriteRawFrame(kind, flags, stream, payload) })
}

// setting sends SETTINGS with one.
func setting(id http2.SettingID, value uint32) hostility {
	return func(f *framed, _ uint32) { _ = f.WriteSettings(http2.Setting{ID: id, Val: value}) }
}

// floods are hostilities that may be legal one by one.
func floods() map[string]hostility {
	return map[string]hostility{
		"SETTINGS flood": repeat(many, func(f *framed, _ uint32) error { return f.WriteSettings() }),
		"SETTINGS flood of limits": func(f *framed, _ uint32) {
			for i := range uint32(many) {
				_ = f.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: i % 3})
			}
		},
		"a SETTINGS of many limits": func(f *framed, _ uint32) {
			var all []http2.Setting
			for i := range uint32(2000) {
				all = append(all, http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: i % 2})
			}
			_ = f.WriteSettings(all...)
		},
		"PING flood": repeat(many, func(f *framed, _ uint32) error { return f.WritePing(false, [8]byte{}) }),
		"CONTINUATION flood": func(f *framed, stream uint32) {
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: []byte{0x88}})
			repeat(many, func(f *framed, stream uint32) error {
				return f.WriteContinuation(stream, false, make([]byte, 1000))
			})(f, stream)
		},
		"empty DATA flood": func(f *framed, stream uint32) {
			f.begin(stream, "200", false)
			raw(many, http2.FrameData, 0)(f, stream)
		},
		"1xx flood": repeat(many, func(f *framed, stream uint32) error {
			f.begin(stream, "103", false)
			return nil
		}),
		"unknown frames":      raw(many, 0xbe, 0xff, make([]byte, 100)...),
		"PRIORITY flood":      raw(many, http2.FramePriority, 0, 0, 0, 0, 0, 1),
		"WINDOW_UPDATE flood": repeat(many, func(f *framed, stream uint32) error { return f.WriteWindowUpdate(stream, 1) }),
		"RST_STREAM flood": repeat(many, func(f *framed, stream uint32) error {
			return f.WriteRSTStream(stream, http2.ErrCodeRefusedStream)
		}),
	}
}

// blows are hostilities that are done once.
func blows() map[string]hostility {
	window := func(connection bool) hostility {
		return func(f *framed, stream uint32) {
			if connection {
				stream = 0
			}
			_ = f.WriteWindowUpdate(stream, 1<<31-1)
		}
	}
	return map[string]hostility{
		"header table resized again and again": raw(1, http2.FrameHeaders, http2.FlagHeadersEndHeaders,
			0x20, 0x3f, 0xe1, 0x1f, 0x20, 0x3f, 0xe1, 0xff, 0x03, 0x88),
		"header table of nothing":            setting(http2.SettingHeaderTableSize, 0),
		"header table without end":           setting(http2.SettingHeaderTableSize, 1<<32-1),
		"windows of nothing":                 setting(http2.SettingInitialWindowSize, 0),
		"no streams at all":                  setting(http2.SettingMaxConcurrentStreams, 0),
		"empty HEADERS":                      raw(1, http2.FrameHeaders, http2.FlagHeadersEndHeaders),
		"PUSH_PROMISE":                       raw(1, http2.FramePushPromise, http2.FlagPushPromiseEndHeaders, 0, 0, 0, 2, 0x82),
		"stream's window past its limit":     window(false),
		"connection's window past its limit": window(true),
		"GOAWAY above the stream":            func(f *framed, _ uint32) { _ = f.WriteGoAway(1<<31-1, http2.ErrCodeNo, nil) },
		"GOAWAY twice, rising": func(f *framed, _ uint32) {
			_ = f.WriteGoAway(0, http2.ErrCodeNo, nil)
			_ = f.WriteGoAway(1, http2.ErrCodeNo, nil)
		},
	}
}

// A server can do anything to one connection: the next requests are served in time, and no slot is
// lost.
func TestHostileServerHasOneConnection(t *testing.T) {
	hostilities := floods()
	maps.Copy(hostilities, blows())
	for name, hostile := range hostilities {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var conns atomic.Int64
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			o := listenFramed(t, func(f *framed) {
				if conns.Add(1) == 1 {
					hostile(f, f.request())
					time.AfterFunc(300*time.Millisecond, cancel) // enough for the client to see it
				}
				f.respondsToAll()
			})
			pool := o.pool(t)
			_, _, err := attempt(pool, get(t).WithContext(ctx))
			if err == nil {
				t.Error("the first request succeeded")
			}
			for range 3 {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				_, _, err := attemptUntilProcessed(pool, func() *http.Request { return get(t).WithContext(ctx) })
				cancel()
				if err != nil {
					t.Errorf("a later request failed: %v", err)
				}
			}
			freesAllSlots(t, pool)
		})
	}
}
