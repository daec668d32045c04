// Package selftest takes a configuration through the real request path, in front
// of a loopback upstream that speaks the Messages API, and says what became of
// headers, bodies, streams and errors on the way.
//
// The upstream that the configuration names is never contacted, and the
// credentials that are sent are made up. What is in force of the configuration
// is what decides about a request: header rules, limits, retries and timeouts,
// the last at least a second, as the machine may be busy. Access is not: the
// test comes from this host.
//
// [Run] gives a [Report] of two parts:
//
//   - Typical clients, through each listener that a rule names and through
//     "proxy": what each header was and became, and what each rule did. Five
//     verdicts follow from that.
//   - Properties of the proxy, each tried over HTTP/2 and HTTP/1.1 to the
//     upstream. None depends on how fast the machine is, but a step that takes
//     longer than some seconds has failed.
//
// Each probe has a proxy and an upstream of its own (lab.go; settings.go: what is in
// force there). What the upstream received and sent is noted at its side (witness.go)
// and compared with what the client sent and received (exchange.go), and with the line
// that the proxy logs (recorder.go).
//
//	selftest.go    Run, from the configuration to the report
//	clients.go     the typical clients; probe.go: one of them at one listener
//	verdicts.go    what is concluded from those
//	properties.go  the properties, each a function of requestchecks.go,
//	               answerchecks.go or streamchecks.go
//	report.go      the Report; text.go: for a person
package selftest
