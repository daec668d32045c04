// Package access identifies the sender of a request and decides whether to admit it.
//
// A connection has a source, which is proved rather than guessed: a program on this host
// ([config.Local]), a peer that tailscaled names ([config.Tailnet]), another proxy on this host
// with clients of its own ([config.Proxied]), or anything else ([Other]). If the source cannot be
// proved, the request is refused with a [Refusal] that says Unproven.
//
//	conn.go        a connection: its ends, and its identity for as long as that is trusted
//	source.go      the proof, by tailscaled and the kernel
//	person.go      headers that name a person, and the gateways that may send them
//	access.go      the identity, the access list, the decision
//	denials.go     how often refused requests are logged
//
// The first request on a connection looks its source up, so accepting never waits. The source is
// kept for a minute, or for the life of the connection if it is [config.Proxied]; an error is not
// kept. The state of the tailnet is checked for each request.
//
// A server keeps a [Conn] with each of its connections, and calls Judge before it looks at anything
// else in a request:
//
//	control := access.New(tailscaled)
//	conn := access.NewConn(accepted) // a net.Conn
//	…
//	id, err := control.Judge(r.Context(), r.Header, &conn, c.Access.Allow, c.Identity)
//	if refusal, ok := errors.AsType[*access.Refusal](err); ok {
//		http.Error(w, refusal.Message, http.StatusForbidden)
//		return
//	}
//
// The package does not import Tailscale's library. The interface [Tailnet] stands for the host's
// tailscaled.
package access
