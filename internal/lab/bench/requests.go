package bench

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"oauth-proxyd/internal/lab/bench/rig"
)

const connections = 32

// Requests has 32 clients send a POST of 1 KB each, read the response of 2 KB, and send the next on
// the same connection. When they have warmed up, the proxy's processor time over a window is
// divided by the responses that came in it.
func (s stage) Requests(ctx context.Context) (Values, error) {
	peer, err := s.run(ctx)
	if err != nil {
		return nil, err
	}
	defer peer.close()
	return s.requests(ctx, peer, &requestLoad{address: peer.address})
}

// Connections is Requests with a new connection for each request.
func (s stage) Connections(ctx context.Context) (Values, error) {
	peer, err := s.run(ctx)
	if err != nil {
		return nil, err
	}
	defer peer.close()
	return s.requests(ctx, peer, &requestLoad{address: peer.address, once: true})
}

func (s stage) requests(ctx context.Context, peer *running, load *requestLoad) (Values, error) {
	stop := load.start(ctx)
	defer stop()
	sleep(ctx, s.pace.Warm)
	before, err := peer.read()
	if err != nil {
		return nil, s.failed("reading counters", err)
	}
	load.measuring.Store(true)
	sleep(ctx, s.pace.Window)
	load.measuring.Store(false)
	after, err := peer.read()
	if err != nil {
		return nil, s.failed("reading counters", err)
	}
	stop()
	if err := load.failure; err != nil {
		return nil, s.failed("sending requests", err)
	}
	responses := int64(len(load.latencies))
	return Values{
		CPUPerRequest: perUnit(before, after, responses),
		RequestsPerS:  float64(responses) / after.at.Sub(before.at).Seconds(),
		RequestMedian: float64(quantile(load.latencies, 0.5).Nanoseconds()) / 1000,
	}, nil
}

// requestLoad is the clients.
type requestLoad struct {
	address   string
	once      bool // a connection has one request
	measuring atomic.Bool

	mu        sync.Mutex
	latencies []time.Duration // of responses that came while measuring
	failure   error           // the first
}

// start gives a function that ends all clients and waits for them.
func (l *requestLoad) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var clients sync.WaitGroup
	for range connections {
		clients.Go(func() {
			err := l.client(ctx)
			for l.once && err == nil && ctx.Err() == nil {
				err = l.client(ctx)
			}
			if err != nil && ctx.Err() == nil {
				l.mu.Lock()
				defer l.mu.Unlock()
				if l.failure == nil {
					l.failure = err
				}
			}
		})
	}
	return func() { cancel(); clients.Wait() }
}

func (l *requestLoad) client(ctx context.Context) error {
	begin := time.Now() // with the connection in it
	c, err := rig.Dial(ctx, l.address)
	if err != nil {
		return err
	}
	defer c.Close() //nolint:errcheck // nothing is to come
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()
	request := rig.Request("/v1/messages?beta=true")
	for ctx.Err() == nil {
		if err := c.Exchange(request); err != nil {
			return err
		}
		if l.measuring.Load() {
			l.mu.Lock()
			l.latencies = append(l.latencies, time.Since(begin))
			l.mu.Unlock()
		}
		if l.once {
			return nil
		}
		begin = time.Now()
	}
	return nil
}

// sleep ends early with ctx.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
