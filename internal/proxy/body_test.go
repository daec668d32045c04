package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/inbound"
)

// testBody is a requestBody over src, with its own memory.
func testBody(src io.Reader, limit, budget int64, keep bool) (*requestBody, *bufferBudget) {
	m := &bufferBudget{}
	m.limit.Store(budget)
	r := httptest.NewRequest(http.MethodPost, "/", src)
	r.ContentLength = -1
	c := config.Config{Proxy: config.Proxy{MaxRequestBody: limit, Retry: config.Retry{Attempts: 1}}}
	if keep {
		c.Proxy.Retry.Attempts++
	}
	x := &exchange{
		proxy: &Proxy{memory: m}, cfg: &snapshot{Config: c}, in: r, rec: &record{},
		rc: http.NewResponseController(httptest.NewRecorder()), ctx: r.Context(), cancel: func(error) {},
		conn: &inbound.Conn{},
	}
	x.watch.x = x
	return newRequestBody(x), m
}

// attemptOn gives the body of a new attempt.
func attemptOn(b *requestBody) io.ReadCloser {
	var out http.Request
	b.attempt(&out)
	return out.Body
}

func noise(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i*7 + i>>8)
	}
	return p
}

func TestBodyReplaysByteForByte(t *testing.T) {
	sizes := []int{0, 1, largeBuffer - 1, largeBuffer, largeBuffer + 1, 3*largeBuffer + 5, keptLimit - 1}
	sources := map[string]func(io.Reader) io.Reader{
		"as it comes": func(r io.Reader) io.Reader { return r },
		"halves":      iotest.HalfReader,
		"end at once": iotest.DataErrReader,
	}
	for name, source := range sources {
		t.Run(name, func(t *testing.T) {
			for _, size := range sizes {
				want := noise(size)
				b, m := testBody(source(bytes.NewReader(want)), 1<<30, 64<<20, true)
				b.begin(b.x.conn)
				_, _ = io.CopyN(io.Discard, attemptOn(b), int64(size/2))
				if !b.replayable() {
					t.Fatalf("size %d: not replayable", size)
				}
				got, err := io.ReadAll(attemptOn(b))
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("size %d: the second attempt read %d bytes, error %v", size, len(got), err)
				}
				if received, whole := b.close(); received != int64(size) || !whole {
					t.Errorf("size %d: received %d, whole %t", size, received, whole)
				}
				if used := m.used.Load(); used != 0 {
					t.Errorf("size %d: %d bytes of memory still counted", size, used)
				}
			}
		})
	}
}

// A body that is announced to be short needs little memory, and none once it was passed on and the
// response has begun.
func TestShortBodyNeedsLittleMemory(t *testing.T) {
	for _, size := range []int{0, 1, smallBuffer - 1, smallBuffer} {
		want := noise(size)
		b, m := testBody(bytes.NewReader(want), 1<<30, 64<<20, true)
		b.x.in.ContentLength = int64(size)
		for range 2 {
			if got, err := io.ReadAll(attemptOn(b)); err != nil || !bytes.Equal(got, want) {
				t.Errorf("size %d: read %d bytes, error %v", size, len(got), err)
			}
		}
		if used := m.used.Load(); size < smallBuffer && used != smallBuffer {
			t.Errorf("size %d: %d bytes of memory, want %d", size, used, smallBuffer)
		}
		b.forget()
		if used := m.used.Load(); used != 0 {
			t.Errorf("size %d: %d bytes of memory after the response began", size, used)
		}
		if received, whole := b.close(); received != int64(size) || !whole {
			t.Errorf("size %d: received %d, whole %t", size, received, whole)
		}
	}
}

// Without retries, nothing is kept that was passed on.
func TestBodyOfTheOnlyAttempt(t *testing.T) {
	want := noise(10 * largeBuffer)
	b, m := testBody(bytes.NewReader(want), 1<<30, 64<<20, false)
	b.begin(b.x.conn)
	if got, err := io.ReadAll(attemptOn(b)); err != nil || !bytes.Equal(got, want) {
		t.Errorf("read %d bytes, error %v", len(got), err)
	}
	if used := m.used.Load(); used != 0 {
		t.Errorf("%d bytes of memory", used)
	}
	b.close()
}

