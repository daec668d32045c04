// Package access identifies the sender of a request and decides whether to admit it.
//
// A connection has a source, which is proved rather than guessed: a program on this host
// ([config.Local]), a peer that tailscaled names ([config.Tailnet]), another proxy on this host
// with clients of its own ([config.Proxied]), or anything else ([Other]). If the source cannot be
// proved, the request is refused with a [Refusal] that says Unproven.
//
//	access.go      the identity, the access list, the decision
//	conn.go        a connection: its ends, and its identity for as long as that is trusted
//	source.go      the proof, by tailscaled and the kernel
//	tailnet.go     what the proof asks tailscaled
//	person.go      the header that names a person, and the gateways that may send it
//	forwarded.go   headers that other proxies add about their clients
//	share.go       shares of the slots, from the tailnet's policy
//	denials.go     how often refused requests are logged
//
// # The source of a connection
//
// In each group, the first line that holds decides, as in source.go:
//
//	from a Unix socket
//	    a tailnet is required, and tailscaled is at the other end         proxied
//	    otherwise                                                         local
//	from loopback
//	    no tailnet is required                                            local
//	    whether tailscaled runs, and as which user, is unknown            unproven
//	    the other end is closed                                  (kernel) unproven, at once
//	    no tailscaled runs                                                local
//	    the other end belongs to another user than tailscaled's  (kernel) local
//	    tailscaled has not reported yet how it delivers connections       unproven
//	    it has no network device, and WhoIs fails                         unproven
//	    it has no network device, and WhoIs names a peer                  tailnet
//	    whether it forwards connections to this port is unknown           unproven
//	    it forwards connections to this port                              proxied
//	    the other end has been closed meanwhile                  (kernel) unproven, at once
//	    otherwise                                                         local
//	from an address of this host that is not loopback
//	    whether tailscaled runs, and as which user, is unknown            unproven
//	    the other end is on this host, and no tailscaled runs    (kernel) local
//	    it belongs to another user than tailscaled's             (kernel) local
//	    otherwise                                                         unproven
//	from an address that may be this host's: the kernel cannot be asked   unproven
//	from Tailscale's ranges to an address in them, and a tailnet is required
//	    the tailnet is not connected                                      unproven
//	    the connection is not to this node's own address                  other
//	    WhoIs fails                                                       unproven
//	    WhoIs names a peer                                                tailnet
//	    otherwise                                                         other
//	from elsewhere                                                        other
//
// A line with (kernel) does not hold if the kernel cannot be asked for the owner of a socket. From
// loopback, all that is unproven is tried again for two seconds, unless "at once". A local request
// with a header that another proxy adds (forwarded.go) is proxied.
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
