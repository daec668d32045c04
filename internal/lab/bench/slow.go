package bench

import (
	"context"
	"time"

	"oauth-proxyd/internal/lab/bench/rig"
)

// The slow clients, and the fast streams beside them, of SlowClients at full size.
const (
	slowShare   = 0.6 // of Pace.Streams: 300 of 500
	fastShare   = 0.1
	slowReceive = 4 << 10 // bytes that the kernel of a slow client takes
	settling    = 4       // windows
)

// SlowClients has clients ask for large responses and read nothing of them, while others have
// streams. The memory is the proxy's in all; the delays are those of the fast streams.
func (s stage) SlowClients(ctx context.Context) (Values, error) {
	peer, err := s.run(ctx)
	if err != nil {
		return nil, err
	}
	defer peer.close()
	load := newStreamLoad(ctx, peer.address)
	defer load.stop()
	for range s.share(fastShare) {
		if err := load.openOne(); err != nil {
			return nil, s.failed("opening streams", err)
		}
	}
	for range s.share(slowShare) {
		client, err := s.stalled(ctx, peer.address)
		if err != nil {
			return nil, s.failed("opening slow clients", err)
		}
		defer client.Close() //nolint:errcheck // it leaves in the middle
	}
	sleep(ctx, settling*s.pace.Window) // until all buffers are full
	load.forget()
	before, err := peer.read()
	if err != nil {
		return nil, s.failed("reading counters", err)
	}
	begin := time.Now()
	late := load.openOne()
	firstByte := time.Since(begin)
	if late != nil {
		return nil, s.failed("opening one more stream", late)
	}
	sleep(ctx, s.pace.Window)
	values, err := s.readStreams(peer, load, before, 0)
	if err != nil {
		return nil, err
	}
	delete(values, MemoryStream)
	values[FirstByte] = inMilliseconds(firstByte)
	return values, nil
}

func (s stage) share(of float64) int { return int(of * float64(s.pace.Streams)) }

// stalled asks for a large response and reads none of it.
func (s stage) stalled(ctx context.Context, address string) (*rig.Client, error) {
	client, err := rig.DialSlow(ctx, address, slowReceive)
	if err != nil {
		return nil, err
	}
	if _, err := client.Write(rig.Request(bulkPath(s.pace.Bulk))); err != nil {
		_ = client.Close() // the first error says more
		return nil, err
	}
	return client, nil
}
