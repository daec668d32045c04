package main

import (
	"flag"
	"net"
	"sync"

	"oauth-proxyd/internal/config"
	"oauth-proxyd/internal/daemon"
	"oauth-proxyd/internal/fakeupstream"
)

const demoListen = "127.0.0.1:8080"

// demoConfig is all that differs from the defaults, as an operator would write it.
const demoConfig = `# the configuration of "oauth-proxyd demo"
tailscale {
  required = false
}
access {
  allow = ["local"]
}
header "anthropic-beta" {
  value = "oauth-2025-04-20"
  mode  = "merge"
}
`

// demo shows one streamed message through the real daemon, then serves on.
func demo(e env, args []string) int {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	listen := flags.String("listen", "", "`ADDR` to listen on; default "+demoListen+", or a free port if that is taken")
	if exit, done := e.parse(flags, "[--listen ADDR]", args); done {
		return exit
	}
	var show demoShow
	upstream, err := fakeupstream.Start(fakeupstream.Config{
		EventInterval: demoEventInterval, RequireOAuthBeta: true, HTTP2: true, Observe: show.observe,
	})
	if err != nil {
		e.failed(err, "")
		return exitFailure
	}
	defer upstream.Close() //nolint:errcheck // the process ends
	address := *listen
	if address == "" {
		address = freeAddress(demoListen)
	}
	overrides := append(e.environment(),
		config.Override{Attribute: "proxy.upstream_url", Value: upstream.URL(), Origin: "demo"},
		config.Override{Attribute: "proxy.listen_addr", Value: address, Origin: "--listen"})
	level, format := firstLog(overrides)
	var running sync.WaitGroup
	defer running.Wait()
	return daemon.Run(daemon.Options{
		Load:     func() (*config.Config, error) { return config.Parse("demo.hcl", []byte(demoConfig), overrides...) },
		Version:  version,
		LogLevel: level, LogFormat: format,
		Ready: func(addresses []net.Addr) {
			running.Go(func() { show.run(e, "http://"+addresses[0].String(), upstream.URL()) })
		},
	})
}

// freeAddress is the wanted one unless somebody has it.
func freeAddress(wanted string) string {
	l, err := net.Listen("tcp", wanted)
	if err != nil {
		return "127.0.0.1:0"
	}
	_ = l.Close() // it was only to see
	return wanted
}
