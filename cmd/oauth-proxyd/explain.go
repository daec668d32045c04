package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"oauth-proxyd/internal/daemon"
	"oauth-proxyd/internal/proxy"
	"oauth-proxyd/internal/term"
)

// explain tells what became of one request.
func explain(e env, args []string) int {
	flags := flag.NewFlagSet("explain", flag.ContinueOnError)
	asJSON := flags.Bool("json", false, "print what is remembered as JSON")
	id, options := takeArgument(args)
	if exit, done := e.parse(flags, "ID [--json]", options); done {
		return exit
	}
	if id == "" {
		e.failed(fmt.Errorf("explain needs the id of a request"),
			"it is in x-request-id of the answer, in request_id of an error, and in the log; oauth-proxyd requests lists those in flight")
		return exitUsage
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookTimeout)
	defer cancel()
	traces, err := daemon.ExplainRequest(ctx, id)
	if err != nil {
		return e.unreachable(err)
	}
	if *asJSON && !e.printJSON(traces) {
		return exitFailure
	}
	if len(traces) == 0 {
		e.failed(fmt.Errorf("no request %q is in flight or among the last 1,000", id),
			"the journal has older ones: journalctl -t oauth-proxyd REQUEST_ID="+term.Clean(id))
		return exitFailure
	}
	if !*asJSON {
		for i, t := range traces {
			if i > 0 {
				fmt.Fprintln(e.stdout)
			}
			showTrace(e.stdout, t)
		}
	}
	return exitOK
}

// takeArgument takes the first argument that is no option out of args.
func takeArgument(args []string) (argument string, rest []string) {
	i := slices.IndexFunc(args, func(a string) bool { return !strings.HasPrefix(a, "-") })
	if i < 0 {
		return "", args
	}
	return args[i], slices.Concat(args[:i], args[i+1:])
}

// showTrace is all that is known of a request.
func showTrace(w io.Writer, t proxy.Trace) {
	fmt.Fprintf(w, "%s  %s %s\n", t.RequestID, t.Method, term.Clean(t.Path))
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %-9s "+format+"\n", append([]any{name}, args...)...)
	}
	line("result", "%s", resultText(t))
	if t.Error != "" {
		line("because", "%s", term.Clean(t.Error))
	}
	line("began", "%s, through the listener %s", t.Started.Local().Format(time.DateTime), term.Clean(t.Listener))
	line("sender", "%s", senderText(t))
	line("bytes", "in %s, out %s", shortSize(t.BytesIn), shortSize(t.BytesOut))
	if t.UpstreamRequestID != "" {
		line("upstream", "its id is %s", term.Clean(t.UpstreamRequestID))
	}
	for _, r := range t.HeaderRules {
		line("rule", "%s: %s", term.Clean(r.Header), r.Result)
	}
	for i, s := range t.Steps {
		line(shortTime(s.At), "%s", strings.TrimSpace(fmt.Sprintf("%-10s for %s  %s", s.Phase, shortTime(stepEnd(t, i)-s.At), term.Clean(s.Detail))))
	}
}

// resultText says how the request ended, or that it has not.
func resultText(t proxy.Trace) string {
	switch {
	case t.Outcome == "":
		return fmt.Sprintf("in flight for %s, silent for %s", shortTime(t.Duration), shortTime(t.Silence))
	case t.Status == 0:
		return fmt.Sprintf("%s after %s", t.Outcome, shortTime(t.Duration))
	default:
		return fmt.Sprintf("%s, status %d, after %s", t.Outcome, t.Status, shortTime(t.Duration))
	}
}

// stepEnd is when the step after i began, or the request ended.
func stepEnd(t proxy.Trace, i int) proxy.Millis {
	if i+1 < len(t.Steps) {
		return t.Steps[i+1].At
	}
	return max(t.Duration, t.Steps[i].At)
}
