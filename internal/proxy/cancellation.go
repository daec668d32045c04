package proxy

import (
	"sync"
	"time"
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
	// mostCancelled is how many requests a person can cancel in a window of cancelWindow. A gateway
	// that names no person counts as one person, and cancels all of its streams at once when it
	// stops.
	mostCancelled = 300
	cancelWindow  = 3 * time.Second
)

// cancellations counts the requests that each person cancelled in this window. The zero value is
// ready for use.
type cancellations struct {
	mu      sync.Mutex
	began   time.Time // the window
	persons map[string]int
}

// add counts n requests that person cancelled, and returns all in this window.
func (c *cancellations) add(person string, n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.began) >= cancelWindow {
		c.began, c.persons = time.Now(), make(map[string]int)
	}
	if n > 0 {
		c.persons[person] += n
	}
	return c.persons[person]
}

func (x *exchange) checkCancellations() error {
	if x.proxy.cancellations.add(x.ticket.person, 0) < mostCancelled {
		return nil
	}
	return fail(CodeCancellingTooFast, nil, "you cancelled %d requests or more within a few seconds, for which the upstream"+
		" would close connections that others use; wait a few seconds, then send fewer requests at a time", mostCancelled)
}

// countCancelled counts the request if its client ended it between its sending and the end of the
// response. A body that is malformed or too large resets the stream, too. It is called while the
// request still holds its slot, so the slots bound how many are not counted yet.
func (x *exchange) countCancelled() {
	if p := x.rec.Phase(); p != phaseSending && p != phaseWaiting && p != phaseStreaming {
		return
	}
	if meaning, _ := x.rec.failure(); x.rec.Outcome == outcomeClientGone || meaning.cutBy == cutByClient {
		x.proxy.cancellations.add(x.ticket.person, 1)
	}
}
