package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"oauth-proxyd/internal/admin"
)

const (
	// announceInterval is how often a process that has handed over says what it still has.
	announceInterval = time.Second
	// predecessorInterval is how often the process in charge looks whether they have ended.
	predecessorInterval = 50 * time.Millisecond
)

const announcementPrefix = "predecessor-"

func announcement(adminSocket string, pid int) string {
	return filepath.Join(filepath.Dir(adminSocket), announcementPrefix+strconv.Itoa(pid)+".json")
}

// announceHandover keeps the file to the end of this process. Without one the hand-over goes
// on all the same: only nobody sees it, or waits for it in a stop.
func (d *daemon) announceHandover() {
	if d.options.AdminSocket == "" {
		return
	}
	since, p := time.Now(), d.view().proxy
	file := announcement(d.options.AdminSocket, os.Getpid())
	d.work.Go(func() {
		defer os.Remove(file) //nolint:errcheck // a process that is gone is not believed
		ticker := time.NewTicker(announceInterval)
		defer ticker.Stop()
		for {
			err := writeAnnouncement(file, admin.Predecessor{
				PID: os.Getpid(), Version: d.options.Version, Since: since, InFlight: p.Stats().InFlight,
			})
			if err != nil {
				d.log.Warn("the process that took over will not know of this one", "error", err)
				return
			}
			select {
			case <-ticker.C:
			case <-d.ctx.Done():
				return
			}
		}
	})
}

// awaitPredecessors returns when the processes before this one have drained, too. systemd
// sends a second SIGTERM to those that outlive the main process, and that would cut their
// streams at once.
func (d *daemon) awaitPredecessors(ctx context.Context) error {
	ticker := time.NewTicker(predecessorInterval)
	defer ticker.Stop()
	for len(d.predecessors()) > 0 {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for the processes before this one: %w", ctx.Err())
		}
	}
	return nil
}

func writeAnnouncement(file string, p admin.Predecessor) error {
	text, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("announcing the hand-over: %w", err)
	}
	beside := file + ".new"
	return errors.Join(os.WriteFile(beside, text, 0o600), os.Rename(beside, file))
}

// predecessors are the processes before this one that still have something to finish,
// the oldest first.
func (d *daemon) predecessors() []admin.Predecessor {
	if d.options.AdminSocket == "" {
		return nil
	}
	files, err := filepath.Glob(filepath.Join(filepath.Dir(d.options.AdminSocket), announcementPrefix+"*.json"))
	if err != nil {
		return nil // the folder has a name that is a bad pattern
	}
	var all []admin.Predecessor
	for _, file := range files {
		if p, ok := readAnnouncement(file); ok && p.PID != os.Getpid() {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b admin.Predecessor) int { return a.Since.Compare(b.Since) })
	return all
}

// readAnnouncement believes only a process that lives.
func readAnnouncement(file string) (p admin.Predecessor, ok bool) {
	text, err := os.ReadFile(file)
	if err != nil || json.Unmarshal(text, &p) != nil || p.PID <= 0 {
		return p, false
	}
	return p, syscall.Kill(p.PID, 0) == nil
}

// left is how many requests they have.
func left(all []admin.Predecessor) (requests int) {
	for _, p := range all {
		requests += p.InFlight
	}
	return requests
}
