// Package inbound accepts connections and serves HTTP/1.1 on them. No origin, which is the address
// of a client or its network, can keep others out by opening connections, and a shutdown loses no
// request.
//
//	server.go       the listeners, the limits of net/http, and the shutdown
//	accept.go       accepting, which never waits
//	connections.go  the budgets of open connections
//	evict.go        which connection is closed when a budget is used up
//	waiting.go      which waiting connection is served next
//	conn.go         one connection: its deadlines, and how it ends
//	scan.go         what net/http does not report about a request
//	badrequest.go   our own refusals in place of net/http's
//
// A connection begins as a stranger, in a small budget with a share for each origin. Its handler
// reports what became of a request. [Conn.Admit] moves the connection, and later ones of its
// origin, to the large budget, in which a new connection replaces the longest idle one.
// [Conn.Refuse] makes later connections of the origin strangers again.
//
// Each write to a client has a deadline. A handler that relays an upstream's response has timeouts
// of its own, and takes over with [Conn.Relay].
//
//	server := inbound.NewServer(handler, log)
//	server.Resize(maxRequests, 1)
//	server.Open("proxy", l, func(err error) { … })
//	…
//	server.CloseListeners() // what systemd holds stays in its queue for the next process
//	if err := server.Drain(ctx, inbound.SettleTime); err != nil {
//		server.Cut(cutCtx)
//	}
//
// In the handler, [ConnOf] returns the connection of a request.
package inbound
