package tailnet

import (
	"context"
	"sync/atomic"
	"time"

	"tailscale.com/client/local"
	"tailscale.com/ipn"
)

// busMask asks for what we need and all daemons grant: newer ones refuse the mask for the initial
// network map, and those from 1.54 to 1.90 let only root watch without NotifyNoPrivateKeys.
const busMask = ipn.NotifyInitialState | ipn.NotifyInitialPrefs | ipn.NotifyInitialHealthState | ipn.NotifyNoPrivateKeys

// bus is one open watch of the IPN bus. Each notification is a hint to read the status, whatever it
// says. tailscaled cuts off a watcher that is slow, so its goroutine never waits for anybody.
type bus struct {
	opened time.Time
	hints  chan struct{} // holds one: hints not yet taken are the same hint; closed when the watch is over
	cancel context.CancelFunc
	spoke  atomic.Bool
}

func openBus(ctx context.Context, lc *local.Client) *bus {
	ctx, cancel := context.WithCancel(ctx)
	b := &bus{opened: time.Now(), hints: make(chan struct{}, 1), cancel: cancel}
	go b.drain(ctx, lc)
	return b
}

// drain reads the bus to its end. Why it ended does not matter: the next reading shows what has
// become of tailscaled.
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

// live reports whether tailscaled has granted the watch and it still stands.
func (b *bus) live() bool { return b != nil && b.spoke.Load() }

// hinted gives a value for each hint, is closed with the watch, and blocks where there is none.
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
		for range b.hints { //nolint:revive // what is left of the hints is not wanted
		}
	}
}
