// Package upstream keeps the connections to one upstream. Send makes one attempt; the caller may
// repeat only one that the upstream provably did not process. net/http's own transport may send a
// request again.
//
//	pool, err := upstream.New(upstream.Config{Proxy: settings.Proxy})
//	conn, err := pool.Get(ctx)
//	response, err := conn.Send(ctx, request, nil)
//	defer response.Body.Close() // frees the slot
//
// What a [Pool] promises:
//
//   - A connection carries no more requests than its peer takes: one until the peer's
//     SETTINGS arrive, then what they say, and one over HTTP/1.1. Requests beyond that
//     go to another connection at once.
//   - Nothing waits for ever. A request waits for a connection only while one is being
//     made, which connect_timeout bounds, and is refused when it could not be made.
//   - Nothing is sent twice. An error that [ErrNotProcessed] matches proves that the
//     upstream processed nothing of a request; the caller decides what to do then.
//   - A dead path gets no new request, and is closed within 30 seconds:
//     over HTTP/2 by a ping before a quiet connection is used again, and pings while
//     requests wait on it; over HTTP/1.1, and beneath both, by the kernel
//     (TCP_USER_TIMEOUT and keep-alive probes).
//   - A client that does not read its response stalls no other on its connection: the
//     connection's receive window is larger than those of all its streams together.
//   - The response of an upstream that responds before it has read the request, and
//     closes, is passed on: after a failed write, what can still be read is read.
//   - A response that only the end of a TLS connection delimits is complete only with a
//     close_notify (RFC 9112 §9.8).
//   - Credentials are sent in clear to loopback and Tailscale addresses only, whatever
//     a name resolves to.
//
// The files, in reading order:
//
//	pool.go     Pool: slots, waiters and dials. It knows nothing about HTTP.
//	health.go   which connections get requests: pings, cancelled requests
//	conn.go     Conn: one request on a connection, over net/http.ClientConn
//	errors.go   what an error proves
//	wire.go     the connection that net/http uses, and the one below TLS; with coalescer.go
//	            for its writes and frames.go for HTTP/2 frames about the connection
//	dial.go     Config, and how a connection is made: CONNECT proxies, TLS
//	tcp.go      makes a TCP connection: name servers, IPv4 beside IPv6
//
// The pool's lock is held only to count. No code of net/http, and none that waits for a peer, runs
// under it, so one faulty connection cannot hold up another.
package upstream
