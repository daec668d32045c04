// Package proxy carries a client's request to the upstream and the upstream's response back, byte
// for byte, and adds the headers that the operator configured.
//
// One request goes downwards through one file per step:
//
//	proxy.go    ServeHTTP: the story in a dozen lines
//	admit.go    who may send it, what is refused at once, and the wait for a slot
//	rewrite.go  the request as the upstream will see it (rules.go: header rules)
//	send.go     attempts, and what may be tried again (package upstream: connections)
//	stream.go   the response, flushed as it comes (sse.go: where its events end)
//	record.go   one log line and the metrics, whatever happened (flight.go: remembered)
//
// Beside that path:
//
//	loop.go          requests that come back to us
//	browser.go       which requests are a web page's
//	queue.go         slots, and the wait for one
//	cancellation.go  who cancels too many requests
//	body.go          the request's body, read once and sent once or more
//	buffers.go       what bodies pass through, and the budget of those that are kept
//	watch.go         the timeouts, by which side is to act
//	errors.go        our own responses
//	metrics.go       what is counted; client.go: by version of the client;
//	                 weather.go: lately, by whose fault; streams.go: streams that only ping
//
// A Proxy is an http.Handler behind an inbound.Server, which accepts the connections; package
// access says who sent a request, and package upstream has the connections to the upstream:
//
//	p, err := proxy.New(proxy.Config{Host: host, Log: log, Registerer: registry, Tailnet: tailscaled},
//		proxy.Settings{Config: *c})
//	server := inbound.NewServer(p, log)
//	…
//	apply, err := p.Prepare(proxy.Settings{Config: *changed}) // a reload; nothing has changed yet
//	if err == nil {
//		apply() // requests that are in keep the settings that they came in under
//	}
//
// Three rules hold throughout. Nothing is sent twice that may have been processed once. A response
// that was cut never looks complete. Neither a credential nor a byte of a body is stored or logged;
// what is kept of a request body for another attempt is forgotten with the first byte of the
// response.
package proxy
