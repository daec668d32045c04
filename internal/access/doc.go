// Package access says who sent a request and whether they may.
//
// A connection has a source, which is proved rather than guessed: a program on this host
// ([config.Local]), a peer that tailscaled names ([config.Tailnet]), another proxy on this host
// that speaks for somebody else ([config.Proxied]), or anything else ([Other]). What cannot be
// proved is an error, a [Refusal] that says Unproven, and nobody is let in.
//
//	conn.go        what is kept of a connection: its ends, and for a minute its identity
//	source.go      the proof, by tailscaled and the kernel (owner.go: sock_diag)
//	person.go      the headers by which proxies say for whom they speak, and whose word counts
//	access.go      the identity, the access list, the judgement
//	denials.go     how often those who are refused are logged
//
// The source of a connection is looked up by the first request that needs it, so that accepting
// waits for nobody, and kept for a minute; an error is not kept. Whether the tailnet is up is
// looked at for each request.
//
// A server keeps a [Conn] with each of its connections, and asks before it looks at anything else
// of a request:
//
//	control := access.New(tailscaled)
//	conn := access.Of(accepted) // a net.Conn
//	…
//	id, err := control.Judge(r.Context(), r.Header, &conn, c.Access.Allow, c.Identity)
//	if refusal, ok := errors.AsType[*access.Refusal](err); ok {
//		http.Error(w, refusal.Message, http.StatusForbidden)
//		return
//	}
//
// The package does not know Tailscale's library: the host's tailscaled is the interface [Tailnet].
package access
