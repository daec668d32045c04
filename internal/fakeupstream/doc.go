// Package fakeupstream is a mock of Anthropic's Messages API on loopback. It needs no network and
// no key, and its responses are the same on every run.
//
// The demo command shows a streamed message from it, and the self test compares what it received
// with what the client sent:
//
//	api, err := fakeupstream.Start(fakeupstream.Handler(fakeupstream.Config{RequireOAuthBeta: true}))
//	...
//	defer api.Close()
//
// # What it serves
//
//	POST /v1/messages        a message, or with "stream": true its events
//	GET  /v1/models          a list of models
//	HEAD / and /api/hello    the requests that a client makes when it starts
//
// Everything else is a 404 in the API's error shape. Tests extend it through Config.Script and
// Config.Endpoint; package labapi does.
//
// # What it checks
//
// Everything under /v1/ needs a credential of the right form: any x-api-key, any bearer. A bearer
// that begins with sk-ant-oat is a subscription's; with RequireOAuthBeta it needs oauth-2025-04-20
// in anthropic-beta, as at the real API. A body with context_management needs that feature in
// anthropic-beta too, so a proxy that replaces a client's list is found out. Apart from that, any
// JSON object is a message.
//
// It knows the versions 2026-10-21 and 2023-06-01 of the API (anthropic-version). Only the first
// has error.details. A request without a version gets the second.
//
// # What it keeps
//
// Nothing. Config.Observe gets every request with its credentials masked, and bodies as a length
// and a hash.
package fakeupstream
