package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"oauth-proxyd/internal/admin"
	"oauth-proxyd/internal/doctor"
	"oauth-proxyd/internal/proxy"
	"oauth-proxyd/internal/term"
)

func status(e env, flags *flag.FlagSet) runner {
	asJSON, client := flags.Bool("json", false, "print JSON"), daemonFlag(flags)
	watching := flags.Bool("watch", false, "refresh it until Ctrl-C, marking the lines that changed")
	return func(string) int {
		request := func(ctx context.Context) (admin.Status, error) { return requestStatus(ctx, *client) }
		text := func(s admin.Status) { showStatus(term.NewPrinter(e.stdout), s, time.Now()) }
		switch {
		case *watching && *asJSON:
			e.failed(errors.New("--watch and --json cannot be combined"), "run `oauth-proxyd status --help`")
			return exitUsage
		case *watching:
			return e.watch(request)
		}
		s, code := ask(e, *asJSON, request, text)
		return cmp.Or(code, exitIf(s.Status != "healthy" && s.Status != "idle", exitFailure))
	}
}

// requestStatus asks the daemon for its status. Only systemd knows that it is idle.
func requestStatus(ctx context.Context, c admin.Client) (admin.Status, error) {
	s, err := c.Status(ctx)
	if err != nil {
		if f := doctor.Unavailable(ctx, err); f != nil && f.Status == doctor.OK { // the first request starts it
			return admin.Status{Status: "idle", State: f.Seen}, nil
		}
	}
	return s, err
}

// labelColumn is the width of a label.
const labelColumn = 12

type table struct{ term.Printer }

// row prints a row, unless there is nothing to say.
func (t table) row(label, text string) {
	if text != "" {
		t.Wrap(fmt.Sprintf("%-*s", labelColumn, label), labelColumn, text)
	}
}

func showStatus(printer term.Printer, s admin.Status, now time.Time) {
	p := table{printer}
	if s.Status == "idle" {
		p.Wrap(p.Paint(term.Green, s.Status)+": ", len(s.Status)+2, s.State)
		return
	}
	p.headline(s)
	p.row("log in at", s.Tailnet.LoginURL)
	for _, l := range s.Sockets {
		p.row("socket", l.Name+", "+l.Address)
	}
	p.row("tailnet", tailnetText(s.Tailnet, now))
	p.row("connections", fmt.Sprintf("%d of %d admitted, %d others", s.Connections.Admitted, s.Connections.AdmittedLimit, s.Connections.Strangers))
	p.row("requests", fmt.Sprintf("%d of %d in flight, %d of %d queued; %d since the start, %d failed, %d refused",
		s.Requests.InFlight, s.Requests.InFlightLimit, s.Requests.Queued, s.Requests.QueuedLimit,
		s.Requests.Served, s.Requests.Failed, s.Requests.Refused))
	p.row("waiting", waitingText(s.Requests.Waiting))
	if s.Slowest != nil {
		p.row("slowest", slowestText(*s.Slowest))
	}
	p.row("upstream", upstreamText(s.Upstream, s.Requests, now))
	p.row("failure", failureText(s.Requests, now))
	p.row("errors", errorsText(s.RecentErrors))
	p.row("reload", reloadText(s, now))
	p.row("versions", versionsText(s))
	for _, before := range s.Predecessors {
		p.row("predecessor", fmt.Sprintf("%d, version %s, finishing %s since the upgrade %s", before.PID, before.Version, count(before.InFlight, "request"), ago(before.Since, now)))
	}
	p.row("process", fmt.Sprintf("%d, up %s, on %s", s.PID, shortDuration(now.Sub(s.StartedAt).Truncate(time.Second)), s.AdminSocket))
	if s.Restarted != "" {
		p.row("restarted", "the previous process ended: "+s.Restarted+strings.TrimSuffix("; see `"+s.Log+"`", "; see ``"))
	}
}

// headline prints whether the daemon is healthy and whether requests succeed, then what to do.
func (t table) headline(s admin.Status) {
	s.Status = term.Clean(s.Status)
	style, mark, verdict := term.Yellow, ": ", verdictOn(s)
	switch {
	case s.Status == "degraded":
		style = term.Red
	case s.Status == "healthy" && s.Failing != "":
		style, mark, verdict = term.Red, ", ", "but "+s.Failing
	case s.Status == "healthy" && len(s.Warnings) == 0:
		style = term.Green
	}
	t.Wrap(t.Paint(style, s.Status)+mark, len(s.Status)+2, verdict)
	for _, w := range s.Warnings {
		if !strings.HasSuffix(verdict, w) {
			t.row("warning", w)
		}
	}
}

