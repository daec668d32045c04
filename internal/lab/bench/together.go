package bench

import (
	"context"
	"errors"
	"sync"

	"oauth-proxyd/internal/lab/bench/rig"
)

// runAll starts a fresh process of each peer.
func runAll(ctx context.Context, stages []stage) (peers []*running, stop func(), err error) {
	stop = func() {
		for _, p := range peers {
			p.close()
		}
	}
	for _, s := range stages {
		p, err := s.run(ctx)
		if err != nil {
			stop()
			return nil, nil, s.failed("starting", err)
		}
		peers = append(peers, p)
	}
	return peers, stop, nil
}

// readAll reads the counters of all peers.
func readAll(peers []*running) (all []reading, err error) {
	for _, p := range peers {
		r, failed := p.read()
		all, err = append(all, r), errors.Join(err, failed)
	}
	return all, err
}

// streamsTogether is Streams with all peers at once: each has the same number of streams.
func streamsTogether(ctx context.Context, stages []stage) ([]Values, error) {
	peers, stop, err := runAll(ctx, stages)
	if err != nil {
		return nil, err
	}
	defer stop()
	loads := make([]*streamLoad, len(peers))
	for i, p := range peers {
		loads[i] = newStreamLoad(ctx, p.address)
		defer loads[i].stop()
	}
	pace := stages[0].pace
	for range pace.Streams {
		for i, load := range loads {
			if err := load.openOne(); err != nil {
				return nil, stages[i].failed("opening streams", err)
			}
		}
		sleep(ctx, apart)
	}
	sleep(ctx, pace.Warm)
	for _, load := range loads {
		load.forget()
	}
	before, err := readAll(peers)
	if err != nil {
		return nil, err
	}
	sleep(ctx, pace.Window)
	after, err := readAll(peers)
	if err != nil {
		return nil, err
	}
	values := make([]Values, len(peers))
	for i, load := range loads {
		if err := load.check(); err != nil {
			return nil, stages[i].failed("reading streams", err)
		}
		delays := load.seen()
		values[i] = Values{
			CPUPerEvent: perUnit(before[i], after[i], int64(len(delays))),
			EventP99:    inMilliseconds(quantile(delays, 0.99)),
		}
	}
	return values, nil
}

// requestsTogether is Requests with all peers at once: each gets the same number of requests.
func requestsTogether(ctx context.Context, stages []stage) ([]Values, error) {
	const clients, warm, rate = 8, 20, 250 // of each peer; requests of each client before; in a second
	peers, stop, err := runAll(ctx, stages)
	if err != nil {
		return nil, err
	}
	defer stop()
	each := max(int(rate*stages[0].pace.Window.Seconds()), 1)
	send := func(n int) error {
		failures := make([]error, len(peers)*clients)
		var work sync.WaitGroup
		for i := range failures {
			work.Go(func() { failures[i] = sendSome(ctx, peers[i%len(peers)].address, n) })
		}
		work.Wait()
		return errors.Join(failures...)
	}
	if err := send(warm); err != nil {
		return nil, err
	}
	before, err := readAll(peers)
	if err != nil {
		return nil, err
	}
	if err := send(each); err != nil {
		return nil, err
	}
	after, err := readAll(peers)
	if err != nil {
		return nil, err
	}
	values := make([]Values, len(peers))
	for i := range peers {
		values[i] = Values{CPUPerRequest: perUnit(before[i], after[i], int64(clients*each))}
	}
	return values, nil
}

// sendSome sends n requests on a connection, one after the other.
func sendSome(ctx context.Context, address string, n int) error {
	c, err := rig.Dial(ctx, address)
	if err != nil {
		return err
	}
	defer c.Close() //nolint:errcheck // nothing is to come
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	request := rig.Request("/v1/messages?beta=true")
	for range n {
		if err := c.Exchange(request); err != nil {
			return err
		}
	}
	return nil
}
