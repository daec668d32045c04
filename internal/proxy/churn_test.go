package proxy_test

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"oauth-proxyd/internal/proxy"
)

// churnUpstream responses in many ways, slowly enough that clients can leave in every phase.
func churnUpstream(w http.ResponseWriter, r *http.Request) {
	rc := http.NewResponseController(w)
	_ = rc.EnableFullDuplex()
	switch r.URL.Path {
	case "/early":
		w.WriteHeader(http.StatusUnauthorized)
	case "/stream":
		w.Header().Set("Content-Type", "text/event-stream")
		for range 5 {
			_, _ = io.WriteString(w, "data: x\n\n")
			_ = rc.Flush()
		}
		_, _ = io.Copy(io.Discard, r.Body)
	case "/die":
		_, _ = io.WriteString(w, "x")
		_ = rc.Flush()
		panic(http.ErrAbortHandler)
	default:
		sayOK(w, r)
	}
}

// After any behaviour of clients, nothing is left: no goroutine (TestMain), no file and no used
// slot.
func TestNothingIsLeftAfterManyAborts(t *testing.T) {
	const requests, clients = 5_000, 40
	forEachProtocol(t, churnUpstream, func(t *testing.T, up *mockAPI) {
		d := openDoor(t, up, func(s *setup) {
			s.Proxy.MaxConnections, s.Proxy.QueueLimit, s.Proxy.QueueTimeout = 20, 10, 5*time.Millisecond
			s.Proxy.Retry.Memory = 1 << 20
		})
		files := openFiles(t)
		var work sync.WaitGroup
		for i := range clients {
			work.Go(func() { churn(t, d, newClient(t), requests/clients, uint64(i)) })
		}
		work.Wait()
		eventually(t, "all have left", func() bool { s := d.Stats(); return s.InFlight == 0 && s.Queued == 0 })
		if used := proxy.MemoryUsed(d.Proxy); used != 0 {
			t.Errorf("%d bytes of memory still counted", used)
		}
		eventually(t, "files are closed", func() bool { return openFiles(t) <= files+60 })
	})
}

// churn sends n requests, and leaves many of them at random.
func churn(t *testing.T, d *door, c *http.Client, n int, seed uint64) {
	defer c.CloseIdleConnections()
	rnd := rand.New(rand.NewPCG(seed, 1))
	for range n {
		ctx, leave := context.WithCancel(t.Context())
		if rnd.IntN(2) == 0 {
			time.AfterFunc(time.Duration(rnd.IntN(3000))*time.Microsecond, leave)
		}
		path := []string{"/", "/early", "/stream", "/die"}[rnd.IntN(4)]
		body := strings.NewReader(strings.Repeat("x", []int{0, 10, 5_000, 100_000}[rnd.IntN(4)]))
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url(path), io.NopCloser(body))
		if err != nil {
			t.Error(err)
		}
		if response, err := c.Do(r); err == nil {
			_, _ = io.CopyN(io.Discard, response.Body, int64(rnd.IntN(40)))
			response.Body.Close()
		}
		leave()
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}
