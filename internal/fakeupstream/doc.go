// Package fakeupstream is a loopback server that speaks enough of Anthropic's
// Messages API to stand in for api.anthropic.com.
//
// The demo command shows a streamed message from it, the self test compares
// what it received with what the client sent, and the tests of the other
// packages make it misbehave. It needs no network and no key, and its answers
// are the same on every run.
//
// # What it answers
//
//	POST /v1/messages               a message, or with "stream": true its events
//	POST /v1/messages/count_tokens  a token count
//	GET  /v1/models                 the models, and /v1/models/{id} one of them
//	POST /v1/files                  an upload (multipart); GET lists or returns one
//	HEAD / and HEAD, GET /api/hello the probes a client makes at start
//
// All else is a 404 in the API's error shape. Everything under /v1/ asks for a
// credential of the right form, and for nothing more: any x-api-key, any
// bearer. A bearer that begins with sk-ant-oat is a subscription's, and with
// RequireOAuthBeta it is refused without oauth-2025-04-20 in anthropic-beta,
// as the real API does. A body with context_management is refused unless the
// beta list still has that feature, so that a proxy that replaces a client's
// list instead of adding to it is found out.
//
// It speaks two versions of the API, anthropic-version 2026-10-21 and 2023-06-01: an error
// has a code in its details with the first only. A request without the header gets the
// second, and any other version is refused. The body of a message may be compressed with
// gzip.
//
// Bodies are not validated beyond that: a JSON object is enough, whatever it
// lacks. A request with tools gets a tool use after its text, of the tool that
// tool_choice names or of the first, unless tool_choice is none or the last
// message brings a tool's result. The tool's input is made to fit no schema.
//
// # Directed behaviour
//
// A client chooses what goes wrong by the model it names in the body:
//
//	error-NNN              that status, in the API's error shape
//	                       (400, 401, 403, 404, 413, 429, 500 or 529)
//	slow                   200 ms between two events
//	slow-N                 likewise, with N text deltas
//	long-N                 N text deltas (100,000 at most)
//	error-mid-stream       after two deltas an error event and a clean end
//	cut-mid-stream         after two deltas the connection is aborted
//	stall                  after two deltas nothing until the client leaves
//	early                  the answer comes before the body was read to its end;
//	                       the rest is read after it
//	early-close            likewise, and the rest is never read: HTTP/1.1 closes
//	                       the connection, HTTP/2 resets the stream
//	gzip                   a compressed answer, if the client accepts one
//	trailers               trailer fields after the answer: x-message-id, which
//	                       Trailer announces, and x-output-tokens, which nothing
//	                       does
//
// Any other model gets the ordinary answer. Without "stream", cut-mid-stream
// and stall give half of the body that Content-Length promises, and
// error-mid-stream is a 529. For the early models, model and stream must come
// before anything long in a body that is not compressed: the search ends after 4 KiB, and
// looks at no more than has arrived when the model's name has.
//
// # Where it is
//
//	server.go    Start: a listener and a life (config.go, certificate.go; gate.go:
//	             its end)
//	handler.go   a request's way: told to the observer (request.go), found its answer
//	messages.go  a message (script.go: what it says; stream.go: event by event;
//	             shapes.go: in which form; trailers.go), and a count of tokens
//	models.go    the models; files.go: uploads
//	body.go      the request's body; early.go: the answers that do not wait for it
//	answer.go    how an answer is written; headers.go: with which headers
//	apierror.go  what is refused, and in which form
//
// # What it remembers
//
// Nothing but the names and sizes of uploaded files. Config.Observe is told of
// every request; credentials are masked before it sees them, and bodies are
// given as a length and a hash.
package fakeupstream
