// Package proxy carries a client's request to the upstream and the upstream's response back, byte
// for byte, and adds the headers that the operator configured.
//
// A request passes through one file per step:
//
//	proxy.go    ServeHTTP: all steps in order
//	admit.go    what is refused at once, and the wait for a slot
//	rewrite.go  the request as the upstream will see it (rules.go: header rules)
//	send.go     the attempts, and what may be sent again (package upstream: connections)
//	stream.go   the response, flushed as it comes (responseheader.go: its header;
//	            sse.go: its events)
//	record.go   the log line and the metrics (flight.go: the flight recorder)
//
// The other files, first whether and when a request is sent on:
//
//	requestid.go         the ID and the trace ID of a request
//	sender.go            the names of its sender
//	browser.go           requests of web pages
//	loopdetection.go     requests that come back to this proxy
//	cancellation.go      people who cancel too many requests
//	queue.go             slots, and the wait for one (turns.go: whose turn is next)
//
// Then its body, its timeouts, and how it ends early:
//
//	body.go              the request's body, read once and sent once or more
//	clientbody.go        how a request uses its body
//	buffers.go           buffers for bodies, and the memory limit of kept ones
//	expect.go            Expect: 100-continue, and informational responses
//	watch.go             the timeouts, by the side that must act next
//	end.go               how a request ends early
//	errors.go            the codes of our own responses
//
// And what is counted:
//
//	metrics.go           the metrics
//	outcomes.go          what the end of a request means
//	stats.go             whether requests succeed
//	recent.go            recent errors, of the API or ours
//	clientversions.go    whether one version of a client fails
//	pings.go             streams that only ping
//
// A Proxy is the http.Handler of an inbound.Server, which accepts the connections. Package access
// identifies the sender of a request, and package upstream holds the connections to the upstream:
//
//	p, err := proxy.New(proxy.Config{Host: host, Log: log, Registerer: registry, Tailnet: tailscaled},
//		proxy.Settings{Config: *c})
//	server := inbound.NewServer(p, log)
//	…
//	apply, err := p.Prepare(proxy.Settings{Config: *changed}) // a reload; nothing has changed yet
//	if err == nil {
//		apply() // requests in flight keep their settings
//	}
//
// Three rules hold everywhere. A request that may have been processed is not sent again. A response
// that was cut never looks complete. No credential and no byte of a body is stored or logged; a
// request body that is kept for another attempt is freed at the first byte of the response.
package proxy
