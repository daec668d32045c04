package gateway_test

import (
	"testing"

	"oauth-proxyd/internal/daemontest"
)

// stack is the official gateway in front of the daemon in front of the mock API, and a person who
// is signed in to the gateway.
type stack struct {
	api    *api
	daemon *daemontest.Record // its log
	client client
}

// newStack starts all of it. The settings are added to the shipped configuration.
func newStack(t *testing.T, settings string) *stack {
	t.Helper()
	s := &stack{api: startAPI(t)}
	daemon, log := startDaemon(t, s.api.URL, settings)
	s.daemon = log
	s.client = signIn(t, startGateway(t, daemon))
	return s
}
