// Package gateway runs Anthropic's official gateway in front of the program.
//
// The gateway is the command "claude gateway" of Claude Code. A developer signs in to it through an
// identity provider, and it sends each request on with a credential of its own. Here its upstream
// is the real binary, with the configuration that it is shipped with, and the API behind that is
// the mock API:
//
//	client → claude gateway → oauth-proxyd → mock API
//
// The gateway also publishes the contract between Claude Code and gateways, at GET /protocol.
// docs/compatibility.md says what the program does about each part of it. The tests hold that
// document to the text that the gateway serves.
//
//	main_test.go      builds the binary
//	stack_test.go     the four programs above, and a person who is signed in
//	api_test.go       the mock API, which can hold back each event of a stream
//	daemon_test.go    the binary
//	official_test.go  the gateway; install_test.go fetches it
//	postgres_test.go  the database that it needs
//	identity_test.go  the identity provider that it needs
//	signin_test.go    a person's sign-in: the device flow, with a browser
//	client_test.go    requests of that person
//	message_test.go, errors_test.go, claude_test.go  messages and errors through all of them
//	loop_test.go      an upstream that leads back to the gateway
//	protocol_test.go  the contract, and our document about it
//	tailnet_test.go   the gateway on a node of a real tailnet, and whom it names
//
// It is a module of its own, and fetches the gateway with npm, so the daemon's module depends on
// neither. Run it with "make test-gateway". It needs npm and PostgreSQL (the Debian package
// postgresql); without them make says that nothing is tested. The tailnet is that of package
// tailnet.
package gateway
