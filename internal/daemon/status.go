package daemon

import (
	"cmp"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"oauth-proxyd/internal/admin"
	"oauth-proxyd/internal/lifecycle"
	"oauth-proxyd/internal/proxy"
	"oauth-proxyd/internal/systemd"
)

// fullStatus returns what "oauth-proxyd status" shows.
func (d *daemon) fullStatus(now time.Time) admin.Status {
	v := d.view()
	s := d.status(v, now)
	inFlight := v.proxy.InFlight()
	s.Slowest, s.Requests.Waiting = slowest(inFlight), waiting(inFlight)
	s.RecentErrors = v.proxy.RecentErrors(now)
	s.Warnings = d.faults(v, s, now)
	return s
}

// status returns the part of the status that needs no look at each request.
func (d *daemon) status(v *view, now time.Time) admin.Status {
	stats := v.proxy.Stats()
	c, _ := d.fit(v.config.Proxy)
	return admin.Status{
		Status: d.healthWord(v), Trouble: d.sockets.trouble(c.ListenAddr), Failing: stats.Trouble(now), State: v.state.Phase.String(),
		Version: d.options.Version, PID: os.Getpid(),
		StartedAt:   d.started.UTC(),
		AdminSocket: d.options.AdminSocket, Restarted: d.restarted,
		Service: d.service.OfSystem(), RestartWith: d.restartWith(),
		Log:     strings.Trim(strings.TrimPrefix(d.logLines("", ""), "the log"), "`"), // "the log": no command shows it
		Tailnet: tailnetStatus(v), Sockets: socketStatuses(v.serving),
		Requests:    admin.RequestStatus{Stats: stats, InFlightLimit: c.MaxConnections, QueuedLimit: c.QueueLimit},
		Upstream:    admin.UpstreamStatus{URL: c.UpstreamURL.String(), Route: v.proxy.Route()},
		Connections: v.server.Connections(),
		LastReload:  v.reload, Predecessors: append([]admin.Predecessor{}, v.predecessors...), // a list in JSON too
	}
}

func (d *daemon) restartWith() string {
	if d.service.Name == "" {
		return fmt.Sprintf("kill %d, then %s", os.Getpid(), strings.Join(os.Args, " "))
	}
	return d.service.Restart()
}

// logLines says where the lines of the log with an attribute are, or all if the key is empty.
func (d *daemon) logLines(key, value string) string {
	return d.logs.HowToFind(d.service.Journal(), key, value)
}

// known returns a time for JSON: null if it is zero.
func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func tailnetStatus(v *view) admin.TailnetStatus {
	words := map[lifecycle.Tailnet]string{lifecycle.TailnetUp: "connected", lifecycle.TailnetDisabled: "disabled"}
	t := admin.TailnetStatus{Status: cmp.Or(words[v.state.Tailnet], "not_connected"), Addresses: []netip.Addr{}, Warnings: []string{}}
	if !v.state.TailnetRequired() {
		return t
	}
	s, err := v.tailnet.Status, v.tailnet.Err
	t.Name, t.BackendState, t.Version, t.Userspace = s.Name, s.Backend, s.Version, s.Userspace
	t.Addresses = append(t.Addresses, s.Addresses...)
	t.Warnings = append(t.Warnings, v.naming.warnings(s.Warnings)...)
	t.KeyExpiresAt = known(s.KeyExpiry)
	if err != nil {
		t.Trouble, t.LoginURL = v.naming.hide(err).Error(), loginURL(err)
	}
	return t
}

// slowest returns the request in flight that has been silent longest.
func slowest(inFlight []proxy.Trace) *proxy.Trace {
	if len(inFlight) == 0 {
		return nil
	}
	t := slices.MaxFunc(inFlight, func(a, b proxy.Trace) int { return cmp.Compare(a.Silence, b.Silence) })
	return &t
}

// waiting lists the senders with queued requests, the one with most first.
func waiting(inFlight []proxy.Trace) []admin.WaitingStatus {
	all := []admin.WaitingStatus{}
	for _, t := range inFlight {
		if t.Queued == 0 {
			continue
		}
		isSender := func(w admin.WaitingStatus) bool { return strings.EqualFold(w.Name, t.Who()) } // as in the queue
		i := slices.IndexFunc(all, isSender)
		if i < 0 {
			i, all = len(all), append(all, admin.WaitingStatus{Name: t.Who()})
		}
		all[i].Requests++
		all[i].Next = all[i].Next || t.Next
		all[i].Longest = max(all[i].Longest, t.Queued)
	}
	slices.SortStableFunc(all, func(a, b admin.WaitingStatus) int { return cmp.Compare(b.Requests, a.Requests) })
	return all
}

func socketStatuses(listeners []systemd.Listener) []admin.SocketStatus {
	sockets := make([]admin.SocketStatus, 0, len(listeners))
	for _, l := range listeners {
		sockets = append(sockets, admin.SocketStatus{Name: l.Name, Network: l.Addr().Network(), Address: l.Addr().String()})
	}
	return sockets
}
