package main

import (
	"flag"
	"fmt"
	"strings"

	"oauth-proxyd/internal/proxy"
	"oauth-proxyd/internal/term"
)

func requests(e env, flags *flag.FlagSet) runner {
	asJSON, client := flags.Bool("json", false, "print JSON"), daemonFlag(flags)
	return func(string) int {
		_, code := ask(e, *asJSON, client.InFlight, list(e, "no request is in flight", showInFlight))
		return code
	}
}

// showInFlight prints a few lines about a request.
func showInFlight(p term.Printer, t proxy.Trace) {
	progress := fmt.Sprintf("%s  age %s  silent %s", t.Phase(), shortDuration(t.Duration.Duration()), shortDuration(t.Silence.Duration()))
	if t.Queued > 0 {
		progress = fmt.Sprintf("%s for %s%s  age %s", t.Phase(), shortDuration(t.Queued.Duration()), nextText(t.Next), shortDuration(t.Duration.Duration()))
	}
	if t.WaitsFor == proxy.WaitsForClient && t.Silence >= 1000 {
		progress += ", because of the client"
	}
	p.Verbatim(0, t.RequestID+"  "+progress)
	if t.PingsOnly() || t.Stream == proxy.StreamCompressed {
		p.Wrap("  ", 4, streamText(t))
	}
	p.Verbatim(2, fmt.Sprintf("%s %s  in %s  out %s", t.Method, t.Path, shortSize(t.BytesIn), shortSize(t.BytesOut)))
	p.Wrap("  ", 4, senderText(t))
}

// nextText marks a waiting request that gets the next slot.
func nextText(next bool) string {
	if next {
		return ", next"
	}
	return ""
}

// streamText says what a stream of events has carried.
func streamText(t proxy.Trace) string {
	if t.Stream == proxy.StreamCompressed {
		return "compressed: not known whether its events are data or pings"
	}
	text := count(t.Events, "event") + ", " + count(t.Pings, "ping")
	if t.PingsOnly() {
		text += ", alive, only pings for " + shortDuration(t.OnlyPings.Duration())
	}
	return text
}

// senderText names the sender of a request, as far as it is known and recorded.
func senderText(t proxy.Trace) string {
	text := "from a sender not identified yet"
	if t.Source != "" {
		var names []string
		for _, name := range nonempty(append([]string{t.User}, t.Tags...)...) {
			names = append(names, quoted(name))
		}
		node := quoted(t.Node)
		if len(names) > 0 {
			node += " (" + strings.Join(names, ", ") + ")"
		}
		text = strings.Join(nonempty("from", string(t.Source), strings.TrimSpace(node), t.Address), " ")
	}
	if t.Person != "" {
		text += ", for " + quoted(t.Person)
	}
	if t.Client != "" {
		text += ", " + t.Client
	}
	text += ", credential " + t.Credential
	if t.Session != "" {
		text += ", session " + quoted(t.Session)
	}
	return text
}
