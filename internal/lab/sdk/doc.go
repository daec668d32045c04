// Package sdk runs Anthropic's official clients through the program, and compares what they report
// with what they report without it.
//
// Every case runs twice against an API on loopback: directly, and through the real binary with the
// header rule that it is shipped with. The client must report the same both times, to the last
// header and event, and the API must see the same requests. Little may differ: the response has an
// x-request-id, and a subscription's token has the beta that it needs. The API is once cleartext
// HTTP/1.1 and once HTTP/2 over TLS. Each client is there in today's major version and in the one
// before it.
//
//	main_test.go      builds the binary
//	lane_test.go      the two ways to an API, and the daemon on one of them
//	upstream_test.go  the API, whose clock stands still
//	report_test.go    what is compared
//	npm_test.go       fetches what the next two need
//	go*_test.go       github.com/anthropics/anthropic-sdk-go
//	js*_test.go       @anthropic-ai/sdk, with the scripts in the folder js
//	claude*_test.go   Claude Code, @anthropic-ai/claude-code
//
// It is a module of its own, so that the daemon's does not depend on the SDK. Run it with "make
// test-sdk". The clients from npm need Node.js 20 or later and npm, which fetches them once (530
// MB, most of it Claude Code); without those that part is left out, and make says so.
package sdk
