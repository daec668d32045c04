package siege

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// probeInterval is the time between two requests of a bystander. Each uses a new connection,
	// and does not wait for the request before it.
	probeInterval = 50 * time.Millisecond
	// silence is how long the bystander's stream may have no event.
	silence = 3 * time.Second
)

// connect dials from the bystanders' address, which is admitted.
func connect(ctx context.Context, address string) (net.Conn, error) {
	from := &net.TCPAddr{IP: net.ParseIP(bystanderAddress)}
	return (&net.Dialer{LocalAddr: from}).DialContext(ctx, "tcp", address)
}

// send sends a request of a bystander on a connection of its own. Closing the body of the response
// closes the connection.
func send(ctx context.Context, address, method, target string) (*http.Response, error) {
	conn, err := connect(ctx, address)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	if _, err = io.WriteString(conn, bystanderRequest(method, target)); err == nil {
		var r *http.Response
		if r, err = http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method}); err == nil {
			r.Body = body{r.Body, conn, stop}
			return r, nil
		}
	}
	stop()
	_ = conn.Close() // the error is that of the request
	return nil, cmp.Or(ctx.Err(), err)
}

func bystanderRequest(method, target string) string {
	id := bystanderID + strings.Repeat("0", 30-len(bystanderID)) // as long as an id must be
	head := []string{"X-Request-Id: " + id, "Connection: close"}
	if method == http.MethodPost {
		return request(method, target, append(head, "Content-Length: 2")...) + "{}"
	}
	return request(method, target, head...)
}

// body is a response body that owns its connection.
type body struct {
	io.ReadCloser
	conn net.Conn
	stop func() bool
}

// Close leaves, in the middle of the response if need be.
func (b body) Close() error {
	b.stop()
	return b.conn.Close()
}

// get reads a whole response, which must be 200.
func get(ctx context.Context, address, path string) ([]byte, error) {
	return exchange(ctx, address, http.MethodGet, path)
}

func exchange(ctx context.Context, address, method, target string) ([]byte, error) {
	r, err := send(ctx, address, method, target)
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if ctx.Err() != nil {
		return nil, ctx.Err() // it closed the connection
	}
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.200s", r.Status, text)
	}
	return text, err
}

// Waits is how long requests of one kind took, from the connection's first packet to the response's
// last byte.
type Waits struct {
	times  []time.Duration
	Failed int
	Reason string // of the first failure
}

// NewWaits are requests that all got a response.
func NewWaits(times ...time.Duration) Waits { return Waits{times: times} }

// Count is how many requests there were.
func (w Waits) Count() int { return len(w.times) }

// Median is the median of all requests, including failed ones.
func (w Waits) Median() time.Duration {
	if len(w.times) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(w.times))[len(w.times)/2]
}

// Max is the longest wait.
func (w Waits) Max() time.Duration {
	if len(w.times) == 0 {
		return 0
	}
	return slices.Max(w.times)
}

// prober sends the same request again and again.
type prober struct {
	address, method, target string
	timeout                 time.Duration // when it gives up

	mu    sync.Mutex
	waits Waits
}

// run returns at the end of ctx, when all its requests have ended too.
func (p *prober) run(ctx context.Context) {
	var work sync.WaitGroup
	defer work.Wait()
	ticker := time.NewTicker(probeInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			work.Go(p.probe)
		case <-ctx.Done():
			return
		}
	}
}

// probe has a context of its own: the end of the siege must not hide a long wait.
func (p *prober) probe() {
	ctx, cancel := context.WithTimeout(context.Background(), p.timeout)
	defer cancel()
	begin := time.Now()
	_, err := exchange(ctx, p.address, p.method, p.target)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waits.times = append(p.waits.times, time.Since(begin))
	if err != nil {
		p.waits.Failed++
		if p.waits.Reason == "" {
			p.waits.Reason = err.Error()
		}
	}
}

func (p *prober) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waits = Waits{}
}

func (p *prober) result() Waits {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waits
}

// stream is a long response that another client reads meanwhile.
type stream struct {
	body    io.ReadCloser
	reading sync.WaitGroup

	mu   sync.Mutex
	last time.Time // when something came
	err  error
}

func openStream(ctx context.Context, address string) (*stream, error) {
	r, err := send(ctx, address, http.MethodPost, pathMessage+"?fate="+fateStream)
	if err != nil {
		return nil, fmt.Errorf("opening the stream: %w", err)
	}
	if r.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("opening the stream: %s", r.Status), r.Body.Close())
	}
	s := &stream{body: r.Body, last: time.Now()}
	s.reading.Go(s.read)
	return s, nil
}

func (s *stream) read() {
	buffer := make([]byte, 4<<10)
	for {
		_, err := s.body.Read(buffer)
		s.mu.Lock()
		s.last, s.err = time.Now(), err
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// fault says what happened to the stream, nil if it goes on.
func (s *stream) fault() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return fmt.Errorf("cut: %w", s.err)
	}
	if quiet := time.Since(s.last); quiet > silence {
		return fmt.Errorf("no event for %v", quiet.Round(time.Millisecond))
	}
	return nil
}

func (s *stream) close() {
	_ = s.body.Close() // in the middle, as it has no end
	s.reading.Wait()
}
