package proxy_test

import (
	"bufio"
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"testing"

	"oauth-proxyd/internal/config"
)

// benchDoors gives the address of each thing to compare in front of up.
func benchDoors(b *testing.B, up *mockAPI) map[string]string {
	d := openDoor(b, up, func(s *setup) {
		s.Log = slog.New(slog.DiscardHandler)
		s.Headers = []config.Header{{Name: "Anthropic-Beta", Value: "oauth-2025-04-20", Mode: config.ModeMerge}}
	})
	bare := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(up.url) },
		Transport:     up.client.Transport,
		FlushInterval: -1,
	})
	b.Cleanup(bare.Close)
	return map[string]string{"ours": d.url(""), "httputil": bare.URL}
}

func forEachProxy(b *testing.B, h http.HandlerFunc, run func(*testing.B, *http.Client, string)) {
	for _, protocol := range protocols() {
		up := newUpstream(b, protocol, h)
		for name, target := range benchDoors(b, up) {
			b.Run(protocol+"/"+name, func(b *testing.B) { run(b, newClient(b), target) })
		}
	}
}

// BenchmarkRequest is a POST of 1 KB with a response of 2 KB. Client and upstream are in the same
// process: their cost is in it, the same for all.
func BenchmarkRequest(b *testing.B) {
	response := make([]byte, 2<<10)
	body := make([]byte, 1<<10)
	forEachProxy(b, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = w.Write(response)
	}, func(b *testing.B, c *http.Client, target string) {
		b.ReportAllocs()
		for b.Loop() {
			r := request(b, http.MethodPost, target+"/v1/messages", bytes.NewReader(body))
			response, err := c.Do(r)
			if err != nil {
				b.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, response.Body)
			response.Body.Close()
		}
	})
}

// BenchmarkEvents is one event of 200 bytes of a stream, sent when the one before has arrived.
func BenchmarkEvents(b *testing.B) {
	event := append(bytes.Repeat([]byte("x"), 198), "\n\n"...)
	next := make(chan struct{})
	forEachProxy(b, func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		w.Header().Set("Content-Type", "text/event-stream")
		_ = rc.Flush()
		for {
			select {
			case <-next:
			case <-r.Context().Done():
				return
			}
			_, _ = w.Write(event)
			_ = rc.Flush()
		}
	}, func(b *testing.B, c *http.Client, target string) {
		response, err := c.Do(request(b, http.MethodGet, target, http.NoBody))
		if err != nil {
			b.Fatal(err)
		}
		defer response.Body.Close()
		in := bufio.NewReader(response.Body)
		got := make([]byte, len(event))
		b.ReportAllocs()
		for b.Loop() {
			next <- struct{}{}
			if _, err := io.ReadFull(in, got); err != nil {
				b.Fatal(err)
			}
		}
	})
}
