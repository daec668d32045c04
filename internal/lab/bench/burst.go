package bench

import (
	"context"
	"sync"
	"time"

	"oauth-proxyd/internal/lab/bench/rig"
)

// Burst opens 500 streams at once through a proxy that was just started, as when all clients come
// back after a failure. The first byte is timed from the moment at which the client begins to
// connect. Processor time, memory and delays of events include the opening.
func (s stage) Burst(ctx context.Context) (Values, error) {
	peer, err := s.run(ctx)
	if err != nil {
		return nil, err
	}
	defer peer.close()
	idle, err := rig.PSS(peer.PID)
	if err != nil {
		return nil, s.failed("reading its memory", err)
	}
	before, err := peer.read()
	if err != nil {
		return nil, s.failed("reading counters", err)
	}
	load := newStreamLoad(ctx, peer.address)
	defer load.stop()
	firstBytes := load.openAll(s.pace.Streams)
	if err := load.check(); err != nil {
		return nil, s.failed("opening streams", err)
	}
	sleep(ctx, s.pace.Window)
	values, err := s.readStreams(peer, load, before, idle)
	if err == nil {
		values[FirstByte] = inMilliseconds(quantile(firstBytes, 0.5))
		values[FirstByteLast] = inMilliseconds(quantile(firstBytes, 1))
	}
	return values, err
}

// openAll returns when each stream has had its first event, and how long that took.
func (l *streamLoad) openAll(streams int) []time.Duration {
	took := make([]time.Duration, streams)
	var opening sync.WaitGroup
	for i := range took {
		opening.Go(func() {
			begin := time.Now()
			if err := l.openOne(); err != nil {
				l.fail(err)
			}
			took[i] = time.Since(begin)
		})
	}
	opening.Wait()
	return took
}
