package main

import (
	"cmp"
	"flag"
	"strings"

	"oauth-proxyd/internal/admin"
	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/daemon"
)

const defaultConfig = "/etc/oauth-proxyd/oauth-proxyd.hcl"

func serve(e env, flags *flag.FlagSet) runner {
	path := e.configFlag(flags)
	flags.String("listen", "", "listen on `ADDR` (host:port) if systemd passes no socket")
	flags.String("upstream", "", "send requests to `URL`")
	flags.String("log-level", "", "`debug|info|warn|error`")
	flags.String("log-format", "", "`auto|journal|text|json`")
	return func(string) int {
		options := given(flags, map[string]string{
			"listen":     "proxy.listen_addr",
			"upstream":   "proxy.upstream_url",
			"log-level":  "log.level",
			"log-format": "log.format",
		})
		if _, err := config.Parse("", nil, options...); err != nil {
			e.refused(err) // before the file is read: the command line is wrong
			return exitUsage
		}
		overrides := append(e.environment(), options...)
		stateDir, _, _ := strings.Cut(e.getenv("STATE_DIRECTORY"), ":") // systemd.exec(5)
		return daemon.Run(daemon.Options{
			Load:         func() (*config.Config, error) { return config.Load(*path, overrides...) },
			CheckCommand: checkCommand(*path),
			Version:      version,
			Log:          firstLog(overrides),
			AdminSocket:  admin.Socket(),
			StateDir:     stateDir,
		})
	}
}

// configFlag declares the option --config. Its default is the file named by the environment, or the
// package's. An empty --config is kept, so that it is an error: it names no file, and surely not
// the default.
func (e env) configFlag(flags *flag.FlagSet) *string {
	return flags.String("config", cmp.Or(e.getenv("OAUTH_PROXYD_CONFIG"), defaultConfig), "read the configuration from `FILE`; default "+defaultConfig)
}

func checkCommand(path string) string {
	if path == defaultConfig {
		return "oauth-proxyd check"
	}
	return "oauth-proxyd check --config " + path
}

func (e env) loadConfig(path string) (*config.Config, error) {
	return config.Load(path, e.environment()...)
}

// environment returns the settings from the environment, which override the file.
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

// given returns the settings from the command line, which override both. An empty option is kept,
// so that it is an error.
func given(flags *flag.FlagSet, attributes map[string]string) []config.Override {
	var overrides []config.Override
	flags.Visit(func(f *flag.Flag) {
		if attribute, ok := attributes[f.Name]; ok {
			overrides = append(overrides, config.Override{Attribute: attribute, Value: f.Value.String(), Origin: "--" + f.Name})
		}
	})
	return overrides
}

// firstLog returns how to log until the configuration is read. Reading it reports invalid values,
// and whether there is a journal.
func firstLog(overrides []config.Override) config.Log {
	c, err := config.Parse("", nil, overrides...)
	if err != nil || c.Log.Format == "journal" {
		c = config.Default()
	}
	return c.Log
}
