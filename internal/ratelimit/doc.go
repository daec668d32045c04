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
// # One rise
//
// A response to alice says that 5h is used to 0.30; the one before it said 0.25:
//
//  1. [Accounts.Sent] counts alice's request, before it is sent. So the package knows who has
//     requests in flight, and on which account: that of each user's latest response, or any if
//     there is none yet.
//  2. [Request.Responded] finds the account and the windows in the header.
//  3. Window.observe compares 5h with what it was. The utilization rose by 0.05, and the window
//     still resets at the same time.
//  4. Accounts.owner says whose rise that is. It is alice's, if nobody else had a request in flight
//     on the account while she waited for this response. If another of her sessions had one, it is
//     hers without a session. If another person had one, it is nobody's.
//  5. Window.use adds it to what alice has used. What is nobody's is not added to anything.
//  6. [Accounts.Report] returns the users, and the rest of the utilization as unknown.
//
// This is an estimate, because headers say no more:
//
//   - Nobody knows who used what a window shows at its first response after a start or a reset.
//   - Use that does not pass this host, and what a stream uses after its header, is seen in the
//     next response, of any user.
//   - A utilization that falls, or a reset that comes sooner, while the window runs shows that
//     several limits share the organization, such as the seats of a team. Such a window is mixed:
//     its numbers are those of the latest response, and its use is attributed to nobody.
//   - Windows of an API key refill all the time: their use is not attributed.
//
// A value that no honest upstream sends is ignored. All that is kept is bounded: accounts, windows,
// users, and the length of each name.
//
// accounts.go has the life of a request, activity.go who has requests in flight, header.go the
// windows in a header, window.go the use of a window, report.go the types and what is handed over.
package ratelimit