func verdictOn(s admin.Status) string {
	switch {
	case s.Status == "draining":
		return "no new requests; finishing open requests"
	case s.Status == "degraded" && s.Trouble != "":
		return s.Trouble
	case s.Tailnet.Trouble != "":
		return "the tailnet is not connected: " + s.Tailnet.Trouble
	case s.Status == "degraded":
		return "asking for the state of the tailnet"
	case s.State != "running":
		return "not serving yet, state " + s.State
	case len(s.Warnings) > 0:
		return "serving, with " + count(len(s.Warnings), "warning")
	case s.Tailnet.Status == "disabled":
		return "serving, tailnet not required"
	}
	return "serving, tailnet connected as " + s.Tailnet.Name
}

func tailnetText(t admin.TailnetStatus, now time.Time) string {
	if t.Status == "disabled" {
		return "not required"
	}
	parts := nonempty(strings.ReplaceAll(t.Status, "_", " "), t.BackendState, t.Name)
	for _, a := range t.Addresses {
		parts = append(parts, a.String())
	}
	if t.Userspace {
		parts = append(parts, "no network device")
	}
	if at := t.KeyExpiresAt; at != nil {
		verb := "expires"
		if at.Before(now) {
			verb = "expired"
		}
		parts = append(parts, "key "+verb+" on "+at.Format(time.DateOnly))
	}
	return strings.Join(parts, ", ")
}

func reloadText(s admin.Status, now time.Time) string {
	last, outcome := s.LastReload, "nothing changed"
	switch {
	case last == nil:
		return "none since the start"
	case !last.OK:
		outcome = "refused"
	case len(last.Changed) > 0:
		outcome = "changed " + firstOf(last.Changed)
	}
	return ago(last.At, now) + ", " + outcome
}

// shownAtMost is how many items of a list are shown; --json has all.
const shownAtMost = 3

func firstOf(list []string) string {
	if rest := len(list) - shownAtMost; rest > 0 {
		return strings.Join(list[:shownAtMost], ", ") + fmt.Sprintf(" and %d more", rest)
	}
	return strings.Join(list, ", ")
}

func waitingText(waiting []admin.WaitingStatus) string {
	persons := make([]string, len(waiting))
	for i, w := range waiting {
		persons[i] = fmt.Sprintf("%s %d (%s%s)", quoted(w.Name), w.Requests, shortDuration(w.Longest.Duration()), nextText(w.Next))
	}
	return firstOf(persons)
}

func upstreamText(u admin.UpstreamStatus, r admin.RequestStatus, now time.Time) string {
	path := "direct"
	if u.Proxy != "" {
		path = "through the proxy " + u.Proxy
	}
	text := fmt.Sprintf("%s, %s, %s", u.URL, path, count(u.Connections, "connection"))
	if r.LastResponse.IsZero() {
		return text + ", no response yet"
	}
	return text + fmt.Sprintf(", last response %s (%d)", ago(r.LastResponse, now), r.LastStatus)
}

// failureText says how the last failed request failed; empty: none has failed.
func failureText(r admin.RequestStatus, now time.Time) string {
	switch {
	case r.LastFailure.IsZero():
		return ""
	case r.InARow == 0:
		return fmt.Sprintf("%s, since then requests have succeeded: %s", ago(r.LastFailure, now), r.Cause)
	case r.InARow == 1:
		return ago(r.LastFailure, now) + ": " + r.Cause
	}
	return fmt.Sprintf("%s, the last of %d in a row: %s", ago(r.LastFailure, now), r.InARow, r.Cause)
}

// errorsText says which share of recent requests failed, and how.
func errorsText(windows map[string]proxy.RecentErrors) string {
	var all []string
	for _, label := range []string{"1m", "5m", "60m"} {
		lately := windows[label]
		var parts []string
		for _, name := range slices.Sorted(maps.Keys(lately.Errors)) {
			share := lately.Share(name)
			parts = append(parts, strings.Replace(name, "no_request_id", "errors without request-id", 1)+" "+percent(&share))
		}
		shares := cmp.Or(strings.Join(parts, ", "), "none")
		all = append(all, fmt.Sprintf("%s of %s in %s", shares, count(lately.Requests, "request"), label))
	}
	return strings.Join(all, "; ")
}

func slowestText(t proxy.Trace) string {
	return fmt.Sprintf("%s, %s, silent for %s of %s", t.RequestID, t.Phase(), shortDuration(t.Silence.Duration()), shortDuration(t.Duration.Duration()))
}

func versionsText(s admin.Status) string {
	text := "oauth-proxyd " + s.Version
	if s.Tailnet.Version != "" {
		short, _, _ := strings.Cut(s.Tailnet.Version, "-")
		text += ", tailscaled " + short
	}
	return text
}
