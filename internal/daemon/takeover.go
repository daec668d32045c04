package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"oauth-proxyd/internal/admin"
	"oauth-proxyd/internal/lifecycle"
	"oauth-proxyd/internal/ratelimit"
	"oauth-proxyd/internal/systemd"
)

// proofTime is how long a ready process must keep running before it takes over, so that one that
// crashes or hangs early never does.
const proofTime = 2 * time.Second

// join receives messages from the predecessor until that ends. It tells the predecessor that this
// process can take over once the process has kept running for proofTime.
func (d *daemon) join() {
	p := d.sockets.Predecessor
	d.inBackground(func(ctx context.Context) {
		defer p.Close()
		defer context.AfterFunc(ctx, p.Close)()
		for {
			m, err := p.Next()
			if err != nil {
				break
			}
			d.inLoop(func() { d.respondTo(m) })
		}
		d.inLoop(d.predecessorEnded)
	})
	if err := d.startAdmin(); err != nil {
		d.log.Error("not ready to take over", "error", err)
		p.Fail(err.Error())
		d.raise(lifecycle.ShutdownSignal{})
		return
	}
	d.log.Info("ready to take over")
	d.after(proofTime, func() {
		if d.canTakeOver() {
			p.Done()
		}
	})
}

// respondTo handles a message of the predecessor. A response is a few bytes, so writing it does not
// block the loop.
func (d *daemon) respondTo(m systemd.Message) {
	switch {
	case m.Report != nil:
		var all []admin.Predecessor
		_ = json.Unmarshal(m.Report, &all) // of another version, it may say less
		d.publish(func(v *view) { v.predecessors = all })
	case m.TakeOver != nil && d.canTakeOver():
		d.takeOver(m.TakeOver)
		d.sockets.Predecessor.Done()
	}
}

// canTakeOver reports whether this process is Running. If it is not, the predecessor is told why.
func (d *daemon) canTakeOver() bool {
	phase := d.view().state.Phase
	if phase != lifecycle.Running {
		d.sockets.Predecessor.Fail("it is " + phase.String())
	}
	return phase == lifecycle.Running
}

// memory is what a process passes on to its successor.
type memory struct {
	Version    string          `json:"version"`
	Identity   string          `json:"log_identity"` // log.identity, by which the rest names people
	RateLimits ratelimit.Saved `json:"rate_limits"`
}

func (d *daemon) memory() memory {
	v := d.view()
	return memory{d.options.Version, v.config.Log.Identity, v.proxy.RateLimits().Save()}
}

// takeOver puts this process in charge, with the memory of the predecessor. It forgets that memory
// if the predecessor named people in another way.
func (d *daemon) takeOver(text json.RawMessage) {
	var before memory
	_ = json.Unmarshal(text, &before) // of another version, it may say less
	d.log.Info(fmt.Sprintf("upgraded: %s → %s", before.Version, d.options.Version))
	limits := d.view().proxy.RateLimits()
	limits.Restore(before.RateLimits)
	if before.Identity != d.view().config.Log.Identity {
		limits.Forget()
	}
	d.openGate()
	d.become(inCharge)
	d.notify("READY=1")
	if d.watchdog.tick != nil {
		// The predecessor's last ping may be half an interval old, and the first tick here half an
		// interval away.
		d.notify("WATCHDOG=1")
	}
}

// predecessorEnded forgets the predecessor. If it ended without handing over, it was stopped or has
// crashed, and systemd stops or restarts the service: this process exits.
func (d *daemon) predecessorEnded() {
	close(d.upgrade.predecessorGone)
	d.publish(func(v *view) { v.predecessors = nil })
	if d.role == candidate && d.view().state.Phase == lifecycle.Running {
		d.log.Warn("the previous process ended without handing over; exiting")
		d.raise(lifecycle.ShutdownSignal{})
	}
}