// A body that net/http has read along with the header needs no goroutine to read the rest.
func TestShortBodyIsTakenWithItsHeader(t *testing.T) {
	for budget, taken := range map[int64]bool{0: false, smallBuffer: true} {
		b, m := testBody(iotest.DataErrReader(bytes.NewReader(noise(100))), 1<<30, budget, true) // as net/http's
		b.x.in.ContentLength = 100
		b.begin(b.x.conn)
		if b.whole() != taken {
			t.Errorf("budget %d: whole %t", budget, b.whole())
		}
		if got, err := io.ReadAll(attemptOn(b)); err != nil || !bytes.Equal(got, noise(100)) {
			t.Errorf("budget %d: read %d bytes, error %v", budget, len(got), err)
		}
		b.close()
		if used := m.used.Load(); used != 0 {
			t.Errorf("budget %d: %d bytes of memory still counted", budget, used)
		}
	}
}

func TestBodyPastBudget(t *testing.T) {
	for _, budget := range []int64{0, largeBuffer, 5 * largeBuffer} {
		want := noise(50 * largeBuffer)
		b, m := testBody(bytes.NewReader(want), 1<<30, budget, true)
		b.begin(b.x.conn)
		got, err := io.ReadAll(attemptOn(b))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("budget %d: read %d bytes, error %v", budget, len(got), err)
		}
		if used := m.used.Load(); used != 0 {
			t.Errorf("budget %d: %d bytes of memory", budget, used)
		}
		if b.replayable() {
			t.Errorf("budget %d: replayable", budget)
		}
		b.close()
		if used := m.used.Load(); used != 0 {
			t.Errorf("budget %d: %d bytes of memory still counted", budget, used)
		}
	}
}

func TestBodyIsReadAheadUpToALimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		go func() { _, _ = io.Copy(w, bytes.NewReader(noise(4<<20))); w.Close() }()
		b, m := testBody(r, 1<<30, 64<<20, true)
		b.begin(b.x.conn)
		synctest.Wait()
		if used := m.used.Load(); used < keptLimit || used > keptLimit+largeBuffer {
			t.Errorf("%d bytes read ahead", used)
		}
		a := attemptOn(b)
		b.forget()
		got, err := io.ReadAll(a)
		if err != nil || !bytes.Equal(got, noise(4<<20)) {
			t.Errorf("read %d bytes, error %v", len(got), err)
		}
		b.close()
	})
}

// The response began while the body is read ahead, into a chunk of which all was taken.
func TestBodyIsForgottenWhileItIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		b, m := testBody(r, 1<<30, 64<<20, true)
		b.begin(b.x.conn)
		a := attemptOn(b)
		for i, part := range [][]byte{noise(100), noise(largeBuffer), noise(10)} {
			go func() { _, _ = w.Write(part) }()
			got := make([]byte, len(part))
			if _, err := io.ReadFull(a, got); err != nil || !bytes.Equal(got, part) {
				t.Fatalf("part %d: %v", i, err)
			}
			b.forget()
			synctest.Wait()
			if used := m.used.Load(); i > 0 && used != 0 {
				t.Errorf("part %d: %d bytes of memory still counted", i, used)
			}
		}
		w.Close()
		if n, err := a.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("at the end: %d, %v", n, err)
		}
		b.close()
		if used := m.used.Load(); used != 0 {
			t.Errorf("%d bytes of memory still counted", used)
		}
	})
}

// A client that announces a body and sends little of it takes little memory.
func TestAnnouncedBodyReservesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		b, m := testBody(r, 1<<30, 64<<20, true)
		b.x.in.ContentLength = keptLimit
		b.begin(b.x.conn)
		for sent := range 3 {
			if used := m.used.Load(); used > largeBuffer {
				t.Errorf("%d bytes of memory for %d that came", used, sent)
			}
			_, _ = w.Write(noise(1))
			synctest.Wait()
		}
		w.Close()
		b.close()
	})
}

// pipeWriter is the response to a request whose body is a pipe, which has no deadlines.
type pipeWriter struct {
	http.ResponseWriter
	body *io.PipeReader
}

func (w pipeWriter) SetReadDeadline(time.Time) error {
	return w.body.CloseWithError(os.ErrDeadlineExceeded)
}

