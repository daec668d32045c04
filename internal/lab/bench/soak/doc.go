// Package soak lets oauth-proxyd live through what a day brings, many times over, and looks whether
// it is afterwards what it was before. "make soak" runs it.
//
// Clients open streams of server-sent events without end. Each has a fate at random: it comes to
// its end, the upstream breaks it off, the upstream goes silent, the client leaves in the middle,
// or the client stops reading while events keep coming. Meanwhile the daemon is reloaded, and, in
// the first half of the time, replaced by a new one (SIGUSR2); the process of the second half has the
// time to show what it loses.
//
// Each second the goroutines are read from /metrics, and descriptors and memory (PSS) from /proc.
// When the last client has left, all three must return to about where they were after the first few
// streams: what is kept for use again is there from then on. No request may be lost: each gets an
// response, whatever becomes of that.
//
//	soak.go     from the start to the verdict
//	clients.go  the streams and their fates
//	disturb.go  reloads and upgrades
//	sample.go   what is read each second
//	report.go   the verdict, and the samples as text
//	plot.go     the samples as a picture
package soak
