// Package selftest sends typical requests through the real proxy, under an operator's
// configuration, to a mock of the Messages API on loopback. It reports what each client sent, what
// the API received, and whether that suits the client.
//
// It never contacts the upstream that the configuration names, and its credentials are made up.
// Header rules, limits, retries and timeouts are the configuration's; a timeout is at least a
// second, because the machine may be busy. Access is not: the requests come from this host.
//
// [Run] sends the request of each client (clients.go) through the listener "proxy" and through each
// listener that a header rule names. Each request (probe.go) has a proxy and an API of its own, so
// that none affects another. report.go judges what became of each and prints it.
package selftest
