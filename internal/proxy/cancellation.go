package proxy

import (
	"sync"

	"golang.org/x/time/rate"
)

// Over HTTP/2, a cancelled request resets a stream on a connection that carries other people's
// streams. Servers close a connection on which streams are reset rapidly (CVE-2023-44487), most
// with ENHANCE_YOUR_CALM, and all its streams are lost. Their limits for one connection: Netty 200
// resets in 30 s; Envoy 500 streams of which half were reset within a second; nghttp2 1,000 and 33
// more each second; Go 1,000 requests beyond MAX_CONCURRENT_STREAMS whose handlers have not
// returned.
//
// So there are two limits. A person who cancels too fast cannot send requests for a while. And a
// connection on which too many streams were reset gets no further stream (package upstream), which
// keeps all people together below those limits.
const (
	// personBurst is how many requests a person can cancel at once, and personRate is how many of
	// these are forgotten each second. A gateway that names no person counts as one person, and
	// cancels all of its streams at once when it stops.
	personBurst = 300
	personRate  = 100
	// maxCancellers is how many people are remembered.
	maxCancellers = 1024
)

// cancellations counts the requests that each person cancelled lately.
type cancellations struct {
	mu      sync.Mutex
	persons map[string]*rate.Limiter
}

// add counts a request that person cancelled.
func (c *cancellations) add(person string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	limiter := c.persons[person]
	if limiter == nil {
		for one := range c.persons {
			if len(c.persons) < maxCancellers {
				break
			}
			delete(c.persons, one) // any one: with so many, the connections bound what is cancelled
		}
		limiter = rate.NewLimiter(personRate, personBurst)
		c.persons[person] = limiter
	}
	if limiter.Tokens() > -personBurst { // bounds a refusal to three seconds
		limiter.Reserve() // counts it, and does not wait
	}
}

// tooFast reports whether person has cancelled too many requests to send another one now.
func (c *cancellations) tooFast(person string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	limiter := c.persons[person]
	return limiter != nil && limiter.Tokens() < 1
}

// checkCancellations refuses the request if its person cancels too fast.
func (x *exchange) checkCancellations() error {
	if !x.proxy.cancellations.tooFast(x.ticket.person) {
		return nil
	}
	return fail(CodeCancellingTooFast, nil, "you cancelled %d requests or more within a few seconds, for which the upstream"+
		" would close connections that others use; wait a few seconds, then send fewer requests at a time", personBurst)
}

// countCancelled counts the request if its client ended it between its sending and the end of the
// response. A body that is malformed or too large resets the stream, too. It is called while the
// request still holds its slot, so the slots bound how many are not counted yet.
func (x *exchange) countCancelled() {
	if p := x.rec.Phase(); p != phaseSending && p != phaseWaiting && p != phaseStreaming {
		return
	}
	if meaning, _ := x.rec.failure(); x.rec.Outcome == outcomeClientGone || meaning.cutBy == cutByClient {
		x.proxy.cancellations.add(x.ticket.person)
	}
}
