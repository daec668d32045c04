package host_test

import (
	"fmt"
	"net/http"
	"strings"

	"oauth-proxyd/internal/daemontest"
)

// load begins; it ends with the test, or with WantNoneLost.
func (l *lab) load() *daemontest.Load {
	l.t.Helper()
	return daemontest.NewLoad(l.t, l.proxy(), listModels(), message("claude", true), message("claude", false))
}

// send sends one request on a connection of its own.
func (l *lab) send(r daemontest.Request) error { return l.proxy().Send(r) }

// proxy is the program in the host's network.
func (l *lab) proxy() daemontest.Target {
	return daemontest.Target{Address: proxyAddr, Dial: l.DialContext}
}

func listModels() daemontest.Request {
	return daemontest.Request{Method: http.MethodGet, Path: "/v1/models", Ends: "}"}
}

// countTokens is a request that the load does not send.
func countTokens() daemontest.Request {
	r := message("claude", false)
	r.Path += "/count_tokens"
	return r
}

// message asks a model of the fake API, whose name may be a direction.
func message(model string, stream bool) daemontest.Request {
	ends := "}"
	if stream {
		ends = "data: {\"type\":\"message_stop\"}\n\n"
	}
	body := fmt.Sprintf(`{"model":%q,"stream":%t,"max_tokens":100,"messages":[{"role":"user","content":%q}]}`,
		model, stream, strings.Repeat("hello ", 200))
	return daemontest.Request{Method: http.MethodPost, Path: "/v1/messages", Body: body, Ends: ends}
}
