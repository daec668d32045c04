// Command oauth-proxyd adds the configured headers to requests that come in from the tailnet, and
// streams them to the Anthropic API and its responses back. Run "oauth-proxyd help" for its
// commands; oauth-proxyd(8) describes them.
//
// Each command is a function in the file of its name; upgrade is in reload.go. This file finds the
// command and reads its options. output.go has what several commands print: errors with hints,
// JSON, responses of the running daemon. format.go writes numbers, times and names.
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/daemon"
	"oauth-proxyd/internal/lifecycle"
)

// version is set by the linker (-X main.version=…).
var version = "devel"

// Exit codes of commands; serve has those of package lifecycle. The same number means the same, for
// the daemon or for the command.
const (
	exitOK          = lifecycle.ExitOK          // the command succeeded, and what it asked about is healthy
	exitFailure     = lifecycle.ExitInternal    // the command failed, or it found a fault
	exitUsage       = 64                        // EX_USAGE: the command line is wrong, also that of serve
	exitUnavailable = lifecycle.ExitUnavailable // no daemon responds on the admin socket
	exitNoPerm      = lifecycle.ExitNoPerm      // this user may not use the admin socket
	exitConfig      = lifecycle.ExitConfig      // the configuration is refused
)

// env is what commands use of their process.
type env struct {
	stdout *output
	stderr io.Writer
	getenv func(string) string
}

type command struct {
	name     string
	argument string // its name in the help; empty: the command takes none
	summary  string
	// declare adds the command's options to flags, and returns what runs the command. flags are
	// parsed in between, so a runner reads its options through the pointers that flags returned.
	// Help and completions declare the options only.
	declare func(e env, flags *flag.FlagSet) runner
}

// runner runs a command with its argument and returns the exit code.
type runner func(argument string) int

func commands() []command {
	return []command{
		{"serve", "", "run the daemon (the default)", serve},
		{"check", "", "validate the configuration and show every error in it", check},
		{"reload", "", "reload the configuration of the running daemon, or show what would change", reload},
		{"status", "", "show whether the running daemon is healthy", status},
		{"doctor", "", "check every hop of the request path, and show how to fix it", runDoctor},
		{"selftest", "", "send typical requests through your rules to a mock API, and show what they change", runSelftest},
		{"upgrade", "", "hand over to the installed program without cutting open streams", upgrade},
		{"requests", "", "show the requests in flight", requests},
		{"explain", "ID", "show what happened to a request: where its time went, and why it ended", explain},
		{"limits", "", "show the rate limits of the accounts behind the requests, and who uses them", limits},
		{"bundle", "[FILE]", "collect what a bug report needs into one archive, without secrets", runBundle},
		{"demo", "", "run everything on loopback: a mock API, the daemon, one streamed message", demo},
		{"version", "", "show the version", printVersion},
		{"completion", "bash|zsh|fish", "print a completion script for a shell", completion},
		{"help", "[COMMAND]", "show this list, or the options of a command", help},
	}
}

func commandNames() []string {
	var names []string
	for _, c := range commands() {
		names = append(names, c.name)
	}
	return names
}

func findCommand(name string) (command, bool) {
	for _, c := range commands() {
		if c.name == name {
			return c, true
		}
	}
	return command{}, false
}

func main() {
	e := env{stdout: &output{file: os.Stdout}, stderr: os.Stderr, getenv: os.Getenv}
	code := run(e, os.Args[1:])
	if err := e.stdout.err; err != nil {
		e.failed(fmt.Errorf("writing to standard output: %w", err), "")
		code = cmp.Or(code, exitFailure)
	}
	if code == exitUsage && os.Getenv("LISTEN_FDS") != "" {
		time.Sleep(daemon.RefusalDelay)
	}
	os.Exit(code)
}

// run finds the command, or takes serve, and runs it.
func run(e env, args []string) int {
	name := "serve"
	switch {
	case len(args) == 0:
	case args[0] == "-h" || args[0] == "-help" || args[0] == "--help":
		name, args = "help", args[1:]
	case args[0] == "-version" || args[0] == "--version":
		name, args = "version", args[1:]
	case args[0] == "__complete":
		return complete(e, args[1:])
	case !strings.HasPrefix(args[0], "-"):
		name, args = args[0], args[1:]
	}
	c, ok := findCommand(name)
	if !ok {
		e.failed(fmt.Errorf("unknown command %q", name), cmp.Or(config.DidYouMean(name, commandNames()), `"oauth-proxyd help" lists them`))
		return exitUsage
	}
	return c.run(e, args)
}

// options returns the options of the command, not parsed yet, and what runs it.
func (c command) options(e env) (*flag.FlagSet, runner) {
	flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard) // the messages of package flag have no hint
	return flags, c.declare(e, flags)
}

// run parses the options, which may be before and after the argument, and runs the command.
func (c command) run(e env, args []string) int {
	flags, run := c.options(e)
	argument := ""
	for {
		err := flags.Parse(args)
		switch {
		case errors.Is(err, flag.ErrHelp):
			c.usage(e, flags)
			return exitOK
		case err == nil && flags.NArg() == 0:
			return run(argument)
		case err == nil && (c.argument == "" || argument != ""):
			err = fmt.Errorf("%s takes no argument %q", c.name, flags.Arg(0))
		}
		if err != nil {
			e.failed(err, fmt.Sprintf("run `oauth-proxyd %s --help`", c.name))
			return exitUsage
		}
		argument, args = flags.Arg(0), flags.Args()[1:]
	}
}

func (c command) usage(e env, flags *flag.FlagSet) {
	synopsis, options := c.name, ""
	if c.argument != "" {
		synopsis += " " + c.argument
	}
	flags.VisitAll(func(f *flag.Flag) {
		value, text := flag.UnquoteUsage(f)
		option := strings.TrimSpace("--" + f.Name + " " + value)
		synopsis += " [" + option + "]"
		if text == value { // the values say it all
			option = "--" + f.Name
		}
		options += fmt.Sprintf("  %-20s %s\n", option, text)
	})
	fmt.Fprintf(e.stdout, "%s\n\nusage: oauth-proxyd %s\n%s", c.summary, synopsis, options)
}

func help(e env, _ *flag.FlagSet) runner {
	return func(name string) int {
		if name != "" {
			return run(e, []string{name, "--help"})
		}
		fmt.Fprint(e.stdout, `oauth-proxyd adds configured headers to API requests from a tailnet and streams the
responses back. Its main job is to restore the anthropic-beta header that the OAuth
token of a Claude subscription needs.

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
}

func printVersion(e env, flags *flag.FlagSet) runner {
	asJSON := flags.Bool("json", false, "print JSON")
	return func(string) int {
		v := struct {
			Version  string `json:"version"`
			Go       string `json:"go"`
			Platform string `json:"platform"`
		}{version, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
		e.show(*asJSON, v, func() {
			fmt.Fprintf(e.stdout, "oauth-proxyd %s (%s, %s)\n", v.Version, v.Go, v.Platform)
		})
		return exitOK
	}
}
