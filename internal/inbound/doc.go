// Package inbound accepts connections and serves HTTP/1.1 on them, so that whoever opens
// connections cannot keep others out, and an end loses no request.
//
//	server.go       the listeners, the limits of net/http, and the end
//	accept.go       accepting, which waits for nobody
//	connections.go  the budgets of open connections
//	conn.go         one connection: its deadlines, and how it ends
//	scan.go         what net/http does not report of a request
//	headerlimit.go  431 in place of net/http's own
//	librarylog.go   what net/http logs on its own
//
// A connection begins as a stranger, in a small budget that each source has a share of. Its handler
// says what became of a request: [Conn.Admit] moves the connection to the large budget, where the
// longest idle one gives way to a new one, and lets in what its source opens from then on;
// [Conn.Refuse] makes strangers of those again.
//
// Each response that the handler writes on its own has a deadline. A handler that passes a response
// on has timeouts of its own, and says so with [Conn.Relay].
//
//	server := inbound.NewServer(handler, log)
//	server.Resize(maxRequests)
//	server.Open("proxy", l, func(err error) { … })
//	…
//	server.CloseListeners() // what systemd holds stays in its queue for the next process
//	if err := server.Drain(ctx, inbound.SettleTime); err != nil {
//		server.Cut(cutCtx)
//	}
//
// In the handler, [ConnOf] gives the connection of a request.
package inbound
