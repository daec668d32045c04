package main

import "fmt"

// help lists the commands, or has one of them show its options.
func help(e env, args []string) int {
	if len(args) > 0 && !isHelp(args[0]) {
		return run(e, []string{args[0], "--help"})
	}
	fmt.Fprint(e.stdout, `oauth-proxyd adds configured headers to API requests from a tailnet, first of all
the anthropic-beta that a Claude subscription's OAuth token needs, and streams
requests and answers through.

usage: oauth-proxyd [COMMAND] [OPTIONS]

`)
	for _, c := range commands() {
		fmt.Fprintf(e.stdout, "  %-10s %s\n", c.name, c.summary)
	}
	fmt.Fprint(e.stdout, `
"oauth-proxyd COMMAND --help" shows the options of a command. The configuration
is /etc/oauth-proxyd/oauth-proxyd.hcl. To see it work at once: oauth-proxyd demo
`)
	return exitOK
}
