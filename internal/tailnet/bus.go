package tailnet

import (
	"context"
	"sync/atomic"
	"time"

	"tailscale.com/client/local"
	"tailscale.com/ipn"
)

// busMask asks for what we need and every version grants. Newer ones refuse NotifyInitialNetMap,
// and 1.54 to 1.90 let only root watch without NotifyNoPrivateKeys.
const busMask = ipn.NotifyInitialState | ipn.NotifyInitialPrefs | ipn.NotifyInitialHealthState | ipn.NotifyNoPrivateKeys

// bus is one open watch of the IPN bus. Each notification is only a hint to read the status.
// tailscaled cuts off slow watchers, so the goroutine never blocks on the reader of hints.
type bus struct {
	opened time.Time
	hints  chan struct{} // holds one, which stands for all that were not taken; closed at the end of the watch
	cancel context.CancelFunc
	spoke  atomic.Bool
}

func openBus(ctx context.Context, lc *local.Client) *bus {
	ctx, cancel := context.WithCancel(ctx)
	b := &bus{opened: time.Now(), hints: make(chan struct{}, 1), cancel: cancel}
	go b.drain(ctx, lc)
	return b
}

// drain reads the bus to its end. The reason for the end does not matter: the next reading shows
// the state of tailscaled.
func (b *bus) drain(ctx context.Context, lc *local.Client) {
	defer close(b.hints)
	watcher, err := lc.WatchIPNBus(ctx, busMask)
	if err != nil {
		return
	}
	defer watcher.Close()
	for {
		if _, err := watcher.Next(); err != nil {
			return
		}
		b.spoke.Store(true)
		select {
		case b.hints <- struct{}{}:
		default:
		}
	}
}

// live reports whether tailscaled has granted the watch.
func (b *bus) live() bool { return b != nil && b.spoke.Load() }

// hinted returns the channel of hints, which is closed with the watch; without a watch, nil, which
// blocks.
func (b *bus) hinted() <-chan struct{} {
	if b == nil {
		return nil
	}
	return b.hints
}

// close ends the watch and waits for its goroutine.
func (b *bus) close() {
	if b != nil {
		b.cancel()
		for range b.hints { //nolint:revive // wait for the end
		}
	}
}
