package selftest

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"oauth-proxyd/internal/config"
)

// hasty is the patience for a proxy that hangs.
const hasty = 500 * time.Millisecond

// TestEachVerdictCanFail puts a fault in front of the real proxy.
func TestEachVerdictCanFail(t *testing.T) {
	shipped, err := config.Load("../../etc/oauth-proxyd.hcl")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, client string
		fault        func(http.Handler) http.Handler
		says         string
	}{
		{"the response cuts", "SDK with an OAuth", abortAfterwards, "unexpected EOF"},
		{"the request is sent twice", "SDK with an OAuth", sendTwice, "received the request 2 times"},
		{"features are dropped", "Claude Code", onRequest(dropFeature), "context-management-2025-06-27"},
		{"the body changes", "SDK with an API key", onRequest(spoilBody), "the API refuses it with 400"},
		{"events are held back", "Claude Code", holdBack, "event 1 did not arrive before the next one was sent"},
		{"the response is a refusal", "SDK with an OAuth", refuse, "the API refuses its OAuth token with 401"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := test{settings: shipped, patience: hasty, around: tt.fault}.run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(r.Clients, func(c Client) bool { return strings.HasPrefix(c.Name, tt.client) })
			if c := r.Clients[i]; r.OK || c.Verdict != Fail || !strings.Contains(c.Why, tt.says) {
				t.Errorf("%s %q, want %s with %q", c.Verdict, c.Why, Fail, tt.says)
			}
		})
	}
}

// onRequest is a fault that changes requests before the proxy gets them.
func onRequest(change func(*http.Request)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			change(r)
			next.ServeHTTP(w, r)
		})
	}
}

func spoilBody(r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(bytes.Repeat([]byte("x"), len(body))))
}

func dropFeature(r *http.Request) {
	if v := r.Header.Get("Anthropic-Beta"); v != "" {
		r.Header.Set("Anthropic-Beta", strings.Replace(v, "context-management-2025-06-27,", "", 1))
	}
}

func abortAfterwards(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r)
		if w.Header().Get("Content-Length") == "" {
			panic(http.ErrAbortHandler)
		}
	})
}

// sendTwice repeats a request that had its response.
func sendTwice(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		for range 2 {
			again := r.Clone(context.WithoutCancel(r.Context()))
			again.Body = io.NopCloser(bytes.NewReader(body))
			next.ServeHTTP(w, again)
		}
	})
}

func refuse(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(&changedWriter{ResponseWriter: w, status: http.StatusUnauthorized}, r)
	})
}

// holdBack passes a response on when it is complete.
func holdBack(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		held := &changedWriter{ResponseWriter: w, held: &bytes.Buffer{}}
		next.ServeHTTP(held, r)
		_, _ = w.Write(held.held.Bytes())
	})
}

// changedWriter has another status, or writes nothing on its own.
type changedWriter struct {
	http.ResponseWriter
	status int           // 0: the handler's
	held   *bytes.Buffer // nil: nothing is held back
}

func (w *changedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *changedWriter) WriteHeader(status int) {
	if w.status != 0 {
		status = w.status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *changedWriter) Write(p []byte) (int, error) {
	if w.held != nil {
		return w.held.Write(p)
	}
	return w.ResponseWriter.Write(p)
}
