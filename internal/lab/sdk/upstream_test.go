package sdk_test

import (
	"encoding/pem"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"oauth-proxyd/internal/daemontest"
	"oauth-proxyd/internal/lab/labapi"
)

// upstream is the API, with a list of what it received. It counts its ids from the first request
// on, so that two of them give the same responses.
type upstream struct {
	*httptest.Server
	gone  chan string // the path of each request whose client left before the end
	begun chan string // the path of each request that is about to get its response

	mu   sync.Mutex
	seen []labapi.Request
}

// newUpstream serves HTTP/2 over TLS, or HTTP/1.1 in the clear.
func newUpstream(t *testing.T, secure bool) *upstream {
	t.Helper()
	u := &upstream{gone: make(chan string, 100), begun: make(chan string, 100)}
	api := labapi.Handler(labapi.Config{RequireOAuthBeta: true, Observe: u.observe})
	u.Server = httptest.NewUnstartedServer(u.watch(api))
	u.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	if secure {
		u.EnableHTTP2 = true
		u.StartTLS()
	} else {
		u.Start()
	}
	t.Cleanup(u.Close)
	return u
}

func (u *upstream) observe(r labapi.Request) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.seen = append(u.seen, r)
	select {
	case u.begun <- r.Target:
	default: // no test waits for so many
	}
}

// watch stops the clock and notices the clients that leave.
func (u *upstream) watch(api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if r.Context().Err() != nil {
				u.gone <- r.URL.Path
			}
		}()
		api.ServeHTTP(stopped{w}, r)
	})
}

// awaitGone waits until the API has seen a client leave.
func (u *upstream) awaitGone(t *testing.T) {
	t.Helper()
	select {
	case <-u.gone:
	case <-time.After(daemontest.Patience):
		t.Error("the API did not learn that the client left")
	}
}

// awaitBegun waits until the API is about to respond to a request.
func (u *upstream) awaitBegun(t *testing.T) {
	t.Helper()
	select {
	case <-u.begun:
	case <-time.After(daemontest.Patience):
		t.Error("the API got no request")
	}
}

// certificate is what its clients must trust, in PEM; nil in the clear, or if the API is of another
// kind.
func (u *upstream) certificate() []byte {
	if u == nil || u.TLS == nil {
		return nil
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: u.Certificate().Raw})
}

// stopped gives the same time in every response, so that two can be compared.
type stopped struct{ http.ResponseWriter }

// Unwrap is for http.ResponseController.
func (w stopped) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w stopped) WriteHeader(status int) {
	h := w.Header()
	h.Set("Date", "Mon, 01 Sep 2025 12:00:00 GMT")
	for name := range h {
		if strings.HasSuffix(name, "-Reset") {
			h.Set(name, "2025-09-01T12:01:00Z")
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

// requests are all that came, a line for each fact. What belongs to a connection, or is made up for
// each upload, is left out. The protocols are apart, because a client may speak another one to the
// daemon.
func (u *upstream) requests() (all [][]string, protocols []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, r := range u.seen {
		if !slices.Contains(protocols, r.Proto) {
			protocols = append(protocols, r.Proto)
		}
		all = append(all, describe(r))
	}
	return all, protocols
}

// count is how many requests came.
func (u *upstream) count() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.seen)
}

// describe says what an API saw of one request.
func describe(r labapi.Request) []string {
	sum := r.BodySHA256
	if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/") {
		sum = "of an upload"
	}
	lines := []string{
		r.Method + " " + r.Target,
		"  credential " + r.CredentialSHA256,
		fmt.Sprintf("  body %d bytes, complete: %t, hash %s", r.BodyLength, r.BodyComplete, sum),
	}
	boundary := regexp.MustCompile(`boundary=\S+`)
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		if name != "Connection" {
			values := boundary.ReplaceAllString(strings.Join(r.Header[name], "|"), "boundary")
			lines = append(lines, fmt.Sprintf("  %s: %q", name, values))
		}
	}
	return lines
}

// betas is the anthropic-beta of each request, in the order of their arrival and without the spaces
// between the members.
func (u *upstream) betas() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	var all []string
	for _, r := range u.seen {
		lines := strings.Join(r.Header.Values("Anthropic-Beta"), " | ")
		all = append(all, strings.ReplaceAll(lines, ", ", ","))
	}
	return all
}
