// Package fakeupstream is a mock of Anthropic's Messages API on loopback. It needs no network and
// no key, and its responses are the same on every run. The demo command and the self test use it.
//
//	api := fakeupstream.Handler(fakeupstream.Config{RequireOAuthBeta: true})
//	url, stop, err := fakeupstream.Start(api)
//
// It serves
//
//	POST /v1/messages        a message, or with "stream": true its events
//	GET  /v1/models          a list of models
//	HEAD / and /api/hello    the requests that a client makes when it starts
//
// and responds with 404, in the API's error shape, to everything else.
//
// Everything under /v1/ needs a credential of the right form: any x-api-key, any bearer. A bearer
// that begins with sk-ant-oat is a subscription's. With RequireOAuthBeta it needs oauth-2025-04-20
// in anthropic-beta, as at the real API. A body with context_management needs that feature in
// anthropic-beta too: this shows when a proxy replaces the client's list. Each request under /v1/
// needs anthropic-version: this shows when a proxy drops it. Apart from that, any JSON object is a
// message.
//
// handler.go has the endpoints, error.go what is refused, message.go a message and its stream. The
// module internal/lab/labapi puts in front of it what only the labs need.
package fakeupstream
