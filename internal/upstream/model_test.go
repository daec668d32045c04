package upstream_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"oauth-proxyd/internal/upstream"
)

// The model: clients that come and leave at random share a pool with peers that break every promise
// at random. The clock is the bubble's, so that minutes take no time, and a request that waits for
// ever is seen at once.

const (
	modelSeeds    = 60
	modelRequests = 40
	// modelPatience is how long a client waits in all. Nothing that the pool does may need it: only
	// peers that took a request and never respond do.
	modelPatience = 3 * time.Minute
	// modelConnect is connect_timeout.
	modelConnect = 15 * time.Second
)

// world is one run of the model.
type world struct {
	t    *testing.T
	tls  *tls.Config
	work sync.WaitGroup

	mu        sync.Mutex
	rand      *rand.Rand
	processed map[string]int  // requests that a peer may have acted upon
	left      map[string]bool // requests whose client left, so that their streams are about to end
}

// chance reports true once in n times.
func (w *world) chance(n int) bool { return w.below(n) == 0 }

func (w *world) below(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rand.IntN(n)
}

// soon is a time of up to most.
func (w *world) soon(most time.Duration) time.Duration { return time.Duration(w.below(int(most))) }

func TestPoolAgainstMisbehavingPeers(t *testing.T) {
	config, roots := serverTLS()
	for seed := range uint64(modelSeeds) {
		ok := t.Run(fmt.Sprintf("seed%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{
					t: t, tls: config, rand: rand.New(rand.NewPCG(seed, 15)),
					processed: map[string]int{}, left: map[string]bool{},
				}
				w.run(roots)
			})
		})
		if !ok {
			return
		}
	}
}

// serverTLS is made outside of bubbles: a server has to listen for it.
func serverTLS() (config *tls.Config, roots []byte) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	roots = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return &tls.Config{Certificates: server.TLS.Certificates, NextProtos: []string{"h2"}}, roots
}

