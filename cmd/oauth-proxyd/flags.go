package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/logging"
)

const defaultConfig = "/etc/oauth-proxyd/oauth-proxyd.hcl"

// parse reads the options of a command. What it prints and returns when it is not
// to go on is for the user: help, or what was wrong.
func (e env) parse(flags *flag.FlagSet, synopsis string, args []string) (exit int, done bool) {
	if e.describe != nil {
		e.describe(flags)
		return exitOK, true
	}
	flags.SetOutput(io.Discard) // the package's own messages name no way out
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		e.usage(flags, synopsis)
		return exitOK, true
	case err != nil:
		e.failed(err, fmt.Sprintf("oauth-proxyd %s --help", flags.Name()))
		return exitUsage, true
	case flags.NArg() > 0:
		e.failed(fmt.Errorf("%s takes no argument %q", flags.Name(), flags.Arg(0)), fmt.Sprintf("oauth-proxyd %s --help", flags.Name()))
		return exitUsage, true
	}
	return exitOK, false
}

func (e env) usage(flags *flag.FlagSet, synopsis string) {
	fmt.Fprintf(e.stdout, "usage: oauth-proxyd %s %s\n", flags.Name(), synopsis)
	flags.VisitAll(func(f *flag.Flag) {
		value, text := flag.UnquoteUsage(f)
		fmt.Fprintf(e.stdout, "  %-20s %s\n", strings.TrimSpace("--"+f.Name+" "+value), text)
	})
}

// configPath is the file by command line, environment or default. An option that was
// given empty names no file, rather than another one than was meant.
func (e env) configPath(flags *flag.FlagSet) string {
	path := cmp.Or(e.getenv("OAUTH_PROXYD_CONFIG"), defaultConfig)
	flags.Visit(func(f *flag.Flag) {
		if f.Name == "config" {
			path = f.Value.String()
		}
	})
	return path
}

// environment is what the environment says over the file.
func (e env) environment() []config.Override {
	var overrides []config.Override
	for _, o := range []config.Override{
		{Attribute: "log.level", Origin: "OAUTH_PROXYD_LOG_LEVEL"},
		{Attribute: "log.format", Origin: "OAUTH_PROXYD_LOG_FORMAT"},
		{Attribute: "tailscale.socket", Origin: "TAILSCALE_SOCKET"},
	} {
		if o.Value = e.getenv(o.Origin); o.Value != "" {
			overrides = append(overrides, o)
		}
	}
	return overrides
}

// given is what the command line says over both. An option that was given empty is
// an error of the configuration, not absent.
func given(flags *flag.FlagSet, attributes map[string]string) []config.Override {
	var overrides []config.Override
	flags.Visit(func(f *flag.Flag) {
		if attribute, ok := attributes[f.Name]; ok {
			overrides = append(overrides, config.Override{Attribute: attribute, Value: f.Value.String(), Origin: "--" + f.Name})
		}
	})
	return overrides
}

// firstLog is how the daemon logs until it has read its configuration. A value that
// is not valid is reported with that.
func firstLog(overrides []config.Override) (slog.Level, logging.Format) {
	level, format := slog.LevelInfo, logging.FormatAuto
	for _, o := range overrides {
		switch o.Attribute {
		case "log.level":
			if level.UnmarshalText([]byte(o.Value)) != nil {
				level = slog.LevelInfo
			}
		case "log.format":
			if f := logging.Format(o.Value); f == logging.FormatText || f == logging.FormatJSON {
				format = f
			}
		}
	}
	return level, format
}
