package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"oauth-proxyd/internal/daemon"
	"oauth-proxyd/internal/proxy"
	"oauth-proxyd/internal/term"
)

// lookTimeout bounds a look at the running daemon, which answers from memory.
const lookTimeout = 5 * time.Second

// requests shows what is in flight.
func requests(e env, args []string) int {
	flags := flag.NewFlagSet("requests", flag.ContinueOnError)
	asJSON := flags.Bool("json", false, "print them as JSON")
	if exit, done := e.parse(flags, "[--json]", args); done {
		return exit
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookTimeout)
	defer cancel()
	inFlight, err := daemon.RequestsInFlight(ctx)
	if err != nil {
		return e.unreachable(err)
	}
	if *asJSON {
		if !e.printJSON(inFlight) {
			return exitFailure
		}
		return exitOK
	}
	if len(inFlight) == 0 {
		fmt.Fprintln(e.stdout, "no request is in flight")
	}
	for i, t := range inFlight {
		if i > 0 {
			fmt.Fprintln(e.stdout)
		}
		showInFlight(e.stdout, t)
	}
	return exitOK
}

// showInFlight is three lines of a request.
func showInFlight(w io.Writer, t proxy.Trace) {
	fmt.Fprintf(w, "%s  %s  age %s  silent %s\n", t.RequestID, t.Phase(), shortTime(t.Duration), shortTime(t.Silence))
	fmt.Fprintf(w, "  %s %s  in %s  out %s\n", t.Method, term.Clean(t.Path), shortSize(t.BytesIn), shortSize(t.BytesOut))
	fmt.Fprintf(w, "  %s\n", senderText(t))
}

// senderText says who sent a request, as far as it is known and recorded.
func senderText(t proxy.Trace) string {
	who := t.Node
	if names := strings.Join(append([]string{t.User}, t.Tags...), ", "); strings.Trim(names, ", ") != "" {
		who += " (" + strings.Trim(names, ", ") + ")"
	}
	words := []string{"from", string(t.Source), who}
	if t.Address != "" {
		words = append(words, t.Address)
	}
	if t.Source == "" {
		words = []string{"from somebody not named yet"}
	}
	text := strings.TrimSpace(strings.Join(words, " ")) + ", credential " + t.Credential
	if t.Session != "" {
		text += ", session " + term.Clean(t.Session)
	}
	return text
}
