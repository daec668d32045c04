// Package path tests the binary's path to the upstream with the software that real networks have
// there: nginx and HAProxy as upstreams, squid as an HTTP CONNECT proxy that may open TLS, routers
// that lose packets, and name servers that are silent or refuse TCP.
//
// Each test has network namespaces of its own, so it listens at the usual ports there, has its own
// /etc/hosts and /etc/resolv.conf, and meets no other test. The daemon runs in one of them. Its
// listening socket is passed in from outside, as systemd does, so the test's clients are on this
// machine's loopback. All of it needs root.
//
//	host_test.go     a namespace, and the programs in it
//	network_test.go  two namespaces with a router in between, which can lose packets
//	daemon_test.go   the program: serve, status and doctor
//	api_test.go      the fake Messages API, in a namespace
//	front_test.go    nginx and HAProxy in front of it: bursts above their limits, reloads
//	squid_test.go    squid: with and without interception, a list of proxies
//	cut_test.go      a path that goes silent, over both protocols
//	names_test.go    a silent name server, and an address family that is dead
package path
