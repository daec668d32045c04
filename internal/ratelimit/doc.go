// Package ratelimit remembers what the rate-limit headers of responses say about accounts, and who
// used them up. It reads no other header, and no body.
//
//	limits := ratelimit.New()          // also a prometheus.Collector
//	alice := ratelimit.User{Person: "alice@example.com"}
//	request := limits.Sent(alice)
//	defer request.End()                // the response has ended
//	request.Responded(response.Header, alice)
//	limits.Report()                    // for "oauth-proxyd limits"
//
// An account is an organization, identified by a keyed hash of its anthropic-organization-id. It
// has rate-limit windows. Those of a subscription are 5h, 7d, overage and some for single models,
// each with a utilization from 0 to 1 or more. Those of an API key count requests and tokens, each
// with a limit and what remains of it.
//
// # Who used a window
//
// When a response shows a higher utilization than the one before it, the rise is attributed to the
// person and the session of that response. This is all that headers allow, so some use stays
// unknown:
//
//   - A rise is shared if another person may have caused it: with a request that was in flight on
//     the account while this one waited for its response, or with one that ended without a response
//     since the last response. If that was another session of the same person, the person is known,
//     and the session is not.
//   - A request whose account is not known may be on any that its person has used. If its response
//     shows that it was on another, what was attributed meanwhile is corrected.
//   - Nobody knows who used what a window shows at its first response after a start or a reset.
//   - Use that does not pass this host, and what a stream uses after its header, is seen in the
//     next response, of any user.
//   - A utilization that falls, or a reset that comes sooner, while the window runs shows that
//     several limits share the organization, such as the seats of a team. Such a window is mixed:
//     its numbers are those of the latest response, and its use is not attributed until it resets.
//   - Windows of an API key refill all the time: their use is not attributed.
//
// A value that no honest upstream sends is ignored. All that is kept is bounded: accounts, windows,
// users, and the length of each name.
package ratelimit