// testPipe is a requestBody over a pipe, whose reads can be interrupted.
func testPipe(budget int64) (*requestBody, *io.PipeWriter) {
	r, w := io.Pipe()
	b, _ := testBody(r, 1<<30, budget, true)
	b.x.rc = http.NewResponseController(pipeWriter{httptest.NewRecorder(), r})
	return b, w
}

// Only an attempt that reads from the client itself takes the body with it.
func TestBodyReadEndsWithItsAttempt(t *testing.T) {
	ends := map[string]func(*requestBody, io.Closer){
		"attempt closed": func(_ *requestBody, a io.Closer) { a.Close() },
		"interrupted":    func(b *requestBody, _ io.Closer) { b.interrupt() },
	}
	for name, end := range ends {
		for _, budget := range []int64{0, 64 << 20} {
			t.Run(fmt.Sprintf("%s, %d bytes of memory", name, budget), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b, w := testPipe(budget)
					a := attemptOn(b)
					done := make(chan error)
					go func() { _, err := a.Read(make([]byte, 1)); done <- err }()
					synctest.Wait()
					end(b, a)
					if err := <-done; !errors.Is(err, errBodyEnded) {
						t.Errorf("read ended with %v", err)
					}
					if b.replayable() != (budget > 0) {
						t.Errorf("replayable %t", b.replayable())
					}
					w.Close()
					if name == "attempt closed" && budget > 0 {
						if _, err := io.ReadAll(attemptOn(b)); err != nil {
							t.Errorf("the next attempt ended with %v", err)
						}
					}
					if _, whole := b.close(); whole != (name == "attempt closed" && budget > 0) {
						t.Errorf("whole %t", whole)
					}
				})
			})
		}
	}
}

// The client gets its response, and may send no more of its body: no attempt may wait for that, and
// none may fail, which would cut the response.
func TestBodyIsLeftForTheResponse(t *testing.T) {
	for _, budget := range []int64{0, 64 << 20} {
		synctest.Test(t, func(t *testing.T) {
			b, w := testPipe(budget)
			a := attemptOn(b)
			done := make(chan error)
			go func() { _, err := io.Copy(io.Discard, a); done <- err }()
			_, _ = w.Write(noise(10))
			synctest.Wait()
			b.leaveRest()
			synctest.Wait()
			if b.reading {
				t.Error("still read")
			}
			select {
			case err := <-done:
				t.Errorf("the attempt ended with %v", err)
			default:
			}
			if received, whole := b.close(); received != 10 || whole {
				t.Errorf("received %d, whole %t", received, whole)
			}
			if err := <-done; !errors.Is(err, errBodyEnded) {
				t.Errorf("the attempt ended with %v", err)
			}
		})
	}
}

// A body is read again from its beginning as long as no attempt has read beyond it.
func TestLongBodyIsReadAgain(t *testing.T) {
	for _, more := range []int64{0, 1} {
		want := noise(keptLimit + 5*largeBuffer)
		b, m := testBody(bytes.NewReader(want), 1<<30, 64<<20, true)
		for range 3 {
			a := attemptOn(b)
			if got, err := io.ReadAll(io.LimitReader(a, keptLimit)); err != nil || !bytes.Equal(got, want[:keptLimit]) {
				t.Errorf("read %d bytes, error %v", len(got), err)
			}
			a.Close()
			if !b.replayable() {
				t.Fatal("not replayable")
			}
		}
		a := attemptOn(b)
		_, _ = io.CopyN(io.Discard, a, keptLimit+more)
		if b.replayable() != (more == 0) {
			t.Errorf("%d bytes more: replayable %t", more, b.replayable())
		}
		if got, err := io.ReadAll(a); err != nil || !bytes.Equal(got, want[keptLimit+more:]) {
			t.Errorf("read %d bytes, error %v", len(got), err)
		}
		if used := m.used.Load(); used != 0 {
			t.Errorf("%d bytes of memory still counted", used)
		}
		b.close()
	}
}

