package tailnet

import (
	"context"
	"sync/atomic"
	"time"

	"tailscale.com/client/local"
	"tailscale.com/ipn"
)

// busMask asks for what we need and all daemons grant: newer ones refuse the
// mask for the initial network map, and those from 1.54 to 1.90 let only root
// watch without NotifyNoPrivateKeys.
const busMask = ipn.NotifyInitialState | ipn.NotifyInitialPrefs |
	ipn.NotifyInitialHealthState | ipn.NotifyNoPrivateKeys

// bus is one open watch of the IPN bus. It turns notifications into hints to
// read the status, and nothing else: the daemon cuts off a watcher that is
// slow, so its goroutine never waits for anybody. A nil bus is one that is not
// open.
type bus struct {
	opened time.Time
	hints  chan struct{} // holds one: hints not yet taken are the same hint
	ended  chan struct{} // closed when the watch is over
	cancel context.CancelFunc
	spoke  atomic.Bool
}

func openBus(ctx context.Context, lc *local.Client) *bus {
	ctx, cancel := context.WithCancel(ctx)
	b := &bus{
		opened: time.Now(),
		hints:  make(chan struct{}, 1),
		ended:  make(chan struct{}),
		cancel: cancel,
	}
	go b.drain(ctx, lc)
	return b
}

// drain reads the bus to its end. Why it ended does not matter: the reading
// that follows tells what has become of the daemon.
func (b *bus) drain(ctx context.Context, lc *local.Client) {
	defer close(b.ended)
	watcher, err := lc.WatchIPNBus(ctx, busMask)
	if err != nil {
		return
	}
	defer watcher.Close()
	for {
		notify, err := watcher.Next()
		if err != nil {
			return
		}
		if matters(&notify) {
			b.hint()
		}
	}
}

func (b *bus) hint() {
	b.spoke.Store(true)
	select {
	case b.hints <- struct{}{}:
	default:
	}
}

// matters reports whether a notification may change the status. What only concerns
// peers, traffic and files does not. One that says nothing to our library counts: daemons
// up to 1.102 tell of a changed node in a NetMap, which newer libraries do not know.
func matters(n *ipn.Notify) bool {
	if n.SessionID != "" || n.State != nil || n.Prefs != nil || n.Health != nil || n.SelfChange != nil ||
		n.BrowseToURL != nil || n.LoginFinished != nil || n.ErrMessage != nil {
		return true
	}
	peers := n.PeersChanged != nil || n.PeersRemoved != nil || n.PeerChangedPatch != nil ||
		n.PeerState != nil || n.UserProfiles != nil
	//nolint:staticcheck // deprecated, but daemons still send them
	files := n.FilesWaiting != nil || n.IncomingFiles != nil || n.OutgoingFiles != nil || !n.DriveShares.IsNil()
	others := n.Engine != nil || n.ClientVersion != nil || n.SuggestedExitNode != nil || n.LocalTCPPort != nil
	return !peers && !files && !others
}

// live is whether the daemon has granted the watch and it still stands.
func (b *bus) live() bool {
	return b != nil && b.spoke.Load()
}

func (b *bus) hinted() <-chan struct{} {
	if b == nil {
		return nil
	}
	return b.hints
}

func (b *bus) done() <-chan struct{} {
	if b == nil {
		return nil
	}
	return b.ended
}

// close ends the watch and waits for its goroutine.
func (b *bus) close() {
	if b == nil {
		return
	}
	b.cancel()
	<-b.ended
}
