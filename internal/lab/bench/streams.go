package bench

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"oauth-proxyd/internal/lab/bench/rig"
)

// apart is the time between two openings. Without it, the streams of a fast proxy would begin close
// together, and their events would come close together as long as they last. One read then takes
// several events, which saved up to a tenth of the processor time per event.
const apart = 1500 * time.Microsecond

// Streams opens 500 streams one after the other, waits until all are there, and divides the proxy's
// processor time over a window by the events that came in it. Its memory at the end of the window,
// less what it had before the first stream, is divided by the streams. The first byte is timed from
// the moment at which the client begins to connect.
func (s stage) Streams(ctx context.Context) (Values, error) {
	peer, err := s.run(ctx)
	if err != nil {
		return nil, err
	}
	defer peer.close()
	idle, err := rig.PSS(peer.PID)
	if err != nil {
		return nil, s.failed("reading its memory", err)
	}
	load := newStreamLoad(ctx, peer.address)
	defer load.stop()
	firstBytes := make([]time.Duration, s.pace.Streams)
	for i := range firstBytes {
		begin := time.Now()
		if err := load.openOne(); err != nil {
			return nil, s.failed("opening streams", err)
		}
		firstBytes[i] = time.Since(begin)
		sleep(ctx, apart-firstBytes[i])
	}
	sleep(ctx, s.pace.Warm)
	load.forget()
	before, err := peer.read()
	if err != nil {
		return nil, s.failed("reading counters", err)
	}
	sleep(ctx, s.pace.Window)
	values, err := s.readStreams(peer, load, before, idle)
	if err == nil {
		values[FirstByte] = inMilliseconds(quantile(firstBytes, 0.5))
	}
	return values, err
}

// readStreams is the end of a window with streams.
func (s stage) readStreams(peer *running, load *streamLoad, before reading, idle int64) (Values, error) {
	after, err := peer.read()
	if err != nil {
		return nil, s.failed("reading counters", err)
	}
	delays := load.seen()
	memory, err := rig.PSS(peer.PID)
	if err != nil {
		return nil, s.failed("reading its memory", err)
	}
	if err := load.check(); err != nil {
		return nil, s.failed("reading streams", err)
	}
	return Values{
		CPUPerEvent:  perUnit(before, after, int64(len(delays))),
		MemoryStream: float64(memory-idle) / float64(s.pace.Streams),
		MemoryTotal:  float64(memory),
		EventP99:     inMilliseconds(quantile(delays, 0.99)),
	}, nil
}

// streamLoad is the clients.
type streamLoad struct {
	ctx     context.Context
	cancel  context.CancelFunc
	address string
	readers sync.WaitGroup

	mu      sync.Mutex
	delays  []time.Duration // of events, from the upstream to here
	failure error           // the first
}

func newStreamLoad(ctx context.Context, address string) *streamLoad {
	l := &streamLoad{address: address}
	l.ctx, l.cancel = context.WithCancel(ctx)
	return l
}

// stop closes all streams.
func (l *streamLoad) stop() {
	l.cancel()
	l.readers.Wait()
}

// openOne returns when the first event came.
func (l *streamLoad) openOne() error {
	stream, err := rig.OpenStream(l.ctx, l.address, "/v1/stream")
	if err != nil {
		return err
	}
	sent, err := stream.Next()
	if err != nil {
		stream.Close()
		return fmt.Errorf("the first event: %w", err)
	}
	l.note(sent)
	l.readers.Go(func() { l.read(stream) })
	return nil
}

// read takes events until the stream is closed.
func (l *streamLoad) read(stream *rig.Stream) {
	defer context.AfterFunc(l.ctx, stream.Close)()
	for {
		sent, err := stream.Next()
		if l.ctx.Err() != nil {
			return
		}
		if err != nil {
			l.fail(err)
			stream.Close()
			return
		}
		l.note(sent)
	}
}

func (l *streamLoad) note(sent time.Time) {
	delay := time.Since(sent)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delays = append(l.delays, delay)
}

func (l *streamLoad) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failure == nil {
		l.failure = err
	}
}

func (l *streamLoad) check() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failure
}

// forget begins to count again.
func (l *streamLoad) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delays = nil
}

func (l *streamLoad) seen() []time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.delays)
}
