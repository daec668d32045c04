// Package selftest sends typical requests through the real proxy, under an operator's
// configuration, to a mock of the Messages API on loopback. It reports what each client sent and
// what the API received, and judges the configuration by that.
//
// It never contacts the upstream that the configuration names, and its credentials are made up.
// Header rules, limits, retries and timeouts are the configuration's; a timeout is at least a
// second, because the machine may be busy. Access is not: the requests come from this host.
//
//	report, err := selftest.Run(ctx, selftest.Config{Settings: c})
//	if err == nil {
//		report.WriteText(term.NewPrinter(os.Stdout), "oauth-proxyd.hcl")
//	}
//
// [Run] sends the request of each client (clients.go) through the listener "proxy" and through each
// listener that a header rule names. Each request (probe.go) has a proxy and an API of its own
// (lab.go), so that none affects another. [Report] has what became of each, and the verdicts
// (verdicts.go). text.go prints it.
package selftest