func TestBodyOfTooManyBytes(t *testing.T) {
	for _, limit := range []int64{0, 1, 99, 100, largeBuffer, 3*largeBuffer + 1} {
		for _, over := range []int64{0, 1} {
			b, _ := testBody(iotest.OneByteReader(bytes.NewReader(noise(int(limit+over)))), limit, 64<<20, true)
			got, err := io.ReadAll(attemptOn(b))
			if tooMany := errors.Is(err, errTooLarge); tooMany != (over > 0) || int64(len(got)) != limit {
				t.Errorf("limit %d, %d over it: read %d bytes, %v", limit, over, len(got), err)
			}
			b.close()
		}
	}
}

func TestBodyTrailersComeWithItsEnd(t *testing.T) {
	b, _ := testBody(bytes.NewReader(noise(10)), 100, 64<<20, true)
	b.x.in.Trailer = http.Header{"X-Sum": {"1"}, "X-Unannounced": {"2"}}
	b.begin(b.x.conn)
	for range 2 {
		var out http.Request
		b.attempt(&out)
		if out.Trailer == nil {
			t.Fatal("no place for trailers")
		}
		_, _ = io.Copy(io.Discard, out.Body)
		if out.Trailer.Get("X-Sum") != "1" || out.Trailer.Get("X-Unannounced") != "2" {
			t.Errorf("trailers %v", out.Trailer)
		}
	}
	b.close()
}

// After a cancellation, the library may still read the rest of the body. The phase stays sending.
func TestBodyReadAfterCancellationIsNotSent(t *testing.T) {
	for _, cancelled := range []bool{false, true} {
		b, _ := testBody(strings.NewReader("body"), 1<<20, 1<<20, false)
		ctx, cancel := context.WithCancel(t.Context())
		b.x.ctx = ctx
		if cancelled {
			cancel()
		}
		if text, err := io.ReadAll(attemptOn(b)); string(text) != "body" || err != nil {
			t.Errorf("read %q, %v", text, err)
		}
		if sent := b.x.watch.sentAt.Load() > 0; sent == cancelled {
			t.Errorf("cancelled %t: sent %t", cancelled, sent)
		}
		b.close()
		cancel()
	}
}

// watched returns an exchange whose watch has begun.
func watched(header, idle time.Duration) *exchange {
	x := &exchange{
		cfg: &snapshot{
			Proxy: config.Proxy{ResponseHeaderTimeout: header, IdleTimeout: idle},
		},
		conn: &inbound.Conn{}, rec: &record{Started: time.Now()}, rc: http.NewResponseController(httptest.NewRecorder()),
	}
	x.ctx, x.cancel = context.WithCancelCause(context.Background())
	x.watch.x = x
	x.watch.begin()
	return x
}

func TestWatchLimits(t *testing.T) {
	cases := []struct {
		name    string
		waiting waitingFor
		after   time.Duration
		want    Code // "": the client is gone
	}{
		{"client sends", forClientBody, time.Minute, CodeClientIdleTimeout},
		{"upstream takes", forUpstreamAccept, time.Minute, CodeUpstreamHeaderTimeout},
		{"header", forHeader, time.Hour, CodeUpstreamHeaderTimeout},
		{"upstream sends", forUpstreamBody, time.Minute, CodeUpstreamIdleTimeout},
		{"client takes", forClientAccept, time.Minute, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := watched(time.Hour, time.Minute)
				time.Sleep(3 * time.Hour) // no move of anybody's while a connection is made
				start := time.Now()
				x.watch.next(c.waiting)
				<-x.ctx.Done()
				var code Code
				if f, ok := errors.AsType[*failure](context.Cause(x.ctx)); ok {
					code = f.code
				}
				if code != c.want {
					t.Errorf("given up with %q, want %q", code, c.want)
				}
				if took := time.Since(start); took < c.after || took > c.after+time.Minute {
					t.Errorf("given up after %v, want %v", took, c.after)
				}
				x.watch.stop()
			})
		})
	}
}

func TestWatchIsQuietAfterItsStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := watched(time.Minute, time.Minute)
		x.watch.next(forHeader)
		for range 100 {
			time.Sleep(59 * time.Second)
			x.watch.next(forUpstreamBody)
		}
		x.watch.stop()
		time.Sleep(time.Hour)
		if x.ctx.Err() != nil {
			t.Error("given up")
		}
		x.cancel(nil)
	})
}