func (w *world) run(roots []byte) {
	pool, err := upstream.New(upstream.Config{
		UpstreamURL: &url.URL{Scheme: "https", Host: "example.com"}, UpstreamCAs: roots, ConnectTimeout: modelConnect,
		Dial: w.dial,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	var clients sync.WaitGroup
	for i := range modelRequests {
		clients.Go(func() { w.client(pool, fmt.Sprintf("request-%d", i)) })
	}
	clients.Wait()
	freesAllSlots(w.t, pool)
	pool.Close()
	w.work.Wait()
}

// client sends one request, and again while it was provably not processed.
func (w *world) client(pool *upstream.Pool, id string) {
	time.Sleep(w.soon(20 * time.Second))
	ctx, cancel := context.WithTimeout(w.t.Context(), modelPatience)
	defer cancel()
	if w.chance(5) {
		time.AfterFunc(w.soon(5*time.Second), func() { w.leave(id); cancel() })
	}
	for range 3 {
		if err := w.attempt(ctx, pool, id); !errors.Is(err, upstream.ErrNotProcessed) {
			return
		}
		if n := w.count(id); n > 0 {
			w.t.Errorf("%s: not processed, says the pool; a peer has", id)
		}
	}
}

func (w *world) leave(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left[id] = true
}

func (w *world) count(id string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.processed[id]
}

func (w *world) attempt(ctx context.Context, pool *upstream.Pool, id string) error {
	start := time.Now()
	conn, err := pool.Get(ctx)
	if took := time.Since(start); took > modelConnect+2*time.Second {
		w.t.Errorf("%s waited %v for a connection", id, took)
	}
	if err != nil {
		return err
	}
	r, _ := http.NewRequestWithContext(ctx, http.MethodPost, "https://example.com/", strings.NewReader(strings.Repeat("x", w.below(100_000))))
	r.GetBody = nil
	r.Header.Set("X-Id", id)
	response, err := conn.Send(ctx, r, nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return err
}

// dial gives a connection to a peer with a character of its own.
func (w *world) dial(ctx context.Context, _ string) (net.Conn, error) {
	if w.chance(10) {
		return nil, errors.New("no route")
	}
	if w.chance(20) {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	client, server := net.Pipe()
	p := &peer{world: w, conn: tls.Server(newSender(server), w.tls), open: map[uint32]string{}}
	w.work.Go(p.serve)
	return client, nil
}

// peer is an upstream's end of a connection.
type peer struct {
	*world
	conn *tls.Conn
	*http2.Framer
	decoder *hpack.Decoder
	head    bytes.Buffer

	writing sync.Mutex // of frames
	open    map[uint32]string
	sent    []int  // limits that were sent and not acknowledged
	limit   int    // the one that was acknowledged; 0: none was
	mute    bool   // it no longer responds, not even to pings
	acted   uint32 // the highest stream that was acted upon
	away    bool   // a GOAWAY was sent: no stream above acted will be
}

// unlimited is more than a pool uses.
const unlimited = 1 << 20

func (p *peer) serve() {
	defer p.conn.Close()
	if p.chance(20) || p.conn.Handshake() != nil {
		return
	}
	p.Framer = http2.NewFramer(p.conn, p.conn)
	if _, err := io.ReadFull(p.conn, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	p.after(p.world.below(4), p.settings)
	if p.chance(8) {
		time.AfterFunc(p.soon(20*time.Second), func() { p.write(func() { p.mute = true }) })
	}
	for {
		f, err := p.ReadFrame()
		if err != nil || !p.read(f) {
			return
		}
	}
}

// after does f now, or after a moment, a second or ten.
func (p *peer) after(magnitude int, f func()) {
	delay := []time.Duration{0, 0, time.Second, 10 * time.Second}[magnitude]
	if delay == 0 {
		f()
		return
	}
	time.AfterFunc(p.soon(delay), f)
}

// write has frames written by one at a time, unless the peer is mute.
func (p *peer) write(f func()) {
	p.writing.Lock()
	defer p.writing.Unlock()
	if !p.mute {
		f()
	}
}

// settings announces a limit, perhaps of none, and now and then another one later.
func (p *peer) settings() {
	limit := []int{0, 1, 2, 5, 10, unlimited}[p.world.below(6)]
	var settings []http2.Setting
	if limit < unlimited {
		settings = append(settings, http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: uint32(limit)})
	}
	if p.chance(5) {
		settings = append(settings, http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(p.world.below(1000))})
	}
	again := p.chance(3)
	p.write(func() {
		if limit < unlimited || p.limit == 0 && len(p.sent) == 0 { // a later frame without a limit changes none
			p.sent = append(p.sent, limit)
		} else {
			p.sent = append(p.sent, -1)
		}
		_ = p.WriteSettings(settings...)
	})
	if again {
		time.AfterFunc(p.soon(10*time.Second), p.settings)
	}
}

// read reacts to a frame; false: the peer closes the connection.
func (p *peer) read(f http2.Frame) bool {
	switch f := f.(type) {
	case *http2.SettingsFrame:
		p.write(func() { p.acknowledged(f) })
	case *http2.PingFrame:
		if !f.IsAck() {
			p.write(func() { _ = p.WritePing(true, f.Data) })
		}
	case *http2.RSTStreamFrame:
		p.write(func() { delete(p.open, f.StreamID) })
	case *http2.HeadersFrame:
		p.head.Reset()
		p.head.Write(f.HeaderBlockFragment())
		if f.HeadersEnded() {
			p.opened(f.StreamID)
		}
	case *http2.DataFrame:
		p.write(func() {
			if n := uint32(len(f.Data())); n > 0 {
				_ = p.WriteWindowUpdate(f.StreamID, n)
				_ = p.WriteWindowUpdate(0, n)
			}
		})
		if f.StreamEnded() {
			return p.respond(f.StreamID)
		}
	}
	return !p.chance(400)
}

func (p *peer) acknowledged(f *http2.SettingsFrame) {
	if !f.IsAck() {
		_ = p.WriteSettingsAck()
		return
	}
	if len(p.sent) > 0 {
		if p.sent[0] >= 0 {
			p.limit = p.sent[0]
		}
		p.sent = p.sent[1:]
	}
}

// opened counts the streams against what the client can know.
func (p *peer) opened(stream uint32) {
	if p.decoder == nil {
		p.decoder = hpack.NewDecoder(4096, nil)
	}
	fields, err := p.decoder.DecodeFull(p.head.Bytes())
	if err != nil {
		p.t.Errorf("header: %v", err)
	}
	i := slices.IndexFunc(fields, func(f hpack.HeaderField) bool { return f.Name == "x-id" })
	p.writing.Lock()
	defer p.writing.Unlock()
	p.open[stream] = fields[i].Value
	allowed := max(1, p.limit, slices.Max(append(p.sent, 0)))
	if n := p.stay(); n > allowed {
		p.t.Errorf("%d streams on a connection that takes %d (unacknowledged: %v)", n, p.limit, p.sent)
	}
}

// stay counts the streams whose clients have not left.
func (p *peer) stay() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range p.open {
		if !p.left[id] {
			n++
		}
	}
	return n
}

// respond does one of many things to a request that came whole; false: it closes the connection.
func (p *peer) respond(stream uint32) (more bool) {
	what, late := p.world.below(20), p.world.below(3)
	if p.away && stream > p.acted {
		return true
	}
	refuse := func(write func()) {
		p.write(func() {
			delete(p.open, stream)
			write()
		})
	}
	switch what {
	case 0:
		refuse(func() { _ = p.WriteRSTStream(stream, http2.ErrCodeRefusedStream) })
		return true
	case 1:
		refuse(func() { _ = p.WriteGoAway(p.acted, http2.ErrCodeNo, nil) })
		p.away = true
		return true
	}
	p.mark(stream)
	switch what {
	case 2:
		return false
	case 3: // it stalls for ever
	case 4:
		const refused = int(http2.ErrCodeRefusedStream) // which would be a lie
		code := (refused + 1 + p.world.below(13)) % 14
		refuse(func() { _ = p.WriteRSTStream(stream, http2.ErrCode(code)) })
	case 5:
		refuse(func() { _ = p.WriteWindowUpdate(stream, 1<<31-1) })
	case 6:
		p.write(func() { _ = p.WriteGoAway(p.acted, http2.ErrCodeNo, nil) })
		p.away = true
		fallthrough
	default:
		p.after(late, func() { p.write(func() { p.ok(stream) }) })
	}
	return true
}

// mark notes that the request of the stream is acted upon.
func (p *peer) mark(stream uint32) {
	p.writing.Lock()
	id := p.open[stream]
	p.acted = max(p.acted, stream)
	p.writing.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.processed[id]++; id != "" && p.processed[id] > 1 {
		p.t.Errorf("%s was sent twice", id)
	}
}

// ok gives a whole response, in which a stream that is not open any more has no part.
func (p *peer) ok(stream uint32) {
	if _, open := p.open[stream]; !open {
		return
	}
	delete(p.open, stream)
	var block bytes.Buffer
	_ = hpack.NewEncoder(&block).WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
	_ = p.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true})
	_ = p.WriteData(stream, true, []byte("ok"))
}

// sender is the end of a pipe to which a write does not wait for the other's read, as over a
// socket.
type sender struct {
	net.Conn
	queue chan []byte
	work  sync.WaitGroup
	once  sync.Once
}

func newSender(c net.Conn) *sender {
	s := &sender{Conn: c, queue: make(chan []byte, 1000)}
	s.work.Go(func() {
		for p := range s.queue {
			_, _ = c.Write(p)
		}
	})
	return s
}

// Write implements net.Conn.
func (s *sender) Write(p []byte) (int, error) {
	defer func() { _ = recover() }() // a response that comes after the end
	s.queue <- slices.Clone(p)
	return len(p), nil
}

// Close implements net.Conn.
func (s *sender) Close() error {
	s.once.Do(func() { close(s.queue) })
	err := s.Conn.Close()
	s.work.Wait()
	return err
}
