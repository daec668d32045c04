package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Working says whether requests succeed. A success is a complete response of the upstream below
// 400 that is no redirect. A failure is another response, or none. An error that is the client's
// fault is neither, and neither is a request that its client ended, unless the upstream began no
// response at all while it waited.
type Working struct {
	LastResponse time.Time // the upstream's last complete response; zero: none yet
	LastStatus   int       // status of the last response
	LastFailure  time.Time // zero: none yet
	Cause        string    // of the last failure
	Fix          string    // what to do about it
	InARow       int       // failures since the last success
	Since        time.Time // the first of them
	doubtful     bool      // the last failure may be the client's own fault
	began        time.Time // the upstream's last response, by its header
}

// fewDoubtful is how many failures in a row that may be the clients' own fault count as trouble.
const fewDoubtful = 3

// Trouble says why requests do not succeed and how to fix it, or returns "" if they do.
func (w Working) Trouble(now time.Time) (trouble, fix string) {
	switch {
	case w.InARow == 0, w.doubtful && w.InARow < fewDoubtful:
		return "", ""
	case w.InARow == 1:
		return "the last request failed: " + w.Cause, w.Fix
	}
	return fmt.Sprintf("no request has succeeded for %s: %s (%d in a row)", roughly(now.Sub(w.Since)), w.Cause, w.InARow), w.Fix
}

func roughly(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%.0f s", max(1, d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	}
	return fmt.Sprintf("%.0f h", d.Hours())
}

// working is a Working that every request updates.
type working struct {
	mu sync.Mutex
	Working
}

// begin notes that the upstream began a response.
func (w *working) begin(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.began = now
}

// end notes the end of a request.
func (w *working) end(r *record, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case r.code != "":
		if codeTable[r.code].severity == breakdown {
			w.fail(now, r.Error, runDoctor, false)
		}
	case r.Status == statusClientGone:
		if r.Phase() == phaseWaiting && !w.began.After(r.start) {
			w.fail(now, "the upstream began no response before the client left", runDoctor, true)
		}
	default:
		w.LastResponse, w.LastStatus = now, r.Status
		if r.Status < http.StatusMultipleChoices || r.Status == http.StatusNotModified {
			w.InARow = 0
			return
		}
		cause := strings.TrimSpace(fmt.Sprintf("the upstream responded %d %s", r.Status, http.StatusText(r.Status)))
		w.fail(now, cause, fixResponse(r.Status, r.UpstreamRequestID), r.Status < http.StatusInternalServerError)
	}
}

// fail counts a failure. The caller holds mu.
func (w *working) fail(now time.Time, cause, fix string, doubtful bool) {
	if w.InARow++; w.InARow == 1 {
		w.Since = now
	}
	w.LastFailure, w.Cause, w.Fix, w.doubtful = now, cause, fix, doubtful
}

const runDoctor = "run `oauth-proxyd doctor`"

// fixResponse says what to do about a response that is no success.
func fixResponse(status int, upstreamID string) string {
	switch {
	case upstreamID == "":
		return "the API sends a request-id header with each response, but this one had none: a proxy, firewall or portal on the path" +
			" may have sent it; " + runDoctor
	case status == http.StatusUnauthorized:
		return "log in again on the client (/login in Claude Code), or check its API key, which this proxy passes unchanged;" +
			" `oauth-proxyd selftest` shows whether OAuth tokens get their anthropic-beta"
	case status == http.StatusTooManyRequests:
		return "see `oauth-proxyd limits`: an account has reached its rate limit"
	case status >= http.StatusInternalServerError:
		return "it is the API: see https://status.anthropic.com"
	}
	return "see the error that the client shows: it is the API's"
}

// Working says whether requests succeed.
func (p *Proxy) Working() Working {
	p.metrics.working.mu.Lock()
	defer p.metrics.working.mu.Unlock()
	return p.metrics.working.Working
}
