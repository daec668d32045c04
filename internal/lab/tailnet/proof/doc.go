// Package proof runs the built program on a real tailnet and holds it to what it promises of it:
// that it follows each state, who may send requests, and that one from a peer to the upstream and
// back arrives whole.
//
//	main_test.go     builds the binary
//	daemon_test.go   the daemon on a node, with sockets and a service manager
//	view_test.go     what it shows, in /health, /metrics and STATUS=
//	api_test.go      what it forwards to
//	tap_test.go      what it asks of tailscaled, and a tailscaled that refuses
//	outsider_test.go requests that must not get through, and an upstream that would see them
//
// All others are promises. "make test-tailnet" runs them; those with a TUN device need root, and
// are left out loudly without.
package proof
