package selftest

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"oauth-proxyd/internal/config"
)

// hasty is the patience for a proxy that hangs.
const hasty = 500 * time.Millisecond

// TestEachVerdictCanFail puts a fault in front of the real proxy that breaks what one verdict is
// about.
func TestEachVerdictCanFail(t *testing.T) {
	shipped, err := config.Load("../../etc/oauth-proxyd.hcl")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, verdict string
		fault         func(http.Handler) http.Handler
		says          string
	}{
		{"the response cuts", "every request", abortAfterwards, "unexpected EOF"},
		{"the request is sent twice", "every request", sendTwice, "received the request 2 times"},
		{"features are dropped", "the client's own", onRequest(dropFeature), "context-management-2025-06-27"},
		{"the body changes", "a request with an API key", onRequest(spoilBody), "the response is 400"},
		{"events are held back", "every request", holdBack, "event 1 did not arrive before the next one was sent"},
		{"the response is a refusal", "an OAuth token", refuse, "although"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := Config{Settings: shipped, patience: hasty, around: tt.fault}
			probed, err := c.probeAll(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range verdicts(shipped, probed) {
				if !strings.HasPrefix(v.Name, tt.verdict) {
					continue
				}
				if text := strings.Join(v.Details, "\n"); v.Status != Fail || !strings.Contains(text, tt.says) {
					t.Errorf("%s %q, want %s with %q", v.Status, text, Fail, tt.says)
				}
				return
			}
			t.Fatalf("no verdict begins with %q", tt.verdict)
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
