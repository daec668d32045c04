package proxy

import (
	"sync"
	"time"
)

// Over HTTP/2, a request that its client cancels is a reset stream on a connection that carries
// other people's streams. Servers close a connection on which streams are reset rapidly
// (CVE-2023-44487), most with ENHANCE_YOUR_CALM, and all that is on it is lost. What they
// tolerate on one connection: Netty 200 resets in 30 s; Envoy 500 streams of which half were
// reset within a second; nghttp2 1,000 and 33 more each second; Go 1,000 requests beyond
// MAX_CONCURRENT_STREAMS whose handlers have not returned.
//
// So two things are counted. A person who cancels too fast gets no further request to the
// upstream for a while. And a connection on which too many streams were reset, by whomever, gets
// no further stream (pool.go), which keeps all persons together below those limits.
const (
	// personBurst is how many requests a person can cancel at once, and personInterval how long
	// it takes until one of them is forgotten: 300, and 100 a second. A gateway that names
	// nobody is one person, and ends all of its streams at once when it stops.
	personBurst    = 300
	personInterval = 10 * time.Millisecond
	// connBurst and connInterval are the same for the streams of one connection: 64, and 2 a
	// second, so at most 124 in any 30 s, and those that are on it at that moment.
	connBurst    = 64
	connInterval = 500 * time.Millisecond
	// maxCancellers is how many persons are remembered.
	maxCancellers = 1024
)

// tally counts events and forgets them at a steady rate. The zero tally has counted none.
type tally struct {
	until time.Time // when the last of them is forgotten
}

// add counts one more event, of which each takes interval to be forgotten. It counts at most
// twice burst, so that a tally is never over for longer than burst intervals.
func (t tally) add(now time.Time, burst int, interval time.Duration) tally {
	next := now
	if t.until.After(now) {
		next = t.until
	}
	next, most := next.Add(interval), now.Add(2*time.Duration(burst)*interval)
	if next.After(most) {
		next = most
	}
	return tally{next}
}

// over reports whether burst events or more are not forgotten yet.
func (t tally) over(now time.Time, burst int, interval time.Duration) bool {
	return t.until.Sub(now) > time.Duration(burst-1)*interval
}

// cancellations counts the requests that each person cancelled lately.
type cancellations struct {
	mu      sync.Mutex
	persons map[string]tally
}

func newCancellations() *cancellations { return &cancellations{persons: make(map[string]tally)} }

// add counts a request that person cancelled.
func (c *cancellations) add(person string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.persons[person]; !known && len(c.persons) >= maxCancellers {
		c.forgetCalmest()
	}
	c.persons[person] = c.persons[person].add(time.Now(), personBurst, personInterval)
}

// forgetCalmest makes room for one person. The caller holds mu.
func (c *cancellations) forgetCalmest() {
	var calmest string
	var until time.Time
	for person, t := range c.persons {
		if until.IsZero() || t.until.Before(until) {
			calmest, until = person, t.until
		}
	}
	delete(c.persons, calmest)
}

// tooFast reports whether person has cancelled too many requests to send another one now.
func (c *cancellations) tooFast(person string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.persons[person].over(time.Now(), personBurst, personInterval)
}

// calm refuses a request of a person who cancels too many.
func (x *exchange) calm() error {
	if !x.proxy.cancellations.tooFast(x.person) {
		return nil
	}
	return fail(CodeCancelling, nil, "you cancelled %d requests or more within a few seconds, for which the upstream"+
		" would close connections that others use; send fewer, and wait a few seconds", personBurst)
}

// countCancelled counts the request if its client ended it after the upstream got it and before
// the end of the response. It is called while the request still holds its slot, so that the
// slots bound how many are not counted yet.
func (x *exchange) countCancelled() {
	if !x.cancelledByClient() {
		return
	}
	x.proxy.cancellations.add(x.person)
	x.cfg.pool.cancelled(x.upstream.Load())
}

// cancelledByClient: a body that breaks HTTP's rules or grows too large resets the stream, too.
func (x *exchange) cancelledByClient() bool {
	if p := x.rec.phase(); p != phaseSending && p != phaseStreaming {
		return false
	}
	switch x.rec.code {
	case "":
		return x.rec.outcome == outcomeClientGone
	case CodeInvalidRequest, CodeTooLarge, CodeClientIdle:
		return true
	default:
		return false
	}
}
