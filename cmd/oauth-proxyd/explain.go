package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"oauth-proxyd/internal/proxy"
	"oauth-proxyd/internal/term"
)

func explain(e env, flags *flag.FlagSet) runner {
	asJSON, client := flags.Bool("json", false, "print JSON"), daemonFlag(flags)
	return func(id string) int {
		if id == "" {
			e.failed(errors.New("explain needs the ID of a request"),
				"it is in x-request-id of the response, in request_id of an error, and in the log; oauth-proxyd requests lists those in flight")
			return exitUsage
		}
		request := func(ctx context.Context) ([]proxy.Trace, error) { return client.Explain(ctx, id) }
		traces, code := ask(e, *asJSON, request, list(e, "", showTrace))
		if code == exitOK && len(traces) == 0 {
			older := "older ones are in the log"
			if s, _ := client.Status(context.Background()); s.Log != "" {
				older += ": " + s.Log + " -g " + id
			}
			e.failed(fmt.Errorf("no request %q is in flight or among the last 1,000", id), older)
			return exitFailure
		}
		return code
	}
}

// showTrace prints everything that is known about a request.
func showTrace(p term.Printer, t proxy.Trace) {
	p.Verbatim(0, fmt.Sprintf("%s  %s %s", t.RequestID, t.Method, t.Path))
	row := func(name, format string, args ...any) { table{p}.row("  "+name, fmt.Sprintf(format, args...)) }
	row("result", "%s", resultText(t))
	row("because", "%s", t.Error)
	row("began", "%s, through the listener %s", t.Started.Local().Format(time.DateTime), t.Listener)
	row("sender", "%s", senderText(t))
	if t.PersonDoubt != "" {
		row("person", "unknown: the header that names the person was not trusted, because %s", t.PersonDoubt)
	}
	row("bytes", "in %s, out %s", shortSize(t.BytesIn), shortSize(t.BytesOut))
	if t.Stream != "" {
		row("stream", "%s", streamText(t))
	}
	row("account", "%s", t.Account)
	row("trace", "%s", t.TraceID)
	row("upstream", "%s", t.UpstreamRequestID)
	for _, r := range t.HeaderRules {
		row("rule", "%s: %s", r.Header, r.Result)
	}
	for i, s := range t.Steps {
		p.Wrap(fmt.Sprintf("  %-9s %-10s ", shortDuration(s.At.Duration()), s.Phase), 23, strings.Join(nonempty("for "+shortDuration((stepEnd(t, i)-s.At).Duration()), s.Detail), ", "))
	}
}

// resultText says how a request ended, or that it is in flight.
func resultText(t proxy.Trace) string {
	switch {
	case t.Outcome == "":
		return fmt.Sprintf("in flight for %s, silent for %s", shortDuration(t.Duration.Duration()), shortDuration(t.Silence.Duration()))
	case t.Status == 0:
		return fmt.Sprintf("%s after %s", t.Outcome, shortDuration(t.Duration.Duration()))
	default:
		return fmt.Sprintf("%s, status %d, after %s", t.Outcome, t.Status, shortDuration(t.Duration.Duration()))
	}
}

// stepEnd returns when step i ended: when the next one began, or the request ended.
func stepEnd(t proxy.Trace, i int) proxy.Millis {
	if i+1 < len(t.Steps) {
		return t.Steps[i+1].At
	}
	return max(t.Duration, t.Steps[i].At)
}
