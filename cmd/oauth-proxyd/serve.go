package main

import (
	"flag"

	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/daemon"
)

const serveSynopsis = "[--config FILE] [--listen ADDR] [--upstream URL] [--log-level LEVEL] [--log-format FORMAT]"

// serve runs the daemon.
func serve(e env, args []string) int {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	flags.String("config", "", "the configuration `FILE`; default "+defaultConfig)
	flags.String("listen", "", "`ADDR` to listen on, host:port, when systemd passes no socket")
	flags.String("upstream", "", "`URL` of the upstream")
	flags.String("log-level", "", "`LEVEL`: debug, info, warn or error")
	flags.String("log-format", "", "`FORMAT`: auto, journal, text or json")
	if exit, done := e.parse(flags, serveSynopsis, args); done {
		return exit
	}
	path := e.configPath(flags)
	overrides := append(e.environment(), given(flags, map[string]string{
		"listen":     "proxy.listen_addr",
		"upstream":   "proxy.upstream_url",
		"log-level":  "log.level",
		"log-format": "log.format",
	})...)
	level, format := firstLog(overrides)
	return daemon.Run(daemon.Options{
		Load:     func() (*config.Config, error) { return config.Load(path, overrides...) },
		Version:  version,
		LogLevel: level, LogFormat: format,
		AdminSocket: daemon.AdminSocket(),
		NameKeyFile: daemon.NameKeyFile(),
	})
}
