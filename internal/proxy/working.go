package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Working says whether requests succeed. A success is a complete response of the upstream below
// 400. A failure is another response of the upstream, or none. A request that the client ended, or
// an error that is the client's fault, is neither.
type Working struct {
	LastResponse time.Time // the upstream's last complete response; zero: none yet
	LastStatus   int       // status of the last response
	LastFailure  time.Time // zero: none yet
	Cause        string    // of the last failure
	InARow       int       // failures since the last success
	Since        time.Time // the first of them
	responded    bool      // the last failure was a response below 500
}

// fewRefused is how many requests in a row the upstream must refuse with a 4xx before that counts
// as trouble: a few may be the clients' own fault.
const fewRefused = 3

// Trouble says why requests do not succeed, or returns "" if they do.
func (w Working) Trouble(now time.Time) string {
	switch {
	case w.InARow == 0, w.responded && w.InARow < fewRefused:
		return ""
	case w.InARow == 1:
		return "the last request failed: " + w.Cause
	}
	return fmt.Sprintf("no request has succeeded for %s: %s (%d in a row)", roughly(now.Sub(w.Since)), w.Cause, w.InARow)
}

func roughly(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	}
	return fmt.Sprintf("%.0f h", d.Hours())
}

// working is a Working that every request updates at its end.
type working struct {
	mu sync.Mutex
	Working
}

func (w *working) observe(r *record, now time.Time) {
	cause, responded := r.Error, r.code == "" && r.Status != statusClientGone
	switch {
	case r.code != "" && !r.code.isFailing(), r.code == "" && !responded:
		return
	case responded:
		cause = strings.TrimSpace(fmt.Sprintf("the upstream responded %d %s", r.Status, http.StatusText(r.Status)))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if responded {
		w.LastResponse, w.LastStatus = now, r.Status
		if r.Status < http.StatusBadRequest {
			w.InARow = 0
			return
		}
	}
	if w.InARow++; w.InARow == 1 {
		w.Since = now
	}
	w.LastFailure, w.Cause, w.responded = now, cause, responded && r.Status < http.StatusInternalServerError
}

// isFailing reports whether the code is for a failure that is not the client's fault.
func (c Code) isFailing() bool {
	metric := c.meaning().metric
	return metric != "" && metric != "invalid_request" || c == CodeOverloaded
}

// Working says whether requests succeed at present.
func (p *Proxy) Working() Working {
	p.metrics.working.mu.Lock()
	defer p.metrics.working.mu.Unlock()
	return p.metrics.working.Working
}
