// Package bench measures oauth-proxyd and its alternatives in one run: nginx, HAProxy, Caddy and a
// bare httputil.ReverseProxy. "make bench" runs it.
//
// # Method
//
// The proxy has one core to itself. The harness, which is the upstream and the clients in one
// process, has another one. So the client can time an event by the clock with which the upstream
// stamped it. Only the proxy is measured: its processor time by the kernel's accounting, its memory
// as proportional set size.
//
// In rows with "timer slack" each peer has the TimerSlackNSec= of our unit, and in those with "all
// cores" it shares both cores with the harness.
//
// A round makes each measurement once with each peer. The peers take turns within a measurement, so
// that other load on the machine affects all of them alike, and the order rotates with the rounds.
// Each measurement starts the peer again. The report has the median over the rounds, and the ratio
// of medians to those of each peer. The state of the machine affects the figures, and less so the
// ratios: on a shared machine, two runs can differ by a fifth. The set "together" has all peers on
// the proxy's core at the same time and differs by a few percent, but each peer finds the caches as
// the others leave them. Each start of oauth-proxyd and of the bare proxy is from a fresh copy of
// the program, because the place of a file in memory affects its speed.
//
//	requests.go  Requests: 1 KB POSTs with responses of 2 KB over 32 connections
//	             that are kept; processor time per request. Connections: the
//	             same with a connection for each request
//	streams.go   Streams: 500 streams of server-sent events, opened one by one, an
//	             event of 200 bytes each 100 ms; processor time per event,
//	             memory per stream, the time to the first byte, and how long an
//	             event takes from the upstream to the client
//	burst.go     Burst: the same 500, opened at once against a proxy that has no
//	             connection to the upstream yet; all of the above with the
//	             opening in it
//	bulk.go      Upload and Download: bodies of 32 MB; processor time per MB
//	slow.go      SlowClients: 300 clients ask for 32 MB each and read nothing,
//	             beside 50 streams; memory, and the delays of the streams
//	together.go  Streams and Requests, with all peers at the same time
//	start.go     Start: how long oauth-proxyd takes until READY=1, and what it costs
//	             when nobody asks for anything
//	sets.go      which of these are measured: the usual ones, the growth from
//	             10 to 5,000 streams, values of the timer slack, or those
//	             together
//
// The peers are set up to stream (no buffering), to keep connections to the upstream where they
// can, to check its certificate, and to add the one header. They log no requests. oauth-proxyd runs
// as it is shipped: its rule, access check with a tailscaled, request ids, metrics, and its log at
// info into a file. Over TLS each peer speaks HTTP/2 to the upstream if it does so on its own or
// can be told to, and HTTP/1.1 if not; the table says which. HAProxy is there both ways, and so is
// an nginx that "make bench-newest" fetched.
//
//	peer.go      the programs that are compared
//	servers.go   the configurations of nginx, HAProxy and Caddy
//	meter.go     a peer that runs, and its counters
//	cores.go     which process runs on which core
//	rounds.go    the order of the measurements
//	result.go    medians, ratios and aims
//	table.go     for people; JSON is for programs; page.go: what docs/comparison.md shows
//
// Package soak uses the same harness to look for leaks.
package bench
