// Package rig is what the benchmark and the soak stand on: an upstream and a tailscaled that are
// fakes, programs that run beside them, and what the kernel says of those.
//
//	upstream.go    responses of 2 KB and streams of dated events, plain and over TLS
//	client.go      a client of HTTP/1.1 that costs little
//	stream.go      a stream as such a client sees it
//	process.go     a program on one core
//	kernel.go      its processor time, memory, descriptors and wakeups
//	notify.go      what it says to systemd
//	daemon.go      oauth-proxyd as it is shipped
package rig
